"""Where the keys come from that tokens are verified with: what all sources have in common.

A source answers at once when it has keys. See `remote_keys` for those that are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.errors import FetchError
    from vault_jwt_plugin.jwt_auth.jose.jwks import UnusableKey
    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.stored import StoredKeys
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

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

    @property
    def trusted_for_s(self) -> float:
        """Age at which keys verify nothing more; inf = never."""
        return self.trust_for_s or float("inf")

    def refresh_after(self, max_age_s: int | None) -> float:
        """Age at which keys are fetched anew, in seconds.

        Args:
            max_age_s: how long their server says that they are fresh; None if it does not.
        """
        # Well before they are no longer trusted, or every time logins would wait.
        after = min(self.refresh_after_s, self.trusted_for_s / 2)
        if max_age_s is not None:
            after = min(after, max(max_age_s, self.min_refresh_after_s))
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySourceStatus:
    """How a source is doing, as reads of `config` and of `status` say it.

    Attributes:
        keys: how many verify.
        unusable: keys of the set that are skipped.
        fetched_at: Unix seconds of the last good fetch; None before it.
        last_error: of the last fetch, if that failed; None otherwise.
        failed_at: Unix seconds of the last fetch that failed; None if none did.
        fetches, failures: how many were good, and how many failed.
        refresh_in_s: seconds until keys are fetched anew, when a login or the minute's tick
            comes; None where they are not fetched.
        expires_in_s: seconds until the keys at hand verify nothing more; None = never, or
            there are none.
        url: of the set, as messages show it; "" where there is none, or several.
        parts: of the sets that a source is put together from.
    """

    keys: int
    unusable: tuple[UnusableKey, ...] = ()
    fetched_at: float | None = None
    last_error: FetchError | None = None
    failed_at: float | None = None
    fetches: int = 0
    failures: int = 0
    refresh_in_s: float | None = None
    expires_in_s: float | None = None
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
        """Wait until there are keys, or can't be for now."""

    def refresh(self) -> None:
        """Begin to fetch if the keys are old enough; does not wait."""

    def status(self) -> KeySourceStatus:
        """How it is doing; never waits."""

    async def close(self) -> None:
        """Cancel what is under way. Idempotent."""


class KeyStore(Protocol):
    """Last good keys that outlive the process."""

    async def load(self) -> StoredKeys | None:
        """The stored keys; None if there are none, or none that can be used."""

    def save(self, keys: StoredKeys) -> None:
        """Have keys stored, unless they are; does not wait."""
