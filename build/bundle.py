"""Complete the folder that the launcher unpacked, lock it, and remove dead ones beside it.

The launcher's archive is not compressed, because the launcher would unpack all of it with xz, which
takes a second. A library that compresses well and is needed only by Python code is stored as
`NAME.z`, and unpacking it takes milliseconds.

The launcher (staticx's) makes `staticx-XXXXXX` in $TMPDIR, mode 0700, and removes it when the
program has ended. It leaves two things undone:

- While a server runs for months, cleaners of /tmp (systemd-tmpfiles: 10 days) would remove the
  folder, and the next key fetch would find no HTTP library. They spare a folder that somebody holds
  with flock(2).
- A launcher that fails while it unpacks (because the disk is full), or is killed then, leaves its
  folder behind. The next start removes such folders. A dead folder is one whose lock nobody holds;
  in its first minute a folder in use may not be locked yet.
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
"""An empty file, the first in the archive, which distinguishes our folders from other programs'."""

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
        OSError: there is no space left.
    """
    for packed in folder.glob(f"*{PACKED}"):
        file = packed.with_name(packed.name.removesuffix(PACKED))
        file.write_bytes(zlib.decompress(packed.read_bytes()))
        packed.unlink()


def hold(folder: Path) -> int | None:
    """Lock `folder` for as long as this process lives.

    Returns:
        The open descriptor, which the end of the process closes; None if the file system has no
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
        parent: the folder for temporary files; other programs may write there too.
        now: seconds since the epoch.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # Another user's, just gone, or a link that somebody planted.
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
    """Complete and lock the folder that this program runs from, and remove dead ones beside it.

    This does nothing if the folder is not the launcher's: PyInstaller's folder also runs by itself.
    """
    if not folder.name.startswith(PREFIX):
        return
    try:
        complete(folder)
    except OSError as error:
        sys.exit(f"[ERROR] vault-jwt-plugin: cannot unpack into {folder}: {error.strerror}")
    # Without a lock, folders in use cannot be told from dead ones.
    if hold(folder) is not None:
        sweep(folder.parent, time.time())
