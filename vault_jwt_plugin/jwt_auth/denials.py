"""Denied logins in the log: who watches sees them, who attacks can't fill the disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from vault_jwt_plugin.sdk import LogicalError

WINDOW_S = 60.0
"""Over how long lines are counted, in seconds."""

LINES_PER_WINDOW = 10
"""Lines for one reason in a window; the rest are only counted."""

_MAX_REASONS = 100


class _Window:
    __slots__ = ("count", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.count = 0


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
        self._monotonic = monotonic
        self._windows: dict[str, _Window] = {}

    def note(self, denied: LogicalError, *, role: str, request_id: str) -> None:
        """Log one denial, or only count it when its reason had `LINES_PER_WINDOW` already."""
        now = self._monotonic()
        window = self._windows.get(denied.code)
        if window is None or now - window.started_at >= WINDOW_S:
            if window is not None:
                self._close(denied.code, window)
            if len(self._windows) >= _MAX_REASONS:
                self.flush()
            window = self._windows[denied.code] = _Window(now)
        window.count += 1
        if window.count <= LINES_PER_WINDOW:
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
        """Report what was only counted in windows that are over; called about every minute."""
        now = self._monotonic()
        over = [
            (code, window)
            for code, window in self._windows.items()
            if now - window.started_at >= WINDOW_S or len(self._windows) >= _MAX_REASONS
        ]
        for code, window in over:
            del self._windows[code]
            self._close(code, window)

    def _close(self, code: str, window: _Window) -> None:
        silent = window.count - LINES_PER_WINDOW
        if silent > 0:
            self._logger.info(
                "more logins denied, not logged one by one",
                extra={"fields": {"event": "logins_denied", "reason": code, "count": silent}},
            )
