"""Where programs are evaluated: over small claims at once, over large ones in threads.

An evaluation over usual claims takes less time than a signature. Over claims of
the largest size, a costly program can take seconds; it may hold up others like
it, but not the event loop, which serves every other login.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vault_jwt_plugin.jwt_auth.cel.program import CompiledProgram, Inputs
    from vault_jwt_plugin.sdk import Auth, MaybeAwaitable

MAX_THREADS = 2
"""Evaluations over large claims at once, per mount."""

MAX_WAITING = 64
"""Evaluations over large claims that run or wait for a thread, per mount."""

DEADLINE_S = 5.0
"""How long a login waits for such an evaluation, in seconds."""


class Evaluator:
    """Evaluates the programs of one mount."""

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._waiting = 0

    def evaluate(self, program: CompiledProgram, inputs: Inputs, role: str) -> MaybeAwaitable[Auth]:
        """See `CompiledProgram.evaluate`.

        Raises:
            LoginDenied: as there; `cel_busy`, `cel_timeout`.
        """
        if not inputs.is_large:
            return program.evaluate(inputs, role)
        if self._waiting >= MAX_WAITING:
            raise LoginDenied(
                "cel_busy", "too many logins with large claims at once; try again in a moment"
            )
        return self._evaluate_beside(program, inputs, role)

    async def _evaluate_beside(self, program: CompiledProgram, inputs: Inputs, role: str) -> Auth:
        running = asyncio.get_running_loop().run_in_executor(
            self._threads(), program.evaluate, inputs, role
        )
        # Counted until it really ended: a login that no longer waits leaves its thread busy.
        self._waiting += 1
        running.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.shield(running)
        except TimeoutError:
            raise LoginDenied(
                "cel_timeout",
                f"the program of CEL role {quoted(role)} took longer than {DEADLINE_S:.0f} s",
            ) from None

    def _ended(self, running: asyncio.Future[Auth]) -> None:
        self._waiting -= 1
        if not running.cancelled():
            # Whoever still waits gets it too; this keeps asyncio from logging it when nobody does.
            running.exception()

    def _threads(self) -> Executor:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="cel")
        return self._executor

    def close(self) -> None:
        """Begin nothing more; what is being evaluated ends by itself."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
