"""Storage and system view over a channel in memory, and over our channel to grpcio's server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.host.fakes import PROBE_TEXT, FakeChannel, HostServices
from vault_jwt_plugin import rpc
from vault_jwt_plugin.host.callbacks import HostStorage, HostSystemView, SystemViewError
from vault_jwt_plugin.sdk import ReadOnlyError, StorageEntry, StorageError
from vault_jwt_plugin.sdk.text import READ_ONLY_PHRASES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENTRY = StorageEntry(key="a/b", value=b"\x00\xff" * 1000, seal_wrap=True)


class FailingChannel:
    """A channel whose calls end with one status, or return nonsense."""

    def __init__(self, error: rpc.RPCError | None) -> None:
        self.error = error

    async def unary(self, path: str, message: bytes, **_kwargs: Any) -> bytes:
        if self.error is not None:
            raise self.error
        return b"\xff\xff"

    async def close(self) -> None:
        pass


async def every_storage_call(storage: HostStorage) -> list[Any]:
    return [
        await _outcome(call)
        for call in (
            storage.get("a"),
            storage.put(ENTRY),
            storage.delete("a"),
            storage.list("a/"),
            storage.list_page("a/", after="", limit=1),
        )
    ]


async def _outcome(call: Any) -> Any:
    try:
        return await call
    except StorageError as error:
        return error


@pytest.mark.parametrize("text", [*READ_ONLY_PHRASES, "x: cannot write to readonly storage"])
def test_texts_that_forward_stay_as_they_are(text):
    async def go():
        services = HostServices()
        services.storage.fail_with = text
        for error in await every_storage_call(HostStorage(FakeChannel(services))):
            assert type(error) is ReadOnlyError
            assert error.message == text

    asyncio.run(go())


def test_other_texts():
    async def go():
        services = HostServices()
        services.storage.fail_with = "cannot write to storage during setup"
        for error in await every_storage_call(HostStorage(FakeChannel(services))):
            assert type(error) is StorageError
            assert error.message == "cannot write to storage during setup"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        ("UNKNOWN", PROBE_TEXT, "storage is not available while the plugin is being registered"),
        ("UNAVAILABLE", "gone", "storage: UNAVAILABLE: gone"),
        ("DEADLINE_EXCEEDED", "", "storage: DEADLINE_EXCEEDED: "),
        ("UNKNOWN", "node is not the leader", "storage: UNKNOWN: (text left out)"),
    ],
)
def test_transport_failures(status, text, message):
    async def go():
        channel = FailingChannel(rpc.RPCError(rpc.StatusCode[status], text))
        for error in await every_storage_call(HostStorage(channel)):
            assert type(error) is StorageError
            assert error.message == message
        with pytest.raises(SystemViewError) as caught:
            await HostSystemView(channel).local_mount()
        assert caught.value.message.replace("system view", "storage") == message

    asyncio.run(go())


def test_nonsense_answers():
    async def go():
        channel = FailingChannel(None)
        for error in await every_storage_call(HostStorage(channel)):
            assert error.message == "the host's answer is not a valid message"
        with pytest.raises(SystemViewError):
            await HostSystemView(channel).vault_version()

    asyncio.run(go())


def test_version_is_asked_once():
    async def go():
        services = HostServices()
        system = HostSystemView(FakeChannel(services))
        assert await system.vault_version() == await system.vault_version() == "1.21.0"
        assert services.calls == ["/pb.SystemView/PluginEnv"]

    asyncio.run(go())


@asynccontextmanager
async def grpcio_host(services: HostServices) -> AsyncIterator[rpc.Channel]:
    """Serve the callbacks with grpcio; our channel calls them."""

    def method(path: str) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            try:
                return await services.answer(path, request)
            except rpc.RPCError as error:
                await context.abort(getattr(grpc.StatusCode, error.code.name), error.message)
                raise

        return grpc.unary_unary_rpc_method_handler(answer)

    names = {
        "Storage": ["Get", "Put", "Delete", "List"] + ["ListPage"] * services.pages,
        "SystemView": [
            "DefaultLeaseTTL",
            "MaxLeaseTTL",
            "ReplicationState",
            "LocalMount",
            "PluginEnv",
        ],
    }
    server = grpc.aio.server()
    for service, methods in names.items():
        handlers = {name: method(f"/pb.{service}/{name}") for name in methods}
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(f"pb.{service}", handlers)]
        )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = await rpc.Channel.connect(
        ("127.0.0.1", port), tls=None, server_hostname="localhost", timeout_s=5
    )
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop(0)


@pytest.mark.parametrize("pages", [True, False], ids=["OpenBao", "Vault"])
def test_against_grpcio(pages):
    async def go():
        services = HostServices(pages=pages)
        async with grpcio_host(services) as channel:
            storage = HostStorage(channel)
            assert await storage.get("a/b") is None
            await storage.put(ENTRY)
            assert await storage.get("a/b") == ENTRY
            for name in ("c", "d", "e/f"):
                await storage.put(StorageEntry(key=f"a/{name}", value=b""))
            assert await storage.list("a/") == ["b", "c", "d", "e/"]
            assert await storage.list("none/") == []
            for _ in range(2):
                assert await storage.list_page("a/", after="b", limit=2) == ["c", "d"]
            assert await storage.list_page("a/", after="", limit=2**40) == ["b", "c", "d", "e/"]
            await storage.delete("a/b")
            assert await storage.get("a/b") is None
            services.storage.read_only = True
            with pytest.raises(ReadOnlyError) as caught:
                await storage.put(ENTRY)
            assert caught.value.message == "cannot write to readonly storage"
            # Vault has no ListPage, and grpcio says so itself; the plugin asks only once.
            assert services.calls.count("/pb.Storage/ListPage") == (3 if pages else 0)
            system = HostSystemView(channel)
            assert await system.default_lease_ttl_ns() == services.system.default_ttl_ns
            assert await system.max_lease_ttl_ns() == services.system.max_ttl_ns
            assert await system.replication_state() == services.system.state
            assert await system.local_mount() is False
            assert await system.vault_version() == "1.21.0"

    asyncio.run(asyncio.wait_for(go(), 20))


def test_timeout_against_grpcio():
    async def go():
        never = asyncio.Event()

        class Hanging(HostServices):
            async def _storage_get(self, _message: bytes) -> Any:
                await never.wait()

        services = Hanging()
        async with grpcio_host(services) as channel:
            with pytest.raises(StorageError, match="DEADLINE_EXCEEDED"):
                await HostStorage(channel, timeout_s=0.05).get("a")
            assert await HostStorage(channel).list("") == []

    asyncio.run(asyncio.wait_for(go(), 20))


def test_a_lost_connection():
    async def go():
        async with grpcio_host(HostServices()) as channel:
            await channel.close()
            with pytest.raises(StorageError, match=r"^storage: UNAVAILABLE: "):
                await HostStorage(channel).get("a")

    asyncio.run(asyncio.wait_for(go(), 20))
