"""The checks of a login, as a table.

A login walks one table from top to bottom. Each row is a `Check`: a name, the codes of its denials,
the parameters and the claims that it looks at, and a small function. That function reads what
earlier checks found (`Login`), adds what it finds, or raises `LoginDenied`. If it has to wait (for
keys, a provider or a program), it returns an awaitable, and runs again once that has ended.

    TOKEN    from the compact form to verified claims: form, algorithm, signature, payload
    CLAIMS   what every token's claims must be: names, types, issuer, subject, audience, time
    VERIFY   both

Every kind of role has `VERIFY` in its table and adds its own rows (`native`, `cel.login`). A flow
that brings verified claims of its own joins at `CLAIMS`. No table may leave a row out: a rule
enforced on one path and forgotten on another is how most CVEs of this method came about.

The order is that of `path_login.go` of both Go methods, with one exception, `ALGORITHM`.
"""

from __future__ import annotations

from vault_jwt_plugin.jwt_auth.claims.dates import Dates, check_time
from vault_jwt_plugin.jwt_auth.claims.registered_claims import (
    check_bound_audience,
    check_claim_names,
    check_issuer,
    check_registered_types,
    check_subject,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS, decode_claims, parse
from vault_jwt_plugin.jwt_auth.login.check import Check, Login, LoginRole
from vault_jwt_plugin.jwt_auth.login.signature import SIGNATURE_CODES, check_signature

# The checks of the token itself.


def _token_present(login: Login[LoginRole]) -> None:
    if not login.data["jwt"]:
        raise LoginDenied("token_missing", "missing token")


def _token_form(login: Login[LoginRole]) -> None:
    login.token = parse(login.data["jwt"])


def _algorithm(login: Login[LoginRole]) -> None:
    # Go looks at the algorithm after the signature. Before it, a token that could never pass
    # triggers no fetch of keys; both have to say yes either way.
    alg = login.token.header.alg
    if alg not in (login.config.jwt_supported_algs or ALGORITHMS):
        raise LoginDenied(
            "algorithm_not_allowed",
            f"the token's algorithm {alg} is not one of jwt_supported_algs",
        )


def _payload(login: Login[LoginRole]) -> None:
    login.claims = decode_claims(login.token.unverified_payload)


# The checks of its registered claims.


def _claim_names(login: Login[LoginRole]) -> None:
    check_claim_names(login.claims)


def _claim_types(login: Login[LoginRole]) -> None:
    login.audience = check_registered_types(login.claims)
    login.dates = Dates.of(login.claims)


def _issuer(login: Login[LoginRole]) -> None:
    check_issuer(login.claims, login.config.bound_issuer)


def _subject(login: Login[LoginRole]) -> None:
    check_subject(login.claims, login.role.subject)


def _audience(login: Login[LoginRole]) -> None:
    check_bound_audience(login.audience, login.role.audiences)


def _time(login: Login[LoginRole]) -> None:
    check_time(login.dates, login.role.leeways, login.context.clock())


TOKEN_PRESENT = Check(name="token present", run=_token_present, codes=("token_missing",))
TOKEN_FORM = Check(
    name="token form",
    run=_token_form,
    codes=(
        "token_malformed",
        "token_too_large",
        "token_encrypted",
        "token_json",
        "header_too_large",
        "header_invalid",
        "header_alg",
        "header_kid",
        "header_crit",
        "header_b64",
        "header_zip",
    ),
)
ALGORITHM = Check(
    name="algorithm",
    run=_algorithm,
    codes=("algorithm_not_allowed",),
    parameters=("jwt_supported_algs",),
)
SIGNATURE = Check(
    name="signature",
    run=check_signature,
    codes=SIGNATURE_CODES,
    parameters=(
        "jwt_validation_pubkeys",
        "jwks_url",
        "jwks_pairs",
        "oidc_discovery_url",
        "provider_config",
    ),
)
PAYLOAD = Check(name="payload", run=_payload, codes=("claims_invalid",))
CLAIM_NAMES = Check(name="claim names", run=_claim_names, codes=("claim_name",))
CLAIM_TYPES = Check(
    name="claim types",
    run=_claim_types,
    codes=("claim_type",),
    claims=("iss", "sub", "jti", "aud", "exp", "nbf", "iat"),
)
ISSUER = Check(
    name="issuer",
    run=_issuer,
    codes=("issuer_mismatch",),
    parameters=("bound_issuer",),
    claims=("iss",),
)
SUBJECT = Check(
    name="subject",
    run=_subject,
    codes=("subject_mismatch",),
    parameters=("bound_subject",),
    claims=("sub",),
)
AUDIENCE = Check(
    name="audience",
    run=_audience,
    codes=("audience_missing", "audience_mismatch"),
    parameters=("bound_audiences",),
    claims=("aud",),
)
TIME = Check(
    name="time",
    run=_time,
    codes=("time_missing", "not_yet_valid", "expired", "issued_in_future"),
    parameters=("expiration_leeway", "not_before_leeway", "clock_skew_leeway"),
    claims=("exp", "nbf", "iat"),
)

TOKEN = (TOKEN_FORM, ALGORITHM, SIGNATURE, PAYLOAD)
CLAIMS = (CLAIM_NAMES, CLAIM_TYPES, ISSUER, SUBJECT, AUDIENCE, TIME)
VERIFY = (*TOKEN, *CLAIMS)
