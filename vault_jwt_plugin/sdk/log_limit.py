"""Log lines that others cause, bounded: who watches sees them, who attacks fills no disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 60.0
"""Over how long lines are counted, in seconds."""

LINES_PER_WINDOW = 10
"""Lines of one kind in a window; the rest are only counted."""

MAX_KINDS = 100
"""Kinds told apart at one time; a further one ends the windows of the others."""


class _Window:
    __slots__ = ("count", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.count = 0


class LogLimit:
    """Lets the first lines of each kind through, and counts the others.

    Args:
        report: called with a kind and how many of its lines were not let through, when a
            window with such lines is over.
        monotonic: seconds that never go back.
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
        """Whether one more line of this kind may be logged now; counts it."""
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
        """Report what was only counted in windows that are over; to be called every minute."""
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
