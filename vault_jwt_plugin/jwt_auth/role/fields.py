"""The parameters of `role/NAME` and of `role/`, declared once: the union of both Go methods'.

Mirrors `path_role.go` of both and, for the `token_*` ones, `sdk/helper/tokenutil`.
Which of them are reset when a write leaves them out is said in `path_role`.
"""

from __future__ import annotations

import re

from vault_jwt_plugin.jwt_auth.claims.dates import DEFAULT_LEEWAY_S, DEFAULT_SKEW_S
from vault_jwt_plugin.sdk import (
    DEPRECATED_FIELDS,
    NAME_PATTERN,
    NS_PER_S,
    OPENBAO_ONLY,
    TOKEN_FIELDS,
    VAULT_ONLY,
    Field,
    FieldType,
)

ROLE_TYPES = ("jwt", "oidc")
BOUND_CLAIMS_TYPES = ("string", "glob")
CALLBACK_MODES = ("client", "direct", "device")
OAUTH2_METADATA = ("access_token", "id_token", "refresh_token")

NAME_FIELD = Field(
    name="name",
    type=FieldType.LOWER_STRING,
    description="Name of the role; upper case is taken as lower case.",
    required=True,
)

LIST_FIELDS = (
    Field(
        name="after",
        type=FieldType.STRING,
        description="List only names that sort after this one, which need not exist.",
        query=True,
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="limit",
        type=FieldType.INT,
        description="How many names to return; all if 0 or less.",
        query=True,
        hosts=OPENBAO_ONLY,
    ),
)
"""Of the lists of native and of CEL roles."""

LEEWAYS = (
    Field(
        name="expiration_leeway",
        type=FieldType.SIGNED_DURATION,
        description=(
            "How long a token without an 'exp' claim stays valid after its 'iat' and 'nbf'. "
            "0 means 150 seconds, -1 none. A token's own 'exp' gets only the clock skew leeway."
        ),
        default=DEFAULT_LEEWAY_S * NS_PER_S,
    ),
    Field(
        name="not_before_leeway",
        type=FieldType.SIGNED_DURATION,
        description=(
            "How long before its 'exp' a token with neither 'nbf' nor 'iat' becomes valid. "
            "0 means 150 seconds, -1 none. A token's own 'nbf' gets only the clock skew leeway."
        ),
        default=DEFAULT_LEEWAY_S * NS_PER_S,
    ),
    Field(
        name="clock_skew_leeway",
        type=FieldType.SIGNED_DURATION,
        description=(
            "By how much the clocks of the issuer and of this server may differ, for every "
            "time claim. 0 means 60 seconds, -1 none."
        ),
        default=DEFAULT_SKEW_S * NS_PER_S,
    ),
)
"""Of native and of CEL roles."""

_BOUNDS = (
    Field(
        name="bound_audiences",
        type=FieldType.COMMA_STRINGS,
        description=(
            "Comma-separated list of 'aud' values; a token must carry one of them. "
            "Without this list, tokens that carry an 'aud' claim are refused."
        ),
    ),
    Field(
        name="bound_subject",
        type=FieldType.STRING,
        description="The 'sub' claim that a token must carry.",
    ),
    Field(
        name="bound_claims_type",
        type=FieldType.STRING,
        description=(
            "How the values of 'bound_claims' are compared: 'string' exactly, 'glob' with '*' "
            "for any run of characters. Back to 'string' in every write that leaves it out."
        ),
        default="string",
        allowed_values=BOUND_CLAIMS_TYPES,
    ),
    Field(
        name="bound_claims",
        type=FieldType.MAP,
        description=(
            "Map of claim (a name, or a JSON pointer starting with '/') to the value or list "
            "of values of which a token must carry one. All entries must match."
        ),
    ),
)

_IDENTITY = (
    Field(
        name="claim_mappings",
        type=FieldType.KV_PAIRS,
        description=(
            "Map of claim to the metadata key under which its value is put into the token's "
            "and the entity alias's metadata."
        ),
    ),
    Field(
        name="user_claim",
        type=FieldType.STRING,
        description="The claim that names the user: the entity alias's name. A role needs one.",
    ),
    Field(
        name="user_claim_json_pointer",
        type=FieldType.BOOL,
        description="Whether 'user_claim' may be a JSON pointer.",
    ),
    Field(
        name="groups_claim",
        type=FieldType.STRING,
        description="The claim that lists the user's groups; a token must then carry it.",
    ),
    Field(
        name="alias_metadata",
        type=FieldType.KV_PAIRS,
        description=(
            "Custom metadata for the entity alias. Emptied in every write that leaves it out."
        ),
        hosts=VAULT_ONLY,
    ),
)

_OIDC = (
    Field(
        name="oidc_scopes",
        type=FieldType.COMMA_STRINGS,
        description="Comma-separated list of OIDC scopes asked for beside 'openid'.",
    ),
    Field(
        name="allowed_redirect_uris",
        type=FieldType.COMMA_STRINGS,
        description="Comma-separated list of the redirect URIs that an OIDC login may name.",
    ),
    Field(
        name="callback_mode",
        type=FieldType.STRING,
        description=(
            "Who receives the OIDC provider's answer: 'client', 'direct' (this server) or "
            "'device' (device flow). Back to 'client' in every write that leaves it out."
        ),
        default="client",
        allowed_values=CALLBACK_MODES,
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="poll_interval",
        type=FieldType.INT,
        description="Seconds between polls in the 'direct' and 'device' callback modes.",
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="oidc_disable_confirmation",
        type=FieldType.BOOL,
        description=(
            "Skip the page that asks the user to confirm a login in callback mode 'direct'. "
            "Back to false in every write that leaves it out."
        ),
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="oauth2_metadata",
        type=FieldType.COMMA_STRINGS,
        description=(
            "Comma-separated list of the OAuth2 tokens (access_token, id_token, "
            "refresh_token) to put into the token's metadata."
        ),
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="verbose_oidc_logging",
        type=FieldType.BOOL,
        description=(
            "Log received OIDC tokens and claims at debug level. Not for production: they may "
            "hold sensitive information."
        ),
    ),
    Field(
        name="max_age",
        type=FieldType.DURATION,
        description="How long ago the user may have authenticated at the OIDC provider; 0 = any.",
    ),
)

ROLE_FIELDS: tuple[Field, ...] = (
    Field(
        name="role_type",
        type=FieldType.STRING,
        description=(
            "'jwt' for logins with a token, 'oidc' for logins in a browser. "
            "Back to 'oidc' in every write that leaves it out."
        ),
        allowed_values=ROLE_TYPES,
    ),
    *LEEWAYS,
    *_BOUNDS,
    *_IDENTITY,
    *_OIDC,
    Field(
        name="token_policies_template_claims",
        type=FieldType.BOOL,
        description="Whether 'token_policies' are templates over the token's claims.",
        hosts=OPENBAO_ONLY,
    ),
    *DEPRECATED_FIELDS,
    *TOKEN_FIELDS,
)
"""Every parameter of a role but its name; each is also a member of the stored role."""

MAX_NAME_CHARS = 32 * 1024
"""Longest name that is looked for: Raft storage takes no longer key. A login may send 16 MiB."""

_NAME = re.compile(NAME_PATTERN, re.ASCII)


def valid_name(name: str) -> bool:
    """Whether a role can have this name: the path that writes one takes no other."""
    return len(name) <= MAX_NAME_CHARS and _NAME.fullmatch(name) is not None
