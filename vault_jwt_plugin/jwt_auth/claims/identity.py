"""Who a token's bearer is: alias, metadata, groups.

Mirrors `createIdentity` and `fetchGroups` of the Go methods (`path_login.go`). Names are used byte
for byte, without Unicode normalisation, which would merge subjects of a mount that was taken over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied, claim_missing, claim_unfit
from vault_jwt_plugin.sdk.coercion import kind_of
from vault_jwt_plugin.sdk.request import Alias
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


def alias_name(claims: VerifiedClaims, user_claim: ClaimPath) -> str:
    """Return the name of the bearer's entity alias.

    Differs from Vault: an empty string is refused here, not by the host as a fault (HTTP 500).

    Raises:
        LoginDenied: `user_claim_missing`, `user_claim_type`, `user_claim_empty`.
    """
    value = user_claim.find(claims)
    if isinstance(value, str) and value:
        return value
    name, use = user_claim.name, "the role's user_claim"
    if value is None:
        raise claim_missing("user_claim_missing", name, use=use, expected="a string")
    if value == "":
        raise LoginDenied(
            "user_claim_empty", f"claim {quoted(name)} ({use}) must not be empty", claim=name
        )
    raise claim_unfit(
        "user_claim_type", name, use=use, expected="a string", received=kind_of(value)
    )


def mapped_metadata(
    claims: VerifiedClaims, mappings: Sequence[tuple[ClaimPath, str]], role_name: str
) -> dict[str, str]:
    """Return the metadata of alias and token: mapped claims, and `role`, which always wins.

    Args:
        claims: the token's; a missing one is left out.
        mappings: pairs of a claim and its metadata key.
        role_name: the value of `role`.

    Raises:
        LoginDenied: `mapped_claim_type`.
    """
    metadata = {}
    for path, key in mappings:
        value = path.find(claims)
        if isinstance(value, str):
            metadata[key] = value
        elif value is not None:
            raise claim_unfit(
                "mapped_claim_type",
                path.name,
                use="one of claim_mappings",
                expected="a string",
                received=kind_of(value),
            )
    metadata["role"] = role_name
    return metadata


def group_aliases(claims: VerifiedClaims, groups_claim: ClaimPath | None) -> tuple[Alias, ...]:
    """Return an alias for each of the bearer's groups.

    The claim is a string or a list of strings. An empty list is fine, a missing claim is not;
    without a groups claim there are no aliases.

    Raises:
        LoginDenied: `groups_claim_missing`, `groups_claim_type`.
    """
    if groups_claim is None:
        return ()
    value = groups_claim.find(claims)
    name, use, expected = (
        groups_claim.name,
        "the role's groups_claim",
        "a list of strings, or a string",
    )
    if value is None:
        raise claim_missing("groups_claim_missing", name, use=use, expected=expected)
    groups = [value] if isinstance(value, str) else value
    if not isinstance(groups, list):
        raise claim_unfit(
            "groups_claim_type", name, use=use, expected=expected, received=kind_of(value)
        )
    aliases = []
    for group in groups:
        if not isinstance(group, str):
            raise LoginDenied(
                "groups_claim_type",
                f"claim {quoted(name)} ({use}) must be a list of strings, holds {kind_of(group)}",
                claim=name,
            )
        if group:
            aliases.append(Alias(name=group))
    return tuple(aliases)
