"""Habits of a process that holds keys: no dumps, no readable files, memory out of swap."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

_logger = logging.getLogger(__name__)

# <linux/prctl.h>, <sys/mman.h>.
_PR_SET_DUMPABLE = 4
_MCL_CURRENT = 1
_MCL_FUTURE = 2
_MCL_ONFAULT = 4
_CAP_IPC_LOCK = 14


def harden() -> None:
    """Leave no core file, and nothing that other users can read or attach to."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Keys in memory: no debugger of the same user, no /proc/PID/mem either.
    error = _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    if error:
        _logger.debug("the process stays dumpable", extra={"fields": {"error": os.strerror(error)}})


def lock_memory() -> None:
    """Keep memory out of swap, as the host asked; a refusal is logged and no more.

    Pages are locked when first used: locking whole thread stacks would multiply our memory.
    """
    flags = _MCL_CURRENT | _MCL_ONFAULT
    # Under a finite limit, locking what is still to come would make later allocations fail.
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
    """Call one of libc's functions; 0 or the errno, with ENOSYS for one that is not there."""
    import ctypes
    import errno

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc[function](*(ctypes.c_ulong(argument) for argument in arguments))
    except (OSError, AttributeError):
        return errno.ENOSYS
    return 0 if result == 0 else ctypes.get_errno()
