"""Who a token's bearer is: alias, metadata, groups.

Mirrors `createIdentity` and `fetchGroups` of the Go methods (`path_login.go`).
Names go through byte for byte, without Unicode normalisation: folding would
merge subjects of a mount that was taken over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk.coercion import kind_of
from vault_jwt_plugin.sdk.request import Alias
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


def alias_name(claims: VerifiedClaims, user_claim: ClaimPath) -> str:
    """The name of the bearer's entity alias.

    Differs from Vault: empty text is refused here, instead of by the host as a fault (HTTP 500).

    Raises:
        LoginDenied: `user_claim_missing`, `user_claim_type`, `user_claim_empty`.
    """
    value = user_claim.find(claims)
    if isinstance(value, str) and value:
        return value
    name = user_claim.name
    if value is None:
        raise LoginDenied(
            "user_claim_missing",
            f"claim {quoted(name)} (the role's user_claim) is missing",
            claim=name,
            expected="a string",
            received="nothing",
        )
    if value == "":
        raise LoginDenied(
            "user_claim_empty",
            f"claim {quoted(name)} (the role's user_claim) must not be empty",
            claim=name,
            expected="a string",
            received="an empty string",
        )
    raise _not_text("user_claim_type", name, "the role's user_claim", value)


def mapped_metadata(
    claims: VerifiedClaims, mappings: Sequence[tuple[ClaimPath, str]], role_name: str
) -> dict[str, str]:
    """Metadata of the alias and of the token: mapped claims, and `role`, which always wins.

    Args:
        claims: of the token; a missing one is left out.
        mappings: claim and the metadata key that it goes to.
        role_name: of the role.

    Raises:
        LoginDenied: `mapped_claim_type`.
    """
    metadata = {}
    for path, key in mappings:
        value = path.find(claims)
        if isinstance(value, str):
            metadata[key] = value
        elif value is not None:
            raise _not_text("mapped_claim_type", path.name, "one of claim_mappings", value)
    metadata["role"] = role_name
    return metadata


def group_aliases(claims: VerifiedClaims, groups_claim: ClaimPath | None) -> tuple[Alias, ...]:
    """One alias for each group of the bearer; an empty list is fine, a missing claim is not.

    Args:
        claims: of the token.
        groups_claim: a list of text, or one text; None means no groups.

    Raises:
        LoginDenied: `groups_claim_missing`, `groups_claim_type`.
    """
    if groups_claim is None:
        return ()
    value = groups_claim.find(claims)
    name = groups_claim.name
    if value is None:
        raise LoginDenied(
            "groups_claim_missing",
            f"claim {quoted(name)} (the role's groups_claim) is missing",
            claim=name,
            expected="a list of strings, or a string",
            received="nothing",
        )
    groups = [value] if isinstance(value, str) else value
    if not isinstance(groups, list):
        raise LoginDenied(
            "groups_claim_type",
            f"claim {quoted(name)} (the role's groups_claim) must be a list of strings, or a "
            f"string, is {kind_of(value)}",
            claim=name,
            expected="a list of strings, or a string",
            received=kind_of(value),
        )
    aliases = []
    for group in groups:
        if not isinstance(group, str):
            raise LoginDenied(
                "groups_claim_type",
                f"claim {quoted(name)} (the role's groups_claim) must be a list of strings, holds "
                f"{kind_of(group)}",
                claim=name,
                expected="a list of strings",
                received=kind_of(group),
            )
        if group:
            aliases.append(Alias(name=group))
    return tuple(aliases)


def _not_text(code: str, name: str, meaning: str, value: Any) -> LoginDenied:
    return LoginDenied(
        code,
        f"claim {quoted(name)} ({meaning}) must be a string, is {kind_of(value)}",
        claim=name,
        expected="a string",
        received=kind_of(value),
    )
