"""When a token is valid: `exp`, `nbf`, `iat` and the role's leeways.

Mirrors `Validator.Validate` of cap (`jwt/jwt.go`). The expiration and not-before leeways matter
only where the claim is missing; a claim that is present gets the clock skew alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied, claim_unfit
from vault_jwt_plugin.sdk import NS_PER_S
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims

DEFAULT_LEEWAY_S = 150
"""What an expiration or not-before leeway of 0 means, in seconds."""

DEFAULT_SKEW_S = 60
"""What a clock skew leeway of 0 means, in seconds."""

_MAX_DATE = 2**63 - 512
"""Go reads dates as float64, which rounds to 2^63 from here on, and holds them in an int64. A date
that would overflow there is refused, not wrapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leeways:
    """A role's leeways in effect, in seconds, none negative."""

    expiration_s: float = DEFAULT_LEEWAY_S
    not_before_s: float = DEFAULT_LEEWAY_S
    clock_skew_s: float = DEFAULT_SKEW_S

    @classmethod
    def of(cls, *, expiration_ns: int, not_before_ns: int, clock_skew_ns: int) -> Leeways:
        """Convert the stored form: nanoseconds, 0 = the default, negative = none."""
        return cls(
            expiration_s=_effective(expiration_ns, DEFAULT_LEEWAY_S),
            not_before_s=_effective(not_before_ns, DEFAULT_LEEWAY_S),
            clock_skew_s=_effective(clock_skew_ns, DEFAULT_SKEW_S),
        )


def _effective(stored_ns: int, default_s: int) -> float:
    if stored_ns == 0:
        return default_s
    return max(stored_ns, 0) / NS_PER_S


def numeric_date(claims: VerifiedClaims, name: str) -> int:
    """Return a date claim in whole Unix seconds, truncated; 0 when it is missing, null or 0.

    Raises:
        LoginDenied: `claim_type`: not a number, or one beyond 64 bits.
    """
    value = claims.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise claim_unfit("claim_type", name, expected="a number", received=kind_of(value))
    if not -_MAX_DATE < value < _MAX_DATE:
        raise claim_unfit(
            "claim_type", name, expected="a date in seconds", received="a number out of range"
        )
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """A token's dates in Unix seconds; 0 means missing."""

    expires_at: int
    not_before: int
    issued_at: int

    @classmethod
    def of(cls, claims: VerifiedClaims) -> Dates:
        """Read a token's dates; raise as `numeric_date` does."""
        return cls(
            expires_at=numeric_date(claims, "exp"),
            not_before=numeric_date(claims, "nbf"),
            issued_at=numeric_date(claims, "iat"),
        )


def check_time(dates: Dates, leeways: Leeways, now: float) -> None:
    """Check that a token is valid now; equality passes.

    Args:
        dates: the token's.
        leeways: the role's.
        now: Unix seconds.

    Raises:
        LoginDenied: `time_missing`, `not_yet_valid`, `expired`, `issued_in_future`.
    """
    expires_at: float = dates.expires_at
    not_before: float = dates.not_before
    issued_at = dates.issued_at
    if not (expires_at or not_before or issued_at):
        raise LoginDenied(
            "time_missing", 'the token must have a date: one of the claims "exp", "nbf", "iat"'
        )
    if not not_before:
        not_before = issued_at or expires_at - leeways.not_before_s
    if not expires_at:
        expires_at = max(issued_at, dates.not_before) + leeways.expiration_s
    latest = now + leeways.clock_skew_s
    if latest < not_before:
        named = "nbf" if dates.not_before else "iat" if issued_at else "exp"
        raise LoginDenied("not_yet_valid", _NOT_YET[named], claim=named)
    if now - leeways.clock_skew_s > expires_at:
        if dates.expires_at:
            raise LoginDenied("expired", 'the token is expired (claim "exp")', claim="exp")
        raise LoginDenied(
            "expired",
            'the token is expired: it has no claim "exp", and is older than the role\'s '
            "expiration_leeway allows",
            claim="exp",
        )
    if issued_at and latest < issued_at:
        raise LoginDenied(
            "issued_in_future", 'the token was issued in the future (claim "iat")', claim="iat"
        )


_NOT_YET = {
    "nbf": 'the token is not yet valid (claim "nbf")',
    "iat": 'the token is not yet valid: it has no claim "nbf", and was issued in the future '
    '(claim "iat")',
    "exp": 'the token is not yet valid: it has neither "nbf" nor "iat", and expires later than '
    "the role's not_before_leeway allows",
}
