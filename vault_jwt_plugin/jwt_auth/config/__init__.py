"""A mount's configuration: its parameters and the checks of a write."""
