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

from vault_jwt_plugin.jwt_auth.config import Config, KeySourceKind
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetch import DEADLINE_S
from vault_jwt_plugin.jwt_auth.issuers import FetchedKeys, fetch_discovery, fetch_key_set
from vault_jwt_plugin.jwt_auth.keys import VerificationKey, matching, parse_public_key_pem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.fetch import Fetcher
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
    """

    keys: int
    unusable: tuple[UnusableKey, ...] = ()
    fetched_at: float | None = None
    last_error: FetchError | None = None


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
        policy: when, and for how long.
        clock: Unix seconds, for what people read.
        monotonic: seconds that never go back, for what is decided.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[FetchedKeys]],
        *,
        policy: RefreshPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
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
        """See `KeySource.candidates`. Old keys start a fetch in the background, and serve on."""
        now = self._monotonic()
        cached = self._cached
        if cached is None or now >= cached.trusted_until:
            return self._first_candidates(header)
        if now >= cached.refresh_at and now >= self._fetch_not_before:
            self._start_fetch()
        return matching(cached.fetched.key_set.keys, header)

    async def _first_candidates(self, header: JoseHeader) -> Sequence[VerificationKey]:
        if self._fetching is not None or self._monotonic() >= self._fetch_not_before:
            await self._fetch_and_wait()
        cached = self._cached
        if cached is None or self._monotonic() >= cached.trusted_until:
            problem = "the configuration has changed"
            if self._last_error is not None:
                problem = self._last_error.message
            raise LoginDenied(
                "keys_unavailable", f"there are no keys to verify the token with: {problem}"
            )
        return matching(cached.fetched.key_set.keys, header)

    async def refetch_for(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """See `KeySource.refetch_for`."""
        before = self._cached
        if self._fetching is None:
            now = self._monotonic()
            if now < self._refetch_not_before or now < self._fetch_not_before:
                return None
            # From its start: a fetch that takes long does not make the next one later.
            self._refetch_not_before = now + self._policy.cooldown_s
        await self._fetch_and_wait()
        after = self._cached
        if after is None or after is before:
            return None
        if before is not None and before.fetched.digest == after.fetched.digest:
            return None
        return matching(after.fetched.key_set.keys, header)

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, started if there is none; None when the source is closed."""
        if self._fetching is None and not self._closed:
            task = asyncio.get_running_loop().create_task(self._refresh(), name="fetch keys")
            self._fetching = task
            task.add_done_callback(self._fetched)
        return self._fetching

    async def _fetch_and_wait(self) -> None:
        task = self._start_fetch()
        if task is not None:
            # Not `await task`: one caller's hang-up must not cancel it for the others, nor a
            # closed source look like a hang-up to those who wait.
            await asyncio.wait([task])

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
            return KeySourceStatus(keys=0, last_error=self._last_error)
        trusted = self._monotonic() < cached.trusted_until
        return KeySourceStatus(
            keys=len(cached.fetched.key_set.keys) if trusted else 0,
            unusable=cached.fetched.key_set.unusable,
            fetched_at=cached.fetched_at,
            last_error=self._last_error,
        )

    async def close(self) -> None:
        """Cancel the fetch under way, if there is one, and start none any more."""
        self._closed = True
        task = self._fetching
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def build_key_source(
    config: Config,
    fetcher: Fetcher,
    clock: Callable[[], float],
    *,
    policy: RefreshPolicy | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> KeySource:
    """The key source of a configuration; fetches nothing yet.

    Args:
        config: of the mount.
        fetcher: for the issuer's documents.
        clock: Unix seconds.
        policy: other times than the default ones.
        monotonic: seconds that never go back.

    Raises:
        PublicKeyError: a stored public key can't be used.
        LoginDenied: `no_key_source`: the configuration names none, or one of a kind
            that is not built.
    """
    policy = policy or RefreshPolicy()
    kind = config.key_source_kind
    if kind is KeySourceKind.STATIC:
        return StaticKeys.of(config.jwt_validation_pubkeys or ())
    if kind is KeySourceKind.JWKS:

        async def load() -> FetchedKeys:
            return await fetch_key_set(
                fetcher,
                config.jwks_url,
                trust=config.trust(config.jwks_ca_pem),
                deadline_s=policy.deadline_s,
            )

    elif kind in {KeySourceKind.DISCOVERY, KeySourceKind.OIDC_FLOW}:
        # Differs from Vault: JWTs log in where the OIDC flow is configured too, as in OpenBao.

        async def load() -> FetchedKeys:
            return await _discovered(fetcher, config, policy.deadline_s)

    else:
        raise LoginDenied(
            "no_key_source", "the configuration names no source of keys that is supported"
        )
    return RemoteKeys(load, policy=policy, clock=clock, monotonic=monotonic)


async def _discovered(fetcher: Fetcher, config: Config, deadline_s: float) -> FetchedKeys:
    """The keys that an issuer's discovery document names, read anew each time: both may move."""
    trust = config.trust(config.oidc_discovery_ca_pem)
    ends_at = time.monotonic() + deadline_s
    discovery = await fetch_discovery(
        fetcher, config.oidc_discovery_url, trust=trust, deadline_s=deadline_s
    )
    left_s = max(ends_at - time.monotonic(), 0.001)
    return await fetch_key_set(fetcher, discovery.jwks_uri, trust=trust, deadline_s=left_s)
