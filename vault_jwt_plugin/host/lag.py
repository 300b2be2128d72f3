"""The lag of the event loop: how long every call of every mount waits before it is handled."""

from __future__ import annotations

import asyncio
from array import array

from vault_jwt_plugin.sdk.backend import LoopLag

INTERVAL_S = 0.25
"""The time between two measurements, in seconds."""

SAMPLES = 2400
"""How many measurements are kept: those of ten minutes."""


class LagMonitor:
    """Measure by how much the event loop delays a timer.

    A timer waits for the same things as a call that arrives at a moment unrelated to the load:
    running
    handlers, garbage collections, and other processes that have the processor. An idle loop is up
    to a
    millisecond late because of how it sleeps.

    Args:
        interval_s: see `INTERVAL_S`.
        samples: how many measurements are kept; see `SAMPLES`.
    """

    def __init__(self, *, interval_s: float = INTERVAL_S, samples: int = SAMPLES) -> None:
        self._interval_s = interval_s
        # A ring buffer of full size from the start: what watches memory must not grow itself.
        self._ring = array("f", bytes(4 * samples))
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start measuring on the running loop, unless that has started."""
        if self._timer is None:
            self._set(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def read(self) -> LoopLag | None:
        """Return the lag over the samples that are kept; None before the first."""
        kept = min(self._count, len(self._ring))
        if not kept:
            return None
        ordered = sorted(self._ring[:kept])
        return LoopLag(
            p50_s=_percentile(ordered, 50),
            p99_s=_percentile(ordered, 99),
            max_s=ordered[-1],
            over_s=kept * self._interval_s,
        )

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval_s
        self._timer = loop.call_at(due, self._rings, loop, due)

    def _rings(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # The loop may call a timer early, by up to its clock's resolution.
        self._ring[self._count % len(self._ring)] = max(loop.time() - due, 0.0)
        self._count += 1
        # Count from now, not from when this timer was due: a process that was stopped has one late
        # sample,
        # not a series of them.
        self._set(loop)


def _percentile(ordered: list[float], percent: int) -> float:
    """Return the nearest rank: the smallest sample that `percent` of all do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
