"""Check the registered claims of a verified token (RFC 7519 4.1); for its dates see `dates`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied, claim_unfit
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims

REGISTERED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
"""RFC 7519 4.1."""

_LONGEST_REGISTERED = max(map(len, REGISTERED_CLAIMS))


def check_claim_names(claims: VerifiedClaims) -> None:
    """Check that no name differs from a registered one by case folding alone ("SUB", a long s).

    Differs from Vault and OpenBao on cap 0.13.0: there the folded claim could be the one that
    is checked while the exact one is used (cap#191, SECVULN-47712).

    Raises:
        LoginDenied: `claim_name`.
    """
    for name in claims:
        # Folding never shortens a string, so the length alone rules out most names.
        if len(name) <= _LONGEST_REGISTERED and name not in REGISTERED_CLAIMS:
            registered = name.casefold()
            if registered in REGISTERED_CLAIMS:
                raise LoginDenied(
                    "claim_name",
                    f'the token has a claim whose name differs from "{registered}" only by case',
                    claim=registered,
                )


def check_registered_types(claims: VerifiedClaims) -> list[str] | None:
    """Check that `iss`, `sub`, `jti` are strings or null, and `aud` a string or a list of strings.

    Returns:
        The audiences; None without `aud`.

    Raises:
        LoginDenied: `claim_type`.
    """
    for name in ("iss", "sub", "jti"):
        value = claims.get(name)
        if value is not None and not isinstance(value, str):
            raise claim_unfit("claim_type", name, expected="a string", received=kind_of(value))
    if "aud" not in claims:
        return None
    audience = claims["aud"]
    if isinstance(audience, str):
        return [audience]
    if not isinstance(audience, list):
        raise _audience_unfit(kind_of(audience))
    for each in audience:
        if not isinstance(each, str):
            raise _audience_unfit(f"a list with {kind_of(each)}")
    return audience


def _audience_unfit(received: str) -> LoginDenied:
    return claim_unfit(
        "claim_type", "aud", expected="a string or a list of strings", received=received
    )


def check_issuer(claims: VerifiedClaims, bound_issuer: str) -> None:
    """Check that `iss` is the configured one, byte for byte; "" binds nothing.

    Raises:
        LoginDenied: `issuer_mismatch`.
    """
    if bound_issuer and claims.get("iss") != bound_issuer:
        raise _mismatch("issuer_mismatch", claims, "iss", "the configured bound_issuer")


def check_subject(claims: VerifiedClaims, bound_subject: str) -> None:
    """Check that `sub` is the role's, byte for byte; "" binds nothing.

    Raises:
        LoginDenied: `subject_mismatch`.
    """
    if bound_subject and claims.get("sub") != bound_subject:
        raise _mismatch("subject_mismatch", claims, "sub", "the role's bound_subject")


def _mismatch(code: str, claims: VerifiedClaims, name: str, expected: str) -> LoginDenied:
    problem = "missing" if claims.get(name) is None else f"not {expected}"
    return LoginDenied(code, f'claim "{name}" is {problem}', claim=name, expected=expected)


def check_bound_audience(audience: Sequence[str] | None, bound: frozenset[str]) -> None:
    """Check that a token is for one of the role's audiences, if the role has any.

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
        )
    if bound.isdisjoint(audience):
        raise LoginDenied(
            "audience_mismatch",
            'claim "aud" does not match any of the role\'s bound_audiences',
            claim="aud",
        )


def check_unbound_audience(audience: Sequence[str] | None, bound: frozenset[str]) -> None:
    """Check that a role without audiences gets no token meant for someone (CVE-2024-5798).

    Differs from Vault: `""` is an audience too, as in OpenBao.

    Raises:
        LoginDenied: `audience_unbound`.
    """
    if audience and not bound:
        raise LoginDenied(
            "audience_unbound",
            "audience claim found in JWT but no audiences bound to the role",
            claim="aud",
        )
