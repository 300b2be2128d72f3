"""What the handlers of one mount share: storage, decoded config and roles, keys.

Two mounts share nothing, though they may live in one process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from vault_jwt_plugin.jwt_auth.cache import MAX_ROLES, Cache
from vault_jwt_plugin.jwt_auth.cel.role import MAX_CEL_ROLES, CELRole
from vault_jwt_plugin.jwt_auth.cel.role import STORAGE_PREFIX as CEL_STORAGE_PREFIX
from vault_jwt_plugin.jwt_auth.config import config as config_module
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.counters import Counters
from vault_jwt_plugin.jwt_auth.errors import changed_meanwhile
from vault_jwt_plugin.jwt_auth.keys.archive import KeyArchive
from vault_jwt_plugin.jwt_auth.keys.current import CurrentKeys
from vault_jwt_plugin.jwt_auth.keys.kinds import origins
from vault_jwt_plugin.jwt_auth.keys.stored import STORAGE_PREFIX as KEYS_STORAGE_PREFIX
from vault_jwt_plugin.jwt_auth.keys.waiting import WaitingRoom
from vault_jwt_plugin.jwt_auth.login.pipeline import PreparedRole
from vault_jwt_plugin.jwt_auth.login.rejudging import MAX_ROUNDS
from vault_jwt_plugin.jwt_auth.role.role import STORAGE_PREFIX, Role, StoredRoleError
from vault_jwt_plugin.jwt_auth.role.role_list import RoleList
from vault_jwt_plugin.sdk import CIDRError, LogicalError, ReadOnlyError, UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from vault_jwt_plugin.jwt_auth.cel.prepared import PreparedCELRole
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.keys.kubernetes import Pod
    from vault_jwt_plugin.sdk import BackendContext

T = TypeVar("T")

WRITES_END_S = 0.3
"""How long writes under way are waited for when the mount ends, in seconds."""


async def _end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Wait for tasks for a while, then cancel them."""
    tasks = tuple(tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=WRITES_END_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _prepare(name: str, raw: bytes) -> PreparedRole:
    role = Role.from_stored(name, raw)
    try:
        return PreparedRole.of(name, role)
    except CIDRError as error:
        # Its text holds the value, which is for whoever wrote it and not for who logs in.
        raise StoredRoleError(name, "'token_bound_cidrs' holds what is no address") from error
    except UserError as error:
        # Nobody's mistake in this request: the stored role can't be used (500, as in Go).
        raise StoredRoleError(name, error.message) from error


class Mount:
    """State of one mount.

    Args:
        context: what Setup gave; touched only when a request needs it.
        make_key_source: builds the key source of a configuration; does not wait.
        prepare_cel_role: compiles what is stored under a CEL role's name.
        pod: that the server runs in, if it does; None = as the environment says.
        monotonic: seconds that never go back.

    Attributes:
        storage, system, logger: the context's.
        configs: the decoded configuration, under its storage key.
        roles: roles ready for logins, by name.
        cel_roles: CEL roles ready for logins, by name.
        role_list: the names of all roles.
        keys: the key source of the present configuration.
        key_archive: copies of fetched keys in storage.
        writable: whether this node is known to be able to write; False until asked.
        counters: what happened here.
        waiting: where large logins wait for keys.
    """

    def __init__(
        self,
        context: BackendContext,
        *,
        make_key_source: Callable[[Config], KeySource],
        prepare_cel_role: Callable[[str, bytes], PreparedCELRole],
        pod: Pod | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = context.storage
        self.system = context.system
        self.logger = context.logger
        self.writable = False
        self.counters = Counters(clock=context.clock)
        self.waiting = WaitingRoom()
        self.keys = CurrentKeys(make_key_source, context.logger)
        self._pod = pod
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[object]] = set()
        self.configs: Cache[Config] = Cache(
            read=self._read,
            decode=lambda _key, raw: Config.from_stored(raw),
            writable=lambda: self.writable,
            capacity=1,
            monotonic=monotonic,
        )
        self.roles: Cache[PreparedRole] = Cache(
            read=lambda name: self._read(STORAGE_PREFIX + name),
            decode=_prepare,
            writable=lambda: self.writable,
            capacity=MAX_ROLES,
            monotonic=monotonic,
        )
        self.cel_roles: Cache[PreparedCELRole] = Cache(
            read=lambda name: self._read(CEL_STORAGE_PREFIX + name),
            decode=prepare_cel_role,
            writable=lambda: self.writable,
            capacity=MAX_CEL_ROLES,
            monotonic=monotonic,
        )
        self.role_list = RoleList(
            context.storage,
            STORAGE_PREFIX,
            writable=lambda: self.writable,
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

    async def _read(self, key: str) -> bytes | None:
        entry = await self.storage.get(key)
        return None if entry is None else entry.value

    async def read_role(self, name: str) -> Role | None:
        """The role as stored right now, past the cache.

        Raises:
            StoredRoleError: it can't be understood.
            StorageError: the host's storage failed.
        """
        raw = await self._read(STORAGE_PREFIX + name)
        return None if raw is None else Role.from_stored(name, raw)

    async def read_cel_role(self, name: str) -> CELRole | None:
        """The CEL role as stored right now, past the cache.

        Raises:
            StoredRoleError: it can't be understood.
            StorageError: the host's storage failed.
        """
        raw = await self._read(CEL_STORAGE_PREFIX + name)
        return None if raw is None else CELRole.from_stored(name, raw)

    async def read_config(self) -> Config | None:
        """The configuration as stored right now, past the cache.

        Raises:
            StoredConfigError: it can't be understood.
            StorageError: the host's storage failed.
        """
        raw = await self._read(config_module.STORAGE_KEY)
        return None if raw is None else Config.from_stored(raw)

    async def under_one_config(self, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` comes to; begun anew if the configuration changes meanwhile.

        Else the configuration from before a change could meet a role from after it: a state that
        never was.

        Raises:
            LoginDenied: `changed_meanwhile`: it does so again and again; and what `read` raises.
        """
        for _ in range(MAX_ROUNDS):
            drops = self.configs.drops
            try:
                found = await read()
            except LogicalError:
                if self.configs.drops == drops:
                    raise
            else:
                if self.configs.drops == drops:
                    return found
        raise changed_meanwhile()

    async def write(self, change: Callable[[], Awaitable[T]], *, drops: str) -> T:
        """Run a read-merge-put alone among this mount's writes, and drop what it changed.

        It runs to its end though its caller goes away: dropped too early, the old
        value could be read and kept while the host is still storing the new one.

        Args:
            change: reads, merges and stores.
            drops: the storage key that it changes.

        Raises:
            ReadOnlyError: this node can't write; the host's text, for the host to act on.
            LogicalError: whatever `change` raises.
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
                self.roles.doubt()
                self.cel_roles.doubt()
                self.role_list.doubt()
                raise
            self.invalidate(key)
            if key == config_module.STORAGE_KEY:
                self.key_archive.sweep()
            return result

    def _written(self, task: asyncio.Task[object]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            # Keeps asyncio from logging an error that the caller no longer waits for.
            task.exception()

    def invalidate(self, key: str) -> None:
        """Drop what was derived from a storage key; `config` drops everything."""
        if key == config_module.STORAGE_KEY:
            self.configs.drop_all()
            self.roles.drop_all()
            self.cel_roles.drop_all()
            self.role_list.drop()
            self.keys.retire()
        elif key.startswith(STORAGE_PREFIX):
            self.roles.drop(key[len(STORAGE_PREFIX) :])
            self.role_list.drop()
        elif key.startswith(CEL_STORAGE_PREFIX):
            self.cel_roles.drop(key[len(CEL_STORAGE_PREFIX) :])
        elif key.startswith(KEYS_STORAGE_PREFIX):
            # A copy for the next start: what is in use here came from where the copy did.
            self.key_archive.forget(key)

    async def _stored_keys_in_use(self) -> Collection[str] | None:
        """Storage keys that the configuration refers to; None when that can't be said."""
        config = await self.read_config()
        if config is None:
            return None
        try:
            return {each.storage_key for each in origins(config, self._pod)}
        except UserError:
            return None

    def tick(self) -> None:
        """What is due every minute: keys that are old are fetched, copies left over stored."""
        self.keys.refresh()
        self.key_archive.flush()

    def set_writable(self, *, writable: bool) -> None:
        """Note whether this node can write; what was read before a change of that is forgotten.

        Also what is being read: once writable, nobody would tell us that it is old.
        """
        if self.writable != writable:
            self.configs.drop_all()
            self.roles.drop_all()
            self.cel_roles.drop_all()
            self.role_list.drop()
        self.writable = writable

    async def refresh_node(self) -> None:
        """Ask the host whether this node can write; what is not known counts as no."""
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

        Done within `WRITES_END_S` and what closing the source takes: a host that
        no longer answers must not keep the process.
        """
        await asyncio.gather(_end(self._writes), self.key_archive.close(within_s=WRITES_END_S))
        await self.keys.close()
        await self.configs.close()
        await self.roles.close()
        await self.cel_roles.close()
        await self.role_list.close()
