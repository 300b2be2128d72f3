"""Adapter between the host's protobuf and the sdk: it serves pb.Backend and calls pb.Storage."""

from vault_jwt_plugin.host.plugin import BackendPlugin

__all__ = ["BackendPlugin"]
