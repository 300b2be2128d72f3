"""gRPC over HTTP/2 on asyncio. This package knows nothing of plugins or Vault."""

from vault_jwt_plugin.rpc._calls import (
    Call,
    Method,
    Methods,
    ServerStream,
    StreamHandler,
    UnaryHandler,
    streaming,
    unary,
)
from vault_jwt_plugin.rpc.channel import Channel, ClientStream
from vault_jwt_plugin.rpc.errors import (
    HTTP2Error,
    LocalProtocolError,
    RemoteProtocolError,
    RPCError,
    StatusCode,
)
from vault_jwt_plugin.rpc.framing import decode_binary, encode_binary
from vault_jwt_plugin.rpc.limits import Limits
from vault_jwt_plugin.rpc.server import Server

__all__ = [
    "Call",
    "Channel",
    "ClientStream",
    "HTTP2Error",
    "Limits",
    "LocalProtocolError",
    "Method",
    "Methods",
    "RPCError",
    "RemoteProtocolError",
    "Server",
    "ServerStream",
    "StatusCode",
    "StreamHandler",
    "UnaryHandler",
    "decode_binary",
    "encode_binary",
    "streaming",
    "unary",
]
