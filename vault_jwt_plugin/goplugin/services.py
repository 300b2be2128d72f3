"""The services of every go-plugin process: controller, stdio, health and broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from vault_jwt_plugin import rpc
from vault_jwt_plugin.pb import health_pb2

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from vault_jwt_plugin.goplugin.broker import Broker

# The server as a whole, and go-plugin's `GRPCServiceName`.
_SERVICE_NAMES = frozenset({"", "plugin"})
_EMPTY = b""  # plugin.Empty has no fields.


def own_methods(
    broker: Broker,
    *,
    shutdown: Callable[[], None],
    stopping: asyncio.Event,
    host_lost: Callable[[], None],
) -> rpc.Methods:
    """Return the methods that belong to go-plugin itself.

    Args:
        broker: takes the host's announcements.
        shutdown: called once per `Shutdown`; must not wait.
        stopping: ends the idle streams, which would otherwise outlast every grace period.
        host_lost: called when the broker stream, which stays open for the plugin's life, has ended.
    """

    async def start_stream(stream: rpc.ServerStream) -> None:
        try:
            await broker.serve_stream(stream)
        finally:
            host_lost()

    async def stream_stdio(_stream: rpc.ServerStream) -> None:
        # The stream carries nothing: both hosts throw the data away.
        await stopping.wait()

    async def watch_health(stream: rpc.ServerStream) -> None:
        await stream.send(_first_health(await stream.receive() or b""))
        await stopping.wait()  # The status never changes: a process that stops serving is gone.

    def shut_down(_call: rpc.Call, _message: bytes) -> bytes:
        shutdown()
        return _EMPTY

    return {
        "/plugin.GRPCBroker/StartStream": rpc.streaming(start_stream),
        "/plugin.GRPCController/Shutdown": rpc.unary(shut_down),
        "/plugin.GRPCStdio/StreamStdio": rpc.streaming(stream_stdio),
        "/grpc.health.v1.Health/Check": rpc.unary(_check_health),
        "/grpc.health.v1.Health/Watch": rpc.streaming(watch_health),
    }


def multiplex_id(call: rpc.Call) -> str:
    """Return the id of the instance (one Setup of one mount) that a call is for.

    Mirrors Vault `sdk/helper/pluginutil/multiplexing.go` (`GetMultiplexIDFromContext`).

    Raises:
        rpc.RPCError: UNKNOWN if the metadata does not name it.
    """
    instance = call.metadata.get("multiplex_id")
    if not instance:
        raise rpc.RPCError(
            rpc.StatusCode.UNKNOWN,
            "missing multiplex ID in metadata"
            if instance is None
            else "empty multiplex ID in metadata",
        )
    return instance


def _check_health(_call: rpc.Call, message: bytes) -> bytes:
    if _service(message) not in _SERVICE_NAMES:
        raise rpc.RPCError(rpc.StatusCode.NOT_FOUND, "unknown service")
    return _status(health_pb2.HealthCheckResponse.SERVING)


def _first_health(message: bytes) -> bytes:
    # Unlike Check, Watch answers for an unknown service, because the service may appear later.
    known = _service(message) in _SERVICE_NAMES
    kinds = health_pb2.HealthCheckResponse
    return _status(kinds.SERVING if known else kinds.SERVICE_UNKNOWN)


def _service(message: bytes) -> str:
    try:
        return health_pb2.HealthCheckRequest.FromString(message).service
    except DecodeError as error:
        raise rpc.RPCError(
            rpc.StatusCode.INVALID_ARGUMENT, "not a grpc.health.v1.HealthCheckRequest"
        ) from error


def _status(status: health_pb2.HealthCheckResponse.ServingStatus) -> bytes:
    return health_pb2.HealthCheckResponse(status=status).SerializeToString()
