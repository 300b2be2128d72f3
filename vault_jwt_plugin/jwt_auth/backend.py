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
        context: what Setup gave.
        fetcher: for the issuers' documents; None = over HTTP.
        pod: that the server runs in, if it does; None = as the environment says.
        monotonic: seconds that never go back.
        messages: of the host protocol, for CEL roles; None = they can't be used.
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
        """Touches neither storage nor system view: a registration probe has none."""
        fetching = fetcher if fetcher is not None else HTTPFetcher()
        language = CELLanguage(messages)
        key_sources = KeySources(fetching, context.clock, pod=pod, monotonic=monotonic)
        mount = Mount(
            context,
            key_sources=key_sources,
            monotonic=monotonic,
        )
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
            context.storage,
            STORAGE_PREFIX,
            writable=lambda: mount.writable,
            monotonic=monotonic,
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
        """See `sdk.Backend.handle_request`; counted by operation."""
        self._requests[request.operation] += 1
        # By name: `super()` would take longer than the count, and every login comes by twice.
        return Backend.handle_request(self, request)

    def renew(self, request: Request) -> MaybeAwaitable[Response | None]:
        """See `CELPaths.renew` and `LoginPath.renew`."""
        return self._cel.renew(request, self._login.renew)

    def invalidate_key(self, key: str) -> None:
        """Drop what was derived from the key; `config`, exactly, drops everything."""
        self._mount.invalidate(key)

    async def initialize(self) -> None:
        """Ask whether this node can write: only then are entries kept until dropped."""
        await self._mount.refresh_node()

    async def periodic(self) -> None:
        """Ask again, keep keys fresh, and report what the log of denied logins held back."""
        await self._mount.refresh_node()
        self._mount.tick()
        self._denials.flush()

    async def cleanup(self) -> None:
        """Close key sources and their threads."""
        self._cel.close()
        await self._mount.close()
        self._fetcher.close()


def factory(context: BackendContext, messages: CELMessages | None = None) -> JWTBackend:
    """Make the backend of one mount (`sdk.BackendFactory`).

    Args:
        context: what Setup gave.
        messages: of the host protocol, for CEL roles; None = they can't be used.
    """
    return JWTBackend(context, messages=messages)
