"""Helpers for a backend's tests: storage in memory, a system view, requests."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.backend import BackendContext
from vault_jwt_plugin.sdk.errors import ReadOnlyError, StorageError
from vault_jwt_plugin.sdk.request import Auth, Connection, Operation
from vault_jwt_plugin.sdk.storage import ReplicationState, Storage, StorageEntry, SystemView
from vault_jwt_plugin.sdk.text import READ_ONLY_PHRASES

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping


class InMemoryStorage:
    """A mount's storage in a dict, which can fail on demand.

    Attributes:
        entries: the stored entries by key.
        read_only: writes raise ReadOnlyError, as on a standby.
        fail_with: every call raises StorageError with this text; None means that none does.
        calls: `(method, key or prefix)` of every call, in order.
    """

    def __init__(self, entries: Mapping[str, bytes] | None = None) -> None:
        """Start with `entries`, key to value; none is seal-wrapped."""
        self.entries = {
            key: StorageEntry(key=key, value=value) for key, value in (entries or {}).items()
        }
        self.read_only = False
        self.fail_with: str | None = None
        self.calls: list[tuple[str, str]] = []

    def _called(self, method: str, key: str, *, writes: bool = False) -> None:
        self.calls.append((method, key))
        if self.fail_with is not None:
            raise StorageError(self.fail_with)
        if writes and self.read_only:
            raise ReadOnlyError(READ_ONLY_PHRASES[0])

    async def get(self, key: str) -> StorageEntry | None:
        """Return the entry, or None."""
        self._called("get", key)
        return self.entries.get(key)

    async def put(self, entry: StorageEntry) -> None:
        """Store the entry under its key."""
        self._called("put", entry.key, writes=True)
        self.entries[entry.key] = entry

    async def delete(self, key: str) -> None:
        """Delete the key, if it is there."""
        self._called("delete", key, writes=True)
        self.entries.pop(key, None)

    async def list(self, prefix: str) -> list[str]:
        """Return the names one level below `prefix`, sorted; folders end in `/`."""
        self._called("list", prefix)
        below = (key[len(prefix) :] for key in self.entries if key.startswith(prefix))
        return sorted({name[: name.find("/") + 1] if "/" in name else name for name in below})

    async def list_page(self, prefix: str, *, after: str, limit: int) -> builtins.list[str]:
        """Like `list`, but only names after `after`, and at most `limit` if that is above 0."""
        names = [name for name in await self.list(prefix) if name > after]
        return names[:limit] if limit > 0 else names

    def json(self, key: str) -> Any:
        """Return the stored value as decoded JSON; raise KeyError if there is none."""
        return jsonutil.loads(self.entries[key].value)


@dataclass(slots=True, kw_only=True)
class FakeSystemView:
    """A system view with settable answers; TTLs are nanoseconds."""

    default_ttl_ns: int = 2_764_800_000_000_000
    max_ttl_ns: int = 2_764_800_000_000_000
    state: int = 12288
    local: bool = False
    version: str = "1.21.0"

    async def default_lease_ttl_ns(self) -> int:
        """Return the mount's default TTL."""
        return self.default_ttl_ns

    async def max_lease_ttl_ns(self) -> int:
        """Return the mount's maximum TTL."""
        return self.max_ttl_ns

    async def replication_state(self) -> ReplicationState:
        """Return the node's role."""
        return ReplicationState(self.state)

    async def local_mount(self) -> bool:
        """Return whether the mount is local to its cluster."""
        return self.local

    async def vault_version(self) -> str:
        """Return the server's version."""
        return self.version


_LOOPBACK = Connection(remote_addr="127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRequest:
    """A request as a host would send it; `request.Request` describes the attributes."""

    operation: Operation = Operation.UPDATE
    path: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = "6e8b41c5-0000-4000-8000-000000000001"
    mount_point: str = "auth/jwt/"
    mount_type: str = "jwt"
    mount_accessor: str = "auth_jwt_00000001"
    entity_id: str = ""
    display_name: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    connection: Connection | None = _LOOPBACK
    auth: Auth | None = None
    unauthenticated: bool = False

    @property
    def size(self) -> int:
        """Return the length of the body, in characters of JSON."""
        return len(jsonutil.dumps(self.data))


def make_context(
    *,
    storage: Storage | None = None,
    system: SystemView | None = None,
    config: Mapping[str, str] | None = None,
    backend_uuid: str = "0b5a3f4e-0000-4000-8000-000000000002",
    clock: Callable[[], float] = lambda: 1_700_000_000.0,
) -> BackendContext:
    """Make a backend's context from fakes; the clock stands still unless one is given."""
    return BackendContext(
        storage=storage if storage is not None else InMemoryStorage(),
        system=system if system is not None else FakeSystemView(),
        logger=logging.getLogger("vault_jwt_plugin.testing"),
        config=config or {},
        backend_uuid=backend_uuid,
        clock=clock,
    )
