"""How the process ends, whatever the reason, and how it leaves nothing behind.

A host waits without limit for the end of our stdout and stderr, with its plugin catalog locked, and
its SIGKILL reaches only the process that it started. That may be a launcher: the static wrapper
(staticx) of the one-file program, which unpacks the program and removes the folder afterwards. So a
thread watches every ancestor up to the host, and the pipe to the host; it works even while the
event loop is stuck.
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
"""The longest time from the decision to end until the end; launchers need the rest of 500 ms."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_PARENT_POLL_S = 0.5
_MAKING_S = 0.1


class Life:
    """The end of this process.

    Attributes:
        on_stop: called in the watching thread when a signal asks for the end; None ends at once.
        making: hold this lock while making something and passing it to `leaves`. The thread that
            ends
            the process takes the lock and never releases it, so that nothing new is made after the
            removal has begun.
    """

    def __init__(self, stdout_fd: int) -> None:
        """Prepare the pipes that `watch` needs.

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
        """Take over the signals and start watching; end the process at once if it is orphaned.

        SIGINT is ignored: Ctrl-C in a terminal reaches the host's whole process group, and the host
        then
        ends the plugin when it is ready.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The signal's number arrives in the pipe even while Python code is stuck in C.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, _ignore)
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if stat.S_ISFIFO(os.fstat(self._stdout_fd).st_mode):
            poll.register(self._stdout_fd, 0)  # This reports POLLERR only: no reader is left.
        pidfds = watched_ancestors(self._stdout_fd)
        if pidfds is None:
            self._parent = 0  # The process that adopted us is not our launcher.
            self.end(1)
        for pidfd in pidfds:
            poll.register(pidfd, select.POLLIN)
        threading.Thread(target=self._watch, args=(poll,), name="life", daemon=True).start()

    def leaves(self, path: Path) -> None:
        """Have a file or folder removed at the end."""
        self._remains.insert(0, path)

    def end_within(self, seconds: float) -> None:
        """End the process within `seconds`, even if nothing else works any more."""
        self._set_deadline(seconds)
        os.write(self._wake_write, b"\0")

    def end(self, status: int) -> NoReturn:
        """Remove everything that we made and end the process.

        The interpreter does not shut down in the normal way: it would wait for threads that wait
        for the
        network.
        """
        if self._ending.acquire(blocking=False):
            try:
                self.making.acquire(timeout=_MAKING_S)
                self._remove_all()
            finally:
                os._exit(status)
        time.sleep(EXIT_WITHIN_S)  # Another thread is ending the process already.
        os._exit(1)  # That thread is stuck; the rest is left to the launcher.

    def _remove_all(self) -> None:
        for path in self._remains:
            _remove(path)
        # The launcher removes what it unpacked, and complains if something is missing; we do it
        # only if the
        # launcher was killed.
        unpacked = bundle_dir()
        if unpacked is not None and os.getppid() != self._parent:
            _remove(unpacked)

    def _watch(self, poll: select.poll) -> None:
        try:
            while True:
                self._watch_once(poll)
        finally:
            self.end(1)  # There is no memory, for example: nothing else would end us any more.

    def _watch_once(self, poll: select.poll) -> None:
        for fd, _ in poll.poll(self._timeout_ms()):
            if fd != self._wake_read:
                self.end(1)  # The host or a launcher is gone.
            woken_by = os.read(self._wake_read, 512)
            if any(number in woken_by for number in _STOP_SIGNALS):
                self._stop()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            if self._ending.locked():
                os._exit(1)  # The removal itself is stuck; the rest is left to the launcher.
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
        # This way an orphan notices even where the kernel has no pidfds.
        if self._deadline is None:
            return int(_PARENT_POLL_S * 1000)
        return max(1, int((self._deadline - time.monotonic()) * 1000))


def watched_ancestors(stdout_fd: int) -> list[int] | None:
    """Open pidfds of the launchers and of the host that started them.

    A launcher has the same stdout as we do; the first ancestor with another stdout is the host. If
    /proc does not show that (because of a file capability on the wrapper), the kind of build
    decides,
    and the process group: a launcher is in ours, an init that adopted us is not.

    Returns:
        The open pidfds; empty if the kernel has none. None if a launcher is already gone.
    """
    launcher_missing = bundle_dir() is not None
    child, pid = os.getpid(), os.getppid()
    pidfds: list[int] = []
    while pid > 0:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except (OSError, AttributeError):  # This kernel, sandbox or build of Python has none.
            return pidfds
        pidfds.append(pidfd)
        if _parent_of(child) != pid:  # It ended meanwhile, and its number may be another process's.
            return None
        is_launcher = _has_stdout(pid, stdout_fd)
        if is_launcher is False and launcher_missing:
            return None  # Init has adopted us: the launcher was killed.
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
    """Return whether the process's stdout is the file behind our `fd`; None if that is unknown."""
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
    """Return the parent's process id; 0 if it is unknown or outside our namespace."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The line is: pid (comm) state ppid ...; comm may contain spaces and parentheses.
    return int(text.rpartition(")")[2].split()[1])


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the handler exists so that the signal's number is written to the wakeup pipe."""
