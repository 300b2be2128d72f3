"""The adapter between the host's protobuf and the sdk: serves pb.Backend, calls pb.Storage."""

from vault_jwt_plugin.host.plugin import BackendPlugin

__all__ = ["BackendPlugin"]
