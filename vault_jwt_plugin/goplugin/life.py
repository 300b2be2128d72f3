"""How the process ends, whoever decides it, and that nothing of it is left.

A host waits without limit for the end of our stdout and stderr, with its plugin catalog locked, and
its SIGKILL reaches only the process that it started. That may be a launcher: the static wrapper
(staticx) of the one-file program, which unpacks it and removes the folder after its end. So a
thread, which works even while the event loop is stuck, watches every ancestor up to the host, and
the pipe to it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vault_jwt_plugin.goplugin.program import bundle_dir

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_WITHIN_S = 0.4
"""From the wish to end to the end, at most; launchers need the rest of the 500 ms."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_PARENT_POLL_S = 0.5
_MAKING_S = 0.1


class Life:
    """The end of this process.

    Attributes:
        on_stop: called in the watching thread when a signal asks for the end; None = end at once.
        making: hold it while making what `leaves` is then told of. The end, in another thread,
            waits for it, and never gives it back: what is made while all is being removed stays.
    """

    def __init__(self, stdout_fd: int) -> None:
        """Prepare.

        Args:
            stdout_fd: the pipe to the host, open for as long as the process lives.
        """
        self.on_stop: Callable[[], None] | None = None
        self.making = threading.Lock()
        self._stdout_fd = stdout_fd
        self._remains: list[Path] = []
        self._parent = os.getppid()
        self._deadline: float | None = None
        self._ending = threading.Lock()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def watch(self) -> None:
        """Take over the signals and start watching; ends the process at once if it is orphaned.

        SIGINT is ignored: Ctrl-C in a terminal reaches the host's whole process group, and the host
        then ends us in its own time.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The signal's number arrives in the pipe even while Python code is stuck in C.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, _ignore)
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if stat.S_ISFIFO(os.fstat(self._stdout_fd).st_mode):
            poll.register(self._stdout_fd, 0)  # POLLERR, always told: no reader is left.
        pidfds = watched_ancestors(self._stdout_fd)
        if pidfds is None:
            self._parent = 0  # Whoever has adopted us is no launcher of ours.
            self.end(1)
        for pidfd in pidfds:
            poll.register(pidfd, select.POLLIN)
        threading.Thread(target=self._watch, args=(poll,), name="life", daemon=True).start()

    def leaves(self, path: Path) -> None:
        """Have a file or folder removed at the end."""
        self._remains.insert(0, path)

    def end_within(self, seconds: float) -> None:
        """End the process by then at the latest, even if nothing else works any more."""
        self._set_deadline(seconds)
        os.write(self._wake_write, b"\0")

    def end(self, status: int) -> NoReturn:
        """Remove all that we made and end the process.

        Without unwinding: the interpreter's own end waits for threads that wait for the network.
        """
        if self._ending.acquire(blocking=False):
            try:
                self.making.acquire(timeout=_MAKING_S)
                self._remove_all()
            finally:
                os._exit(status)
        time.sleep(EXIT_WITHIN_S)  # Another thread is at it, and ends us too.
        os._exit(1)  # Unless it is stuck; what is left is the launcher's.

    def _remove_all(self) -> None:
        for path in self._remains:
            _remove(path)
        # The launcher removes what it unpacked, and complains of what it does not find; only if it
        # was killed that is left to us.
        unpacked = bundle_dir()
        if unpacked is not None and os.getppid() != self._parent:
            _remove(unpacked)

    def _watch(self, poll: select.poll) -> None:
        try:
            while True:
                self._watch_once(poll)
        finally:
            self.end(1)  # No memory, say: nobody would see us end any more.

    def _watch_once(self, poll: select.poll) -> None:
        for fd, _ in poll.poll(self._timeout_ms()):
            if fd != self._wake_read:
                self.end(1)  # The host or a launcher is gone.
            woken_by = os.read(self._wake_read, 512)
            if any(number in woken_by for number in _STOP_SIGNALS):
                self._stop()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            if self._ending.locked():
                os._exit(1)  # Removal itself is stuck; what is left is the launcher's.
            self.end(1)
        if os.getppid() != self._parent:
            self.end(1)

    def _stop(self) -> None:
        self._set_deadline(EXIT_WITHIN_S)
        if self.on_stop is None:
            self.end(0)
        self.on_stop()

    def _set_deadline(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    def _timeout_ms(self) -> int:
        # Also where the kernel has no pidfds, an orphan notices.
        if self._deadline is None:
            return int(_PARENT_POLL_S * 1000)
        return max(1, int((self._deadline - time.monotonic()) * 1000))


def watched_ancestors(stdout_fd: int) -> list[int] | None:
    """Pidfds of the launchers and of the host that started them.

    Launchers are known by their stdout, which is ours; the first ancestor with another one is the
    host. Where /proc does not tell (a file capability on the wrapper), the kind of build does, and
    the process group, which a launcher shares with us and an adopting init does not.

    Returns:
        The open pidfds; empty where the kernel has none. None when a launcher is already gone.
    """
    launcher_missing = bundle_dir() is not None
    child, pid = os.getpid(), os.getppid()
    pidfds: list[int] = []
    while pid > 0:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except (OSError, AttributeError):  # Not in this kernel, sandbox or build of Python.
            return pidfds
        pidfds.append(pidfd)
        if _parent_of(child) != pid:  # It ended meanwhile, the number may be another's.
            return None
        is_launcher = _has_stdout(pid, stdout_fd)
        if is_launcher is False and launcher_missing:
            return None  # Adopted by init: the launcher that should be here was killed.
        if is_launcher is None and launcher_missing:
            if not _is_of_our_group(pid):
                return None
            is_launcher = True
        if not is_launcher:
            return pidfds
        launcher_missing = False
        child, pid = pid, _parent_of(pid)
    return pidfds


def _has_stdout(pid: int, fd: int) -> bool | None:
    """Whether the process's stdout is the file behind our `fd`; None when it cannot be known."""
    try:
        theirs = Path(f"/proc/{pid}/fd/1").stat()
    except OSError:
        return None
    return os.path.samestat(theirs, os.fstat(fd))


def _is_of_our_group(pid: int) -> bool:
    try:
        return pid != 1 and os.getpgid(pid) == os.getpgrp()
    except OSError:
        return False


def _parent_of(pid: int) -> int:
    """Number of the process's parent, 0 when unknown or outside our namespace."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # pid (comm) state ppid ...; comm may hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[1])


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


def _ignore(_number: int, _frame: object) -> None:
    """A handler, so that the signal's number is written to the wakeup pipe and nothing else."""
