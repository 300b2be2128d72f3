"""`cel/login`, and the renewal of tokens that it granted (OpenBao).

Mirrors `path_cel_login.go`. The token is verified as in every login; then the role's program alone
says what is granted.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel import library
from vault_jwt_plugin.jwt_auth.cel.evaluator import Evaluator
from vault_jwt_plugin.jwt_auth.cel.prepared import PreparedCELRole, counted_name
from vault_jwt_plugin.jwt_auth.cel.role import STORAGE_PREFIX, CELRole
from vault_jwt_plugin.jwt_auth.login.check import Check, Login
from vault_jwt_plugin.jwt_auth.login.flow import LoginFlow, RoleKind, leased_role
from vault_jwt_plugin.jwt_auth.login.pipeline import TOKEN_PRESENT, VERIFY
from vault_jwt_plugin.jwt_auth.role.fields import valid_name
from vault_jwt_plugin.sdk import (
    OPENBAO_ONLY,
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.cache import Cache
    from vault_jwt_plugin.jwt_auth.cel.program import CELEngine
    from vault_jwt_plugin.jwt_auth.login.check import LoginContext
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.sdk import MaybeAwaitable

CEL_LOGIN_FIELDS: tuple[Field, ...] = (
    Field(
        name="role",
        type=FieldType.LOWER_STRING,
        description="The CEL role to log in with; the configuration's default_role if left out.",
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="jwt",
        type=FieldType.STRING,
        description="The signed token.",
        sensitive=True,
        hosts=OPENBAO_ONLY,
    ),
)

_SYNOPSIS = "Authenticates to the server with a signed token (JWT) and a CEL role."
_DESCRIPTION = """
Checks the token's signature with the configured keys; then the role's program
decides over its claims, and makes what is granted.
"""

PROGRAM_CODES = (
    "cel_claims_too_large",
    "cel_busy",
    "cel_timeout",
    "cel_evaluation",
    "cel_denied",
    "cel_denied_text",
    "cel_result",
    "cel_auth",
)


class CELLoginPath:
    """The handlers of one mount.

    Args:
        mount: what the handlers share.
        roles: CEL roles prepared for logins, by name.
        engine: makes or gives the mount's CEL.
        context: what logins use.
        denials: logs denied logins.
    """

    def __init__(
        self,
        mount: Mount,
        roles: Cache[PreparedCELRole],
        engine: Callable[[], CELEngine],
        *,
        context: LoginContext,
        denials: DenialLog,
    ) -> None:
        self._mount = mount
        self._engine = engine
        self._evaluator = Evaluator()
        program = Check(
            name="program", run=self._program, codes=PROGRAM_CODES, parameters=("cel_program",)
        )
        kind = RoleKind(
            roles=roles,
            checks=(TOKEN_PRESENT, *VERIFY, program),
            grant=_grant,
            counted_as=counted_name,
            get_ready=self._load_library,
            is_stored=self._is_stored,
        )
        self._flow = LoginFlow(mount, kind, context, denials)

    def path(self) -> Path:
        """Declare `cel/login`."""
        return Path(
            pattern="cel/login",
            fields=CEL_LOGIN_FIELDS,
            operations={
                Operation.UPDATE: OperationSpec(
                    handler=self._flow.login, summary=_SYNOPSIS, operation_id="jwt-cel-login"
                ),
                Operation.ALIAS_LOOKAHEAD: self._flow.login,
                Operation.RESOLVE_ROLE: self._flow.resolve_role,
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION.strip(),
        )

    def close(self) -> None:
        """Begin no more evaluations."""
        self._evaluator.close()

    async def _load_library(self, name: str) -> None:
        # Callers who are not logged in can't have the library loaded by a made-up name.
        if not library.is_loaded() and await self._is_stored(name):
            await self._engine().ready()

    async def _is_stored(self, name: str) -> bool:
        raw = await self._mount.read(STORAGE_PREFIX + name) if valid_name(name) else None
        if raw is None:
            return False
        CELRole.from_stored(name, raw)  # a role that cannot be understood is a fault
        return True

    def _program(self, login: Login[PreparedCELRole]) -> Awaitable[None] | None:
        if login.auth is not None:
            return None
        role = login.role
        inputs = role.program.inputs(
            login.claims, now=login.context.clock(), operation=login.request.operation.value
        )
        auth = self._evaluator.evaluate(role.program, inputs, role.name)
        if not isinstance(auth, Auth):
            return _evaluated(login, auth)
        login.auth = auth
        return None

    async def renew(self, request: Request) -> Response:
        """Grant the token anew as it is: TTLs came from the program, and the token is not here.

        Raises:
            InternalError: The lease does not say its role, or the role is gone. HTTP 500, as in Go.
        """
        auth, name = leased_role(request)
        if not await self._is_stored(name):
            raise InternalError(
                f"CEL role {quoted(name)} does not exist during renewal",
                code="renew_role_unknown",
            )
        return Response(auth=auth)


async def _evaluated(login: Login[PreparedCELRole], evaluating: Awaitable[Auth]) -> None:
    login.auth = await evaluating


def _grant(login: Login[PreparedCELRole]) -> Auth:
    if login.auth is None:
        raise InternalError("a CEL role's program was not evaluated", code="cel_not_evaluated")
    return login.auth


def renew_by_type(
    request: Request,
    *,
    native: Callable[[Request], MaybeAwaitable[Response | None]],
    cel: Callable[[Request], Awaitable[Response]],
) -> MaybeAwaitable[Response | None]:
    """Renew a token as the type of its role says, which its login has written into its lease.

    Vault's method writes none, nor did OpenBao's before it had CEL: then a native role of the
    name is meant, or else a CEL role.

    Args:
        request: the renewal.
        native: renews for a native role, and refuses types that are not known.
        cel: renews for a CEL role.

    Raises:
        InternalError: As these two raise it.
    """
    auth = request.auth
    role_type = auth.internal_data.get("role_type", "") if auth is not None else "native"
    if role_type == "cel":
        return cel(request)
    renewed = native(request)
    if role_type == "" and inspect.isawaitable(renewed):
        return _renew_either(request, renewed, cel)
    return renewed


async def _renew_either(
    request: Request,
    native: Awaitable[Response | None],
    cel: Callable[[Request], Awaitable[Response]],
) -> Response | None:
    try:
        return await native
    except InternalError as error:
        if error.code != "renew_role_unknown":
            raise
        unknown = error
    try:
        return await cel(request)
    except InternalError as error:
        raise (unknown if error.code == "renew_role_unknown" else error) from None
