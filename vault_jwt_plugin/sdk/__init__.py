"""What the author of an auth backend sees. Imports nothing of the plugin's other layers."""
