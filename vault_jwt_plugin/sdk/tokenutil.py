"""The `token_*` parameters of a role, and their deprecated aliases.

Mirrors `sdk/helper/tokenutil/tokenutil.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.sdk.cidr import parse_cidrs
from vault_jwt_plugin.sdk.coercion import NS_PER_S
from vault_jwt_plugin.sdk.errors import UserError
from vault_jwt_plugin.sdk.fields import OPENBAO_ONLY, Field, FieldData, FieldType
from vault_jwt_plugin.sdk.request import Auth, TokenType
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_GROUP = "Tokens"

TOKEN_FIELDS: tuple[Field, ...] = (
    Field(
        name="token_bound_cidrs",
        type=FieldType.COMMA_STRINGS,
        description="CIDR blocks from which the token may be used, and a login may come. "
        "A comma-separated string or a list.",
        display_name="Generated Token's Bound CIDRs",
        display_group=_GROUP,
    ),
    Field(
        name="token_explicit_max_ttl",
        type=FieldType.DURATION,
        description="Maximum lifetime fixed into the token: a renewal can't pass it, and later "
        "changes of the role or the mount don't move it.",
        display_name="Generated Token's Explicit Maximum TTL",
        display_group=_GROUP,
    ),
    Field(
        name="token_max_ttl",
        type=FieldType.DURATION,
        description="Maximum lifetime of the token; 0 means the mount's.",
        display_name="Generated Token's Maximum TTL",
        display_group=_GROUP,
    ),
    Field(
        name="token_no_default_policy",
        type=FieldType.BOOL,
        description="Leave out the policy 'default', which every token gets otherwise.",
        display_name="Do Not Attach 'default' Policy To Generated Tokens",
        display_group=_GROUP,
    ),
    Field(
        name="token_period",
        type=FieldType.DURATION,
        description="Makes the token periodic: it has no maximum lifetime, and each renewal "
        "lasts this long.",
        display_name="Generated Token's Period",
        display_group=_GROUP,
    ),
    Field(
        name="token_policies",
        type=FieldType.COMMA_STRINGS,
        description="Policies of the token. A comma-separated string or a list.",
        display_name="Generated Token's Policies",
        display_group=_GROUP,
    ),
    Field(
        name="token_type",
        type=FieldType.STRING,
        default="default-service",
        description="'service', 'batch', or 'default' for what the mount says.",
        display_name="Generated Token's Type",
        display_group=_GROUP,
    ),
    Field(
        name="token_ttl",
        type=FieldType.DURATION,
        description="Lifetime of the token at login; 0 means the mount's default.",
        display_name="Generated Token's Initial TTL",
        display_group=_GROUP,
    ),
    Field(
        name="token_num_uses",
        type=FieldType.INT,
        description="How often the token may be used; 0 means without limit.",
        display_name="Maximum Uses of Generated Tokens",
        display_group=_GROUP,
    ),
    Field(
        name="token_strictly_bind_ip",
        type=FieldType.BOOL,
        description="Bind the token to the address that logged in.",
        display_name="Strictly Bind Generated Tokens to the Client's Address",
        display_group=_GROUP,
        hosts=OPENBAO_ONLY,
    ),
)
"""Every `token_*` parameter, in the framework's order."""

ALIASES: Mapping[str, str] = {
    "policies": "token_policies",
    "bound_cidrs": "token_bound_cidrs",
    "num_uses": "token_num_uses",
    "ttl": "token_ttl",
    "max_ttl": "token_max_ttl",
    "period": "token_period",
}
"""Deprecated parameter to the one that replaced it."""


def deprecation_text(replacement: str) -> str:
    """Description of a deprecated parameter (Go `DeprecationText`)."""
    return (
        f'Use "{replacement}" instead. If this and "{replacement}" are both specified, '
        f'only "{replacement}" will be used.'
    )


DEPRECATED_FIELDS: tuple[Field, ...] = tuple(
    Field(
        name=old,
        type=next(declared.type for declared in TOKEN_FIELDS if declared.name == new),
        description=deprecation_text(new),
        deprecated=True,
    )
    for old, new in ALIASES.items()
)
"""The deprecated aliases, same types as their replacements."""

_TYPE_OF_INPUT = {
    "": TokenType.DEFAULT,
    "default": TokenType.DEFAULT,
    "service": TokenType.SERVICE,
    "batch": TokenType.BATCH,
}

