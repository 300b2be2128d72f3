"""Keys that are fetched: the life of a cache around one way of fetching.

Fetches are single-flight, bounded in time and bytes, and happen under no lock:
with a hung issuer, logins with known keys go on, and those that need unknown
ones are denied in time. Known keys outlive an outage of the issuer, and in
storage the process.
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
    from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeyStore, RefreshPolicy
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

_logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long the first logins wait for the issuer though stored keys are at hand, in seconds: one
that answers says which of those were withdrawn."""

MAX_WAITING = 2_000
"""Logins of one source that may wait for a fetch; after a restart or a rotation all of a large
fleet's may. A process serves at most 10,000 requests of its host at a time, of all mounts: those
that wait for one hung issuer must not take all places."""

_GRACE_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """Keys, and until when they are good, by the monotonic clock.

    Attributes:
        fetched_at: when they were asked for, in Unix seconds, for what people read.
        refresh_at: when they are to be fetched anew; never after `trusted_until`.
    """

    fetched: FetchedKeys
    fetched_at: float
    refresh_at: float
    trusted_until: float


class RemoteKeys:
    """A source that fetches.

    Args:
        load: fetches the whole set; raises FetchError.
        url: of what is fetched, as messages show it.
        policy: when, and for how long.
        clock: Unix seconds: what people read, and the age of stored keys.
        monotonic: seconds that never go back, for what is decided.
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
        store: KeyStore | None = None,
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
        """The candidates among the keys at hand; None when there are none to be trusted.

        Old keys start a fetch in the background, and serve on.
        """
        now = self._monotonic()
        cached = self._cached
        if cached is None or now >= cached.trusted_until:
            return None
        if now >= cached.refresh_at and now >= self._fetch_not_before:
            self._start_fetch()
        return matching(cached.fetched.key_set.keys, header)

    def refresh(self) -> None:
        """See `KeySource.refresh`; keys that nobody asked for yet are not fetched."""
        now = self._monotonic()
        if (
            self._cached is not None
            and now >= self._cached.refresh_at
            and now >= self._fetch_not_before
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
        """Why there are no keys."""
        if self._last_error is not None:
            problem = self._last_error.message
        elif self._closed:
            problem = "the configuration has changed"
        else:
            problem = "they are being fetched, and too many logins wait for them already"
        return LoginDenied(
            "keys_unavailable", f"there are no keys to verify the token with: {problem}"
        )

    def start(self) -> None:
        """See `KeySource.start`; not within the cooldown after a fetch that failed."""
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
        """Wait for a task of ours to end; False when too many do already."""
        if task is None:
            return True
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            # Not `await task`: one caller's hang-up must not cancel it for the others, nor a
            # closed source look like a hang-up to those who wait.
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
            # From its start: a fetch that takes long does not make the next one later.
            self._refetch_not_before = now + self._policy.cooldown_s
        self._start_fetch()
        if not await self._wait_for(self._fetching):
            return None
        after = self._cached
        if after is None or after is before:
            return None
        if before is not None and before.fetched.digest == after.fetched.digest:
            return None
        return matching(after.fetched.key_set.keys, header)

    def _is_trusted(self) -> bool:
        return self._cached is not None and self._monotonic() < self._cached.trusted_until

    # Fetching.

    def _start_fetch(self) -> None:
        """Start a fetch if none is under way and the source is not closed."""
        if self._fetching is None and not self._closed:
            task = asyncio.get_running_loop().create_task(self._refresh(), name="fetch keys")
            self._fetching = task
            task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        if self._fetching is task:  # it was cancelled before it began
            self._fetching = None
        _log_fault(task, "fetching keys failed unexpectedly")

    async def _refresh(self) -> None:
        # An answer may be late, and is then no newer for it: keys count from when they were asked
        # for. So those of a source that was replaced meanwhile are not stored over newer ones.
        asked_at, asked = self._clock(), self._monotonic()
        try:
            # The fetcher ends at the deadline itself, and says which URL was late.
            async with asyncio.timeout(self._policy.deadline_s + _GRACE_S):
                fetched = await self._load()
        except FetchError as error:
            self._failed(error)
        except TimeoutError:
            self._failed(
                FetchError(
                    "timeout",
                    f"fetching them took longer than {self._policy.deadline_s:g} s",
                    url="",
                )
            )
        except Exception:
            # A fault of ours, logged when the task ends; it must not be repeated at every login.
            self._remember(
                FetchError(
                    "fetch_failed",
                    "fetching them failed unexpectedly; the server's log says why",
                    url="",
                )
            )
            raise
        else:
            self._succeeded(fetched, asked_at=asked_at, asked=asked)
        finally:
            # Not only once the task is done: a login that comes in between has seen the new keys,
            # and must be able to ask for newer ones.
            self._fetching = None

    def _failed(self, error: FetchError) -> None:
        # Whatever came, the keys stay until they are no longer trusted: an outage of the issuer
        # is none of ours.
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

    # Stored keys.

    async def _recover(self, store: KeyStore) -> None:
        """Have keys: the issuer's if it answers soon, else the stored ones, else the issuer's."""
        fetching = self._fetching
        stored = await self._loaded(store, fetching)
        usable = stored is not None and self._age(stored) < self._policy.trusted_for_s
        if fetching is not None:
            await asyncio.wait([fetching], timeout=PATIENCE_S if usable else None)
        if stored is not None and usable and not self._is_trusted():
            self._adopt(stored)

    async def _loaded(
        self, store: KeyStore, fetching: asyncio.Task[None] | None
    ) -> StoredKeys | None:
        """What is stored; None also when it is late: a storage that hangs holds up no login."""
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
            # At once, that is after the cooldown: what was withdrawn meanwhile must go.
            refresh_at=now,
            trusted_until=now - self._age(stored) + self._policy.trusted_for_s,
        )
        _logger.info(
            "stored keys are in use until the issuer answers",
            extra={
                "fields": {
                    "event": "stored_keys_in_use",
                    "keys": len(stored.fetched.key_set.keys),
                    "url": self._url,
                }
            },
        )

    def _age(self, stored: StoredKeys) -> float:
        # Not below 0: a clock that was put back must not make keys live longer.
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
        """Cancel what is under way, and start nothing any more."""
        self._closed = True
        tasks = [task for task in (self._recovering, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _log_fault(task: asyncio.Task[None], what: str) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error(what, exc_info=error, extra={"fields": {"event": "keys_fault"}})
