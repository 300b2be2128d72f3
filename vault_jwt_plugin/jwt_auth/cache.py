"""Config and roles kept decoded between logins, for one mount.

The Go methods read the role from storage at every login, one round trip to the host each. Here a
login with a known config and role makes none. These rules keep that safe:

- Every write of ours, and every `InvalidateKey`, drops the entry. The result of a read that was
  under way then is not kept, and decides no login.
- Entries live until dropped only where this node can write, so that every write passes through it.
  Elsewhere `InvalidateKey` is best effort, so they are read again after `MAX_AGE_S`.
- "No such role" is never kept, and the number of roles is limited, since callers who are not logged
  in choose the names.

A decoded role takes about seven times its stored bytes. The most recently used roles are kept
decoded; the others are kept as stored and decoded when needed (some 45 us), so that 10,000 roles
fit into 40 MB.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from vault_jwt_plugin.jwt_auth.errors import changed_meanwhile
from vault_jwt_plugin.sdk import LogicalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
U = TypeVar("U")

MAX_AGE_S = 1.0
"""How long an entry is used where this node can't write, in seconds."""

MAX_ROLES = 10_000
"""Roles kept per mount; the least recently used goes first."""

MAX_DECODED_BYTES = 1024 * 1024
"""Most stored bytes of the entries kept decoded, about 1,000 roles; one is kept in any case."""

MAX_BYTES = 12 * 1024 * 1024
"""Most stored bytes of all entries; one is kept in any case."""

MAX_READS = 5
"""How often one caller reads again because the entry was dropped during the read."""

