"""The registered claims of a verified token (RFC 7519 4.1), their dates apart (`timing`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims

REGISTERED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
"""RFC 7519 4.1."""

_LONGEST_REGISTERED = max(map(len, REGISTERED_CLAIMS))


def check_claim_names(claims: VerifiedClaims) -> None:
    """No name differs from a registered one by case folding alone, as "SUB" or a long s.

    Differs from Vault and OpenBao on cap 0.13.0: there the folded claim could be the one that
    is checked while the exact one is used (cap#191, SECVULN-47712).

    Raises:
        LoginDenied: `claim_name`.
    """
    for name in claims:
        # Folding never shortens a text, so most names are passed over by their length.
        if len(name) <= _LONGEST_REGISTERED and name not in REGISTERED_CLAIMS:
            registered = name.casefold()
            if registered in REGISTERED_CLAIMS:
                raise LoginDenied(
                    "claim_name",
                    f'the token has a claim whose name differs from "{registered}" only by case',
                    claim=registered,
                )


def check_registered_types(claims: VerifiedClaims) -> list[str] | None:
    """`iss`, `sub` and `jti` are text or null, `aud` is text or a list of text (RFC 7519 4.1).

    Dates are `timing.Dates.of`'s.

    Returns:
        The audiences; None without `aud`.

    Raises:
        LoginDenied: `claim_type`.
    """
    for name in ("iss", "sub", "jti"):
        value = claims.get(name)
        if value is not None and not isinstance(value, str):
            raise _wrong_type(name, "a string", kind_of(value))
    if "aud" not in claims:
        return None
    audience = claims["aud"]
    if isinstance(audience, str):
        return [audience]
    if not isinstance(audience, list):
        raise _wrong_type("aud", "a string or a list of strings", kind_of(audience))
    for each in audience:
        if not isinstance(each, str):
            raise _wrong_type(
                "aud", "a string or a list of strings", f"a list with {kind_of(each)}"
            )
    return audience


def _wrong_type(name: str, expected: str, received: str) -> LoginDenied:
    return LoginDenied(
        "claim_type",
        f'claim "{name}" must be {expected}, is {received}',
        claim=name,
        expected=expected,
        received=received,
    )


def check_issuer(claims: VerifiedClaims, bound_issuer: str) -> None:
    """`iss` is the configured one, whole and byte for byte; "" binds nothing.

    Raises:
        LoginDenied: `issuer_mismatch`.
    """
    if bound_issuer and claims.get("iss") != bound_issuer:
        raise _mismatch("issuer_mismatch", claims, "iss", "the configured bound_issuer")


def check_subject(claims: VerifiedClaims, bound_subject: str) -> None:
    """`sub` is the role's, byte for byte; "" binds nothing.

    Raises:
        LoginDenied: `subject_mismatch`.
    """
    if bound_subject and claims.get("sub") != bound_subject:
        raise _mismatch("subject_mismatch", claims, "sub", "the role's bound_subject")


def _mismatch(code: str, claims: VerifiedClaims, name: str, expected: str) -> LoginDenied:
    missing = claims.get(name) is None
    return LoginDenied(
        code,
        f'claim "{name}" is missing' if missing else f'claim "{name}" is not {expected}',
        claim=name,
        expected=expected,
        received="nothing" if missing else "another string",
    )


def check_bound_audience(audience: Sequence[str] | None, bound: frozenset[str]) -> None:
    """A role with audiences takes tokens for one of them only.

    Raises:
        LoginDenied: `audience_missing`, `audience_mismatch`.
    """
    if not bound:
        return
    if not audience:
        raise LoginDenied(
            "audience_missing",
            'claim "aud" is missing, and the role has bound_audiences',
            claim="aud",
            expected="one of the role's bound_audiences",
            received="nothing",
        )
    if bound.isdisjoint(audience):
        raise LoginDenied(
            "audience_mismatch",
            'claim "aud" does not match any of the role\'s bound_audiences',
            claim="aud",
            expected="one of the role's bound_audiences",
            received="others",
        )


def check_unbound_audience(audience: Sequence[str] | None, bound: frozenset[str]) -> None:
    """A role without audiences takes no token that is meant for someone (CVE-2024-5798).

    Differs from Vault: `""` is an audience too, as in OpenBao.

    Raises:
        LoginDenied: `audience_unbound`.
    """
    if audience and not bound:
        raise LoginDenied(
            "audience_unbound",
            "audience claim found in JWT but no audiences bound to the role",
            claim="aud",
            expected="nothing",
            received="an audience",
        )
