"""The JWT/OIDC auth method, written against `sdk` alone."""

from vault_jwt_plugin.jwt_auth.backend import JWTBackend, factory

__all__ = ["JWTBackend", "factory"]
