"""The host's storage and system view, over the connection that it opened for one mount."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol, TypeVar

from google.protobuf.message import DecodeError

from vault_jwt_plugin.host.guard import harmless, is_read_only
from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.rpc.errors import RPCError, StatusCode
from vault_jwt_plugin.sdk.errors import InternalError, ReadOnlyError, StorageError
from vault_jwt_plugin.sdk.storage import ReplicationState, StorageEntry

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from google.protobuf.message import Message

CALLBACK_TIMEOUT_S = 30.0
"""The longest wait for one answer of the host, in seconds; hosts give a whole request 90 s."""

_MAX_INT32 = (1 << 31) - 1
_MISSING = ("missing storage implementation", "missing system view implementation")
_EMPTY = b""

_T_co = TypeVar("_T_co", covariant=True)


class Channel(Protocol):
    """The part of `goplugin.brokered.BrokeredChannel` that is needed here."""

    async def unary(
        self,
        path: str,
        message: bytes,
        *,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Call a method; raise RPCError for every status except OK."""

    async def close(self) -> None:
        """Close gracefully."""


class _Parser(Protocol[_T_co]):
    def FromString(self, message: bytes) -> _T_co:  # noqa: N802 - protobuf's name
        ...


class SystemViewError(InternalError):
    """The host did not answer a question to its system view."""

    code = "system_view_error"


def _storage_error(text: str) -> StorageError:
    if is_read_only(text):
        return ReadOnlyError(text)
    return StorageError(text)


def _call_failed(what: str, error: RPCError) -> str:
    if any(text in error.message for text in _MISSING):
        return f"{what} is not available while the plugin is being registered"
    return harmless(f"{what}: {error.code.name}: {error.message}")


class HostStorage:
    """`sdk.Storage` of one mount (`pb.Storage`)."""

    __slots__ = ("_channel", "_host_pages", "_timeout_s")

    def __init__(self, channel: Channel, *, timeout_s: float = CALLBACK_TIMEOUT_S) -> None:
        """Use the mount's own connection; each call waits at most `timeout_s`."""
        self._channel = channel
        self._timeout_s = timeout_s
        self._host_pages = True

    async def get(self, key: str) -> StorageEntry | None:
        """Return the entry, or None.

        Raises:
            StorageError: the host refused, failed, or did not answer in time.
        """
        args = backend_pb2.StorageGetArgs(key=key)
        got = await self._call("Get", args, backend_pb2.StorageGetReply)
        if got.err:
            raise _storage_error(got.err)
        if not got.HasField("entry"):
            return None
        entry = got.entry
        return StorageEntry(key=entry.key, value=entry.value, seal_wrap=entry.seal_wrap)

    async def put(self, entry: StorageEntry) -> None:
        """Store the entry.

        Raises:
            StorageError: the host refused, failed, or did not answer in time; ReadOnlyError if this
                node cannot write.
        """
        args = backend_pb2.StoragePutArgs(
            entry=backend_pb2.StorageEntry(
                key=entry.key, value=entry.value, seal_wrap=entry.seal_wrap
            )
        )
        stored = await self._call("Put", args, backend_pb2.StoragePutReply)
        if stored.err:
            raise _storage_error(stored.err)

    async def delete(self, key: str) -> None:
        """Delete the key; a missing key is not an error.

        Raises:
            StorageError: as for `put`.
        """
        args = backend_pb2.StorageDeleteArgs(key=key)
        deleted = await self._call("Delete", args, backend_pb2.StorageDeleteReply)
        if deleted.err:
            raise _storage_error(deleted.err)

    async def list(self, prefix: str) -> builtins.list[str]:
        """Return the names one level below `prefix`, sorted; folders end in `/`.

        Raises:
            StorageError: the host refused, failed, or did not answer in time.
        """
        args = backend_pb2.StorageListArgs(prefix=prefix)
        listed = await self._call("List", args, backend_pb2.StorageListReply)
        if listed.err:
            raise _storage_error(listed.err)
        return sorted(listed.keys)

    async def list_page(self, prefix: str, *, after: str, limit: int) -> builtins.list[str]:
        """Like `list`, but only names after `after`, and at most `limit` if that is above 0.

        OpenBao returns one page; Vault cannot, so the whole list is fetched and cut.

        Raises:
            StorageError: the host refused, failed, or did not answer in time.
        """
        if self._host_pages:
            args = backend_pb2.StorageListPageArgs(
                prefix=prefix, after=after, limit=max(0, min(limit, _MAX_INT32))
            )
            try:
                message = args.SerializeToString()
                answer = await self._channel.unary(
                    "/pb.Storage/ListPage", message, timeout_s=self._timeout_s
                )
            except RPCError as error:
                if error.code is not StatusCode.UNIMPLEMENTED:
                    raise StorageError(_call_failed("storage", error)) from error
                self._host_pages = False
            else:
                listed = _parse(backend_pb2.StorageListReply, answer, StorageError)
                if listed.err:
                    raise _storage_error(listed.err)
                return list(listed.keys)
        names = await self.list(prefix)
        if after:
            names = names[bisect_right(names, after) :]
        return names[:limit] if limit > 0 else names

    async def _call(self, method: str, args: Message, reply: _Parser[_T_co]) -> _T_co:
        try:
            answer = await self._channel.unary(
                f"/pb.Storage/{method}", args.SerializeToString(), timeout_s=self._timeout_s
            )
        except RPCError as error:
            raise StorageError(_call_failed("storage", error)) from error
        return _parse(reply, answer, StorageError)


