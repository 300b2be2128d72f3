"""Where the keys come from that tokens are verified with.

A source answers at once when it has keys. Fetches are single-flight, bounded in
time and bytes, and happen under no lock: with a hung issuer, logins with known
keys go on, and those that need unknown ones are denied in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetch import DEADLINE_S
from vault_jwt_plugin.jwt_auth.keys import VerificationKey, matching, parse_public_key_pem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.issuers import FetchedKeys
    from vault_jwt_plugin.jwt_auth.jwks import UnusableKey
    from vault_jwt_plugin.jwt_auth.jws import JoseHeader
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

_logger = logging.getLogger(__name__)

_GRACE_S = 0.25

REFETCHABLE = frozenset({"key_unknown", "key_algorithm", "signature_invalid"})
"""Codes of denials after which `KeySource.refetch_for` may bring a key that verifies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """When keys are fetched and how long they are trusted; all in seconds.

    Attributes:
        refresh_after_s: age at which keys are fetched anew, in the background.
        min_refresh_after_s: to what a server's max-age can lower that.
        trust_for_s: age at which they verify nothing more; 0 = never.
        cooldown_s: between two fetches that tokens ask for, and after one that failed.
        deadline_s: for one fetch with all its requests.
    """

    refresh_after_s: float = 3600.0
    min_refresh_after_s: float = 60.0
    trust_for_s: float = 86400.0
    cooldown_s: float = 10.0
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySourceStatus:
    """How a source is doing, for `config` read and metrics.

    Attributes:
        keys: how many verify.
        unusable: keys of the set that are skipped.
        fetched_at: Unix seconds of the last good fetch; None before it.
        last_error: of the last fetch, if that failed; None otherwise.
        url: of the set, as messages show it; "" where there is none, or several.
        parts: of the sets that a source is put together from.
    """

    keys: int
    unusable: tuple[UnusableKey, ...] = ()
    fetched_at: float | None = None
    last_error: FetchError | None = None
    url: str = ""
    parts: tuple[KeySourceStatus, ...] = ()


