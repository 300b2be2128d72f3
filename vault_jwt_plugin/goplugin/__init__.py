"""One go-plugin process: handshake, AutoMTLS, broker, controller, stdio, health, hclog."""
