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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from vault_jwt_plugin.jwt_auth.claims.dates import Dates, check_time
from vault_jwt_plugin.jwt_auth.claims.registered_claims import (
    check_bound_audience,
    check_claim_names,
    check_issuer,
    check_registered_types,
    check_subject,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.jws import (
    ALGORITHMS,
    UnverifiedToken,
    VerifiedClaims,
    decode_claims,
    parse,
)
from vault_jwt_plugin.jwt_auth.login.signature import SIGNATURE_CODES, check_signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.claims.dates import Leeways
    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.config.provider import ConfiguredProvider
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.login.waiting import WaitingRoom
    from vault_jwt_plugin.jwt_auth.providers import Enrichment
    from vault_jwt_plugin.sdk import Auth, FieldData, Request


class LoginRole(Protocol):
    """What the flow and the shared checks need of a role of any kind, prepared for logins.

    Attributes:
        name: the role's name.
        role: the role as it is stored; says what counts as a change of it.
        subject: the `sub` claim that a token must carry; "" binds nothing.
        audiences: audiences of which a token must name one; empty binds nothing here.
        leeways: the leeways in effect, in seconds.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def role(self) -> Stored: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def audiences(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def leeways(self) -> Leeways: ...  # noqa: D102


class Stored(Protocol):
    """A config or a role, which two byte strings in storage tell apart."""

    def to_stored(self) -> bytes:
        """Encode for storage."""


R = TypeVar("R", bound=LoginRole)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginContext:
    """What all logins of a mount use.

    Attributes:
        key_source: gives the key source of a configuration.
        waiting_room: where large logins wait for keys.
        clock: Unix seconds.
        providers: gives the provider of a configuration.
    """

    key_source: Callable[[Config], KeySource]
    waiting_room: WaitingRoom
    clock: Callable[[], float]
    providers: ConfiguredProvider


class Login(Generic[R]):
    """One login under one config and role, and what its checks have found so far.

    A login whose config or role changes while it waits starts again as a new `Login`.

    Attributes:
        context, config, role, request, data: what the login was begun with.
        position: the check to run next.
        token: the parsed token, set by `TOKEN_FORM`; None before.
        keys: the candidates to verify with; None until they are known.
        refetches: how many newer key sets this login has waited for.
        claims: the verified claims, set by `PAYLOAD`, or by a flow that brings them.
        audience: the audiences of the token; None without `aud`. Set by `CLAIM_TYPES`.
        dates: the dates of the token, set by `CLAIM_TYPES`.
        name, metadata, groups, policies, bound_cidrs: what a native role grants.
        enrichment: what asks the provider; None if there is none, or before it is asked.
        has_groups: whether the provider has been asked for groups.
        auth: what a CEL program grants; None before.
    """

    __slots__ = (
        "audience",
        "auth",
        "bound_cidrs",
        "claims",
        "config",
        "context",
        "data",
        "dates",
        "enrichment",
        "groups",
        "has_groups",
        "keys",
        "metadata",
        "name",
        "policies",
        "position",
        "refetches",
        "request",
        "role",
        "token",
    )

    token: UnverifiedToken
    claims: VerifiedClaims
    audience: list[str] | None
    dates: Dates
    name: str
    metadata: dict[str, str]
    groups: tuple[Any, ...]
    policies: tuple[str, ...]
    bound_cidrs: tuple[str, ...]

    def __init__(
        self, context: LoginContext, config: Config, role: R, request: Request, data: FieldData
    ) -> None:
        self.context = context
        self.config = config
        self.role = role
        self.request = request
        self.data = data
        self.position = 0
        self.keys: Sequence[VerificationKey] | None = None
        self.refetches = 0
        self.enrichment: Enrichment | None = None
        self.has_groups = False
        self.auth: Auth | None = None

    def is_under(self, config: Config, role: R) -> bool:
        """Return whether the login was begun with this config and this role.

        They are compared by their stored bytes: to Python 1 equals true.
        """
        return _is_same(self.config, config) and _is_same(self.role.role, role.role)


def _is_same(before: Stored, now: Stored) -> bool:
    return before is now or before.to_stored() == now.to_stored()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of a table of checks.

    Attributes:
        name: what messages and reports call it.
        run: checks; returns None, or an awaitable of what it lacks, and is then run again.
        codes: of the denials that it raises.
        parameters: of the config and the role that it looks at.
        claims: registered claims that it looks at. Claims that a parameter names are not listed.
    """

    name: str
    run: Callable[[Login[Any]], Awaitable[None] | None]
    codes: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


def walk(login: Login[Any], checks: Sequence[Check]) -> Awaitable[None] | None:
    """Run the checks that are left, in order.

    Returns:
        What the login has to wait for before it goes on; None if every check has passed.

    Raises:
        LoginDenied: A check refused the login.
        LogicalError: A check could not be made.
    """
    for position in range(login.position, len(checks)):
        pending = checks[position].run(login)
        if pending is not None:
            login.position = position
            return pending
    login.position = len(checks)
    return None


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
