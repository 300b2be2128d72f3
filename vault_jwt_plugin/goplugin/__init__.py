"""A go-plugin process: handshake, AutoMTLS, broker, controller, stdio, health, hclog."""

from vault_jwt_plugin.goplugin.broker import Broker
from vault_jwt_plugin.goplugin.entry import serve
from vault_jwt_plugin.goplugin.errors import (
    BrokerError,
    ClientCertificateError,
    ContainerRuntimeError,
    DatabaseProbeError,
    MagicCookieError,
    PluginError,
    ProtocolVersionError,
    SocketError,
    StartError,
)
from vault_jwt_plugin.goplugin.handshake import PROTOCOL_VERSION
from vault_jwt_plugin.goplugin.process import Plugin
from vault_jwt_plugin.goplugin.program import Program
from vault_jwt_plugin.goplugin.services import multiplex_id

__all__ = [
    "PROTOCOL_VERSION",
    "Broker",
    "BrokerError",
    "ClientCertificateError",
    "ContainerRuntimeError",
    "DatabaseProbeError",
    "MagicCookieError",
    "Plugin",
    "PluginError",
    "Program",
    "ProtocolVersionError",
    "SocketError",
    "StartError",
    "multiplex_id",
    "serve",
]
