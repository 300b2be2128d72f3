"""The protection of a process that holds keys: no dumps, no readable files, no swapped memory."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

_logger = logging.getLogger(__name__)

# From <linux/prctl.h> and <sys/mman.h>.
_PR_SET_DUMPABLE = 4
_MCL_CURRENT = 1
_MCL_FUTURE = 2
_MCL_ONFAULT = 4
_CAP_IPC_LOCK = 14


def harden() -> None:
    """Prevent core files, and keep other users from reading or attaching to the process."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The memory holds keys: keep out debuggers of the same user, and /proc/PID/mem, too.
    error = _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    if error:
        _logger.debug("the process stays dumpable", extra={"fields": {"error": os.strerror(error)}})


def lock_memory() -> None:
    """Keep memory out of swap, as the host asked; a failure is only logged.

    Pages are locked when first used: locking whole thread stacks would multiply the memory in use.
    """
    flags = _MCL_CURRENT | _MCL_ONFAULT
    # Under a finite limit, locking future pages would make later allocations fail.
    if _may_lock_all():
        flags |= _MCL_FUTURE
    error = _call("mlockall", flags)
    if error:
        _logger.warning(
            "memory could not be locked, it may be swapped out; "
            "allow it with LimitMEMLOCK=infinity or the capability IPC_LOCK",
            extra={"fields": {"event": "memory_not_locked", "error": os.strerror(error)}},
        )


def _may_lock_all() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), ":0")
    return bool(int(effective.split(":")[1], 16) >> _CAP_IPC_LOCK & 1)


def _call(function: str, *arguments: int) -> int:
    """Call a function of libc; return 0 or the errno, ENOSYS if there is no such function."""
    import ctypes
    import errno

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc[function](*(ctypes.c_ulong(argument) for argument in arguments))
    except (OSError, AttributeError):
        return errno.ENOSYS
    return 0 if result == 0 else ctypes.get_errno()
