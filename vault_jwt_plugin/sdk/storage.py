"""Storage and system view, as a backend sees them. Implemented by the host adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import builtins


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageEntry:
    """One stored value; `key` is relative to the mount."""

    key: str
    value: bytes
    seal_wrap: bool = False


class Storage(Protocol):
    """The mount's storage (SDK `logical.Storage`).

    Every method raises `errors.StorageError`, and `errors.ReadOnlyError` where
    the node can't write.
    """

    async def get(self, key: str) -> StorageEntry | None:
        """The entry, or None."""

    async def put(self, entry: StorageEntry) -> None:
        """Store the entry under its key, replacing what is there."""

    async def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""

    async def list(self, prefix: str) -> list[str]:
        """Names one level below `prefix` (empty or ending in `/`), sorted; folders end in `/`."""

    async def list_page(self, prefix: str, *, after: str, limit: int) -> builtins.list[str]:
        """As `list`, only names sorting after `after`; `limit` <= 0 means all."""


class ReplicationState(int):
    """Bits of the node's role (SDK `consts.ReplicationState`)."""

    PERFORMANCE_SECONDARY = 64
    DR_SECONDARY = 512
    PERFORMANCE_STANDBY = 16384

    def writable(self, *, local_mount: bool) -> bool:
        """Whether a storage write can succeed on this node."""
        blocked = self.DR_SECONDARY | self.PERFORMANCE_STANDBY
        if not local_mount:
            blocked |= self.PERFORMANCE_SECONDARY
        return not self & blocked


class SystemView(Protocol):
    """What the host tells of itself and of the mount (SDK `logical.SystemView`).

    Every method raises `errors.InternalError` when the host doesn't answer.
    """

    async def default_lease_ttl_ns(self) -> int:
        """The mount's default TTL, in nanoseconds; follows `tune`."""

    async def max_lease_ttl_ns(self) -> int:
        """The mount's maximum TTL, in nanoseconds; follows `tune`."""

    async def replication_state(self) -> ReplicationState:
        """The node's role now."""

    async def local_mount(self) -> bool:
        """Whether the mount is local to its cluster, and so not replicated."""

    async def vault_version(self) -> str:
        """The server's version, e.g. `1.21.0`; empty when unknown."""