DOUBT_S = 60.0
"""How long entries live only `MAX_AGE_S` after a write whose outcome is unknown, in seconds."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    """A cached entry.

    Attributes:
        raw: the stored bytes.
        value: the decoded value; None when it must be decoded again.
        expires_at: when it must be read again; None = not before it is dropped.
    """

    raw: bytes
    value: T | None
    expires_at: float | None


@dataclass(slots=True, kw_only=True, eq=False)
class _Read(Generic[T]):
    """A read under way.

    Attributes:
        name: the entry's.
        started_at: when the read began.
        is_current: False once the entry was dropped.
        task: reads and decodes.
    """

    name: str
    started_at: float
    is_current: bool = True
    task: asyncio.Task[T | None] = field(init=False)


class Cache(Generic[T]):
    """Decoded values by name.

    Args:
        read: returns the stored bytes under a name, None if there are none.
        decode: makes a value of name and bytes; raises if the bytes are invalid.
        writable: tells whether this node is known to be able to write.
        capacity: most entries that are kept.
        monotonic: seconds that never go back.

    Attributes:
        drops: number of drops, and of entries found to have changed.
    """

    def __init__(
        self,
        *,
        read: Callable[[str], Awaitable[bytes | None]],
        decode: Callable[[str, bytes], T],
        writable: Callable[[], bool],
        capacity: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._decode = decode
        self._writable = writable
        self._capacity = capacity
        self._monotonic = monotonic
        # Both begin with the least recently used entry. Hot entries are decoded, and were used
        # later than every cold one.
        self._hot: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._cold: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._hot_bytes = 0
        self._bytes = 0
        # Reads that may be shared, and all under way; the loop itself holds tasks only weakly.
        self._reads: dict[str, _Read[T]] = {}
        self._under_way: set[_Read[T]] = set()
        self.drops = 0
        self._doubted_until = 0.0

    def get_cached(self, name: str) -> T | None:
        """Return the value if it is known and fresh, without waiting; on None call `get`."""
        entry = self._hot.get(name) or self._cold.get(name)
        if entry is None:
            return None
        if entry.expires_at is not None and self._monotonic() >= entry.expires_at:
            return None
        if entry.value is None:
            entry.value = self._decode(name, entry.raw)
            self._store(name, entry)
        else:
            self._hot.move_to_end(name)
        return entry.value

    async def get(self, name: str) -> T | None:
        """Return the value, read if necessary; None if nothing is stored under the name.

        Concurrent callers share one read. It continues when its caller goes away, so that the
        others do not fail. A read is shared no longer than its value would be used, since storage
        may have changed after it began.

        The value may have been dropped meanwhile; see `get_current`.

        Raises:
            StorageError: the host's storage failed.
            InternalError: the stored bytes are invalid.
        """
        value = self.get_cached(name)
        return await asyncio.shield(self._begin(name).task) if value is None else value

    async def get_current(self, name: str) -> T | None:
        """Return the value as `get` does, but read again if it is dropped meanwhile.

        Raises:
            StorageError, InternalError: as `get`.
            LoginDenied: `changed_meanwhile`: it was dropped during every read.
        """
        for _ in range(MAX_READS):
            value = self.get_cached(name)
            if value is not None:
                return value
            read = self._begin(name)
            try:
                value = await asyncio.shield(read.task)
            except LogicalError:
                if read.is_current:
                    raise
            else:
                if read.is_current:
                    return value
        raise changed_meanwhile()

    async def read_steadily(self, read: Callable[[], Awaitable[U]]) -> U:
        """Run `read`; run it again if something is dropped, or found changed, while it runs.

        So the results of several steps are all from before a change or all from after it.

        Raises:
            LoginDenied: `changed_meanwhile`: something was dropped every time.
            LogicalError: `read` raised it.
        """
        for _ in range(MAX_READS):
            drops = self.drops
            try:
                found = await read()
            except LogicalError:
                if self.drops == drops:
                    raise
            else:
                if self.drops == drops:
                    return found
        raise changed_meanwhile()

    def _begin(self, name: str) -> _Read[T]:
        """Return the read under way that may be shared, or else begin a new one."""
        now = self._monotonic()
        read = self._reads.get(name)
        if read is None or now >= (self._expiry(read.started_at) or inf):
            read = self._reads[name] = _Read(name=name, started_at=now)
            read.task = asyncio.get_running_loop().create_task(
                self._load(read), name=f"read {name}"
            )
            self._under_way.add(read)
            read.task.add_done_callback(functools.partial(self._finished, read))
        return read

    async def _load(self, read: _Read[T]) -> T | None:
        name = read.name
        raw = await self._read(name)
        known = self._hot.get(name)
        if known is not None and known.raw != raw:
            # For `read_steadily`: where this node can't write, a change may come without a drop.
            self.drops += 1
        if raw is None:
            if read.is_current:
                self._forget(name)
            return None
        # The same bytes keep the same object, so that keys and rules made for it stay valid.
        value = known.value if known is not None and known.raw == raw else None
        if value is None:
            value = self._decode(name, raw)
        if read.is_current:
            # The age counts from before the read, since the host's answer may be late and old.
            self._store(name, _Entry(raw, value, self._expiry(read.started_at)))
        return value

    def _expiry(self, started_at: float) -> float | None:
        if self._writable() and started_at >= self._doubted_until:
            return None
        return started_at + MAX_AGE_S

    def _store(self, name: str, entry: _Entry[T]) -> None:
        """Keep a decoded entry as the most recently used one."""
        self._forget(name)
        self._hot[name] = entry
        self._hot_bytes += len(entry.raw)
        self._bytes += len(entry.raw)
        while self._hot_bytes > MAX_DECODED_BYTES and len(self._hot) > 1:
            oldest, cooled = self._hot.popitem(last=False)
            self._hot_bytes -= len(cooled.raw)
            cooled.value = None
            self._cold[oldest] = cooled
        while len(self) > 1 and (len(self) > self._capacity or self._bytes > MAX_BYTES):
            self._forget(next(iter(self._cold or self._hot)))

    def _forget(self, name: str) -> None:
        entry = self._cold.pop(name, None)
        if entry is None:
            entry = self._hot.pop(name, None)
            if entry is None:
                return
            self._hot_bytes -= len(entry.raw)
        self._bytes -= len(entry.raw)

    def _finished(self, read: _Read[T], task: asyncio.Task[T | None]) -> None:
        self._under_way.discard(read)
        if self._reads.get(read.name) is read:
            del self._reads[read.name]
        if not task.cancelled():
            # Callers that wait get the exception too; this keeps asyncio from logging it otherwise.
            task.exception()

    def drop(self, name: str) -> None:
        """Forget one name, and the reads of it that are under way."""
        self.drops += 1
        self._forget(name)
        self._reads.pop(name, None)
        for read in self._under_way:
            if read.name == name:
                read.is_current = False

    def drop_all(self) -> None:
        """Forget everything, as `drop` does."""
        self.drops += 1
        self._hot.clear()
        self._cold.clear()
        self._hot_bytes = self._bytes = 0
        self._reads.clear()
        for read in self._under_way:
            read.is_current = False

    def doubt(self) -> None:
        """Keep entries only for `MAX_AGE_S` during `DOUBT_S`, since an unseen write may happen."""
        self._doubted_until = self._monotonic() + DOUBT_S
        self.drop_all()

    async def close(self) -> None:
        """Cancel reads under way and forget everything."""
        self.drop_all()
        tasks = [read.task for read in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __contains__(self, name: str) -> bool:
        """Tell whether something was stored under the name when it was last read."""
        return name in self._hot or name in self._cold

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)
