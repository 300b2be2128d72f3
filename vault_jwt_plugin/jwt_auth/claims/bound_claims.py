"""Compare claims with what a role binds.

Mirrors `validateBoundClaims` and `normalizeList` of the Go methods (`claims.go`), with one
difference: numbers keep every digit. Rules are compiled once per role, so that a login only looks
up and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, claim_missing, claim_unfit
from vault_jwt_plugin.sdk.coercion import kind_of
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from decimal import Decimal

    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


MAX_GLOB_WORK = 16 * 1024 * 1024
"""Characters of one claim's strings times the patterns that they are compared with; more would
hold up every other login for over 0.2 s."""

_COMPARISON_CHARS = 16
"""The cost of a comparison apart from its string, in characters."""


def whole(number: int | Decimal) -> int:
    """Truncate a claim's number towards zero.

    Differs from Vault: no digit is lost beyond 2^53, where Go has gone through float64.
    """
    return int(number)


_SCALARS = "a string, a number, a boolean, or a list of these"


def glob_matches(parts: Sequence[str], text: str) -> bool:
    """Match a string with a glob, case-sensitively and in linear time (ryanuber/go-glob).

    `parts` is the pattern split at `*`, its only special character, which matches any run.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    position = len(first)
    for part in parts[1:-1]:
        # The leftmost place leaves most for the remaining parts, so no backtracking is needed.
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


# Roles are kept by the thousand, and most bound claims hold one kind of value.
_NONE: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundClaim:
    """One entry of `bound_claims`, compiled.

    A claim matches when any bound value equals any of its values, in the same JSON type. A number
    outside a list is truncated first (42.9 matches 42); in a list it never matches, as in Go.

    Attributes:
        path: the claim's.
        invalid: what is wrong with the bound value, if anything is; a role may have been stored
            with such a value, and then every login fails.
    """

    path: ClaimPath
    texts: frozenset[str] = frozenset()
    globs: tuple[tuple[str, ...], ...] = ()
    bools: frozenset[bool] = frozenset()
    numbers: frozenset[int] = frozenset()
    invalid: str | None = None

    @classmethod
    def of(cls, name: str, bound: Any, *, glob: bool) -> BoundClaim:
        """Compile one entry.

        Args:
            name: the claim's name or pointer.
            bound: decoded JSON: a scalar, or a list of scalars.
            glob: whether strings are patterns (`bound_claims_type`).
        """
        path = ClaimPath.of(name)
        values = bound if isinstance(bound, list | tuple) else [bound]
        if bound is None or isinstance(bound, Mapping):
            return cls(path=path, invalid=kind_of(bound))
        if glob:
            others = [value for value in values if not isinstance(value, str)]
            if others:
                return cls(path=path, invalid=f"a pattern that is {kind_of(others[0])}")
        texts = [value for value in values if isinstance(value, str)]
        return cls(
            path=path,
            texts=frozenset(text for text in texts if not (glob and "*" in text)) or _NONE,
            globs=tuple(tuple(text.split("*")) for text in texts if glob and "*" in text),
            bools=frozenset(value for value in values if isinstance(value, bool)) or _NONE,
            # Go compares the literals' text: 42.0 equals no truncated number, so it never matches.
            numbers=frozenset(value for value in values if type(value) is int) or _NONE,
        )

    def check(self, claims: VerifiedClaims) -> None:
        """Check a token's claim.

        Raises:
            LoginDenied: `bound_claim_invalid`, `bound_claim_missing`, `bound_claim_type`,
                `bound_claim_too_large`, `bound_claim_mismatch`.
        """
        name = self.path.name
        if self.invalid is not None:
            raise LoginDenied(
                "bound_claim_invalid",
                f"the role's bound claim {quoted(name)} can match nothing: it is {self.invalid}",
                claim=name,
                expected=_SCALARS,
                received=self.invalid,
            )
        value = self.path.find(claims)
        if value is None:
            raise claim_missing("bound_claim_missing", name, expected=_SCALARS)
        if isinstance(value, dict):
            raise claim_unfit("bound_claim_type", name, expected=_SCALARS, received=kind_of(value))
        values: Iterable[Any] = (value,)
        if isinstance(value, list):
            values = (each for each in value if isinstance(each, str | bool))
        if not self._matches_any(values):
            raise LoginDenied(
                "bound_claim_mismatch",
                f"claim {quoted(name)} does not match any associated bound claim values",
                claim=name,
                received=kind_of(value),
            )

    def _matches_any(self, values: Iterable[Any]) -> bool:
        """Tell whether one of the claim's values matches.

        Differs from Vault, which sets no limit: it has threads.

        Raises:
            LoginDenied: `bound_claim_too_large`.
        """
        work = 0
        for value in values:
            if self.globs and isinstance(value, str):
                work += (_COMPARISON_CHARS + len(value)) * len(self.globs)
                if work > MAX_GLOB_WORK:
                    raise LoginDenied(
                        "bound_claim_too_large",
                        f"claim {quoted(self.path.name)} is too large to be compared with all of "
                        f"the role's {len(self.globs)} patterns for it",
                        claim=self.path.name,
                    )
            if self._matches(value):
                return True
        return False

    def _matches(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self.texts or any(glob_matches(parts, value) for parts in self.globs)
        if isinstance(value, bool):
            return value in self.bools
        return bool(self.numbers) and whole(value) in self.numbers


def compile_bound_claims(
    bound_claims: Mapping[str, Any] | None, bound_claims_type: str
) -> tuple[BoundClaim, ...]:
    """Compile a role's `bound_claims`."""
    glob = bound_claims_type == "glob"
    return tuple(
        BoundClaim.of(name, bound, glob=glob) for name, bound in (bound_claims or {}).items()
    )
