"""One login flow over every kind of role.

A login takes one of two roads:

- The fast road: config, role and keys are cached. One synchronous pass over the table of checks
  decides, without a task or an await.
- The slow road: something has to be waited for (storage, keys, a provider, a program in a thread).
  One coroutine with one loop: wait for what is missing, read config and role as they are by then,
  go on with the checks that are left. If config or role changed while the login waited, it starts
  again with what they are now. So whatever is granted or denied follows from the config and role
  that are in force at that moment, and who replaced a key or deleted a role is not deceived.

Both Go methods go on with what they began with.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, changed_meanwhile
from vault_jwt_plugin.jwt_auth.login.check import Check, Login, LoginContext, R, walk
from vault_jwt_plugin.jwt_auth.login.outcomes import Outcomes
from vault_jwt_plugin.jwt_auth.role.fields import valid_name
from vault_jwt_plugin.sdk import (
    Auth,
    InternalError,
    Operation,
    Response,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.cache import Cache
    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.sdk import FieldData, MaybeAwaitable, Request

MAX_STARTS = 5
"""How often a login starts whose config or role changes each time that it waits."""

DEADLINE_S = 60.0
"""How long a login may wait in all, in seconds. Every single wait has a shorter deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKind(Generic[R]):
    """A kind of role: how a login finds its role, which checks it runs, what it grants.

    Attributes:
        roles: the roles of a mount, prepared for logins, by name.
        checks: the table that a login walks.
        grant: makes what a login gets that has passed every check.
        counted_as: the name that logins with a role are counted under.
        get_ready: waits for what preparing the role of a name needs; None if nothing does.
        is_stored: says whether there is a role, for who need not prepare it; None if preparing
            it costs and denies nothing.
    """

    roles: Cache[R]
    checks: tuple[Check, ...]
    grant: Callable[[Login[R]], Auth]
    counted_as: Callable[[str], str]
    get_ready: Callable[[str], Awaitable[None]] | None = None
    is_stored: Callable[[str], Awaitable[bool]] | None = None


