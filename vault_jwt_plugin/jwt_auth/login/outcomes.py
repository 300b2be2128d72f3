"""How logins end: what the log and the counts of a mount say of those that get no token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.sdk import LogicalError, Operation, PermissionDenied, Response, UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.counters import Counters
    from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
    from vault_jwt_plugin.sdk import FieldData, MaybeAwaitable, Request


class Outcomes:
    """Of the logins of one path.

    Args:
        denials: where denied logins are logged.
        counters: of the mount.
        counted_as: what the role that a login names is counted as; None if it names none
            that exists: any other is for the caller to make up.
    """

    def __init__(
        self,
        denials: DenialLog,
        counters: Counters,
        *,
        counted_as: Callable[[FieldData], str | None],
    ) -> None:
        self._denials = denials
        self._counters = counters
        self._counted_as = counted_as

    def of(
        self,
        login: Callable[[Request, FieldData], MaybeAwaitable[Response]],
        request: Request,
        data: FieldData,
    ) -> MaybeAwaitable[Response]:
        """What `login` answers; notes its error, at once or in the end, and raises it again."""
        try:
            answer = login(request, data)
        except LogicalError as error:
            self._note(error, request, data)
            raise
        return answer if isinstance(answer, Response) else self._of_later(answer, request, data)

    async def _of_later(
        self, pending: Awaitable[Response], request: Request, data: FieldData
    ) -> Response:
        try:
            return await pending
        except LogicalError as error:
            self._note(error, request, data)
            raise

    def _note(self, error: LogicalError, request: Request, data: FieldData) -> None:
        # Not an alias lookahead, which grants nothing.
        is_login = request.operation is Operation.UPDATE
        # Faults (500) are the host adapter's to log; these two are what a caller brings about.
        if isinstance(error, (UserError, PermissionDenied)):
            self._denials.note(error, role=data["role"], request_id=request.id)
            if is_login:
                self._counters.login_denied(error.code, role=self._counted_as(data))
        elif is_login:
            self._counters.login_failed(error.code)
