"""The copies of fetched keys in a mount's storage: written by one task, where the node can write.

Nobody waits for a copy to be written, and a copy is read only when keys are missing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.keys.stored import (
    MAX_ENTRY_BYTES,
    STORAGE_PREFIX,
    Origin,
    StoredKeys,
    StoredKeysError,
)
from vault_jwt_plugin.sdk import LogicalError, ReadOnlyError, StorageEntry

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Collection

    from vault_jwt_plugin.sdk import Storage

CLOCK_SKEW_S = 60.0
"""How far ahead of this node's clock that of the writing one may be, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What storage holds of an origin: the digest of its keys, and when they were fetched."""

    content: bytes
    fetched_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """Keys that may have to be stored.

    Attributes:
        origin: what the keys were fetched from.
        keys: to be stored.
        renew_after_s: age at which the same keys are stored anew; inf = never.
    """

    origin: Origin
    keys: StoredKeys
    renew_after_s: float

    def needs_writing(self, known: _Known | None) -> bool:
        """Tell whether these keys are worth a write over what is stored."""
        fetched_at = self.keys.fetched_at
        if known is None:
            return True
        if fetched_at < known.fetched_at:
            return False
        if self.keys.content != known.content:
            return True
        return fetched_at - known.fetched_at >= self.renew_after_s


class OriginStore:
    """The copy of one origin's keys.

    Args:
        archive: of the mount.
        origin: what the keys are fetched from.
        trust_for_s: how long keys are trusted after they were fetched; 0 = forever.
    """

    def __init__(self, archive: KeyArchive, origin: Origin, *, trust_for_s: float) -> None:
        self._archive = archive
        self._origin = origin
        # A copy says when its keys were last known to be good. If it were written only when keys
        # change, it would be too old to be trusted when it is needed; if it were written at every
        # fetch, storage would be busy for nothing. So a restart may lose a quarter of the time
        # that keys are trusted.
        self._renew_after_s = trust_for_s / 4 or float("inf")

    async def load(self) -> StoredKeys | None:
        """Return the stored keys; None if there are none that can be used."""
        return await self._archive.load(self._origin)

    def save(self, keys: StoredKeys) -> None:
        """Have keys stored if they are new; does not wait."""
        self._archive.save(self._origin, keys, renew_after_s=self._renew_after_s)