class LoginFlow(Generic[R]):
    """The logins of one mount with one kind of role.

    Args:
        mount: gives the configuration, and counts.
        kind: the kind of role.
        context: what logins use.
        denials: logs denied logins.
    """

    def __init__(
        self, mount: Mount, kind: RoleKind[R], context: LoginContext, denials: DenialLog
    ) -> None:
        self._configs = mount.configs
        self._counters = mount.counters
        self._kind = kind
        self._context = context
        self._outcomes = Outcomes(denials, mount.counters, counted_as=self._counted_as)

    def login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        """Check the token, and grant what the role says.

        Raises:
            LoginDenied: A check refused the login: HTTP 400, with the reason.
            PermissionDenied: The client's address is not allowed: HTTP 403.
            InternalError: Storage failed, or what is stored cannot be understood.
        """
        return self._outcomes.of(self._login, request, data)

    def _login(self, request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        config = self._configs.get_cached(STORAGE_KEY)
        if config is not None:
            role = self._kind.roles.get_cached(named_role(config, data["role"]))
            if role is not None:
                login = Login(self._context, config, role, request, data)
                pending = walk(login, self._kind.checks)
                if pending is None:
                    return self._granted(login)
                return self._wait(request, data, login, pending)
        return self._wait(request, data)

    async def _wait(
        self,
        request: Request,
        data: FieldData,
        login: Login[R] | None = None,
        pending: Awaitable[None] | None = None,
    ) -> Response:
        """Take the slow road.

        Args:
            request: what the client sent.
            data: its parameters.
            login: begun under a config and a role; None if they have to be read first.
            pending: what `login` lacks.

        Raises:
            LoginDenied: `changed_meanwhile`, `login_timeout`, or a check refused the login.
        """
        starts = 0 if login is None else 1
        try:
            async with asyncio.timeout(DEADLINE_S) as deadline:
                while login is None or pending is not None:
                    denied = await _outcome(pending)
                    config, role = await self._read(data)
                    if login is not None and login.is_under(config, role):
                        if denied is not None:
                            raise denied
                    elif starts == MAX_STARTS:
                        raise changed_meanwhile()
                    else:
                        starts += 1
                        login = Login(self._context, config, role, request, data)
                    pending = walk(login, self._kind.checks)
        except TimeoutError:
            if not deadline.expired():
                # It is a fault of something that was waited for.
                raise
            raise LoginDenied(
                "login_timeout",
                f"the login took longer than {DEADLINE_S:.0f} s, which it spent waiting for keys, "
                "a provider or storage",
            ) from None
        finally:
            # It knows this frame: each would keep the other, and the token, for minutes.
            denied = None
        return self._granted(login)

    def _granted(self, login: Login[R]) -> Response:
        auth = self._kind.grant(login)
        # An alias lookahead grants nothing.
        if login.request.operation is Operation.UPDATE:
            self._counters.login_granted(self._kind.counted_as(login.role.name))
        return Response(auth=auth)

    async def _read(self, data: FieldData) -> tuple[Config, R]:
        """Return the config and the role that are in force together, cached or stored.

        A config from before a change must not meet a role from after it.

        Raises:
            LoginDenied: There is no config or no such role; `changed_meanwhile`.
        """

        async def read() -> tuple[Config, R]:
            config = await self._config()
            return config, await self._role(named_role(config, data["role"]))

        return await self._configs.read_steadily(read)

    async def _config(self) -> Config:
        config = await self._configs.get_current(STORAGE_KEY)
        if config is None:
            raise LoginDenied("config_missing", "could not load configuration")
        return config

    async def _role(self, name: str) -> R:
        # A name that no role can have is not asked for: hosts refuse some such keys as faults.
        # Nor is it forgotten: it may be what another kind of role is counted under.
        role = None
        if valid_name(name):
            if self._kind.get_ready is not None:
                await self._kind.get_ready(name)
            role = await self._kind.roles.get_current(name)
            if role is None:
                self._counters.forget_role(self._kind.counted_as(name))
        if role is None:
            raise role_unknown(name)
        return role

    def _counted_as(self, data: FieldData) -> str | None:
        """Return what the named role is counted as, if it exists: callers make up other names."""
        name: str = data["role"]
        if not name and (config := self._configs.get_cached(STORAGE_KEY)) is not None:
            name = config.default_role
        return self._kind.counted_as(name) if name in self._kind.roles else None

    def resolve_role(self, _request: Request, data: FieldData) -> MaybeAwaitable[Response]:
        """Return the name of the role that a login would use; checks config and role only.

        The answer is always a response with a string: Vault does not survive another.

        Raises:
            LoginDenied: There is no config, no role is named, or there is no such role.
        """
        config = self._configs.get_cached(STORAGE_KEY)
        if config is not None:
            name = named_role(config, data["role"])
            if self._kind.roles.get_cached(name) is not None:
                return Response(data={"role": name})
        return self._resolve_reading(data)

    async def _resolve_reading(self, data: FieldData) -> Response:
        is_stored = self._kind.is_stored
        if is_stored is None:
            _, role = await self._read(data)
            return Response(data={"role": role.name})
        name = named_role(await self._config(), data["role"])
        if not await is_stored(name):
            self._counters.forget_role(self._kind.counted_as(name))
            raise role_unknown(name)
        return Response(data={"role": name})


async def _outcome(pending: Awaitable[None] | None) -> LoginDenied | None:
    """Wait if there is something to wait for; return the denial that this ends with, if it does.

    Whether it stands depends on the config and role that are in force by now.
    """
    try:
        if pending is not None:
            await pending
    except LoginDenied as denied:
        return denied
    return None


def named_role(config: Config, sent: str) -> str:
    """Return the name of the role that a login asks for, or else of the default role.

    Raises:
        LoginDenied: `role_missing`.
    """
    name = sent or config.default_role
    if not name:
        raise LoginDenied("role_missing", "missing role")
    return name


def role_unknown(name: str) -> LoginDenied:
    """Return the denial of a login whose role does not exist."""
    return LoginDenied("role_unknown", f"role {quoted(name)} could not be found")


def leased_role(request: Request) -> tuple[Auth, str]:
    """Return the lease that is to be renewed, and the name of its role.

    Raises:
        InternalError: The lease does not say its role.
    """
    auth = request.auth
    name = auth.internal_data.get("role") if auth is not None else None
    if auth is None or not isinstance(name, str) or not name:
        raise InternalError("failed to fetch role_name during renewal", code="renew_without_role")
    return auth, name
