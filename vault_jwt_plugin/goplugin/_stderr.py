"""Writing lines to a pipe whose reader may be slow, stuck or gone, without ever waiting."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class LineSink(Protocol):
    """The place where a log handler writes its lines."""

    def write(self, line: bytes) -> None:
        """Take one line, including its newline. Neither waits nor raises."""


class PipeSink:
    """Write lines to a non-blocking file descriptor.

    What the pipe cannot take is kept, up to a limit, and written by a thread that runs as long as
    anything is kept. Beyond the limit, whole lines are dropped and counted.
    """

    MAX_BACKLOG_BYTES = 1024 * 1024

    def __init__(self, fd: int, note_dropped: Callable[[int], bytes] | None = None) -> None:
        """Wrap a non-blocking, writable file descriptor; the caller still owns it.

        Args:
            fd: the descriptor to write to.
            note_dropped: makes the line that says how many lines before it were dropped.
        """
        self._fd = fd
        self._note_dropped = note_dropped
        self._lock = threading.Lock()
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._empty = threading.Event()
        self._empty.set()
        self._draining = False
        self._dead = False
        self._dropped = 0

    @classmethod
    def on(cls, fd: int, note_dropped: Callable[[int], bytes] | None = None) -> Self:
        """Make a sink on `fd`, usually 2, whatever its mode is."""
        return cls(_non_blocking(fd), note_dropped)

    def write(self, line: bytes) -> None:
        """Take one line, including its newline. Neither waits nor raises."""
        with self._lock:
            if self._dead:
                return
            rest = line if self._backlog else self._try_write(line)
            if rest:
                self._keep(rest)
                self._start_draining()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything kept is written; return whether it is."""
        return self._empty.wait(timeout_s)

    def _keep(self, line: bytes) -> None:
        if self._backlog_bytes + len(line) > self.MAX_BACKLOG_BYTES:
            self._dropped += 1
            return
        self._backlog.append(line)
        self._backlog_bytes += len(line)
        self._empty.clear()

    def _start_draining(self) -> None:
        if self._draining:
            return
        try:
            threading.Thread(target=self._drain, name="hclog", daemon=True).start()
        except RuntimeError:  # There is no thread to be had now: the next line tries again.
            return
        self._draining = True

    def _try_write(self, data: bytes) -> bytes:
        """Write what fits and return the rest; after part of a line, its rest must follow."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                break
            except OSError:  # The reader is gone, so nobody will ever read this.
                self._dead = True
                return b""
        return data

    def _drain(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while True:
            poll.poll()
            with self._lock:
                if self._write_backlog():
                    self._draining = False
                    self._empty.set()
                    return

    def _write_backlog(self) -> bool:
        """Write what fits; return whether nothing is left."""
        while self._backlog:
            line = self._backlog.popleft()
            self._backlog_bytes -= len(line)
            rest = self._try_write(line)
            if self._dead:
                self._backlog.clear()
            elif rest:
                self._backlog.appendleft(rest)
                self._backlog_bytes += len(rest)
                return False
            elif not self._backlog and self._dropped and self._note_dropped is not None:
                self._keep(self._note_dropped(self._dropped))
                self._dropped = 0
        return True


def _non_blocking(fd: int) -> int:
    """Return a non-blocking descriptor for the same file.

    A pipe is opened again, because its mode is shared with every process that inherited it, and a
    launcher or a terminal's other users rely on that mode. Regular files never block.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # The pipe belongs to another user, or there is no /proc.
        os.set_blocking(fd, False)
        return fd