class KeySource(Protocol):
    """What a login needs of a source."""

    def candidates(self, header: JoseHeader) -> MaybeAwaitable[Sequence[VerificationKey]]:
        """The keys that a token may be signed with; at once when there are keys.

        Raises:
            LoginDenied: `keys_unavailable`: there are none and none can be had. Also
                raised by the awaitable.
        """

    async def refetch_for(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """After none verified: candidates of a newer set; None when there is none.

        Fetches at most once in a cooldown, however many tokens ask.
        """

    def start(self) -> None:
        """Begin to fetch if there are no keys, for those who will ask; does not wait."""

    async def settle(self) -> None:
        """Wait for the fetch under way, if there is one."""

    def status(self) -> KeySourceStatus:
        """How it is doing; never waits."""

    async def close(self) -> None:
        """Cancel what is under way. Idempotent."""


class KeyStore(Protocol):
    """Last good keys that outlive the process.

    The seam only: to be written by the background task, on a writable node, once
    per change (design.md, "Key sources").
    """

    async def load(self) -> FetchedKeys | None:
        """The stored keys; None if there are none that can be trusted."""

    async def save(self, fetched: FetchedKeys) -> None:
        """Store keys."""


class StaticKeys:
    """Keys of the configuration; `kid` means nothing, all are tried in order.

    Args:
        keys: in the order of the configuration.
    """

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of(cls, pems: Sequence[str]) -> StaticKeys:
        """Read the keys of a configuration.

        Raises:
            PublicKeyError: one can't be used.
        """
        return cls([parse_public_key_pem(pem, index=at) for at, pem in enumerate(pems, start=1)])

    def candidates(self, header: JoseHeader) -> Sequence[VerificationKey]:
        """All of them; those that do not fit the algorithm are passed over when verifying."""
        del header
        return self._keys

    async def refetch_for(self, header: JoseHeader) -> None:
        """Never newer ones."""

    def start(self) -> None:
        """They are there."""

    async def settle(self) -> None:
        """Nothing is under way."""

    def status(self) -> KeySourceStatus:
        """How many they are."""
        return KeySourceStatus(keys=len(self._keys))

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """Fetched keys, and until when they are good, by the monotonic clock."""

    fetched: FetchedKeys
    fetched_at: float
    refresh_at: float
    trusted_until: float


class RemoteKeys:
    """Keys that are fetched: the life of a cache around one way of fetching.

    Args:
        load: fetches the whole set; raises FetchError.
        url: of what is fetched, as messages show it.
        policy: when, and for how long.
        clock: Unix seconds, for what people read.
        monotonic: seconds that never go back, for what is decided.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[FetchedKeys]],
        *,
        url: str = "",
        policy: RefreshPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._url = url
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._cached: _Cached | None = None
        self._last_error: FetchError | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_not_before = float("-inf")
        self._refetch_not_before = float("-inf")
        self._closed = False

    def candidates(self, header: JoseHeader) -> MaybeAwaitable[Sequence[VerificationKey]]:
        """See `KeySource.candidates`."""
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

    async def _first_candidates(self, header: JoseHeader) -> Sequence[VerificationKey]:
        self.start()
        await self.settle()
        known = self.known(header)
        if known is None:
            raise self.unavailable()
        return known

    def unavailable(self) -> LoginDenied:
        """Why there are no keys."""
        problem = "the configuration has changed"
        if self._last_error is not None:
            problem = self._last_error.message
        return LoginDenied(
            "keys_unavailable", f"there are no keys to verify the token with: {problem}"
        )

    def start(self) -> None:
        """See `KeySource.start`; not within the cooldown after a fetch that failed."""
        now = self._monotonic()
        if (self._cached is None or now >= self._cached.trusted_until) and (
            now >= self._fetch_not_before
        ):
            self._start_fetch()

    async def settle(self) -> None:
        """See `KeySource.settle`."""
        if self._fetching is not None:
            # Not `await task`: one caller's hang-up must not cancel it for the others, nor a
            # closed source look like a hang-up to those who wait.
            await asyncio.wait([self._fetching])

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
        await self.settle()
        after = self._cached
        if after is None or after is before:
            return None
        if before is not None and before.fetched.digest == after.fetched.digest:
            return None
        return matching(after.fetched.key_set.keys, header)

    def _start_fetch(self) -> None:
        """Start a fetch if none is under way and the source is not closed."""
        if self._fetching is None and not self._closed:
            task = asyncio.get_running_loop().create_task(self._refresh(), name="fetch keys")
            self._fetching = task
            task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("fetching keys failed unexpectedly", exc_info=error)

    async def _refresh(self) -> None:
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
            self._fetch_not_before = self._monotonic() + self._policy.cooldown_s
            self._last_error = FetchError(
                "fetch_failed",
                "fetching them failed unexpectedly; the server's log says why",
                url="",
            )
            raise
        else:
            self._succeeded(fetched)

    def _failed(self, error: FetchError) -> None:
        # Whatever came, the keys stay until they are no longer trusted: an outage of the issuer
        # is none of ours.
        self._last_error = error
        self._fetch_not_before = self._monotonic() + self._policy.cooldown_s
        _logger.warning(
            "keys can't be fetched",
            extra={"fields": {"reason": error.code, "error": error.message}},
        )

    def _succeeded(self, fetched: FetchedKeys) -> None:
        policy = self._policy
        now = self._monotonic()
        refresh_after = policy.refresh_after_s
        if fetched.max_age_s is not None:
            refresh_after = min(refresh_after, max(fetched.max_age_s, policy.min_refresh_after_s))
        self._last_error = None
        self._cached = _Cached(
            fetched=fetched,
            fetched_at=self._clock(),
            refresh_at=now + refresh_after,
            trusted_until=now + (policy.trust_for_s or float("inf")),
        )

    def status(self) -> KeySourceStatus:
        """See `KeySource.status`."""
        cached = self._cached
        if cached is None:
            return KeySourceStatus(keys=0, last_error=self._last_error, url=self._url)
        trusted = self._monotonic() < cached.trusted_until
        return KeySourceStatus(
            keys=len(cached.fetched.key_set.keys) if trusted else 0,
            unusable=cached.fetched.key_set.unusable,
            fetched_at=cached.fetched_at,
            last_error=self._last_error,
            url=self._url,
        )

    async def close(self) -> None:
        """Cancel the fetch under way, if there is one, and start none any more."""
        self._closed = True
        task = self._fetching
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
