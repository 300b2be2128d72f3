"""The folder that the launcher unpacked, seen from inside: complete it, hold it, sweep beside it.

Complete it: the launcher's archive is not compressed, since it would unpack all of it with xz, in a
second. A library that compresses well and is needed only by Python code lies in it as `NAME.z`, and
costs milliseconds.

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
import sys
import time
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MARKER = ".vault-jwt-plugin"
"""An empty file, the first in the archive: it tells our folders from other programs'."""

PREFIX = "staticx-"
PACKED = ".z"
SWEEP_AFTER_S = 60.0


def pack(file: Path) -> None:
    """Replace `file` by its compressed form."""
    file.with_name(file.name + PACKED).write_bytes(zlib.compress(file.read_bytes(), 9))
    file.unlink()


def complete(folder: Path) -> None:
    """Unpack the compressed files in `folder`.

    Raises:
        OSError: no space is left.
    """
    for packed in folder.glob(f"*{PACKED}"):
        file = packed.with_name(packed.name.removesuffix(PACKED))
        file.write_bytes(zlib.decompress(packed.read_bytes()))
        packed.unlink()


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


def settle(folder: Path) -> None:
    """Complete and hold the folder that this program runs from, and sweep beside it.

    Nothing when it is not the launcher's: PyInstaller's folder run as it is.
    """
    if not folder.name.startswith(PREFIX):
        return
    try:
        complete(folder)
    except OSError as error:
        sys.exit(f"[ERROR] vault-jwt-plugin: cannot unpack into {folder}: {error.strerror}")
    # No lock, no sweep: what cannot be held cannot be told from what is dead.
    if hold(folder) is not None:
        sweep(folder.parent, time.time())
