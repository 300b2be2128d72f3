"""An event loop on which a seed decides who goes on.

Whatever a mount waits for (storage, an issuer, a thread) is a point: a future that
only `Scheduler.drive` completes, one at a time and in an order drawn from the run's
seed. Time stands still but for the driver, and threads do not exist: what belongs
in one runs on the loop, at its point. So a run is a function of its seed.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tests.jwt_auth import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

MAX_STEPS = 20_000
IDLE_ROUNDS = 30
"""Rounds without a point after which only time can help."""

MAX_IDLE_S = 120.0
"""How far time is moved on while nobody can go on; longer than any deadline of the mount."""

THREAD_S = 5.0
"""How long a login waits for its thread (`evaluator.DEADLINE_S`), in seconds."""

TASK_OF_OPERATION: ContextVar[Any] = ContextVar("operation")
"""What the running task was started for, directly or by another task."""


class HangError(AssertionError):
    """Somebody still waits though everything that can happen has happened."""


class Scheduler:
    """Points, virtual time, and the order in which both move.

    Attributes:
        now: seconds; all clocks of the mount.
        step: a number that grows with everything that is noted.
        open: nobody is held up at a point.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = float(tokens.NOW)
        self.step = 0
        self.open = True
        self._points: list[tuple[str, asyncio.Future[None]]] = []
        self._haste = rng.choice((0.01, 0.03, 0.1))
        # Each run has kinds of points that are slow: else nothing waits long while much happens.
        self._weights: dict[str, float] = {}

    def tick(self) -> int:
        """Return the number of a new step."""
        self.step += 1
        return self.step

    def point(self, kind: str) -> asyncio.Future[None]:
        """Return a future that the driver completes."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.open or self.rng.random() < 0.15:
            future.set_result(None)
        else:
            self._points.append((kind, future))
        return future

    async def pause(self, kind: str) -> None:
        """Wait until the driver goes on here; not at all if it wants to at once."""
        future = self.point(kind)
        if not future.done():
            await future

    async def drive(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        """Complete points until the tasks are done.

        Raises:
            HangError: they never are.
        """
        rounds = idle_s = 0.0
        for _ in range(MAX_STEPS):
            for _ in range(self.rng.choice((1, 1, 2, 3, 5, 20))):
                await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                return
            self._points = [each for each in self._points if not each[1].done()]
            if not self._points:
                rounds += 1
                if rounds > IDLE_ROUNDS:
                    self.now += 0.5
                    idle_s += 0.5
                if idle_s > MAX_IDLE_S:
                    break
                continue
            rounds = 0
            if self.rng.random() < self._haste:
                self.now += self.rng.choice((0.1, 0.4, 1.1, 6.0, 11.0))
            else:
                self._complete_one()
        raise HangError(f"still waiting: {[task.get_name() for task in tasks if not task.done()]}")

    def _complete_one(self) -> None:
        weights = [self._weight(kind) for kind, _ in self._points]
        at = self.rng.choices(range(len(self._points)), weights)[0]
        self._points.pop(at)[1].set_result(None)

    def _weight(self, kind: str) -> float:
        if kind not in self._weights:
            self._weights[kind] = self.rng.choice((0.03, 0.3, 1.0, 1.0, 4.0))
        return self._weights[kind]


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop without real time and threads.

    It never sleeps: the driver is always ready to run.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        super().__init__()

    def time(self) -> float:
        return self._scheduler.now

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run `func` at one point and hand out its result at another one."""
        answer: asyncio.Future[Any] = self.create_future()
        operation = TASK_OF_OPERATION.get(None)
        is_own = operation is not None and asyncio.current_task(self) is operation.task
        given_up_s = self.time() + THREAD_S

        def run(_: asyncio.Future[None]) -> None:
            try:
                result, error = func(*args), None
            except Exception as raised:  # noqa: BLE001 - it is for who waits
                result, error = None, raised

            def deliver(_: asyncio.Future[None]) -> None:
                if answer.done():
                    return
                if is_own and self.time() < given_up_s:
                    operation.judged_after = self._scheduler.tick()
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(error)

            self._scheduler.point("thread ends").add_done_callback(deliver)

        self._scheduler.point("thread begins").add_done_callback(run)
        return answer
