"""A native role: its parameters, and the form that logins use."""
