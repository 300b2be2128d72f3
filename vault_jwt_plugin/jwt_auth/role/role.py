"""A role: the conditions for a token, and what a login with it grants.

The stored form is the Go methods' own (`jwtRole` in `path_role.go` of both), so that a mount can be
taken over in place and handed back: their keys, durations in nanoseconds, nulls, unknown members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.role.fields import (
    CLOCK_SKEW_LEEWAY,
    EXPIRATION_LEEWAY,
    NOT_BEFORE_LEEWAY,
)
from vault_jwt_plugin.sdk import (
    KEEP,
    OPENBAO_ONLY,
    RESET,
    VAULT_ONLY,
    AliasedTokenParams,
    FieldType,
    InternalError,
    UserError,
    fields_of,
    jsonutil,
    parameter,
    parameters,
    quoted,
    read_token_params,
    upgrade_loaded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE_PREFIX = "role/"

ROLE_TYPES = ("jwt", "oidc")
BOUND_CLAIMS_TYPES = ("string", "glob")
CALLBACK_MODES = ("client", "direct", "device")
OAUTH2_METADATA = ("access_token", "id_token", "refresh_token")


class StoredRoleError(InternalError):
    """A stored role can't be read: HTTP 500, as in Go.

    The text is shown to callers who are not logged in, so it holds no value of the role.
    """

    code = "stored_role_invalid"

    def __init__(self, name: str, problem: str, *, kind: str = "role") -> None:
        super().__init__(f"stored {kind} {quoted(name)}: {problem}")


def _role_type(sent: str) -> str:
    if not sent:
        return "oidc"
    if sent not in ROLE_TYPES:
        raise UserError(f"invalid 'role_type': {quoted(sent)}; it must be 'jwt' or 'oidc'")
    return sent


def _mapped(value: Mapping[str, str] | None) -> dict[str, str]:
    return dict(value or {})


def _is_positive(value: int) -> bool:
    return value > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(AliasedTokenParams):
    """One role, both Go methods' parameters; attribute names are the parameters'.

    Durations are nanoseconds. In lists and maps None is a stored null: never set. Numbers in
    `bound_claims` are `int`, or `Decimal` with every digit. `extra` holds unknown stored members.
    """

    role_type: str = parameter(
        FieldType.STRING,
        RESET,
        "'jwt' for logins with a token, 'oidc' for logins in a browser. "
        "Back to 'oidc' in every write that leaves it out.",
        allowed_values=ROLE_TYPES,
        if_unset="jwt",
        parse=_role_type,
    )
    expiration_leeway: int = EXPIRATION_LEEWAY(KEEP)
    not_before_leeway: int = NOT_BEFORE_LEEWAY(KEEP)
    clock_skew_leeway: int = CLOCK_SKEW_LEEWAY(KEEP)
    bound_audiences: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        KEEP,
        "Comma-separated list of 'aud' values; a token must carry one of them. "
        "Without this list, tokens that carry an 'aud' claim are refused.",
    )
    bound_subject: str = parameter(
        FieldType.STRING, KEEP, "The 'sub' claim that a token must carry."
    )
    bound_claims_type: str = parameter(
        FieldType.STRING,
        RESET,
        "How the values of 'bound_claims' are compared: 'string' exactly, 'glob' with '*' "
        "for any run of characters. Back to 'string' in every write that leaves it out.",
        default="string",
        allowed_values=BOUND_CLAIMS_TYPES,
        if_unset="string",
    )
    bound_claims: Mapping[str, Any] | None = parameter(
        FieldType.MAP,
        KEEP,
        "Map of claim (a name, or a JSON pointer starting with '/') to the value or list "
        "of values of which a token must carry one. All entries must match.",
    )
    claim_mappings: Mapping[str, str] | None = parameter(
        FieldType.KV_PAIRS,
        KEEP,
        "Map of claim to the metadata key under which its value is put into the token's "
        "and the entity alias's metadata.",
    )
    user_claim: str = parameter(
        FieldType.STRING,
        KEEP,
        "The claim that names the user: the entity alias's name. A role needs one.",
    )
    user_claim_json_pointer: bool = parameter(
        FieldType.BOOL, KEEP, "Whether 'user_claim' may be a JSON pointer."
    )
    groups_claim: str = parameter(
        FieldType.STRING,
        KEEP,
        "The claim that lists the user's groups; a token must then carry it.",
    )
    alias_metadata: Mapping[str, str] | None = parameter(
        FieldType.KV_PAIRS,
        RESET,
        "Custom metadata for the entity alias. Emptied in every write that leaves it out.",
        hosts=VAULT_ONLY,
        show=_mapped,
    )
    oidc_scopes: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        KEEP,
        "Comma-separated list of OIDC scopes asked for beside 'openid'.",
    )
    allowed_redirect_uris: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        KEEP,
        "Comma-separated list of the redirect URIs that an OIDC login may name.",
    )
    callback_mode: str = parameter(
        FieldType.STRING,
        RESET,
        "Who receives the OIDC provider's answer: 'client', 'direct' (this server) or "
        "'device' (device flow). Back to 'client' in every write that leaves it out.",
        default="client",
        allowed_values=CALLBACK_MODES,
        hosts=OPENBAO_ONLY,
        if_unset="client",
    )
    poll_interval: int = parameter(
        FieldType.INT,
        KEEP,
        "Seconds between polls in the 'direct' and 'device' callback modes.",
        hosts=OPENBAO_ONLY,
        shown_if=_is_positive,
    )
    oidc_disable_confirmation: bool = parameter(
        FieldType.BOOL,
        RESET,
        "Skip the page that asks the user to confirm a login in callback mode 'direct'. "
        "Back to false in every write that leaves it out.",
        hosts=OPENBAO_ONLY,
    )
    oauth2_metadata: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        KEEP,
        "Comma-separated list of the OAuth2 tokens (access_token, id_token, "
        "refresh_token) to put into the token's metadata.",
        hosts=OPENBAO_ONLY,
    )
    verbose_oidc_logging: bool = parameter(
        FieldType.BOOL,
        KEEP,
        "Log received OIDC tokens and claims at debug level. Not for production: they may "
        "hold sensitive information.",
    )
    max_age: int = parameter(
        FieldType.DURATION,
        KEEP,
        "How long ago the user may have authenticated at the OIDC provider; 0 = any.",
    )
    token_policies_template_claims: bool = parameter(
        FieldType.BOOL,
        KEEP,
        "Whether 'token_policies' are templates over the token's claims.",
        hosts=OPENBAO_ONLY,
    )
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, name: str, raw: bytes) -> Role:
        """Decode a stored role of either Go method or of ours, and upgrade it.

        Raises:
            StoredRoleError: it is not a JSON object, or a member has a wrong type.
        """
        try:
            return upgrade_loaded(parameters.from_stored(cls, jsonutil.loads(raw)))
        except (jsonutil.JSONError, parameters.StoredFormError) as error:
            raise StoredRoleError(name, str(error)) from None

    def to_stored(self) -> bytes:
        """Encode for storage, with the unknown members."""
        return parameters.to_stored(self)

    def read_data(self) -> dict[str, Any]:
        """Return the answer of a read (`pathRoleRead` of both, and `PopulateTokenData`)."""
        return read_token_params(self)


ROLE_FIELDS = fields_of(Role)
"""Every parameter of a role but its name; each is also a member of the stored role."""
