"""The `token_*` parameters of a role, and their deprecated aliases.

Mirrors `sdk/helper/tokenutil/tokenutil.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from vault_jwt_plugin.sdk.cidr import parse_cidrs
from vault_jwt_plugin.sdk.errors import UserError
from vault_jwt_plugin.sdk.fields import OPENBAO_ONLY, FieldData, FieldType
from vault_jwt_plugin.sdk.parameters import (
    KEEP,
    StoredFormError,
    changes,
    fields_of,
    own_fields_of,
    parameter,
    read_back,
)
from vault_jwt_plugin.sdk.request import Auth, TokenType
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

P = TypeVar("P", bound="TokenParams")
A = TypeVar("A", bound="AliasedTokenParams")

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


def token_type_of_input(text: str) -> TokenType:
    """Read a caller's `token_type`; the field's own default, `default-service`, is refused.

    Raises:
        TokenParamsError: another word.
    """
    try:
        return _TYPE_OF_INPUT[text]
    except KeyError:
        raise TokenParamsError(
            f"invalid 'token_type' value {quoted(text)}; allowed are 'default', 'service' and "
            "'batch'"
        ) from None


def token_type_of_stored(value: object) -> TokenType:
    """Return a stored `token_type`: a number, or a word of old versions.

    Raises:
        StoredFormError: it is neither; the text reads on after the parameter's name.
    """
    if value is None or value == "":
        return TokenType.DEFAULT
    if isinstance(value, str) and value in _TYPE_OF_NAME:
        return _TYPE_OF_NAME[value]
    if isinstance(value, int) and value in tuple(TokenType):
        return TokenType(value)
    raise StoredFormError("is no token type")


def _token(type_: FieldType, display_name: str, description: str, **details: Any) -> Any:
    return parameter(
        type_, KEEP, description, display_name=display_name, display_group="Tokens", **details
    )


def _alias(type_: FieldType, replacement: str, **details: Any) -> Any:
    """Declare the deprecated alias of a parameter (Go `DeprecationText`)."""
    description = (
        f'Use "{replacement}" instead. If this and "{replacement}" are both specified, '
        f'only "{replacement}" will be used.'
    )
    return parameter(
        type_,
        KEEP,
        description,
        deprecated=True,
        alias_of=replacement,
        shown_if=bool,
        **details,
    )


def _listed(value: Iterable[str] | None) -> list[str]:
    return list(value or ())


def sanitize_policies(policies: Iterable[str]) -> tuple[str, ...]:
    """Lowercase, trim and sort policies, each once and none empty; `root` stands alone.

    Mirrors `policyutil.ParsePolicies` for a list.
    """
    names = {policy.strip().lower() for policy in policies} - {""}
    return ("root",) if "root" in names else tuple(sorted(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenParams:
    """What a role says of its tokens (Go `TokenParams`), in the framework's order.

    Durations are nanoseconds. The lists are None where storage holds null; CIDRs are as
    `cidr.parse_cidrs` returns them.
    """

    token_bound_cidrs: tuple[str, ...] | None = _token(
        FieldType.COMMA_STRINGS,
        "Generated Token's Bound CIDRs",
        "CIDR blocks from which the token may be used, and a login may come. "
        "A comma-separated string or a list.",
        parse=parse_cidrs,
        show=_listed,
    )
    token_explicit_max_ttl: int = _token(
        FieldType.DURATION,
        "Generated Token's Explicit Maximum TTL",
        "Maximum lifetime fixed into the token: a renewal can't pass it, and later "
        "changes of the role or the mount don't move it.",
    )
    token_max_ttl: int = _token(
        FieldType.DURATION,
        "Generated Token's Maximum TTL",
        "Maximum lifetime of the token; 0 means the mount's.",
    )
    token_no_default_policy: bool = _token(
        FieldType.BOOL,
        "Do Not Attach 'default' Policy To Generated Tokens",
        "Leave out the policy 'default', which every token gets otherwise.",
    )
    token_period: int = _token(
        FieldType.DURATION,
        "Generated Token's Period",
        "Makes the token periodic: it has no maximum lifetime, and each renewal lasts this long.",
    )
    token_policies: tuple[str, ...] | None = _token(
        FieldType.COMMA_STRINGS,
        "Generated Token's Policies",
        "Policies of the token. A comma-separated string or a list.",
        show=_listed,
    )
    token_type: TokenType = _token(  # noqa: RUF009 - it declares a dataclass field
        FieldType.STRING,
        "Generated Token's Type",
        "'service', 'batch', or 'default' for what the mount says.",
        default="default-service",
        initial=TokenType.DEFAULT,
        decode=token_type_of_stored,
        show=TOKEN_TYPE_NAMES.__getitem__,
    )
    token_ttl: int = _token(
        FieldType.DURATION,
        "Generated Token's Initial TTL",
        "Lifetime of the token at login; 0 means the mount's default.",
    )
    token_num_uses: int = _token(
        FieldType.INT,
        "Maximum Uses of Generated Tokens",
        "How often the token may be used; 0 means without limit.",
    )
    token_strictly_bind_ip: bool = _token(
        FieldType.BOOL,
        "Strictly bind to the source IP address",
        "Bind the token to the address that logged in.",
        hosts=OPENBAO_ONLY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasedTokenParams(TokenParams):
    """Token parameters and the stored values of their deprecated aliases.

    An alias is zero or None where it was never given, or is superseded.
    """

    policies: tuple[str, ...] | None = _alias(
        FieldType.COMMA_STRINGS, "token_policies", parse=sanitize_policies
    )
    bound_cidrs: tuple[str, ...] | None = _alias(
        FieldType.COMMA_STRINGS, "token_bound_cidrs", parse=parse_cidrs
    )
    num_uses: int = _alias(FieldType.INT, "token_num_uses")
    ttl: int = _alias(FieldType.DURATION, "token_ttl")
    max_ttl: int = _alias(FieldType.DURATION, "token_max_ttl")
    period: int = _alias(FieldType.DURATION, "token_period")


TOKEN_FIELDS = fields_of(TokenParams)
"""Every `token_*` parameter, in the framework's order."""

