"""The host's side in memory: it calls the plugin and serves storage and system view."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin import rpc
from vault_jwt_plugin.host import BackendPlugin
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.sdk import Backend, Operation, Path
from vault_jwt_plugin.sdk.errors import StorageError
from vault_jwt_plugin.sdk.storage import StorageEntry
from vault_jwt_plugin.sdk.testing import FakeSystemView, InMemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vault_jwt_plugin.sdk import BackendContext

READ_ONLY = "cannot write to readonly storage"
PROBE_TEXT = (
    "missing storage implementation: this method should not be called during plugin Setup, "
    "but only on and after Initialize"
)


class HostServices:
    """pb.Storage and pb.SystemView over fakes, as bytes in and out.

    Attributes:
        storage, system: the fakes that answer.
        pages: whether ListPage exists (OpenBao).
        probe: whether every call fails, as in a registration.
        calls: the called paths, in order.
    """

    def __init__(self, *, pages: bool = True, probe: bool = False) -> None:
        self.storage = InMemoryStorage()
        self.system = FakeSystemView()
        self.pages = pages
        self.probe = probe
        self.calls: list[str] = []

    async def answer(self, path: str, message: bytes) -> bytes:
        self.calls.append(path)
        if self.probe:
            raise rpc.RPCError(rpc.StatusCode.UNKNOWN, PROBE_TEXT)
        service, method = path.removeprefix("/pb.").split("/")
        if method == "ListPage" and not self.pages:
            raise rpc.RPCError(rpc.StatusCode.UNIMPLEMENTED, "unknown method ListPage")
        handler = getattr(self, f"_{service.lower()}_{method.lower()}")
        reply = await handler(message)
        data: bytes = reply.SerializeToString()
        return data

    async def _storage_get(self, message: bytes) -> Any:
        try:
            entry = await self.storage.get(pb.StorageGetArgs.FromString(message).key)
        except StorageError as error:
            return pb.StorageGetReply(err=error.message)
        if entry is None:
            return pb.StorageGetReply()
        return pb.StorageGetReply(
            entry=pb.StorageEntry(key=entry.key, value=entry.value, seal_wrap=entry.seal_wrap)
        )

    async def _storage_put(self, message: bytes) -> Any:
        entry = pb.StoragePutArgs.FromString(message).entry
        try:
            await self.storage.put(
                StorageEntry(key=entry.key, value=entry.value, seal_wrap=entry.seal_wrap)
            )
        except StorageError as error:
            return pb.StoragePutReply(err=error.message)
        return pb.StoragePutReply()

    async def _storage_delete(self, message: bytes) -> Any:
        try:
            await self.storage.delete(pb.StorageDeleteArgs.FromString(message).key)
        except StorageError as error:
            return pb.StorageDeleteReply(err=error.message)
        return pb.StorageDeleteReply()

    async def _storage_list(self, message: bytes) -> Any:
        try:
            keys = await self.storage.list(pb.StorageListArgs.FromString(message).prefix)
        except StorageError as error:
            return pb.StorageListReply(err=error.message)
        return pb.StorageListReply(keys=keys)

    async def _storage_listpage(self, message: bytes) -> Any:
        args = pb.StorageListPageArgs.FromString(message)
        try:
            keys = await self.storage.list_page(args.prefix, after=args.after, limit=args.limit)
        except StorageError as error:
            return pb.StorageListReply(err=error.message)
        return pb.StorageListReply(keys=keys)

    async def _systemview_defaultleasettl(self, _message: bytes) -> Any:
        return pb.TTLReply(TTL=self.system.default_ttl_ns)

    async def _systemview_maxleasettl(self, _message: bytes) -> Any:
        return pb.TTLReply(TTL=self.system.max_ttl_ns)

    async def _systemview_replicationstate(self, _message: bytes) -> Any:
        return pb.ReplicationStateReply(state=self.system.state)

    async def _systemview_localmount(self, _message: bytes) -> Any:
        return pb.LocalMountReply(local=self.system.local)

    async def _systemview_pluginenv(self, _message: bytes) -> Any:
        reply = pb.PluginEnvReply()
        reply.plugin_environment.vault_version = self.system.version
        return reply


class FakeChannel:
    """`rpc.Channel` that calls `HostServices` directly."""

    def __init__(self, services: HostServices) -> None:
        self.services = services
        self.closed = False
        self.timeouts: list[float | None] = []

    async def unary(
        self,
        path: str,
        message: bytes,
        *,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        assert metadata == ()
        assert not self.closed
        self.timeouts.append(timeout_s)
        # A real channel never answers in the same turn of the loop.
        await asyncio.sleep(0)
        return await self.services.answer(path, message)

    async def close(self) -> None:
        self.closed = True


class FakeBroker:
    """One channel per number."""

    def __init__(self, services: HostServices | None = None) -> None:
        self.services = services or HostServices()
        self.channels: dict[int, FakeChannel] = {}
        self.error: Exception | None = None

    async def dial(self, service_id: int) -> FakeChannel:
        if self.error is not None:
            raise self.error
        assert service_id not in self.channels
        self.channels[service_id] = FakeChannel(self.services)
        return self.channels[service_id]


class Host:
    """A host that calls the plugin's method table directly."""

    def __init__(
        self,
        factory: Callable[[BackendContext], Backend],
        *,
        services: HostServices | None = None,
        linger_s: float = 0.01,
    ) -> None:
        self.broker = FakeBroker(services)
        self.backends: list[Any] = []
        self.ended = asyncio.Event()

        def made(context: BackendContext) -> Backend:
            backend = factory(context)
            self.backends.append(backend)
            return backend

        self.plugin = BackendPlugin(
            made, version="v1.2.3", end_process=self.ended.set, linger_s=linger_s
        )
        broker: Any = self.broker
        self.methods = self.plugin.methods(broker)
        self._next_broker_id = 0

    @property
    def services(self) -> HostServices:
        return self.broker.services

    async def call(self, path: str, message: bytes = b"", *, instance: str | None = "a") -> bytes:
        answer = self.call_now(path, message, instance=instance)
        done: bytes = await answer if inspect.isawaitable(answer) else answer
        return done

    def call_now(self, path: str, message: bytes = b"", *, instance: str | None = "a") -> Any:
        metadata = {} if instance is None else {"multiplex_id": instance}
        unary = self.methods[path].unary
        assert unary is not None
        return unary(rpc.Call(path, metadata, None), message)

    async def setup(self, instance: str = "a", *, uuid: str = "uuid-1", **config: str) -> str:
        self._next_broker_id += 1
        args = pb.SetupArgs(broker_id=self._next_broker_id, backendUUID=uuid, Config=config)
        answer = await self.call("/pb.Backend/Setup", args.SerializeToString(), instance=instance)
        return pb.SetupReply.FromString(answer).err

    async def request(
        self, operation: str, path: str, *, data: str = "null", instance: str = "a", **fields: Any
    ) -> pb.HandleRequestReply:
        request = pb.Request(operation=operation, path=path, data=data, **fields)
        args = pb.HandleRequestArgs(request=request).SerializeToString()
        answer = await self.call("/pb.Backend/HandleRequest", args, instance=instance)
        return pb.HandleRequestReply.FromString(answer)

    async def exists(
        self, path: str, *, data: str = "null", instance: str = "a"
    ) -> pb.HandleExistenceCheckReply:
        request = pb.Request(operation="update", path=path, data=data)
        args = pb.HandleExistenceCheckArgs(request=request).SerializeToString()
        answer = await self.call("/pb.Backend/HandleExistenceCheck", args, instance=instance)
        return pb.HandleExistenceCheckReply.FromString(answer)


def run(coroutine_function):
    asyncio.run(asyncio.wait_for(coroutine_function(), 10))


def backend_of(**handlers):
    """Make a factory of backends whose path `x` has these operations."""

    def factory(context):
        operations = {Operation(name.replace("_", "-")): h for name, h in handlers.items()}
        return Backend(context, paths=[Path(pattern="x", operations=operations)])

    return factory


def raising(error):
    def handler(_request, _data):
        raise error

    return handler
