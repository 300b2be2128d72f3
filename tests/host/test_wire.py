"""The whole way in one process: grpcio as the host's client, and its storage behind our channel."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.host.fakes import HostServices
from tests.host.toy_backend import ToyBackend
from vault_jwt_plugin import rpc
from vault_jwt_plugin.host import BackendPlugin
from vault_jwt_plugin.pb import backend_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class OwnBroker:
    """Dial a server of ours that serves the callbacks: both our roles on real sockets."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def dial(self, _service_id: int) -> rpc.Channel:
        return await rpc.Channel.connect(
            self.path, tls=None, server_hostname="localhost", timeout_s=5
        )


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def plugin_and_host(folder: Any) -> AsyncIterator[tuple[Any, HostServices]]:
    services = HostServices(pages=False)
    names = [f"Storage/{name}" for name in ("Get", "Put", "Delete", "List", "ListPage")]
    names += [
        f"SystemView/{name}"
        for name in (
            "DefaultLeaseTTL",
            "MaxLeaseTTL",
            "ReplicationState",
            "LocalMount",
            "PluginEnv",
        )
    ]
    callbacks = rpc.Server(
        {
            f"/pb.{name}": rpc.unary(lambda call, message: services.answer(call.path, message))
            for name in names
        }
    )
    host_socket, plugin_socket = str(folder / "host"), str(folder / "plugin")
    callbacks.start(_listen(host_socket))
    plugin = BackendPlugin(ToyBackend, version="v1.2.3")
    broker: Any = OwnBroker(host_socket)
    server = rpc.Server(plugin.methods(broker))
    server.start(_listen(plugin_socket))
    async with grpc.aio.insecure_channel(f"unix:{plugin_socket}") as client:

        async def call(method: str, message: Any, reply: Any, instance: str = "abc") -> Any:
            return await client.unary_unary(
                f"/pb.Backend/{method}",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=reply.FromString,
            )(message, metadata=(("multiplex_id", instance),), timeout=10)

        yield call, services
    await plugin.close()
    await server.shutdown(0.5)
    await callbacks.shutdown(0.5)


def test_a_mounts_life_over_sockets(tmp_path):
    def args(operation: str, path: str, data: str = "null") -> pb.HandleRequestArgs:
        return pb.HandleRequestArgs(request=pb.Request(operation=operation, path=path, data=data))

    async def go():
        async with plugin_and_host(tmp_path) as (call, services):
            assert (await call("Setup", pb.SetupArgs(broker_id=1), pb.SetupReply)).err == ""
            assert (await call("Type", pb.Empty(), pb.TypeReply)).type == 2
            await call("Initialize", pb.InitializeArgs(), pb.InitializeReply)
            reply = await call(
                "HandleRequest", args("create", "thing/a", '{"a_int":3}'), pb.HandleRequestReply
            )
            assert reply == pb.HandleRequestReply()
            assert services.storage.json("thing/a") == {"a_int": 3}
            found = await call(
                "HandleExistenceCheck",
                pb.HandleExistenceCheckArgs(request=args("update", "thing/a").request),
                pb.HandleExistenceCheckReply,
            )
            assert found.exists
            listed = await call(
                "HandleRequest", args("list", "thing/", '{"limit":"5"}'), pb.HandleRequestReply
            )
            assert listed.response.data == '{"keys":["a"]}'
            logins = [
                call(
                    "HandleRequest",
                    args("update", "login", f'{{"user":"u{number}"}}'),
                    pb.HandleRequestReply,
                )
                for number in range(50)
            ]
            users = [reply.response.auth.alias.name for reply in await asyncio.gather(*logins)]
            assert users == [f"u{number}" for number in range(50)]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call("Type", pb.Empty(), pb.TypeReply, instance="other")
            assert caught.value.code() is grpc.StatusCode.UNKNOWN
            assert caught.value.details() == "no backend instance found"
            await call("Cleanup", pb.Empty(), pb.Empty)
            await call("Cleanup", pb.Empty(), pb.Empty)

    asyncio.run(asyncio.wait_for(go(), 30))
