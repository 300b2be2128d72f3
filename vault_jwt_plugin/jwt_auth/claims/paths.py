"""Find a claim: by its name, or by a JSON pointer (RFC 6901).

Mirrors `getClaim` of the Go methods (`claims.go`). Paths are compiled once per role, so that a
login only looks up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPath:
    """Where a claim is: a top-level member, or an RFC 6901 pointer.

    Attributes:
        name: the claim as the role writes it.
        steps: the pointer's reference tokens, unescaped; None for a top-level member.
    """

    name: str
    steps: tuple[str, ...] | None

    @classmethod
    def of(cls, name: str, *, pointer: bool = True) -> ClaimPath:
        """Compile a name; one that starts with `/` is a pointer.

        Without `pointer` every name is taken literally (no `user_claim_json_pointer`).
        """
        if not (pointer and name.startswith("/")):
            return cls(name=name, steps=None)
        steps = (part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/"))
        return cls(name=name, steps=tuple(steps))

    def find(self, claims: VerifiedClaims) -> Any:
        """Return the claim as decoded JSON; None when it is missing or null."""
        if self.steps is None:
            return claims.get(self.name)
        value: Any = claims
        for step in self.steps:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list):
                value = _element(value, step)
            else:
                return None
        return value


def _element(items: list[Any], step: str) -> Any:
    """Return a list's element by decimal index without leading zeros (RFC 6901 4)."""
    # The length is limited because `int` is slow on very many digits.
    if not step.isascii() or not step.isdecimal() or len(step) > 9 or (step[0] == "0" != step):
        return None
    index = int(step)
    return items[index] if index < len(items) else None
