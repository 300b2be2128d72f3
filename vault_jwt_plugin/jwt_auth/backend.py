"""The backend: the mount's paths put together, and its hooks.

Mirrors `backend.go` of both Go methods.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cache import MAX_ROLES
from vault_jwt_plugin.jwt_auth.cel.paths import UNAUTHENTICATED as CEL_UNAUTHENTICATED
from vault_jwt_plugin.jwt_auth.cel.paths import CELLanguage, CELPaths
from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.jwt_auth.config.provider import ConfiguredProvider
from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher, HTTPFetcher
from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources
from vault_jwt_plugin.jwt_auth.login.check import LoginContext
from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
from vault_jwt_plugin.jwt_auth.login.waiting import WaitingRoom
from vault_jwt_plugin.jwt_auth.mount import Mount
from vault_jwt_plugin.jwt_auth.paths.config import ConfigPath
from vault_jwt_plugin.jwt_auth.paths.login import LoginPath
from vault_jwt_plugin.jwt_auth.paths.oidc import UNAUTHENTICATED as OIDC_UNAUTHENTICATED
from vault_jwt_plugin.jwt_auth.paths.oidc import OIDCPaths
from vault_jwt_plugin.jwt_auth.paths.role import RolePaths
from vault_jwt_plugin.jwt_auth.paths.status import StatusPath
from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
from vault_jwt_plugin.jwt_auth.role.role import STORAGE_PREFIX
from vault_jwt_plugin.jwt_auth.role.role_list import RoleList
from vault_jwt_plugin.sdk import Backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.jwt_auth.cel.messages import CELMessages
    from vault_jwt_plugin.jwt_auth.keys.pod import Pod
    from vault_jwt_plugin.sdk import BackendContext, MaybeAwaitable, Request, Response

_HELP = """
The JWT backend plugin allows authentication using JWTs (including OIDC).
"""


class JWTBackend(Backend):
    """The JWT auth method on one mount.

    Args:
        context: the result of Setup.
        fetcher: fetches the issuers' documents; None = over HTTP.
        pod: the pod that the server runs in; None = from the environment.
        monotonic: seconds that never go back.
        messages: the host protocol's, which CEL roles need; None = no CEL roles.
    """

    def __init__(
        self,
        context: BackendContext,
        *,
        fetcher: Fetcher | None = None,
        pod: Pod | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        messages: CELMessages | None = None,
    ) -> None:
        """Make the parts without storage and system view, which a registration probe lacks."""
        fetching = fetcher if fetcher is not None else HTTPFetcher()
        language = CELLanguage(messages)
        key_sources = KeySources(fetching, context.clock, pod=pod, monotonic=monotonic)
        mount = Mount(context, key_sources=key_sources, monotonic=monotonic)
        denials = DenialLog(context.logger, monotonic=monotonic)
        logins = LoginContext(
            key_source=mount.keys.of,
            waiting_room=WaitingRoom(),
            clock=context.clock,
            providers=ConfiguredProvider(fetching),
        )
        roles = mount.cache(STORAGE_PREFIX, PreparedRole.from_stored, capacity=MAX_ROLES)
        login = LoginPath(mount, roles, logins, denials)
        cel = CELPaths(mount, language, context=logins, denials=denials)
        role_list = RoleList(
            context.storage, STORAGE_PREFIX, writable=lambda: mount.writable, monotonic=monotonic
        )
        mount.register(STORAGE_PREFIX, role_list)
        super().__init__(
            context,
            paths=(
                login.path(),
                *RolePaths(mount, role_list).paths(),
                ConfigPath(mount, key_sources, fetching).path(),
                StatusPath(
                    mount, context, roles=roles, cel_roles=cel.roles, monotonic=monotonic
                ).path(),
                *OIDCPaths(mount).paths(),
                *cel.paths(),
            ),
            help_text=_HELP.strip(),
            unauthenticated=("login", *OIDC_UNAUTHENTICATED, *CEL_UNAUTHENTICATED),
            seal_wrap_storage=(STORAGE_KEY,),
        )
        self._mount = mount
        self._login = login
        self._cel = cel
        self._requests = mount.counters.requests
        self._denials = denials
        self._waiting_room = logins.waiting_room
        self._fetcher = fetching

    def handle_request(self, request: Request) -> MaybeAwaitable[Response | None]:
        """Count the request by operation and handle it; see `sdk.Backend.handle_request`."""
        self._requests[request.operation] += 1
        # By name, since `super()` would take longer than the count, twice for every login.
        return Backend.handle_request(self, request)

    def renew(self, request: Request) -> MaybeAwaitable[Response | None]:
        """Renew a token; see `CELPaths.renew` and `LoginPath.renew`."""
        return self._cel.renew(request, self._login.renew)

    def invalidate_key(self, key: str) -> None:
        """Drop everything derived from the storage key; `config` drops all."""
        self._mount.invalidate(key)

    async def initialize(self) -> None:
        """Ask whether this node can write; only then are entries kept until dropped."""
        await self._mount.refresh_node()

    async def periodic(self) -> None:
        """Ask again, keep keys fresh, and log the denied logins that were held back."""
        await self._mount.refresh_node()
        self._mount.tick()
        self._denials.flush()

    async def cleanup(self) -> None:
        """Close key sources and their threads."""
        self._cel.close()
        await self._mount.close()
        self._fetcher.close()


def factory(context: BackendContext, messages: CELMessages | None = None) -> JWTBackend:
    """Make the backend of one mount (`sdk.BackendFactory`); see `JWTBackend`."""
    return JWTBackend(context, messages=messages)
