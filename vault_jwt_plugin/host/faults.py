"""Requests that end with an error: their reply, and what the log says about them.

Callers who are not logged in can cause some of these errors, for example a login with a role whose
stored value is broken. So the number of log lines is limited per mount.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.host import response as replies
from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.sdk.errors import InternalError, LogicalError, ReadOnlyError
from vault_jwt_plugin.sdk.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.host.request import RequestView

_logger = logging.getLogger(__name__)


class FaultLog:
    """The errors of one mount's requests.

    Args:
        mount: the mount's name in the log when lines are only counted.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(self, mount: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._mount = mount
        self._limit = LogLimit(self._held_back, monotonic=monotonic)

    def request_failed(self, error: Exception, view: RequestView) -> bytes:
        """Return a serialised `HandleRequestReply`; log what the caller's text does not say."""
        if not isinstance(error, LogicalError):
            self._fault("request failed", error, view)
            return replies.FAULT_REPLY
        internal = isinstance(error, InternalError) and not isinstance(error, ReadOnlyError)
        if internal and self._limit.admits(error.code):
            # The caller sees the text, but the operator would not: hosts do not log failed
            # requests.
            _logger.warning(
                "request failed",
                extra=event(
                    "request_failed", code=error.code, error=error.message, **_fields(view)
                ),
            )
        return replies.error_reply(error)

    def check_failed(self, error: Exception, view: RequestView) -> bytes:
        """Return a serialised `HandleExistenceCheckReply`, and log in the same way."""
        if isinstance(error, LogicalError):
            err = replies.error_to_pb(error)
        else:
            self._fault("existence check failed", error, view)
            err = replies.fault_to_pb()
        return backend_pb2.HandleExistenceCheckReply(err=err).SerializeToString()

    def flush(self) -> None:
        """Log the number of errors that were only counted. Call this about every minute."""
        self._limit.flush()

    def _fault(self, what: str, error: Exception, view: RequestView) -> None:
        if self._limit.admits(type(error).__name__):
            _logger.error(what, exc_info=error, extra=event("request_fault", **_fields(view)))

    def _held_back(self, code: str, count: int) -> None:
        _logger.warning(
            "more requests failed and were not logged one by one",
            extra=event("requests_failed", code=code, count=count, mount=self._mount),
        )


def event(name: str, **fields: str | int) -> dict[str, dict[str, str | int]]:
    """Return the `extra` of a log record: the event's stable name and further fields."""
    return {"fields": {"event": name, **fields}}


def _fields(view: RequestView) -> dict[str, str]:
    """Return what the log says about a request, which never includes its body or token."""
    return {"operation": view.operation.value, "path": view.path[:128], "request": view.id}