TOKEN_TYPE_NAMES: Mapping[TokenType, str] = {
    TokenType.DEFAULT: "default",
    TokenType.SERVICE: "service",
    TokenType.BATCH: "batch",
    TokenType.DEFAULT_SERVICE: "default-service",
    TokenType.DEFAULT_BATCH: "default-batch",
}
"""How a read spells a token type (SDK `TokenType.String`)."""

_TYPE_OF_NAME = {name: token_type for token_type, name in TOKEN_TYPE_NAMES.items()}


class TokenParamsError(UserError):
    """`token_*` parameters that don't go together."""

    code = "token_params_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenParams:
    """What a role says of its tokens (Go `TokenParams`). Durations are nanoseconds.

    `token_policies` and `token_bound_cidrs` are None where storage holds null;
    CIDRs are texts as `cidr.parse_cidrs` returns them.
    """

    token_policies: tuple[str, ...] | None = None
    token_bound_cidrs: tuple[str, ...] | None = None
    token_ttl: int = 0
    token_max_ttl: int = 0
    token_explicit_max_ttl: int = 0
    token_period: int = 0
    token_no_default_policy: bool = False
    token_num_uses: int = 0
    token_type: TokenType = TokenType.DEFAULT
    token_strictly_bind_ip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecatedParams:
    """Stored values of the deprecated aliases; zero and None: never given, or superseded."""

    policies: tuple[str, ...] | None = None
    bound_cidrs: tuple[str, ...] | None = None
    num_uses: int = 0
    ttl: int = 0
    max_ttl: int = 0
    period: int = 0


def token_type_of_input(text: str) -> TokenType:
    """A caller's `token_type`; the schema's own default, `default-service`, is not among them.

    Raises:
        TokenParamsError: another word.
    """
    try:
        return _TYPE_OF_INPUT[text]
    except KeyError:
        raise TokenParamsError(f"invalid 'token_type' value {quoted(text)}") from None


