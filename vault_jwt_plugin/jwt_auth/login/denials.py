"""Denied logins in the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.sdk import LogLimit, quoted

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from vault_jwt_plugin.sdk import LogicalError


class DenialLog:
    """Logs denials with role, reason code and request id; never anything of the token.

    Args:
        logger: of the mount.
        monotonic: seconds that never go back.
    """

    def __init__(
        self, logger: logging.Logger, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._limit = LogLimit(self._held_back, monotonic=monotonic)

    def note(self, denied: LogicalError, *, role: str, request_id: str) -> None:
        """Log one denial, or only count it when its reason had its lines already."""
        if self._limit.admits(denied.code):
            self._logger.info(
                "login denied",
                extra={
                    "fields": {
                        "event": "login_denied",
                        "role": quoted(role),
                        "reason": denied.code,
                        "request_id": request_id,
                    }
                },
            )

    def flush(self) -> None:
        """Report what was only counted; called about every minute."""
        self._limit.flush()

    def _held_back(self, code: str, count: int) -> None:
        self._logger.info(
            "more logins denied, not logged one by one",
            extra={"fields": {"event": "logins_denied", "reason": code, "count": count}},
        )
