"""A login as a pipeline of named checks, in the order of the Go methods.

Each check is a small function over explicit inputs that returns its evidence or
raises `LoginDenied` with a stable code. The order is that of `path_login.go`:

    open_token    role type, token there, client's address, form, header
    verify        algorithm, signature, claim names and types, issuer, subject,
                  audience, time, unbound audience
    grant         user claim, metadata, groups, bound claims, policies

With a provider, `grant_enriched` takes the place of `grant`. Logins with a CEL role
use `verify_claims`, which is most of `verify`: a rule enforced on one path and
forgotten on another is how most CVEs of this method came about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.claims.bound_claims import BoundClaim, compile_bound_claims
from vault_jwt_plugin.jwt_auth.claims.dates import Dates, Leeways, check_time
from vault_jwt_plugin.jwt_auth.claims.identity import alias_name, group_aliases, mapped_metadata
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.claims.registered_claims import (
    check_bound_audience,
    check_claim_names,
    check_issuer,
    check_registered_types,
    check_subject,
    check_unbound_audience,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, LoginForbidden
from vault_jwt_plugin.jwt_auth.jose.jws import (
    ALGORITHMS,
    UnverifiedToken,
    VerifiedClaims,
    decode_claims,
    parse,
)
from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey, verify_signature
from vault_jwt_plugin.sdk.cidr import CIDRSet
from vault_jwt_plugin.sdk.request import Alias, Auth, Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.policies.templates import PolicyTemplates
    from vault_jwt_plugin.jwt_auth.providers import Enrichment
    from vault_jwt_plugin.jwt_auth.role.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRole:
    """A role, compiled for logins: built once, then only read.

    Attributes:
        name: of the role.
        role: as stored.
        cidrs: client addresses that may log in; None = any.
        audiences: of which a token must name one; empty = it must name none.
        leeways: in effect, in seconds.
        user_claim, groups_claim, mappings, bound_claims: compiled.
        auth_fields: what every login with the role grants alike.
        templates: makes the policies from the claims; None where they are as written.
    """

    name: str
    role: Role
    cidrs: CIDRSet | None
    audiences: frozenset[str]
    leeways: Leeways
    user_claim: ClaimPath
    groups_claim: ClaimPath | None
    mappings: tuple[tuple[ClaimPath, str], ...]
    bound_claims: tuple[BoundClaim, ...]
    auth_fields: Mapping[str, Any]
    templates: PolicyTemplates | None

    @classmethod
    def of(cls, name: str, role: Role) -> PreparedRole:
        """Compile a role.

        Raises:
            CIDRError: stored addresses that can't be read.
            TemplateSyntaxError: stored policy templates that can't be read.
        """
        return cls(
            name=name,
            role=role,
            cidrs=CIDRSet.of(role.token_bound_cidrs) if role.token_bound_cidrs else None,
            audiences=frozenset(role.bound_audiences or ()),
            leeways=Leeways.of(
                expiration_ns=role.expiration_leeway,
                not_before_ns=role.not_before_leeway,
                clock_skew_ns=role.clock_skew_leeway,
            ),
            user_claim=ClaimPath.of(role.user_claim, pointer=role.user_claim_json_pointer),
            groups_claim=ClaimPath.of(role.groups_claim) if role.groups_claim else None,
            mappings=tuple(
                (ClaimPath.of(claim), key) for claim, key in (role.claim_mappings or {}).items()
            ),
            bound_claims=compile_bound_claims(role.bound_claims, role.bound_claims_type),
            auth_fields={
                "internal_data": {"role": name, "role_type": "native"},
                "renewable": True,
                "ttl_ns": role.token_ttl,
                "max_ttl_ns": role.token_max_ttl,
                "period_ns": role.token_period,
                "explicit_max_ttl_ns": role.token_explicit_max_ttl,
                "num_uses": role.token_num_uses,
                "token_type": role.token_type,
                "no_default_policy": role.token_no_default_policy,
            },
            templates=_templates(role),
        )


def _templates(role: Role) -> PolicyTemplates | None:
    if not role.token_policies_template_claims:
        return None
    from vault_jwt_plugin.jwt_auth.policies.templates import PolicyTemplates

    return PolicyTemplates.parse(role.token_policies or ())


def named_role(config: Config, sent: str) -> str:
    """The name of the role that a login asks for, or else of the configuration's default one.

    Raises:
        LoginDenied: `role_missing`.
    """
    name = sent or config.default_role
    if not name:
        raise LoginDenied("role_missing", "missing role")
    return name


def open_token(
    compact: str, prepared: PreparedRole, connection: Connection | None
) -> UnverifiedToken:
    """The checks that need no key: role type, token there, client's address, form, header.

    Raises:
        LoginDenied: a check said no.
        LoginForbidden: the client's address is not allowed.
    """
    check_role_type(prepared)
    check_token_sent(compact)
    check_connection(prepared, connection)
    return parse(compact)


def verify(
    token: UnverifiedToken,
    prepared: PreparedRole,
    config: Config,
    keys: Sequence[VerificationKey],
    now: float,
) -> VerifiedClaims:
    """The checks that make a token's claims true: algorithm, signature, registered claims, time.

    Raises:
        LoginDenied: a check said no.
    """
    claims, audience = verify_claims(
        token,
        config,
        keys,
        now,
        subject=prepared.role.bound_subject,
        audiences=prepared.audiences,
        leeways=prepared.leeways,
    )
    check_unbound_audience(audience, prepared.audiences)
    return claims


def verify_claims(
    token: UnverifiedToken,
    config: Config,
    keys: Sequence[VerificationKey],
    now: float,
    *,
    subject: str,
    audiences: frozenset[str],
    leeways: Leeways,
) -> tuple[VerifiedClaims, list[str] | None]:
    """What native and CEL roles ask of a token alike, whatever else they look at.

    Args:
        token: opened.
        config: of the mount.
        keys: candidates for the token's header, all of which may be tried.
        now: Unix seconds.
        subject: which `sub` must be; "" binds nothing.
        audiences: of which `aud` must name one; empty binds nothing.
        leeways: of the role.

    Returns:
        The claims, and the audiences among them; None without `aud`.

    Raises:
        LoginDenied: a check said no.
    """
    # Go looks at the algorithm after the signature. Before it, a token that could never pass
    # triggers no fetch of keys; both have to say yes either way.
    check_algorithm(token, config.jwt_supported_algs)
    verify_signature(token, keys)
    claims = decode_claims(token.unverified_payload)
    check_claim_names(claims)
    audience = check_registered_types(claims)
    dates = Dates.of(claims)
    check_issuer(claims, config.bound_issuer)
    check_subject(claims, subject)
    check_bound_audience(audience, audiences)
    check_time(dates, leeways, now)
    return claims, audience


def grant(claims: VerifiedClaims, prepared: PreparedRole, connection: Connection | None) -> Auth:
    """The checks that need the claims, and what they grant.

    Raises:
        LoginDenied: a check said no.
        TemplateError: as `granted_policies`.
        LoginForbidden: the token must be bound to an address, and the host gave none.
    """
    name = alias_name(claims, prepared.user_claim)
    metadata = mapped_metadata(claims, prepared.mappings, prepared.name)
    return _granted(claims, prepared, connection, name, metadata)


async def grant_enriched(
    claims: VerifiedClaims,
    prepared: PreparedRole,
    connection: Connection | None,
    enrichment: Enrichment,
) -> Auth:
    """As `grant`, with what a provider adds to the claims.

    In the order of `createIdentity` in `path_login.go`: who the bearer is stands before a
    provider is asked, and what is mapped before groups are; neither can be changed by them.

    Raises:
        LoginDenied: a check said no, or the provider can't say what it should.
        TemplateError, LoginForbidden: as `grant`.
    """
    name = alias_name(claims, prepared.user_claim)
    claims = await enrichment.with_user_info(claims)
    metadata = mapped_metadata(claims, prepared.mappings, prepared.name)
    claims = await enrichment.with_groups(claims)
    return _granted(claims, prepared, connection, name, metadata)


def _granted(
    claims: VerifiedClaims,
    prepared: PreparedRole,
    connection: Connection | None,
    name: str,
    metadata: dict[str, str],
) -> Auth:
    groups = group_aliases(claims, prepared.groups_claim)
    for bound in prepared.bound_claims:
        bound.check(claims)
    role = prepared.role
    return Auth(
        **prepared.auth_fields,
        policies=granted_policies(claims, prepared),
        display_name=name,
        metadata=metadata,
        alias=Alias(name=name, metadata=metadata, custom_metadata=role.alias_metadata or {}),
        group_aliases=groups,
        bound_cidrs=token_cidrs(role, connection),
    )


def check_role_type(prepared: PreparedRole) -> None:
    """A role for the OIDC flow gives no token for a JWT; a missing type is `jwt` by now.

    Raises:
        LoginDenied: `role_type`.
    """
    if prepared.role.role_type == "oidc":
        raise LoginDenied("role_type", "role with oidc role_type is not allowed")


def check_token_sent(compact: str) -> None:
    """There is a token.

    Raises:
        LoginDenied: `token_missing`.
    """
    if not compact:
        raise LoginDenied("token_missing", "missing token")


def check_connection(prepared: PreparedRole, connection: Connection | None) -> None:
    """The client's address is one of the role's, if the role names any.

    Hosts send alias lookaheads without a connection, so those fail too, as in Go.

    Raises:
        LoginForbidden: it is not, or the host did not say.
    """
    if prepared.cidrs is None:
        return
    if connection is None or not prepared.cidrs.allows(connection.remote_addr):
        raise LoginForbidden("the client's address is not one of the role's token_bound_cidrs")


def check_algorithm(token: UnverifiedToken, allowed: Sequence[str] | None) -> None:
    """The header's algorithm is one that the configuration allows; none named means all ten.

    Raises:
        LoginDenied: `algorithm_not_allowed`.
    """
    if token.header.alg not in (allowed or ALGORITHMS):
        raise LoginDenied(
            "algorithm_not_allowed",
            f"the token's algorithm {token.header.alg} is not one of jwt_supported_algs",
        )


def granted_policies(claims: VerifiedClaims, prepared: PreparedRole) -> tuple[str, ...]:
    """The role's policies, or what its templates make of the claims.

    Raises:
        TemplateError: a template can't be evaluated, or gives what may not be a policy's name.
    """
    if prepared.templates is None:
        return prepared.role.token_policies or ()
    return prepared.templates.render(claims)


def token_cidrs(role: Role, connection: Connection | None) -> tuple[str, ...]:
    """Addresses that the token may be used from; empty = any.

    Raises:
        LoginForbidden: `token_strictly_bind_ip` is set and the host named no client.
            Differs from OpenBao, which crashes.
    """
    if not role.token_strictly_bind_ip:
        return role.token_bound_cidrs or ()
    if connection is None:
        raise LoginForbidden("token_strictly_bind_ip needs the client's address")
    return (connection.remote_addr,)
