"""Keys that are fetched: a cache around one way of fetching.

One fetch runs at a time, bounded in time and bytes and under no lock: while an issuer
hangs, logins with known keys go on, and those that need unknown ones are denied in time.
Known keys outlive an outage of the issuer, and in storage the process.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey, matching
from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
from vault_jwt_plugin.jwt_auth.keys.stored import StoredKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.keys.archive import OriginStore
    from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys
    from vault_jwt_plugin.jwt_auth.keys.key_source import RefreshPolicy
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

_logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long the first logins wait for the issuer though there are stored keys, in seconds: its
answer says which of those were withdrawn."""

MAX_WAITING = 2_000
"""Logins of one source that may wait for a fetch; after a restart or a rotation, all logins of a
large fleet do. A process serves at most 10,000 requests of its host at a time, of all mounts: those
that wait for one hung issuer must not take all places."""

_GRACE_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """Keys, and until when they are good, by the monotonic clock.

    Attributes:
        fetched_at: when the fetch began, in Unix seconds, for what people read.
        refresh_at: when to fetch anew; never after `trusted_until`.
    """

    fetched: FetchedKeys
    fetched_at: float
    refresh_at: float
    trusted_until: float


class RemoteKeys:
    """A key source that fetches one key set.

    Args:
        load: fetches the whole set; raises FetchError.
        url: of what is fetched, as messages show it.
        policy: when to fetch, and for how long to trust.
        clock: Unix seconds, for what people read and for the age of stored keys.
        monotonic: seconds that never go back, for every decision.
        store: where the keys outlive the process; None = nowhere.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[FetchedKeys]],
        *,
        url: str = "",
        policy: RefreshPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        store: OriginStore | None = None,
    ) -> None:
        self._load = load
        self._url = url
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._store = store
        self._cached: _Cached | None = None
        self._last_error: FetchError | None = None
        self._failed_at: float | None = None
        self._fetches = 0
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._waiting = 0
        self._fetch_not_before = float("-inf")
        self._refetch_not_before = float("-inf")
        self._closed = False

    def candidates(self, header: JoseHeader) -> MaybeAwaitable[Sequence[VerificationKey]]:
        """See `KeySource.candidates`."""
        cached = self._cached
        # Nearly every login: keys that are too young for anything else to be looked at.
        if cached is not None and self._monotonic() < cached.refresh_at:
            return matching(cached.fetched.key_set.keys, header)
        known = self.known(header)
        return self._first_candidates(header) if known is None else known

    def known(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """Return the candidates among the cached keys; None when there are no trusted keys.

        Old keys start a fetch in the background, and are used meanwhile.
        """
        now = self._monotonic()
        cached = self._cached
        if cached is None or now >= cached.trusted_until:
            return None
        if now >= cached.refresh_at:
            self.refresh()
        return matching(cached.fetched.key_set.keys, header)

    def refresh(self) -> None:
        """See `KeySource.refresh`; keys that nobody has asked for yet are not fetched."""
        cached = self._cached
        if cached is not None and self._monotonic() >= max(
            cached.refresh_at, self._fetch_not_before
        ):
            self._start_fetch()

    async def _first_candidates(self, header: JoseHeader) -> Sequence[VerificationKey]:
        self.start()
        await self.settle()
        known = self.known(header)
        if known is None:
            raise self.unavailable()
        return known

    def unavailable(self) -> LoginDenied:
        """Make the denial that says why there are no keys."""
        problem = "they are being fetched, and too many logins wait for them already"
        if self._last_error is not None:
            problem = self._last_error.message
        elif self._closed:
            problem = "the configuration has changed"
        return LoginDenied(
            "keys_unavailable", f"there are no keys to verify the token with: {problem}"
        )

    def start(self) -> None:
        """See `KeySource.start`; does nothing within the cooldown after a failed fetch."""
        if self._closed or self._is_trusted() or self._monotonic() < self._fetch_not_before:
            return
        self._start_fetch()
        if self._store is not None and self._recovering is None:
            self._recovering = asyncio.get_running_loop().create_task(
                self._recover(self._store), name="load stored keys"
            )
            self._recovering.add_done_callback(self._recovered)

    async def settle(self) -> None:
        """See `KeySource.settle`."""
        await self._wait_for(self._recovering or self._fetching)

    async def _wait_for(self, task: asyncio.Task[None] | None) -> bool:
        """Wait for a task of this source to end; return False when too many logins do already."""
        if task is None:
            return True
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            # `await task` would cancel the task for all when one caller hangs up, and a closed
            # source would look like a hang-up to those who wait.
            await asyncio.wait([task])
        finally:
            self._waiting -= 1
        return True

    async def refetch_for(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """See `KeySource.refetch_for`."""
        before = self._cached
        if self._fetching is None:
            now = self._monotonic()
            if now < self._refetch_not_before or now < self._fetch_not_before:
                return None
            # The cooldown counts from the start: a slow fetch does not make the next one later.
            self._refetch_not_before = now + self._policy.cooldown_s
        self._start_fetch()
        if not await self._wait_for(self._fetching):
            return None
        after = self._cached
        if after is None or (before and before.fetched.digest == after.fetched.digest):
            return None
        return matching(after.fetched.key_set.keys, header)

    def _is_trusted(self) -> bool:
        return self._cached is not None and self._monotonic() < self._cached.trusted_until

    def _start_fetch(self) -> None:
        """Start a fetch if none is under way and the source is not closed."""
        if self._fetching is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._fetching = loop.create_task(self._refresh(), name="fetch keys")
            self._fetching.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        if self._fetching is task:  # it was cancelled before it started
            self._fetching = None
        _log_fault(task, "fetching keys failed unexpectedly")

    async def _refresh(self) -> None:
        # The age of keys counts from when they were asked for: a late answer is no newer for being
        # late, and keys of a source that was replaced meanwhile are not stored over newer ones.
        asked_at, asked = self._clock(), self._monotonic()
        try:
            # The fetcher itself stops at the deadline, and says which URL was late.
            async with asyncio.timeout(self._policy.deadline_s + _GRACE_S):
                fetched = await self._load()
        except FetchError as error:
            self._failed(error)
        except TimeoutError:
            problem = f"fetching them took longer than {self._policy.deadline_s:g} s"
            self._failed(FetchError("timeout", problem, url=""))
        except Exception:
            # A bug, logged when the task ends; it must not repeat at every login.
            problem = "fetching them failed unexpectedly; the server's log says why"
            self._remember(FetchError("fetch_failed", problem, url=""))
            raise
        else:
            self._succeeded(fetched, asked_at=asked_at, asked=asked)
        finally:
            # Before the task is done: a login that runs in between has seen the new keys, and must
            # be able to ask for newer ones.
            self._fetching = None

    def _failed(self, error: FetchError) -> None:
        # The keys stay until they are no longer trusted: logins outlive an outage of the issuer.
        self._remember(error)
        _logger.warning(
            "keys can't be fetched",
            extra={
                "fields": {
                    "event": "keys_fetch_failed",
                    "reason": error.code,
                    "error": error.message,
                }
            },
        )

    def _remember(self, error: FetchError) -> None:
        self._last_error = error
        self._failed_at = self._clock()
        self._failures += 1
        self._fetch_not_before = self._monotonic() + self._policy.cooldown_s

    def _succeeded(self, fetched: FetchedKeys, *, asked_at: float, asked: float) -> None:
        if self._last_error is not None:
            _logger.info(
                "keys can be fetched again",
                extra={"fields": {"event": "keys_fetch_recovered", "url": self._url}},
            )
        self._last_error = None
        self._fetches += 1
        self._cached = _Cached(
            fetched=fetched,
            fetched_at=asked_at,
            refresh_at=asked + self._policy.refresh_after(fetched.max_age_s),
            trusted_until=asked + self._policy.trusted_for_s,
        )
        if self._store is not None:
            self._store.save(StoredKeys(fetched=fetched, fetched_at=asked_at))

    async def _recover(self, store: OriginStore) -> None:
        """Get keys: the issuer's if it answers soon, else stored ones, else the issuer's late."""
        fetching = self._fetching
        stored = await self._loaded(store, fetching)
        usable = stored is not None and self._age(stored) < self._policy.trusted_for_s
        if fetching is not None:
            await asyncio.wait([fetching], timeout=PATIENCE_S if usable else None)
        if stored is not None and usable and not self._is_trusted():
            self._adopt(stored)

    async def _loaded(
        self, store: OriginStore, fetching: asyncio.Task[None] | None
    ) -> StoredKeys | None:
        """Return the stored keys; None also when they are late: no login waits for storage."""
        loading = asyncio.ensure_future(store.load())
        try:
            if fetching is not None:
                await asyncio.wait([loading, fetching], return_when=asyncio.FIRST_COMPLETED)
            if self._is_trusted() and not loading.done():
                return None
            return await loading
        finally:
            loading.cancel()

    def _adopt(self, stored: StoredKeys) -> None:
        now = self._monotonic()
        self._cached = _Cached(
            fetched=stored.fetched,
            fetched_at=stored.fetched_at,
            # At once, that is after the cooldown: keys that were withdrawn meanwhile must go.
            refresh_at=now,
            trusted_until=now - self._age(stored) + self._policy.trusted_for_s,
        )
        keys = len(stored.fetched.key_set.keys)
        _logger.info(
            "stored keys are in use until the issuer answers",
            extra={"fields": {"event": "stored_keys_in_use", "keys": keys, "url": self._url}},
        )

    def _age(self, stored: StoredKeys) -> float:
        # Never below 0: a clock that was put back must not make keys live longer.
        return max(self._clock() - stored.fetched_at, 0.0)

    def _recovered(self, task: asyncio.Task[None]) -> None:
        self._recovering = None
        _log_fault(task, "loading stored keys failed unexpectedly")

    def status(self) -> KeySourceStatus:
        """See `KeySource.status`."""
        now = self._monotonic()
        cached = self._cached
        is_trusted = self._is_trusted()
        refresh_at = cached.refresh_at if cached is not None and is_trusted else now
        status = KeySourceStatus(
            keys=0,
            last_error=self._last_error,
            failed_at=self._failed_at,
            fetches=self._fetches,
            failures=self._failures,
            refresh_in_s=max(refresh_at - now, self._fetch_not_before - now, 0.0),
            url=self._url,
        )
        if cached is None:
            return status
        left_s = cached.trusted_until - now
        return replace(
            status,
            keys=len(cached.fetched.key_set.keys) if is_trusted else 0,
            unusable=cached.fetched.key_set.unusable,
            fetched_at=cached.fetched_at,
            expires_in_s=max(left_s, 0.0) if math.isfinite(left_s) else None,
        )

    async def close(self) -> None:
        """Cancel what is under way; start nothing from now on."""
        self._closed = True
        tasks = [task for task in (self._recovering, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_fault(task: asyncio.Task[None], what: str) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error(what, exc_info=error, extra={"fields": {"event": "keys_fault"}})
