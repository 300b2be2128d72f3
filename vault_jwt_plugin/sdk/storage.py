"""Storage and system view, as a backend sees them. The host package implements them."""

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

    Every method raises `errors.StorageError`, and `errors.ReadOnlyError` if the node cannot write.
    """

    async def get(self, key: str) -> StorageEntry | None:
        """Return the entry, or None."""

    async def put(self, entry: StorageEntry) -> None:
        """Store the entry under its key, replacing what is there."""

    async def delete(self, key: str) -> None:
        """Delete the key; a missing key is not an error."""

    async def list(self, prefix: str) -> list[str]:
        """Return the names one level below `prefix`, sorted; folders end in `/`.

        `prefix` is empty or ends in `/`.
        """

    async def list_page(self, prefix: str, *, after: str, limit: int) -> builtins.list[str]:
        """Like `list`, but only names that sort after `after`; `limit` <= 0 means all."""


class ReplicationState(int):
    """The bits of the node's role (SDK `consts.ReplicationState`)."""

    PERFORMANCE_SECONDARY = 64
    DR_SECONDARY = 512
    PERFORMANCE_STANDBY = 16384

    def writable(self, *, local_mount: bool) -> bool:
        """Return whether a storage write can succeed on this node."""
        blocked = self.DR_SECONDARY | self.PERFORMANCE_STANDBY
        if not local_mount:
            blocked |= self.PERFORMANCE_SECONDARY
        return not self & blocked


class SystemView(Protocol):
    """The host's information about itself and the mount (SDK `logical.SystemView`).

    Every method raises `errors.InternalError` if the host does not answer.
    """

    async def default_lease_ttl_ns(self) -> int:
        """Return the mount's default TTL, in nanoseconds; follows `tune`."""

    async def max_lease_ttl_ns(self) -> int:
        """Return the mount's maximum TTL, in nanoseconds; follows `tune`."""

    async def replication_state(self) -> ReplicationState:
        """Return the node's current role."""

    async def local_mount(self) -> bool:
        """Return whether the mount is local to its cluster, and so not replicated."""

    async def vault_version(self) -> str:
        """Return the server's version, such as `1.21.0`; empty if unknown."""
