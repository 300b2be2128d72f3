"""The adapter: serves pb.Backend with an sdk backend, and calls the host back."""
