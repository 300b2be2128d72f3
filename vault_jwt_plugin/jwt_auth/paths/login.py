"""`login`, and the renewal of the tokens of native roles.

Mirrors `path_login.go` of both Go methods. The steps of a login are in `login.flow`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.login.flow import LoginFlow, RoleKind, leased_role
from vault_jwt_plugin.jwt_auth.login.native import CHECKS, grant
from vault_jwt_plugin.jwt_auth.role.fields import valid_name
from vault_jwt_plugin.sdk import (
    VAULT_ONLY,
    Auth,
    Field,
    FieldType,
    InternalError,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    quoted,
)
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.cache import Cache
    from vault_jwt_plugin.jwt_auth.login.check import LoginContext
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
    from vault_jwt_plugin.sdk import MaybeAwaitable

LOGIN_FIELDS: tuple[Field, ...] = (
    Field(
        name="role",
        type=FieldType.LOWER_STRING,
        description="The role to log in with; the configuration's default_role if left out.",
    ),
    Field(name="jwt", type=FieldType.STRING, description="The signed token.", sensitive=True),
    Field(
        name="distributed_claim_access_token",
        type=FieldType.STRING,
        description=(
            "A token to fetch group memberships with that the signed token only refers to "
            "(Azure, Entra ID)."
        ),
        sensitive=True,
        hosts=VAULT_ONLY,
    ),
)

_SYNOPSIS = "Authenticates to the server with a signed token (JWT)."
_DESCRIPTION = """
Checks the token's signature with the configured keys, and its claims against the
role; then a token of the server is granted as the role says.
"""


class LoginPath:
    """The handlers of one mount.

    Args:
        mount: the mount's shared state.
        roles: native roles prepared for logins, by name.
        context: the shared state of logins.
        denials: logs denied logins.
    """

    def __init__(
        self, mount: Mount, roles: Cache[PreparedRole], context: LoginContext, denials: DenialLog
    ) -> None:
        self._roles = roles
        kind = RoleKind(roles=roles, checks=CHECKS, grant=grant, counted_as=str)
        self._flow = LoginFlow(mount, kind, context, denials)

    def path(self) -> Path:
        """Declare `login`."""
        return Path(
            pattern="login",
            fields=LOGIN_FIELDS,
            operations={
                Operation.UPDATE: OperationSpec(
                    handler=self._flow.login, summary=_SYNOPSIS, operation_id="jwt-login"
                ),
                Operation.ALIAS_LOOKAHEAD: self._flow.login,
                Operation.RESOLVE_ROLE: self._flow.resolve_role,
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION.strip(),
        )

    def renew(self, request: Request) -> MaybeAwaitable[Response]:
        """Grant the token anew, with TTL, maximum and period of the role as it is now.

        Nothing else is checked again: not the client's address, claims or policies.

        Raises:
            InternalError: The lease names no role, the role is gone, or its type is unknown.
                HTTP 500, as in Go.
        """
        auth, name = leased_role(request)
        # Vault's method writes no type, OpenBao's and ours "native"; for CEL roles see `CELPaths`.
        role_type = auth.internal_data.get("role_type", "")
        if role_type not in ("", "native"):
            shown = quoted(role_type) if isinstance(role_type, str) else kind_of(role_type)
            raise InternalError(
                f"role type {shown} is not supported during renewal", code="renew_role_type"
            )
        role = self._roles.get_cached(name)
        return self._renew_reading(auth, name) if role is None else _renewed(auth, role)

    async def _renew_reading(self, auth: Auth, name: str) -> Response:
        role = await self._roles.get_current(name) if valid_name(name) else None
        if role is None:
            raise InternalError(
                f"role {quoted(name)} does not exist during renewal", code="renew_role_unknown"
            )
        return _renewed(auth, role)


def _renewed(auth: Auth, prepared: PreparedRole) -> Response:
    role = prepared.role
    auth = replace(
        auth, ttl_ns=role.token_ttl, max_ttl_ns=role.token_max_ttl, period_ns=role.token_period
    )
    return Response(auth=auth)
