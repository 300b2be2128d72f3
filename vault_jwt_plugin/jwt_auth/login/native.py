"""Logins with a native role: the checks beside those of every token, and what they grant.

Mirrors `pathLogin` and `createIdentity` in `path_login.go` of both Go methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from vault_jwt_plugin.jwt_auth.claims.identity import alias_name, group_aliases, mapped_metadata
from vault_jwt_plugin.jwt_auth.claims.registered_claims import check_unbound_audience
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, LoginForbidden
from vault_jwt_plugin.jwt_auth.login.check import Check, Login
from vault_jwt_plugin.jwt_auth.login.pipeline import TOKEN_PRESENT, VERIFY
from vault_jwt_plugin.jwt_auth.providers import Enrichment
from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
from vault_jwt_plugin.sdk.request import Alias, Auth

if TYPE_CHECKING:
    from collections.abc import Awaitable

NativeLogin: TypeAlias = Login[PreparedRole]


def _role_type(login: NativeLogin) -> None:
    # A role that was stored without a type is a `jwt` role by now.
    if login.role.role.role_type == "oidc":
        raise LoginDenied(
            "role_type",
            "role with oidc role_type is not allowed; write it again with role_type=jwt",
        )


def _client_address(login: NativeLogin) -> None:
    cidrs = login.role.cidrs
    if cidrs is None:
        return
    connection = login.request.connection
    # Hosts send alias lookaheads without a connection, so those fail too, as in Go.
    if connection is None or not cidrs.allows(connection.remote_addr):
        raise LoginForbidden("the client's address is not one of the role's token_bound_cidrs")


def _unbound_audience(login: NativeLogin) -> None:
    check_unbound_audience(login.audience, login.role.audiences)


def _user_claim(login: NativeLogin) -> None:
    login.name = alias_name(login.claims, login.role.user_claim)


def _user_info(login: NativeLogin) -> Awaitable[None] | None:
    # The bearer's name stands before a provider is asked, which cannot change it.
    if login.enrichment is not None or not login.config.provider_config:
        return None
    provider = login.context.providers.of(login.config)
    if provider is None:
        return None
    login.enrichment = Enrichment(
        provider,
        user_claim=login.role.role.user_claim,
        groups_claim=login.role.groups_claim,
        access_token=login.data["distributed_claim_access_token"],
    )
    return _fetch_user_info(login, login.enrichment)


async def _fetch_user_info(login: NativeLogin, enrichment: Enrichment) -> None:
    login.claims = await enrichment.with_user_info(login.claims)


def _metadata(login: NativeLogin) -> None:
    login.metadata = mapped_metadata(login.claims, login.role.mappings, login.role.name)


def _provider_groups(login: NativeLogin) -> Awaitable[None] | None:
    # Metadata is mapped before groups are fetched, which cannot change it.
    if login.enrichment is None or login.has_groups:
        return None
    login.has_groups = True
    return _fetch_groups(login, login.enrichment)


async def _fetch_groups(login: NativeLogin, enrichment: Enrichment) -> None:
    login.claims = await enrichment.with_groups(login.claims)


def _groups(login: NativeLogin) -> None:
    login.groups = group_aliases(login.claims, login.role.groups_claim)


def _bound_claims(login: NativeLogin) -> None:
    for bound in login.role.bound_claims:
        bound.check(login.claims)


def _policies(login: NativeLogin) -> None:
    templates = login.role.templates
    if templates is None:
        login.policies = login.role.role.token_policies or ()
    else:
        login.policies = templates.render(login.claims)


def _token_address(login: NativeLogin) -> None:
    role = login.role.role
    connection = login.request.connection
    if not role.token_strictly_bind_ip:
        login.bound_cidrs = role.token_bound_cidrs or ()
    elif connection is None:
        # Differs from OpenBao, which crashes.
        raise LoginForbidden("token_strictly_bind_ip needs the client's address")
    else:
        login.bound_cidrs = (connection.remote_addr,)


_PROVIDER_CODES = (
    "provider_invalid",
    "provider_user_id",
    "provider_answer",
    "provider_access_token",
    "provider_claim_source",
    "provider_endpoint",
    "provider_group_name",
    "provider_next_page",
    "provider_too_many_groups",
    "provider_too_many_pages",
)
"""Besides `provider_` and the code of each `FetchError`, for a call that failed."""

GRANT = (
    Check(
        name="user claim",
        run=_user_claim,
        codes=("user_claim_missing", "user_claim_type", "user_claim_empty"),
        parameters=("user_claim", "user_claim_json_pointer"),
    ),
    Check(
        name="user info",
        run=_user_info,
        codes=_PROVIDER_CODES,
        parameters=("provider_config", "user_claim"),
    ),
    Check(
        name="claim mappings",
        run=_metadata,
        codes=("mapped_claim_type",),
        parameters=("claim_mappings",),
    ),
    Check(
        name="provider's groups",
        run=_provider_groups,
        codes=_PROVIDER_CODES,
        parameters=("provider_config", "groups_claim"),
    ),
    Check(
        name="groups claim",
        run=_groups,
        codes=("groups_claim_missing", "groups_claim_type"),
        parameters=("groups_claim",),
    ),
    Check(
        name="bound claims",
        run=_bound_claims,
        codes=(
            "bound_claim_invalid",
            "bound_claim_missing",
            "bound_claim_type",
            "bound_claim_too_large",
            "bound_claim_mismatch",
        ),
        parameters=("bound_claims", "bound_claims_type"),
    ),
    Check(
        name="policies",
        run=_policies,
        codes=("policy_template_claim_missing", "policy_name_refused", "policy_template_failed"),
        parameters=("token_policies", "token_policies_template_claims"),
    ),
    Check(
        name="token address",
        run=_token_address,
        codes=("address_forbidden",),
        parameters=("token_bound_cidrs", "token_strictly_bind_ip"),
    ),
)
"""What a login with verified claims still has to pass, wherever the claims come from."""

CHECKS = (
    Check(name="role type", run=_role_type, codes=("role_type",), parameters=("role_type",)),
    TOKEN_PRESENT,
    Check(
        name="client address",
        run=_client_address,
        codes=("address_forbidden",),
        parameters=("token_bound_cidrs",),
    ),
    *VERIFY,
    Check(
        name="unbound audience",
        run=_unbound_audience,
        codes=("audience_unbound",),
        parameters=("bound_audiences",),
        claims=("aud",),
    ),
    *GRANT,
)
"""Every check of a login with a token and a native role."""


def grant(login: NativeLogin) -> Auth:
    """Return what a login that has passed every check gets."""
    return Auth(
        **login.role.auth_fields,
        policies=login.policies,
        display_name=login.name,
        metadata=login.metadata,
        alias=Alias(
            name=login.name,
            metadata=login.metadata,
            custom_metadata=login.role.role.alias_metadata or {},
        ),
        group_aliases=login.groups,
        bound_cidrs=login.bound_cidrs,
    )
