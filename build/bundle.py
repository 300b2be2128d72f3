"""The folder that the launcher unpacked, seen from inside: hold it, sweep up after dead ones.

The launcher (staticx's) makes `staticx-XXXXXX` in $TMPDIR, mode 0700, and removes it when the
program has ended. Two things it leaves undone:

- While a server runs for months, cleaners of /tmp (systemd-tmpfiles: 10 days) would take the folder
  away from under it, and the first key fetch after that would find no HTTP library. They leave a
  folder alone that somebody holds with flock(2).
- A launcher that fails while it unpacks (disk full), or is killed there, leaves its folder behind.
  The next start removes those. That nobody holds the lock tells a dead folder from a living one; in
  its first minute a living one may not have been locked yet.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

MARKER = ".vault-jwt-plugin"
"""An empty file, the first in the archive: it tells our folders from other programs'."""

PREFIX = "staticx-"
SWEEP_AFTER_S = 60.0


def hold(folder: Path) -> int | None:
    """Lock `folder` for as long as this process lives.

    Returns:
        The open descriptor, which the end of the process closes; None when the file system has no
        locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sweep(parent: Path, now: float) -> None:
    """Remove the folders in `parent` that dead launchers of this program left to this user.

    Args:
        parent: the folder for temporary files; others may write there too.
        now: seconds since the epoch.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # Another user's, gone meanwhile, or a link that somebody laid.
            continue
        try:
            if _is_dead(descriptor, now):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_dead(descriptor: int, now: float) -> bool:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or now - status.st_ctime < SWEEP_AFTER_S:
        return False
    try:
        os.stat(MARKER, dir_fd=descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def settle() -> None:
    """Hold the folder that this process runs from, if it was unpacked, and sweep beside it."""
    folder = Path(os.environ.get("STATICX_BUNDLE_DIR", ""))
    # No lock, no sweep: what cannot be held cannot be told from what is dead.
    if folder.is_absolute() and hold(folder) is not None:
        sweep(folder.parent, time.time())