ALIASES: Mapping[str, str] = {
    each.name: each.alias_of for each in own_fields_of(AliasedTokenParams)
}
"""Deprecated parameter to the one that replaced it."""

_UNSET = TokenParams()


def parse_token_fields(params: P, data: FieldData) -> P:
    """Overlay the `token_*` parameters that were sent, and check the result.

    Checks run in Go's order (`ParseTokenFields`); the first failure wins.

    Args:
        params: the stored values; what was not sent stays.
        data: its fields must include those of `TOKEN_FIELDS` that it may hold.

    Raises:
        CIDRError: `token_bound_cidrs` holds no address.
        TokenParamsError: a value is out of range, or values don't go together.
    """
    sent = changes(TokenParams, data)
    token_type = sent.pop("token_type", None)
    params = replace(params, **sent)
    _check_lifetime_bounds(params)
    if token_type is not None:
        params = replace(params, token_type=token_type_of_input(token_type))
    _check_rest(params)
    return params


def check_token_params(params: TokenParams) -> None:
    """Check values as `parse_token_fields` does.

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


def apply_aliases(params: A, data: FieldData) -> A:
    """Apply the deprecated aliases that were sent, then check the result again.

    If only the new parameter is sent, the stored value of the alias is cleared. If only the
    alias is sent, both take its value. If both are sent, the new one wins and the alias
    takes its value. Otherwise nothing changes (Go `UpgradeValue`).

    Differs from Vault: the checks run again afterwards, so that an alias can't
    smuggle in what its replacement would be refused for.

    Args:
        params: after `parse_token_fields`.
        data: what was sent.

    Raises:
        CIDRError: `bound_cidrs` holds no address.
        TokenParamsError: a value is out of range, or values don't go together.
    """
    changed: dict[str, Any] = {}
    for alias in own_fields_of(AliasedTokenParams):
        old, new = alias.name, alias.alias_of
        if new in data:
            changed[old] = getattr(params if old in data else _UNSET, new)
        elif old in data:
            changed[new] = changed[old] = alias.parse(data[old])
    if not changed:
        return params
    params = replace(params, **changed)
    check_token_params(params)
    return params


def upgrade_loaded(params: A) -> A:
    """Let each empty `token_*` value that was just loaded take the value of its old alias."""
    changed = {
        new: getattr(params, old)
        for old, new in ALIASES.items()
        if not getattr(params, new) and getattr(params, old)
    }
    return replace(params, **changed) if changed else params


def read_token_params(params: TokenParams) -> dict[str, Any]:
    """Return what a read shows of all parameters, a role's own included (Go `PopulateTokenData`).

    Durations are whole seconds, absent lists `[]`. Aliases are shown only if their stored
    value is set: `policies` and `bound_cidrs` echo their replacements, the others show the
    stored number.
    """
    data = read_back(params)
    for old in ("policies", "bound_cidrs"):
        if old in data:
            data[old] = data[ALIASES[old]]
    return data


def token_auth(params: TokenParams) -> Auth:
    """Return an Auth with what the parameters say, renewable (Go `PopulateTokenAuth`)."""
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
