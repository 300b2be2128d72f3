"""What all key sources have in common. A source answers at once when it has keys."""

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
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

REFETCHABLE = frozenset({"key_unknown", "key_algorithm", "signature_invalid"})
"""Codes of denials after which `KeySource.refetch_for` may bring a key that verifies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """When keys are fetched and how long they are trusted; all times in seconds.

    Attributes:
        refresh_after_s: age at which keys are fetched anew, in the background.
        min_refresh_after_s: how far a server's max-age can lower `refresh_after_s`.
        trust_for_s: age at which they no longer verify tokens; 0 = never.
        cooldown_s: between two fetches that tokens ask for, and after a failed one.
        deadline_s: for one fetch with all its requests.
    """

    refresh_after_s: float = 3600.0
    min_refresh_after_s: float = 60.0
    trust_for_s: float = 86400.0
    cooldown_s: float = 10.0
    deadline_s: float = DEADLINE_S

    @property
    def trusted_for_s(self) -> float:
        """Return the age at which keys no longer verify tokens; inf = never."""
        return self.trust_for_s or float("inf")

    def refresh_after(self, max_age_s: int | None) -> float:
        """Return the age at which keys are fetched anew, in seconds.

        Args:
            max_age_s: how long the server says that they are fresh; None if it does not say.
        """
        # Well before they are no longer trusted: else logins would wait for each fetch.
        after = min(self.refresh_after_s, self.trusted_for_s / 2)
        if max_age_s is not None:
            after = min(after, max(max_age_s, self.min_refresh_after_s))
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySourceStatus:
    """The state of a source, as reads of `config` and of `status` show it.

    Attributes:
        keys: number of keys that verify tokens.
        unusable: keys of the set that are skipped.
        fetched_at: Unix seconds of the last good fetch; None before it.
        last_error: of the last fetch, if it failed; None otherwise.
        failed_at: Unix seconds of the last failed fetch; None if none failed.
        fetches, failures: number of good and of failed fetches.
        refresh_in_s: seconds until a login or the tick of each minute fetches anew; None where
            keys are not fetched.
        expires_in_s: seconds until the cached keys no longer verify tokens; None = never, or
            there are no keys.
        url: of the set, as messages show it; "" where there is none, or several.
        parts: the state of each set that a source is made of.
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
    """A source of the keys that verify tokens."""

    def candidates(self, header: JoseHeader) -> MaybeAwaitable[Sequence[VerificationKey]]:
        """Return the keys that a token may be signed with; at once when there are keys.

        Raises:
            LoginDenied: `keys_unavailable`: there are no keys, and none can be fetched. Also
                raised by the awaitable.
        """

    async def refetch_for(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """Return the candidates of a newer set, after none verified; None when there is none.

        Fetches at most once in a cooldown, however many tokens ask.
        """

    def start(self) -> None:
        """Begin to fetch if there are no keys, for later logins; does not wait."""

    async def settle(self) -> None:
        """Wait until there are keys, or until they can't be fetched for now."""

    def refresh(self) -> None:
        """Begin to fetch if the keys are old enough; does not wait."""

    def status(self) -> KeySourceStatus:
        """Return the state of the source; never waits."""

    async def close(self) -> None:
        """Cancel what is under way. Idempotent."""
