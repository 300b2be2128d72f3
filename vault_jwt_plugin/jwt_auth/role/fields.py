"""Fields that native and CEL roles share, and the check of a role's name."""

from __future__ import annotations

import re
from functools import partial

from vault_jwt_plugin.jwt_auth.claims.dates import DEFAULT_LEEWAY_S, DEFAULT_SKEW_S
from vault_jwt_plugin.sdk import NAME_PATTERN, NS_PER_S, OPENBAO_ONLY, Field, FieldType, parameter

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
"""The parameters of the lists of native and of CEL roles."""

EXPIRATION_LEEWAY = partial(
    parameter,
    FieldType.SIGNED_DURATION,
    description=(
        "How long a token without an 'exp' claim stays valid after its 'iat' and 'nbf'. "
        "0 means 150 seconds, -1 none. A token's own 'exp' gets only the clock skew leeway."
    ),
    default=DEFAULT_LEEWAY_S * NS_PER_S,
)
NOT_BEFORE_LEEWAY = partial(
    parameter,
    FieldType.SIGNED_DURATION,
    description=(
        "How long before its 'exp' a token with neither 'nbf' nor 'iat' becomes valid. "
        "0 means 150 seconds, -1 none. A token's own 'nbf' gets only the clock skew leeway."
    ),
    default=DEFAULT_LEEWAY_S * NS_PER_S,
)
CLOCK_SKEW_LEEWAY = partial(
    parameter,
    FieldType.SIGNED_DURATION,
    description=(
        "By how much the clocks of the issuer and of this server may differ, for every "
        "time claim. 0 means 60 seconds, -1 none."
    ),
    default=DEFAULT_SKEW_S * NS_PER_S,
)
"""Declarations that native and CEL roles share; call them with the effect of an omission."""

MAX_NAME_CHARS = 32 * 1024
"""Longest name that is looked up: Raft storage takes no longer key, but a login may send 16 MiB."""

_NAME = re.compile(NAME_PATTERN, re.ASCII)


def valid_name(name: str) -> bool:
    """Tell whether a role can have this name, which is so if the path of roles matches it."""
    return len(name) <= MAX_NAME_CHARS and _NAME.fullmatch(name) is not None
