"""What a fuzz target is, and what all of them share: one event loop, and no fault goes unseen."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from tests.fuzz import mutation

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from random import Random

T = TypeVar("T")


class FoundError(AssertionError):
    """An input did what none may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One way in.

    Attributes:
        name: Of its folder of seeds, and for the command line.
        run: Feeds one input to our code; raises for whatever is not a documented answer.
        examples: Honest and known bad inputs by name: what seeds are made from.
        words: Tokens that inputs are made of, for the fuzzer's dictionary.
        mutate: Changes an input within its structure; raw bytes are changed by the fuzzer.
        max_bytes: Longest input that the fuzzer makes.
    """

    name: str
    run: Callable[[bytes], None]
    examples: Callable[[], Mapping[str, bytes]]
    words: tuple[bytes, ...] = ()
    mutate: Callable[[bytes, Random, tuple[bytes, ...]], bytes] = mutation.tokens
    max_bytes: int = 8192


def check(holds: object, problem: str) -> None:
    """An invariant, which `python -O` does not take away."""
    if not holds:
        raise FoundError(problem)


class _Errors(logging.Handler):
    """Keeps what is logged as an error: the boundaries answer faults of ours politely."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


_errors = _Errors()


@contextmanager
def no_faults(allowed: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Nothing in the body may log an error, but for errors of these classes.

    Raises:
        FoundError: something did; its cause is the exception that was logged.
    """
    logger = logging.getLogger("vault_jwt_plugin")
    _errors.records.clear()
    logger.addHandler(_errors)
    try:
        yield
    except FoundError:
        if not _errors.records or allowed:
            raise
    finally:
        logger.removeHandler(_errors)
    # The fault that was logged says more than what came of it.
    for record in _errors.records:
        cause = record.exc_info[1] if record.exc_info else None
        if isinstance(cause, allowed):
            continue
        fields = getattr(record, "fields", {})
        raise FoundError(f"logged as an error: {record.getMessage()} {fields}") from cause


class _Inline(ThreadPoolExecutor):
    """Runs at once what is meant for a thread: so that an input takes the same way every time."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is, as a thread would pass it on
            future.set_exception(error)
        return future


class _Loop:
    """The event loop of all targets: making one for each input would take most of the time."""

    current: asyncio.AbstractEventLoop | None = None

    @classmethod
    def get(cls) -> asyncio.AbstractEventLoop:
        if cls.current is None:
            cls.current = asyncio.new_event_loop()
            cls.current.set_default_executor(_Inline(1))
            cls.current.set_exception_handler(_raise_later)
        return cls.current


def _raise_later(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    logging.getLogger("vault_jwt_plugin.fuzz").error(
        "the event loop complains: %s", context.get("message"), exc_info=context.get("exception")
    )


def run_async(work: Coroutine[Any, Any, T], *allowed: type[BaseException]) -> T:
    """Run one input's work to its end, with whatever it started.

    Args:
        work: Feeds the input.
        allowed: What may be logged as an error all the same.

    Raises:
        FoundError: a task outlives it, or something logged an error.
    """
    loop = _Loop.get()
    with no_faults(allowed):
        result = loop.run_until_complete(work)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    check(not left, f"tasks are left: {left}")
    return result


class Kept(Generic[T]):
    """What inputs share, made by the first one and forgotten with the event loop.

    Args:
        make: Makes it.
    """

    _all: ClassVar[list[Kept[Any]]] = []

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._value: T | None = None
        self._all.append(self)

    async def get(self) -> T:
        """The one there is."""
        if self._value is None:
            self._value = await self._make()
        return self._value

    @classmethod
    def forget_all(cls) -> None:
        """Make them anew when they are next asked for."""
        for kept in cls._all:
            kept._value = None


def close_loop() -> None:
    """Close the event loop, if one was made."""
    Kept.forget_all()
    loop, _Loop.current = _Loop.current, None
    if loop is not None:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
