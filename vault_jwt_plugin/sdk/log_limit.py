"""A limit for log lines that others can cause, so that an attacker cannot fill the disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 60.0
"""The length of the window in which lines are counted, in seconds."""

LINES_PER_WINDOW = 10
"""How many lines of one kind are logged per window; the rest are only counted."""

MAX_KINDS = 100
"""How many kinds are counted separately; one more ends the windows of all others."""


class _Window:
    __slots__ = ("count", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.count = 0


class LogLimit:
    """Let the first lines of each kind through, and count the others.

    Args:
        report: called with a kind and the number of its lines that were not logged, once a window
            with
            such lines is over.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        report: Callable[[str, int], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._monotonic = monotonic
        self._windows: dict[str, _Window] = {}

    def admits(self, kind: str) -> bool:
        """Count one line of this kind; return whether it may be logged."""
        now = self._monotonic()
        window = self._windows.get(kind)
        if window is None or now - window.started_at >= WINDOW_S:
            if window is not None:
                self._close(kind, window)
            if len(self._windows) >= MAX_KINDS:
                self.flush()
            window = self._windows[kind] = _Window(now)
        window.count += 1
        return window.count <= LINES_PER_WINDOW

    def flush(self) -> None:
        """Report the lines that past windows only counted. Call this every minute."""
        now = self._monotonic()
        over = [
            (kind, window)
            for kind, window in self._windows.items()
            if now - window.started_at >= WINDOW_S or len(self._windows) >= MAX_KINDS
        ]
        for kind, window in over:
            del self._windows[kind]
            self._close(kind, window)

    def _close(self, kind: str, window: _Window) -> None:
        held_back = window.count - LINES_PER_WINDOW
        if held_back > 0:
            self._report(kind, held_back)
