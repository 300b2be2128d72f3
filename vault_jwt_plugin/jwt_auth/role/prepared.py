"""A native role in the form that logins use, compiled once per cached role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.claims.bound_claims import BoundClaim, compile_bound_claims
from vault_jwt_plugin.jwt_auth.claims.dates import Leeways
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.role.role import Role, StoredRoleError
from vault_jwt_plugin.sdk import CIDRError, UserError
from vault_jwt_plugin.sdk.cidr import CIDRSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.policies.templates import PolicyTemplates


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRole:
    """A native role, compiled for logins.

    Attributes:
        name: the role's name.
        role: the role as it is stored.
        cidrs: client addresses that may log in; None allows any.
        subject: the `sub` claim that a token must carry; "" binds nothing.
        audiences: audiences of which a token must name one; empty if it must name none.
        leeways: the leeways in effect, in seconds.
        user_claim, groups_claim, mappings, bound_claims: compiled.
        auth_fields: the parts of `Auth` that are the same for every login with the role.
        templates: makes the policies from the claims; None if policies are not templates.
    """

    name: str
    role: Role
    cidrs: CIDRSet | None
    subject: str
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
            CIDRError: A stored address cannot be read.
            TemplateSyntaxError: A stored policy template cannot be read.
        """
        return cls(
            name=name,
            role=role,
            cidrs=CIDRSet.of(role.token_bound_cidrs) if role.token_bound_cidrs else None,
            subject=role.bound_subject,
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

    @classmethod
    def from_stored(cls, name: str, raw: bytes) -> PreparedRole:
        """Decode and compile what is stored under a role's name.

        Raises:
            StoredRoleError: It cannot be read. HTTP 500, as in Go, since the request is right.
        """
        role = Role.from_stored(name, raw)
        try:
            return cls.of(name, role)
        except CIDRError as error:
            # The error's text holds the value, which the caller of a login must not see.
            raise StoredRoleError(
                name, "'token_bound_cidrs' holds something that is not an address"
            ) from error
        except UserError as error:
            raise StoredRoleError(name, error.message) from error


def _templates(role: Role) -> PolicyTemplates | None:
    if not role.token_policies_template_claims:
        return None
    from vault_jwt_plugin.jwt_auth.policies.templates import PolicyTemplates

    return PolicyTemplates.parse(role.token_policies or ())