def token_type_of_stored(value: object) -> TokenType:
    """A stored `token_type`: a number, or the text of old versions.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, str):
        try:
            return _TYPE_OF_NAME[value or "default"]
        except KeyError:
            raise ValueError("stored token_type is no known word") from None
    if value is None:
        return TokenType.DEFAULT
    if isinstance(value, int):
        return TokenType(value)
    raise ValueError("stored token_type is neither number nor text")


def parse_token_fields(params: TokenParams, data: FieldData) -> TokenParams:
    """Overlay the `token_*` parameters that were sent, and check the result.

    Checks run in Go's order (`ParseTokenFields`); the first failure wins.

    Args:
        params: the stored values; what was not sent stays.
        data: what was sent; its fields must include those of `TOKEN_FIELDS` that it may hold.

    Raises:
        CIDRError: `token_bound_cidrs` holds no address.
        TokenParamsError: a value out of range, or values that don't go together.
    """
    changes: dict[str, Any] = {
        declared.name: data[declared.name]
        for declared in TOKEN_FIELDS
        if declared.name in data and declared.name != "token_type"
    }
    if "token_bound_cidrs" in changes:
        changes["token_bound_cidrs"] = parse_cidrs(changes["token_bound_cidrs"])
    params = replace(params, **changes)
    _check_lifetime_bounds(params)
    if "token_type" in data:
        params = replace(params, token_type=token_type_of_input(data["token_type"]))
    _check_rest(params)
    return params


def check_token_params(params: TokenParams) -> None:
    """The checks of `parse_token_fields` alone, for values that came another way.

    Raises:
        TokenParamsError: a value out of range, or values that don't go together.
    """
    _check_lifetime_bounds(params)
    _check_rest(params)


def _check_lifetime_bounds(params: TokenParams) -> None:
    if params.token_max_ttl < 0:
        raise TokenParamsError("'token_max_ttl' cannot be negative")
    if params.token_period < 0:
        raise TokenParamsError("'token_period' cannot be negative")


def _check_rest(params: TokenParams) -> None:
    if params.token_num_uses < 0:
        raise TokenParamsError("'token_num_uses' cannot be negative")
    if params.token_type in (TokenType.BATCH, TokenType.DEFAULT_BATCH):
        refused = "'token_type' cannot be 'batch' or 'default_batch' when set to generate "
        if params.token_period:
            raise TokenParamsError(refused + "periodic tokens")
        if params.token_num_uses:
            raise TokenParamsError(refused + "tokens with limited use count")
    if params.token_ttl < 0:
        raise TokenParamsError("'token_ttl' cannot be negative")
    if 0 < params.token_max_ttl < params.token_ttl:
        raise TokenParamsError("'token_ttl' cannot be greater than 'token_max_ttl'")
    if params.token_strictly_bind_ip and params.token_bound_cidrs:
        raise TokenParamsError(
            "'token_strictly_bind_ip' and 'token_bound_cidrs' cannot be used together"
        )


def apply_aliases(
    params: TokenParams, deprecated: DeprecatedParams, data: FieldData
) -> tuple[TokenParams, DeprecatedParams]:
    """Apply the deprecated aliases that were sent, then check the result again.

    Only the new one sent: the old stored value is cleared. Only the old one: both
    take it. Both: the new one wins and the old one takes its value. Neither:
    unchanged (Go `UpgradeValue`).

    Differs from Vault: the checks run again afterwards, so that an alias can't
    smuggle in what its replacement would be refused for.

    Args:
        params: after `parse_token_fields`.
        deprecated: the stored values of the aliases.
        data: what was sent.

    Raises:
        CIDRError: `bound_cidrs` holds no address.
        TokenParamsError: a value out of range, or values that don't go together.
    """
    new_changes: dict[str, Any] = {}
    old_changes: dict[str, Any] = {}
    for old, new in ALIASES.items():
        if new in data:
            old_changes[old] = getattr(params if old in data else _NO_PARAMS, new)
        elif old in data:
            value = data[old]
            if old == "bound_cidrs":
                value = parse_cidrs(value)
            elif old == "policies":
                value = sanitize_policies(value)
            new_changes[new] = old_changes[old] = value
    if not new_changes and not old_changes:
        return params, deprecated
    params = replace(params, **new_changes)
    check_token_params(params)
    return params, replace(deprecated, **old_changes)


_NO_PARAMS = TokenParams()


def sanitize_policies(policies: Iterable[str]) -> tuple[str, ...]:
    """Policies lowercased, trimmed, without empty and repeated ones, sorted; `root` alone if among.

    Mirrors `policyutil.ParsePolicies` for a list.
    """
    names = {policy.strip().lower() for policy in policies} - {""}
    return ("root",) if "root" in names else tuple(sorted(names))


def upgrade_loaded(params: TokenParams, deprecated: DeprecatedParams) -> TokenParams:
    """Values just loaded: an empty `token_*` takes the stored value of its old alias."""
    changes = {
        new: getattr(deprecated, old)
        for old, new in ALIASES.items()
        if not getattr(params, new) and getattr(deprecated, old)
    }
    return replace(params, **changes) if changes else params


def read_token_params(params: TokenParams) -> dict[str, Any]:
    """The `token_*` parameters as a read returns them (Go `PopulateTokenData`).

    Durations are whole seconds, absent lists `[]`. `token_strictly_bind_ip` is included.
    """
    return {
        "token_bound_cidrs": list(params.token_bound_cidrs or ()),
        "token_explicit_max_ttl": params.token_explicit_max_ttl // NS_PER_S,
        "token_max_ttl": params.token_max_ttl // NS_PER_S,
        "token_no_default_policy": params.token_no_default_policy,
        "token_num_uses": params.token_num_uses,
        "token_period": params.token_period // NS_PER_S,
        "token_policies": list(params.token_policies or ()),
        "token_strictly_bind_ip": params.token_strictly_bind_ip,
        "token_ttl": params.token_ttl // NS_PER_S,
        "token_type": TOKEN_TYPE_NAMES[params.token_type],
    }


def read_deprecated(params: TokenParams, deprecated: DeprecatedParams) -> dict[str, Any]:
    """The aliases as a read returns them: only those whose stored value is set.

    `policies` and `bound_cidrs` echo their replacements, the others the stored number.
    """
    read: dict[str, Any] = {}
    if deprecated.policies:
        read["policies"] = list(params.token_policies or ())
    if deprecated.bound_cidrs:
        read["bound_cidrs"] = list(params.token_bound_cidrs or ())
    if deprecated.num_uses:
        read["num_uses"] = deprecated.num_uses
    for name in ("ttl", "max_ttl", "period"):
        if value := getattr(deprecated, name):
            read[name] = value // NS_PER_S
    return read


def token_auth(params: TokenParams) -> Auth:
    """An Auth with what the parameters say, renewable (Go `PopulateTokenAuth`)."""
    return Auth(
        policies=params.token_policies or (),
        renewable=True,
        ttl_ns=params.token_ttl,
        max_ttl_ns=params.token_max_ttl,
        period_ns=params.token_period,
        explicit_max_ttl_ns=params.token_explicit_max_ttl,
        num_uses=params.token_num_uses,
        token_type=params.token_type,
        no_default_policy=params.token_no_default_policy,
        bound_cidrs=params.token_bound_cidrs or (),
    )