class KeyArchive:
    """The copies of one mount, and the task that writes them.

    A write that fails, or that this node can't do, is tried again at the next `flush`. Where
    newer keys are too large to be stored, the stored copy is deleted: it may hold keys that
    were withdrawn since.

    Args:
        storage: of the mount.
        writable: tells whether this node is known to be able to write.
        read_only: called when a write shows that it is not.
        in_use: returns the storage keys that the configuration refers to; None if not known.
        clock: Unix seconds.
        logger: of the mount.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        writable: Callable[[], bool],
        read_only: Callable[[], None],
        in_use: Callable[[], Awaitable[Collection[str] | None]],
        clock: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        self._storage = storage
        self._writable = writable
        self._read_only = read_only
        self._in_use = in_use
        self._clock = clock
        self._logger = logger
        # What storage is known to hold, by key; None = nothing usable. Absent = not known.
        self._known: dict[str, _Known | None] = {}
        self._pending: dict[str, _Pending] = {}
        self._sweeping = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def of(self, origin: Origin, *, trust_for_s: float) -> OriginStore:
        """Return the copy of one origin's keys; see `OriginStore`."""
        return OriginStore(self, origin, trust_for_s=trust_for_s)

    async def load(self, origin: Origin) -> StoredKeys | None:
        """Return the stored keys of an origin; None if there are none that can be used."""
        key = origin.storage_key
        try:
            entry = await self._storage.get(key)
        except LogicalError as error:
            self._logger.warning(
                "stored keys can't be read",
                extra={"fields": {"event": "stored_keys_unreadable", "error": error.message}},
            )
            return None
        if entry is None:
            self._known[key] = None
            return None
        try:
            found = await asyncio.to_thread(StoredKeys.from_stored, entry.value, origin)
            if found.fetched_at > self._clock() + CLOCK_SKEW_S:
                raise StoredKeysError("they say that they were fetched in the future")
        except StoredKeysError as error:
            self._logger.warning(
                "stored keys are ignored",
                extra={"fields": {"event": "stored_keys_ignored", "key": key, "error": str(error)}},
            )
            self._known[key] = None
            return None
        self._known[key] = _Known(content=found.content, fetched_at=found.fetched_at)
        return found

    def _held(self, key: str) -> _Known | None:
        """Return what storage is known to hold; None if that is not usable.

        A copy from the future is not usable, as in `load`: the clock was set back since, and keys
        that were fetched afterwards would look older than the copy.
        """
        known = self._known.get(key)
        if known is not None and known.fetched_at > self._clock() + CLOCK_SKEW_S:
            return None
        return known

    def save(self, origin: Origin, keys: StoredKeys, *, renew_after_s: float) -> None:
        """Have the task store keys, unless they are stored; does not wait."""
        key = origin.storage_key
        earlier = self._pending.get(key)
        if earlier is not None and keys.fetched_at < earlier.keys.fetched_at:
            return
        pending = _Pending(origin=origin, keys=keys, renew_after_s=renew_after_s)
        if key not in self._known or pending.needs_writing(self._held(key)):
            self._pending[key] = pending
            self.flush()

    def sweep(self) -> None:
        """Have the task delete copies that nothing refers to any more; does not wait."""
        self._sweeping = True
        self.flush()

    def forget(self, key: str) -> None:
        """Forget what is stored under a key: another node has changed it."""
        self._known.pop(key, None)

    def flush(self) -> None:
        """Start the task, if there is something to do and this node can write."""
        if self._task is None and self._due() and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="store keys")
            self._task.add_done_callback(self._worked)

    def _due(self) -> bool:
        return (bool(self._pending) or self._sweeping) and self._writable()

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            # Something may have been added while the task was ending.
            self.flush()
        elif isinstance(error, ReadOnlyError):
            self._read_only()
        elif isinstance(error, LogicalError):
            self._logger.warning(
                "keys can't be stored",
                extra={"fields": {"event": "keys_store_failed", "error": error.message}},
            )
        else:
            self._logger.error(
                "storing keys failed unexpectedly",
                exc_info=error,
                extra={"fields": {"event": "keys_fault"}},
            )

    async def _work(self) -> None:
        while self._due():
            if self._pending:
                key, pending = next(iter(self._pending.items()))
                await self._write(key, pending)
                if self._pending.get(key) is pending:
                    del self._pending[key]
            else:
                self._sweeping = False
                try:
                    await self._delete_unused()
                except BaseException:
                    self._sweeping = True
                    raise

    async def _write(self, key: str, pending: _Pending) -> None:
        if key not in self._known:
            await self.load(pending.origin)
        if not pending.needs_writing(self._held(key)) or key not in (await self._in_use() or ()):
            # Not in use: a late answer to a source that was replaced meanwhile, perhaps to get rid
            # of these very keys.
            return
        # Until the host answers, it is not known what is stored.
        self._known.pop(key, None)
        raw = pending.keys.to_stored(pending.origin)
        if len(raw) > MAX_ENTRY_BYTES:
            sizes = {"bytes": len(raw), "max_bytes": MAX_ENTRY_BYTES}
            self._logger.warning(
                "keys are not stored: they are too large",
                extra={"fields": {"event": "keys_too_large_to_store", **sizes}},
            )
            await self._storage.delete(key)
        else:
            await self._storage.put(StorageEntry(key=key, value=raw))
            keys = len(pending.keys.fetched.key_set.keys)
            self._logger.debug(
                "keys are stored",
                extra={"fields": {"event": "keys_stored", "key": key, "keys": keys}},
            )
        # A set that is too large counts as stored: one warning per change is enough.
        self._known[key] = _Known(content=pending.keys.content, fetched_at=pending.keys.fetched_at)

    async def _delete_unused(self) -> None:
        names = await self._storage.list(STORAGE_PREFIX)
        # After listing: copies that the configuration refers to by now stay, and those that it
        # refers to later are stored by this same task, later.
        kept = await self._in_use()
        if kept is None:
            return
        for key in (STORAGE_PREFIX + name for name in names):
            if key not in kept:
                self._known.pop(key, None)
                await self._storage.delete(key)

    async def settle(self) -> None:
        """Wait for the task, if it is running."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def close(self, *, within_s: float) -> None:
        """Wait for the task, cancel it if it takes long, and start no other; idempotent."""
        self._closed = True
        task = self._task
        if task is not None:
            _, late = await asyncio.wait([task], timeout=within_s)
            for each in late:
                each.cancel()
                await asyncio.wait([each])