class HostSystemView:
    """`sdk.SystemView` of one mount (`pb.SystemView`)."""

    __slots__ = ("_channel", "_timeout_s", "_version")

    def __init__(self, channel: Channel, *, timeout_s: float = CALLBACK_TIMEOUT_S) -> None:
        """Use the mount's own connection; each call waits at most `timeout_s`."""
        self._channel = channel
        self._timeout_s = timeout_s
        self._version: str | None = None

    async def default_lease_ttl_ns(self) -> int:
        """Return the mount's default TTL, in nanoseconds.

        Raises:
            SystemViewError: the host failed, or did not answer in time.
        """
        return (await self._ask("DefaultLeaseTTL", backend_pb2.TTLReply)).TTL

    async def max_lease_ttl_ns(self) -> int:
        """Return the mount's maximum TTL, in nanoseconds.

        Raises:
            SystemViewError: the host failed, or did not answer in time.
        """
        return (await self._ask("MaxLeaseTTL", backend_pb2.TTLReply)).TTL

    async def replication_state(self) -> ReplicationState:
        """Return the node's current role.

        Raises:
            SystemViewError: the host failed, or did not answer in time.
        """
        answer = await self._ask("ReplicationState", backend_pb2.ReplicationStateReply)
        return ReplicationState(answer.state)

    async def local_mount(self) -> bool:
        """Return whether the mount is local to its cluster.

        Raises:
            SystemViewError: the host failed, or did not answer in time.
        """
        return (await self._ask("LocalMount", backend_pb2.LocalMountReply)).local

    async def vault_version(self) -> str:
        """Return the server's version, asked once: it cannot change while a plugin runs.

        Raises:
            SystemViewError: the host failed, or did not answer in time.
        """
        if self._version is None:
            answer = await self._ask("PluginEnv", backend_pb2.PluginEnvReply)
            if answer.err:
                raise SystemViewError(harmless(f"system view: {answer.err}"))
            self._version = answer.plugin_environment.vault_version
        return self._version

    async def _ask(self, method: str, reply: _Parser[_T_co]) -> _T_co:
        try:
            answer = await self._channel.unary(
                f"/pb.SystemView/{method}", _EMPTY, timeout_s=self._timeout_s
            )
        except RPCError as error:
            raise SystemViewError(_call_failed("system view", error)) from error
        return _parse(reply, answer, SystemViewError)


def _parse(reply: _Parser[_T_co], answer: bytes, failure: type[InternalError]) -> _T_co:
    try:
        return reply.FromString(answer)
    except DecodeError as error:
        raise failure("the host's answer is not a valid message") from error
