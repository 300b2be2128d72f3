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
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk.coercion import kind_of
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from decimal import Decimal

    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


MAX_GLOB_WORK = 16 * 1024 * 1024
"""Characters of one claim's texts, times the patterns that they are compared with; more would
hold up every other login for over 0.2 s."""

_COMPARISON_CHARS = 16
"""What a comparison costs beside its text, in characters of a text."""


def whole(number: int | Decimal) -> int:
    """A number as claim lookups see it: truncated towards zero.

    Differs from Vault: no digit is lost beyond 2^53, where Go has gone through float64.
    """
    return int(number)


def glob_matches(parts: Sequence[str], text: str) -> bool:
    """Match a text with a glob, in linear time (ryanuber/go-glob).

    Args:
        parts: the pattern split at `*`, which stands for any run; nothing else is special.
        text: compared case-sensitively.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    position = len(first)
    for part in parts[1:-1]:
        # The leftmost place leaves most for what follows, so there is nothing to go back to.
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

    A claim matches when any bound value equals any of its values, in the same
    JSON type. A number outside a list is truncated first (42.9 matches 42); in a
    list it never matches, as in Go.

    Attributes:
        path: which claim.
        invalid: what is wrong with the bound value; a role may have been stored
            with one, and then every login fails. None when all is well.
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
            name: of the claim, literal or pointer.
            bound: decoded JSON: a scalar, or a list of scalars.
            glob: whether texts are patterns (`bound_claims_type`).
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
            numbers=frozenset(value for value in values if _is_integer(value)) or _NONE,
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
                expected="a string, a number, a boolean, or a list of these",
                received=self.invalid,
            )
        value = self.path.find(claims)
        if value is None:
            raise LoginDenied(
                "bound_claim_missing",
                f"claim {quoted(name)} is missing",
                claim=name,
                received="nothing",
            )
        if isinstance(value, dict):
            raise LoginDenied(
                "bound_claim_type",
                f"claim {quoted(name)} must be a string, a number, a boolean, or a list of "
                "these, is an object",
                claim=name,
                expected="a string, a number, a boolean, or a list of these",
                received="an object",
            )
        if isinstance(value, list):
            if self._matches_any(each for each in value if isinstance(each, str | bool)):
                return
        elif self._matches_any((value,)):
            return
        raise LoginDenied(
            "bound_claim_mismatch",
            f"claim {quoted(name)} does not match any associated bound claim values",
            claim=name,
            received=kind_of(value),
        )

    def _matches_any(self, values: Iterable[Any]) -> bool:
        """Whether one of the claim's values matches.

        Differs from Vault, which compares without end: it has threads.

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


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def compile_bound_claims(
    bound_claims: Mapping[str, Any] | None, bound_claims_type: str
) -> tuple[BoundClaim, ...]:
    """Compile a role's `bound_claims`; None is none."""
    glob = bound_claims_type == "glob"
    return tuple(
        BoundClaim.of(name, bound, glob=glob) for name, bound in (bound_claims or {}).items()
    )
