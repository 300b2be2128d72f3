"""A role: what a token must be, and what a login with it grants.

The stored form is the Go methods' own (`jwtRole` in `path_role.go` of both), so
that a mount can be taken over in place and handed back: their keys, durations in
nanoseconds, nulls, and every member that we don't know.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.role.fields import ROLE_FIELDS
from vault_jwt_plugin.sdk import (
    ALIASES,
    DeprecatedParams,
    FieldError,
    InternalError,
    TokenParams,
    TokenType,
    jsonutil,
    quoted,
    read_deprecated,
    read_token_params,
    token_type_of_stored,
    upgrade_loaded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE_PREFIX = "role/"

# The attributes that `sdk.tokenutil` handles as a group.
_TOKEN_NAMES = tuple(each.name for each in fields(TokenParams))

_UPGRADES = (("role_type", "jwt"), ("bound_claims_type", "string"), ("callback_mode", "client"))


class StoredRoleError(InternalError):
    """What is stored as a role can't be understood: HTTP 500, as in Go.

    The text names the role and says what is wrong: whoever logs in reads it, so never a value.

    Attributes:
        name: the role's.
        problem: what is wrong with it.
    """

    code = "stored_role_invalid"

    def __init__(self, name: str, problem: str, *, kind: str = "role") -> None:
        super().__init__(f"stored {kind} {quoted(name)}: {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One role, both Go methods' parameters; attribute names are the parameters'.

    Durations are nanoseconds. In lists and maps None is a stored null: never set.
    Numbers in `bound_claims` are as JSON gave them: `int`, or `Decimal` with every
    digit. `extra` holds the stored members that are none of ours.
    """

    role_type: str = ""
    expiration_leeway: int = 0
    not_before_leeway: int = 0
    clock_skew_leeway: int = 0
    bound_audiences: tuple[str, ...] | None = None
    bound_subject: str = ""
    bound_claims_type: str = ""
    bound_claims: Mapping[str, Any] | None = None
    claim_mappings: Mapping[str, str] | None = None
    user_claim: str = ""
    user_claim_json_pointer: bool = False
    groups_claim: str = ""
    alias_metadata: Mapping[str, str] | None = None
    oidc_scopes: tuple[str, ...] | None = None
    allowed_redirect_uris: tuple[str, ...] | None = None
    callback_mode: str = ""
    poll_interval: int = 0
    oidc_disable_confirmation: bool = False
    oauth2_metadata: tuple[str, ...] | None = None
    verbose_oidc_logging: bool = False
    max_age: int = 0
    token_policies_template_claims: bool = False
    # Deprecated: the stored old values, kept as Go keeps them.
    policies: tuple[str, ...] | None = None
    num_uses: int = 0
    ttl: int = 0
    max_ttl: int = 0
    period: int = 0
    bound_cidrs: tuple[str, ...] | None = None
    token_bound_cidrs: tuple[str, ...] | None = None
    token_explicit_max_ttl: int = 0
    token_max_ttl: int = 0
    token_no_default_policy: bool = False
    token_num_uses: int = 0
    token_period: int = 0
    token_policies: tuple[str, ...] | None = None
    token_strictly_bind_ip: bool = False
    token_ttl: int = 0
    token_type: TokenType = TokenType.DEFAULT
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, name: str, raw: bytes) -> Role:
        """Decode a stored role of either Go method or of ours, and upgrade it.

        Args:
            name: the role's, for errors.
            raw: the stored value.

        Raises:
            StoredRoleError: no JSON object, or a member of another kind than it should be.
        """
        members = _object(name, raw)
        values: dict[str, Any] = {}
        for declared in ROLE_FIELDS:
            member = declared.name
            if member not in members:
                continue
            stored = members.pop(member)
            try:
                values[member] = (
                    token_type_of_stored(stored)
                    if member == "token_type"
                    else declared.from_stored(stored)
                )
            except FieldError as error:
                raise StoredRoleError(
                    name, f"{member!r} should be {error.expected}, is {error.received}"
                ) from None
            except ValueError:
                raise StoredRoleError(name, "'token_type' is no token type") from None
        # What older versions did not store (`role` in `path_role.go`).
        for member, default in _UPGRADES:
            values[member] = values.get(member) or default
        role = cls(**values, extra=members)
        return role.with_token_params(upgrade_loaded(role.token_params(), role.deprecated()))

    def to_stored(self) -> bytes:
        """Encode for storage: every member, ours and unknown ones."""
        members: dict[str, Any] = {
            declared.name: declared.stored(getattr(self, declared.name)) for declared in ROLE_FIELDS
        }
        members.update((name, self.extra[name]) for name in self.extra if name not in members)
        return jsonutil.dumps(members).encode()

    def read_data(self) -> dict[str, Any]:
        """What reading the role returns (`pathRoleRead` of both, and `PopulateTokenData`)."""
        data = {
            declared.name: declared.read(getattr(self, declared.name)) for declared in ROLE_FIELDS
        }
        data["alias_metadata"] = data["alias_metadata"] or {}
        if self.poll_interval <= 0:
            del data["poll_interval"]
        for name in ALIASES:
            del data[name]
        data |= read_deprecated(self.token_params(), self.deprecated())
        return data | read_token_params(self.token_params())

    def token_params(self) -> TokenParams:
        """The `token_*` parameters as the SDK's group."""
        return TokenParams(**{name: getattr(self, name) for name in _TOKEN_NAMES})

    def deprecated(self) -> DeprecatedParams:
        """The stored values of the deprecated aliases as the SDK's group."""
        return DeprecatedParams(**{name: getattr(self, name) for name in ALIASES})

    def with_token_params(
        self, params: TokenParams, deprecated: DeprecatedParams | None = None
    ) -> Role:
        """The role with these `token_*` parameters; aliases stay when None."""
        changes = {name: getattr(params, name) for name in _TOKEN_NAMES}
        if deprecated is not None:
            changes |= {name: getattr(deprecated, name) for name in ALIASES}
        return replace(self, **changes)


def _object(name: str, raw: bytes) -> dict[str, Any]:
    try:
        members = jsonutil.loads(raw)
    except jsonutil.JSONError as error:
        raise StoredRoleError(name, str(error)) from None
    if not isinstance(members, dict):
        raise StoredRoleError(name, "no JSON object")
    return members
