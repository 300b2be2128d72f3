"""CEL on one mount: what the backend wires, in one place."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel.library import CELUnavailableError
from vault_jwt_plugin.jwt_auth.cel.path_login import CELLoginPath, renew_by_type
from vault_jwt_plugin.jwt_auth.cel.path_role import CELRolePaths
from vault_jwt_plugin.jwt_auth.cel.prepared import PreparedCELRole
from vault_jwt_plugin.jwt_auth.cel.role import MAX_CEL_ROLES, STORAGE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.jwt_auth.cel.messages import CELMessages
    from vault_jwt_plugin.jwt_auth.cel.program import CELEngine
    from vault_jwt_plugin.jwt_auth.login.check import LoginContext
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.sdk import MaybeAwaitable, Path, Request, Response

UNAUTHENTICATED = ("cel/login",)
"""Paths that need no token."""


class CELLanguage:
    """The language, made at its first use: nobody else pays for its modules.

    Args:
        messages: of the host protocol; None = not wired, and CEL can't be used.
    """

    def __init__(self, messages: CELMessages | None) -> None:
        self._messages = messages

    @functools.cached_property
    def _engine(self) -> CELEngine:
        if self._messages is None:
            raise CELUnavailableError("CEL roles need the host protocol's messages")
        from vault_jwt_plugin.jwt_auth.cel.program import CELEngine

        return CELEngine(self._messages)

    def engine(self) -> CELEngine:
        """Checks and compiles programs.

        Raises:
            CELUnavailableError: the backend was made without the messages.
        """
        return self._engine

    def prepare(self, name: str, raw: bytes) -> PreparedCELRole:
        """See `PreparedCELRole.of`."""
        return PreparedCELRole.of(name, raw, self._engine)


class CELPaths:
    """The paths of CEL roles, and the renewal of their tokens.

    Args:
        mount: whose they are.
        language: of the mount.
        context: what logins use.
        denials: logs denied logins.

    Attributes:
        roles: CEL roles prepared for logins, by name.
    """

    def __init__(
        self,
        mount: Mount,
        language: CELLanguage,
        *,
        context: LoginContext,
        denials: DenialLog,
    ) -> None:
        self.roles = mount.cache(STORAGE_PREFIX, language.prepare, capacity=MAX_CEL_ROLES)
        self._login = CELLoginPath(
            mount, self.roles, language.engine, context=context, denials=denials
        )
        self._roles = CELRolePaths(mount, language.engine)

    def paths(self) -> tuple[Path, ...]:
        """`cel/login`, `cel/role/?` and `cel/role/NAME`."""
        return (self._login.path(), *self._roles.paths())

    def renew(
        self, request: Request, native: Callable[[Request], MaybeAwaitable[Response | None]]
    ) -> MaybeAwaitable[Response | None]:
        """Renew a token of either kind of role; see `renew_by_type`."""
        return renew_by_type(request, native=native, cel=self._login.renew)

    def close(self) -> None:
        """Begin no more evaluations."""
        self._login.close()
