"""What the handlers of one mount share: storage, cached config and roles, keys, counters.

Two mounts share nothing, though they may live in one process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from vault_jwt_plugin.jwt_auth.cache import Cache
from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY, Config
from vault_jwt_plugin.jwt_auth.counters import Counters
from vault_jwt_plugin.jwt_auth.keys.archive import KeyArchive
from vault_jwt_plugin.jwt_auth.keys.current import CurrentKeys
from vault_jwt_plugin.jwt_auth.keys.stored import STORAGE_PREFIX as KEYS_STORAGE_PREFIX
from vault_jwt_plugin.sdk import ReadOnlyError, UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources
    from vault_jwt_plugin.sdk import BackendContext

T = TypeVar("T")

WRITES_END_S = 0.3
"""How long writes under way are waited for when the mount ends, in seconds."""


class Kept(Protocol):
    """Something that is derived from storage and kept; see `cache.Cache`."""

    def drop(self, name: str) -> None:
        """Forget one name."""

    def drop_all(self) -> None:
        """Forget everything."""

    def doubt(self) -> None:
        """Believe nothing for long: a write may yet happen."""

    async def close(self) -> None:
        """Cancel reads under way, and forget everything."""


class Mount:
    """The state of one mount. It knows no kind of role: their caches are registered with it.

    Args:
        context: what Setup gave; touched only when a request needs it.
        key_sources: make the key source of a configuration.
        monotonic: seconds that never go back.

    Attributes:
        storage, system, logger, clock: the context's.
        configs: the decoded configuration, under its storage key.
        keys: the key source of the present configuration.
        key_archive: copies of fetched keys in storage.
        writable: whether this node is known to be able to write; False until asked.
        counters: what happened here.
    """

    def __init__(
        self,
        context: BackendContext,
        *,
        key_sources: KeySources,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = context.storage
        self.system = context.system
        self.logger = context.logger
        self.clock = context.clock
        self.writable = False
        self.counters = Counters(clock=context.clock)
        self._key_sources = key_sources
        self.keys = CurrentKeys(
            lambda config: key_sources.build(config, self.key_archive), context.logger
        )
        self._monotonic = monotonic
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[object]] = set()
        # By prefix of the storage keys; several may hang on one.
        self._kept: tuple[tuple[str, Kept], ...] = ()
        self.configs: Cache[Config] = Cache(
            read=self.read,
            decode=lambda _key, raw: Config.from_stored(raw),
            writable=lambda: self.writable,
            capacity=1,
            monotonic=monotonic,
        )
        self.key_archive = KeyArchive(
            context.storage,
            writable=lambda: self.writable,
            read_only=lambda: self.set_writable(writable=False),
            in_use=self._stored_keys_in_use,
            clock=context.clock,
            logger=context.logger,
        )

    def cache(self, prefix: str, decode: Callable[[str, bytes], T], *, capacity: int) -> Cache[T]:
        """Make and register a cache of what is stored under a prefix, by the rest of its key.

        Args:
            prefix: of the storage keys.
            decode: makes the value of a name and its stored bytes.
            capacity: how many entries are kept.
        """
        cache: Cache[T] = Cache(
            read=lambda name: self.read(prefix + name),
            decode=decode,
            writable=lambda: self.writable,
            capacity=capacity,
            monotonic=self._monotonic,
        )
        self.register(prefix, cache)
        return cache

    def register(self, prefix: str, kept: Kept) -> None:
        """Have something dropped, doubted and closed together with what is under a prefix."""
        self._kept += ((prefix, kept),)

    async def read(self, key: str) -> bytes | None:
        """Return what is stored right now, past every cache; None if nothing is.

        Raises:
            StorageError: The host's storage failed.
        """
        entry = await self.storage.get(key)
        return None if entry is None else entry.value

    async def read_config(self) -> Config | None:
        """Return the configuration as stored right now, past the cache.

        Raises:
            StoredConfigError: It cannot be understood.
            StorageError: The host's storage failed.
        """
        raw = await self.read(STORAGE_KEY)
        return None if raw is None else Config.from_stored(raw)

    async def write(self, change: Callable[[], Awaitable[T]], *, drops: str) -> T:
        """Run a read-merge-put alone among this mount's writes, and drop what it changed.

        It runs to its end though its caller goes away: dropped too early, the old value could be
        read and kept while the host is still storing the new one.

        Args:
            change: reads, merges and stores.
            drops: the storage key that it changes.

        Raises:
            ReadOnlyError: This node cannot write; the host's text, for the host to act on.
            LogicalError: Whatever `change` raises.
        """
        task = asyncio.get_running_loop().create_task(self._write(change, drops))
        self._writes.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    async def _write(self, change: Callable[[], Awaitable[T]], key: str) -> T:
        async with self._write_lock:
            try:
                result = await change()
            except UserError:
                # Refused before anything was stored: what is known stays known, keys above all.
                raise
            except ReadOnlyError:
                self.set_writable(writable=False)
                raise
            except BaseException:
                # The host may have stored it, or may in a moment.
                self.configs.doubt()
                for _, kept in self._kept:
                    kept.doubt()
                raise
            self.invalidate(key)
            if key == STORAGE_KEY:
                self.key_archive.sweep()
            return result

    def _written(self, task: asyncio.Task[object]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            # Keeps asyncio from logging an error that the caller no longer waits for.
            task.exception()

    def invalidate(self, key: str) -> None:
        """Drop what was derived from a storage key; `config` drops everything."""
        if key == STORAGE_KEY:
            self._drop_all()
            self.keys.retire()
        elif key.startswith(KEYS_STORAGE_PREFIX):
            # A copy for the next start: what is in use here came from where the copy did.
            self.key_archive.forget(key)
        for prefix, kept in self._kept:
            if key.startswith(prefix):
                kept.drop(key[len(prefix) :])

    def _drop_all(self) -> None:
        self.configs.drop_all()
        for _, kept in self._kept:
            kept.drop_all()

    async def _stored_keys_in_use(self) -> Collection[str] | None:
        """Return the storage keys that the configuration refers to; None if that is not known."""
        config = await self.read_config()
        if config is None:
            return None
        try:
            return {each.storage_key for each in self._key_sources.origins(config)}
        except UserError:
            return None

    def tick(self) -> None:
        """Do what is due every minute: fetch keys that are old, store copies left over."""
        self.keys.refresh()
        self.key_archive.flush()

    def set_writable(self, *, writable: bool) -> None:
        """Note whether this node can write; forget what was read before a change of that.

        That includes what is being read: once writable, nobody would tell us that it is old.
        """
        if self.writable != writable:
            self._drop_all()
        self.writable = writable

    async def refresh_node(self) -> None:
        """Ask the host whether this node can write; without an answer it counts as unable."""
        try:
            state = await self.system.replication_state()
            writable = state.writable(local_mount=await self.system.local_mount())
        except Exception as error:  # whatever failed, the answer is "not known"
            self.logger.warning(
                "the node's replication state is not known",
                exc_info=error,
                extra={"fields": {"event": "replication_state_unknown"}},
            )
            writable = False
        self.set_writable(writable=writable)

    async def close(self) -> None:
        """Let writes end, close the key source, forget everything; idempotent.

        It is done within `WRITES_END_S` and what closing the source takes: a host that no longer
        answers must not keep the process.
        """
        await asyncio.gather(_end(self._writes), self.key_archive.close(within_s=WRITES_END_S))
        await self.keys.close()
        await self.configs.close()
        for _, kept in self._kept:
            await kept.close()


async def _end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Wait for tasks for a while, then cancel them."""
    tasks = tuple(tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=WRITES_END_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
