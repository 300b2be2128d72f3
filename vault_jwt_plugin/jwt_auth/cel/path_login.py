"""`cel/login`, and the renewal of its tokens (OpenBao).

Mirrors `path_cel_login.go`. The token is verified by the very checks of `login`;
what they leave open is the program's to decide: no subject, no client addresses,
and without `bound_audiences` no audience.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel import library
from vault_jwt_plugin.jwt_auth.cel.evaluator import Evaluator
from vault_jwt_plugin.jwt_auth.cel.prepared import counted_name
from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.jws import parse
from vault_jwt_plugin.jwt_auth.keys.attempts import with_keys
from vault_jwt_plugin.jwt_auth.login.outcomes import Outcomes
from vault_jwt_plugin.jwt_auth.login.pipeline import check_token_sent, named_role, verify_claims
from vault_jwt_plugin.jwt_auth.login.rejudging import MAX_ROUNDS, is_same, when_done
from vault_jwt_plugin.jwt_auth.role.fields import valid_name
from vault_jwt_plugin.sdk import (
    OPENBAO_ONLY,
    Auth,
    Field,
    FieldData,
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

    from vault_jwt_plugin.jwt_auth.cel.prepared import PreparedCELRole
    from vault_jwt_plugin.jwt_auth.cel.program import CELEngine
    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
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


class CELLoginPath:
    """The handlers of one mount.

    Args:
        mount: what they share.
        engine: makes or gives the mount's CEL.
        clock: Unix seconds.
        denials: where denied logins are noted.
    """

    def __init__(
        self,
        mount: Mount,
        engine: Callable[[], CELEngine],
        *,
        clock: Callable[[], float],
        denials: DenialLog,
    ) -> None:
        self._mount = mount
        self._engine = engine
        self._clock = clock
        self._outcomes = Outcomes(denials, mount.counters, counted_as=self._counted_as)
        self._evaluator = Evaluator()

    def path(self) -> Path:
        """`cel/login`."""
        return Path(
            pattern="cel/login",
            fields=CEL_LOGIN_FIELDS,
            operations={
                Operation.UPDATE: OperationSpec(
                    handler=self.login, summary=_SYNOPSIS, operation_id="jwt-cel-login"
                ),
                Operation.ALIAS_LOOKAHEAD: self.login,
                Operation.RESOLVE_ROLE: self.resolve_role,
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION.strip(),
        )

    def close(self) -> None:
        """Begin no more evaluations."""
        self._evaluator.close()

    # Login.

    def login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        """Verify the token, grant what the program makes of its claims.

        Raises:
            LoginDenied: 400, and the reason.
            InternalError: storage failed, what is stored can't be understood, or CEL can't be
                loaded.
        """
        return self._outcomes.of(self._login, request, data)

    def _login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        config = self._mount.configs.get_cached(STORAGE_KEY)
        if config is not None:
            prepared = self._mount.cel_roles.get_cached(named_role(config, data["role"]))
            if prepared is not None:
                return self._admit(request, data, config, prepared)
        return self._login_reading(request, data)

    async def _login_reading(self, request: Request, data: FieldData) -> Response:
        config, prepared = await self._read(data)
        answer = self._admit(request, data, config, prepared)
        return answer if isinstance(answer, Response) else await answer

    async def _changed(
        self, data: FieldData, config: Config, prepared: PreparedCELRole
    ) -> tuple[Config, PreparedCELRole] | None:
        """Config and role as they are now; None if they are these."""
        config_now, prepared_now = await self._read(data)
        if is_same(config, config_now) and is_same(prepared.role, prepared_now.role):
            return None
        return config_now, prepared_now

    async def _read(self, data: FieldData) -> tuple[Config, PreparedCELRole]:
        """The checks that config and role are there, reading what is not known."""

        async def read() -> tuple[Config, PreparedCELRole]:
            config, name = await self._named(data)
            # Callers who are not logged in can't have the library loaded by a made-up name.
            if not library.is_loaded() and await self._is_stored(name):
                await self._engine().ready()
            prepared = await self._mount.cel_roles.get_current(name) if valid_name(name) else None
            if prepared is None:
                raise self._unknown(name)
            return config, prepared

        return await self._mount.under_one_config(read)

    async def _named(self, data: FieldData) -> tuple[Config, str]:
        """The checks that there is a config, and a name of a role."""
        config = await self._mount.configs.get_current(STORAGE_KEY)
        if config is None:
            raise LoginDenied("config_missing", "could not load configuration")
        return config, named_role(config, data["role"])

    async def _is_stored(self, name: str) -> bool:
        # A name that no role can have is not asked for: hosts refuse some such keys as faults.
        return valid_name(name) and await self._mount.read_cel_role(name) is not None

    def _unknown(self, name: str) -> LoginDenied:
        self._mount.counters.forget_role(counted_name(name))
        return LoginDenied("role_unknown", f"role {quoted(name)} could not be found")

    def _admit(
        self,
        request: Request,
        data: FieldData,
        config: Config,
        prepared: PreparedCELRole,
        *,
        rounds: int = MAX_ROUNDS,
    ) -> MaybeAwaitable[Response]:
        compact = data["jwt"]
        check_token_sent(compact)
        token = parse(compact)
        claims = with_keys(
            self._mount.keys.of(config),
            token.header,
            lambda keys: verify_claims(
                token,
                config,
                keys,
                self._clock(),
                subject="",
                audiences=prepared.audiences,
                leeways=prepared.leeways,
            )[0],
            room=self._mount.waiting,
            request=request,
        )
        auth = (
            self._evaluate_later(request, claims, prepared)
            if inspect.isawaitable(claims)
            else self._evaluate(request, claims, prepared)
        )
        if isinstance(auth, Auth):
            return self._granted(request, auth, prepared)
        return when_done(
            auth,
            granted=lambda auth: self._granted(request, auth, prepared),
            changed=lambda: self._changed(data, config, prepared),
            again=lambda now, rounds: self._admit(request, data, *now, rounds=rounds),
            rounds=rounds,
        )

    async def _evaluate_later(
        self, request: Request, verifying: Awaitable[VerifiedClaims], prepared: PreparedCELRole
    ) -> Auth:
        auth = self._evaluate(request, await verifying, prepared)
        return auth if isinstance(auth, Auth) else await auth

    def _evaluate(
        self, request: Request, claims: VerifiedClaims, prepared: PreparedCELRole
    ) -> MaybeAwaitable[Auth]:
        program = prepared.program
        inputs = program.inputs(claims, now=self._clock(), operation=request.operation.value)
        return self._evaluator.evaluate(program, inputs, prepared.name)

    def _granted(self, request: Request, auth: Auth, prepared: PreparedCELRole) -> Response:
        # An alias lookahead grants nothing.
        if request.operation is Operation.UPDATE:
            self._mount.counters.login_granted(prepared.counted_as)
        return Response(auth=auth)

    def _counted_as(self, data: FieldData) -> str | None:
        """What the role is counted as, if it is one that exists: any other is made up."""
        name: str = data["role"]
        if not name and (config := self._mount.configs.get_cached(STORAGE_KEY)) is not None:
            name = config.default_role
        return counted_name(name) if name in self._mount.cel_roles else None

    # What hosts ask beside.

    async def resolve_role(self, _request: Request, data: FieldData) -> Response:
        """The role that a login would use: checks of config and role only.

        Raises:
            LoginDenied: no config, no role named, or no such role.
        """
        _, name = await self._named(data)
        if not await self._is_stored(name):
            raise self._unknown(name)
        return Response(data={"role": name})

    async def renew(self, request: Request) -> Response:
        """Grant the token anew as it is: TTLs came from the program, and the token is not here.

        Raises:
            InternalError: the lease does not say its role, or the role is gone (500, as in Go).
        """
        auth = request.auth
        name = auth.internal_data.get("role") if auth is not None else None
        if auth is None or not isinstance(name, str) or not name:
            raise InternalError(
                "failed to fetch role_name during renewal", code="renew_without_role"
            )
        if not await self._is_stored(name):
            raise InternalError(
                f"CEL role {quoted(name)} does not exist during renewal",
                code="renew_role_unknown",
            )
        return Response(auth=auth)


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
        InternalError: as these two do.
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
