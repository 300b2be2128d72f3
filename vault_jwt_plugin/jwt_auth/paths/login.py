"""`login`, the renewal of its tokens, and the two questions that hosts ask about it.

Mirrors `path_login.go` of both Go methods. A login whose config, role and keys
are known answers at once: no await, no task. One that lacks something awaits it
and then goes the same way; so does one that a provider adds to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, kind_of
from vault_jwt_plugin.jwt_auth.keys.attempts import with_keys
from vault_jwt_plugin.jwt_auth.login.outcomes import Outcomes
from vault_jwt_plugin.jwt_auth.login.pipeline import (
    grant,
    grant_enriched,
    named_role,
    open_token,
    verify,
)
from vault_jwt_plugin.jwt_auth.login.rejudging import MAX_ROUNDS, is_same, when_done
from vault_jwt_plugin.jwt_auth.providers import Enrichment
from vault_jwt_plugin.jwt_auth.role.fields import valid_name
from vault_jwt_plugin.sdk import (
    VAULT_ONLY,
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

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.jwt_auth.login.pipeline import PreparedRole
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.jwt_auth.providers import ConfiguredProvider, Provider
    from vault_jwt_plugin.sdk import MaybeAwaitable

LOGIN_FIELDS: tuple[Field, ...] = (
    Field(
        name="role",
        type=FieldType.LOWER_STRING,
        description="The role to log in with; the configuration's default_role if left out.",
    ),
    Field(
        name="jwt",
        type=FieldType.STRING,
        description="The signed token.",
        sensitive=True,
    ),
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
        mount: what they share.
        clock: Unix seconds.
        denials: where denied logins are noted.
        providers: the provider of a configuration.
    """

    def __init__(
        self,
        mount: Mount,
        *,
        clock: Callable[[], float],
        denials: DenialLog,
        providers: ConfiguredProvider,
    ) -> None:
        self._mount = mount
        self._providers = providers
        self._clock = clock
        self._counters = mount.counters
        self._outcomes = Outcomes(denials, mount.counters, counted_as=self._counted_as)
        self._configs = mount.configs
        self._roles = mount.roles

    def path(self) -> Path:
        """`login`."""
        return Path(
            pattern="login",
            fields=LOGIN_FIELDS,
            operations={
                Operation.UPDATE: OperationSpec(
                    handler=self.login, summary=_SYNOPSIS, operation_id="jwt-login"
                ),
                Operation.ALIAS_LOOKAHEAD: self.login,
                Operation.RESOLVE_ROLE: self.resolve_role,
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION.strip(),
        )

    # Login.

    def login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        """Check the token, grant what the role says; for the order see `checks`.

        Raises:
            LoginDenied: 400, and the reason.
            PermissionDenied: 403: the client's address is not allowed.
            InternalError: storage failed, or what is stored can't be understood.
        """
        return self._outcomes.of(self._login, request, data)

    def _login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        config = self._configs.get_cached(STORAGE_KEY)
        if config is not None:
            prepared = self._roles.get_cached(named_role(config, data["role"]))
            if prepared is not None:
                return self._admit(request, data, config, prepared)
        return self._login_reading(request, data)

    async def _login_reading(self, request: Request, data: FieldData) -> Response:
        config, prepared = await self._read(data)
        answer = self._admit(request, data, config, prepared)
        return answer if isinstance(answer, Response) else await answer

    def _admit(
        self,
        request: Request,
        data: FieldData,
        config: Config,
        prepared: PreparedRole,
        *,
        rounds: int = MAX_ROUNDS,
    ) -> MaybeAwaitable[Response]:
        token = open_token(data["jwt"], prepared, request.connection)
        claims = with_keys(
            self._mount.keys.of(config),
            token.header,
            lambda keys: verify(token, prepared, config, keys, self._clock()),
            room=self._mount.waiting,
            request=request,
        )
        attempt = _Attempt(prepared, config, request, data)
        auth: MaybeAwaitable[Auth]
        if isinstance(claims, dict):
            auth = self._grant(attempt, claims)
            if isinstance(auth, Auth):
                return self._granted(attempt, auth)
        else:
            auth = self._grant_later(attempt, claims)
        return when_done(
            auth,
            granted=lambda auth: self._granted(attempt, auth),
            changed=lambda: self._changed(attempt),
            again=lambda now, rounds: self._admit(request, data, *now, rounds=rounds),
            rounds=rounds,
        )

    async def _grant_later(self, attempt: _Attempt, verifying: Awaitable[VerifiedClaims]) -> Auth:
        auth = self._grant(attempt, await verifying)
        return auth if isinstance(auth, Auth) else await auth

    def _grant(self, attempt: _Attempt, claims: VerifiedClaims) -> MaybeAwaitable[Auth]:
        config = attempt.config
        if config.provider_config:
            provider = self._providers.of(config)
            if provider is not None:
                return self._grant_enriched(attempt, claims, provider)
        return grant(claims, attempt.prepared, attempt.request.connection)

    async def _grant_enriched(
        self, attempt: _Attempt, claims: VerifiedClaims, provider: Provider
    ) -> Auth:
        prepared = attempt.prepared
        enrichment = Enrichment(
            provider,
            user_claim=prepared.role.user_claim,
            groups_claim=prepared.groups_claim,
            access_token=attempt.data["distributed_claim_access_token"],
        )
        return await grant_enriched(claims, prepared, attempt.request.connection, enrichment)

    def _granted(self, attempt: _Attempt, auth: Auth) -> Response:
        # An alias lookahead grants nothing.
        if attempt.request.operation is Operation.UPDATE:
            self._counters.login_granted(attempt.prepared.name)
        return Response(auth=auth)

    async def _changed(self, attempt: _Attempt) -> tuple[Config, PreparedRole] | None:
        """Config and role as they are now; None if they are what the attempt began with."""
        config, prepared = await self._read(attempt.data)
        if is_same(attempt.config, config) and is_same(attempt.prepared.role, prepared.role):
            return None
        return config, prepared

    async def _read(self, data: FieldData) -> tuple[Config, PreparedRole]:
        """The checks that config and role are there, reading what is not known."""

        async def read() -> tuple[Config, PreparedRole]:
            config = await self._configs.get_current(STORAGE_KEY)
            if config is None:
                raise LoginDenied("config_missing", "could not load configuration")
            name = named_role(config, data["role"])
            # A name that no role can have is not asked for: hosts refuse some such keys as faults.
            # Nor is it forgotten: it may be what another kind of role is counted under.
            is_valid = valid_name(name)
            prepared = await self._roles.get_current(name) if is_valid else None
            if prepared is None:
                if is_valid:
                    self._counters.forget_role(name)
                raise LoginDenied("role_unknown", f"role {quoted(name)} could not be found")
            return config, prepared

        return await self._mount.under_one_config(read)

    def _counted_as(self, data: FieldData) -> str | None:
        """The role's name, if it is one that exists: any other is for the caller to make up."""
        name: str = data["role"]
        if not name and (config := self._configs.get_cached(STORAGE_KEY)) is not None:
            name = config.default_role
        return name if name in self._roles else None

    # What hosts ask beside.

    def resolve_role(self, _request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        """The role that a login would use: checks of config and role only.

        The answer is always a response with a text: Vault does not survive another.

        Raises:
            LoginDenied: no config, no role named, or no such role.
        """
        config = self._configs.get_cached(STORAGE_KEY)
        if config is not None:
            name = named_role(config, data["role"])
            if self._roles.get_cached(name) is not None:
                return Response(data={"role": name})
        return self._resolve_reading(data)

    async def _resolve_reading(self, data: FieldData) -> Response:
        _, prepared = await self._read(data)
        return Response(data={"role": prepared.name})

    def renew(self, request: Request) -> MaybeAwaitable[Response]:
        """Grant the token anew, with TTL, maximum and period of the role as it is now.

        Nothing else is checked again: not the client's address, claims or policies.

        Raises:
            InternalError: the lease does not say its role, the role is gone, or its type
                is one that this version does not know (500, as in Go).
        """
        auth = request.auth
        name = auth.internal_data.get("role") if auth is not None else None
        if auth is None or not isinstance(name, str) or not name:
            raise InternalError(
                "failed to fetch role_name during renewal", code="renew_without_role"
            )
        # Vault's method writes no type, OpenBao's and ours "native"; for CEL roles see `CELPaths`.
        role_type = auth.internal_data.get("role_type", "")
        if role_type not in ("", "native"):
            shown = quoted(role_type) if isinstance(role_type, str) else kind_of(role_type)
            raise InternalError(
                f"role type {shown} is not supported during renewal", code="renew_role_type"
            )
        prepared = self._roles.get_cached(name)
        if prepared is not None:
            return _renewed(auth, prepared)
        return self._renew_reading(auth, name)

    async def _renew_reading(self, auth: Auth, name: str) -> Response:
        prepared = await self._roles.get_current(name) if valid_name(name) else None
        if prepared is None:
            raise InternalError(
                f"role {quoted(name)} does not exist during renewal", code="renew_role_unknown"
            )
        return _renewed(auth, prepared)


class _Attempt:
    """What a login began with, kept together while it waits."""

    __slots__ = ("config", "data", "prepared", "request")

    def __init__(
        self, prepared: PreparedRole, config: Config, request: Request, data: FieldData
    ) -> None:
        self.prepared = prepared
        self.config = config
        self.request = request
        self.data = data


def _renewed(auth: Auth, prepared: PreparedRole) -> Response:
    role = prepared.role
    return Response(
        auth=replace(
            auth,
            ttl_ns=role.token_ttl,
            max_ttl_ns=role.token_max_ttl,
            period_ns=role.token_period,
        )
    )
