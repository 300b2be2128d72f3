"""The JWT/OIDC auth method, written against `sdk` alone."""
