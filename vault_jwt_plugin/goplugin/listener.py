"""The Unix socket that the host connects to."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vault_jwt_plugin.goplugin.errors import SocketError

MAX_PATH_BYTES = 107
"""The longest socket path: `sun_path` in unix(7) has 108 bytes, and the last is zero."""

_FALLBACK_DIR = "/tmp"  # noqa: S108 - only as parent of a folder of mode 0700 with a random name
_BACKLOG = 16
_DIR_PREFIX = "goplugin-"
_SOCKET_PREFIX = "plugin"
_SWEEP_AFTER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening, non-blocking socket.

    Attributes:
        socket: the socket.
        path: its path, which is the address in the handshake line.
        remains: what to remove at the end: the socket, or the folder made for it.
        remark: why the socket is not in the expected folder, or None.
    """

    socket: socket.socket
    path: Path
    remains: Path
    remark: str | None = None


def listen(*, socket_dir: str | None, group: str | None, own_dir: Path | None) -> Listener:
    """Make the socket, reachable by our user, and by `group` if given.

    Args:
        socket_dir: the folder that the host wants it in (`PLUGIN_UNIX_SOCKET_DIR`), or None.
        group: group id or name (`PLUGIN_UNIX_SOCKET_GROUP`), or None.
        own_dir: a folder of ours that somebody else removes if we are killed, or None.

    Raises:
        SocketError: the folder, the group or the length of the path does not allow it.
    """
    gid = None if group is None else _group_id(group)
    remark = None
    if socket_dir is not None:
        path = Path(socket_dir) / _name()
        _check_path(path)
        remains = path
    else:
        folder = own_dir if own_dir is not None and gid is None else _private_dir(None, gid)
        path = folder / _name()
        try:
            _check_path(path)
        except SocketError as error:
            remark = f"{error}; the socket is in {_FALLBACK_DIR} instead"
            if folder != own_dir:
                folder.rmdir()
            folder = _private_dir(_FALLBACK_DIR, gid)
            path = folder / _name()
        remains = path if folder == own_dir else folder
    return Listener(socket=_bind(path, gid), path=path, remains=remains, remark=remark)


def sweep(parent: Path, *, now: float | None = None) -> None:
    """Remove the folders in `parent` that killed processes left behind.

    A folder is removed only if its name, owner and contents are those of our folders, it is at
    least a
    minute old, and no process holds it (see `_private_dir`).

    Args:
        parent: a folder for the sockets' folders; other programs may write there too.
        now: seconds since the epoch; None means the current time.
    """
    before = (time.time() if now is None else now) - _SWEEP_AFTER_S
    for folder in parent.glob(f"{_DIR_PREFIX}*"):
        with contextlib.suppress(OSError):  # Another user's, in use, or just gone.
            _sweep_one(folder, before)


def _sweep_one(folder: Path, before: float) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_ctime > before:
            return
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(fd):  # noqa: PTH208 - by descriptor: the path may change hands
            if name.startswith(_SOCKET_PREFIX):
                os.unlink(name, dir_fd=fd)
        folder.rmdir()
    finally:
        os.close(fd)


def _bind(path: Path, gid: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(os.fspath(path))
        if gid is not None:
            os.chown(path, -1, gid)
        path.chmod(0o600 if gid is None else 0o660)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        path.unlink(missing_ok=True)
        raise SocketError(f"cannot listen on the Unix socket {path}: {error.strerror}") from error
    return listener


def _private_dir(parent: str | None, gid: int | None) -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix=_DIR_PREFIX, dir=parent))
        # The descriptor is never closed. It shows `sweep` that we live, and cleaners of /tmp skip
        # the folder.
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # Some file systems have no locks.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if gid is not None:
            os.chown(folder, -1, gid)
            folder.chmod(0o710)
    except OSError as error:
        raise SocketError(
            f"cannot make a folder for the Unix socket in {parent or 'the temporary folder'}: "
            f"{error.strerror} (TMPDIR chooses another one)"
        ) from error
    return folder


def _check_path(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise SocketError(
            f"the path of the Unix socket would have {length} bytes, of which "
            f"{MAX_PATH_BYTES} are allowed: {path}"
        )
    if not {"|", "\n", "\r"}.isdisjoint(str(path)):
        raise SocketError(f"the path of the Unix socket cannot be sent to the host: {path}")


def _group_id(group: str) -> int:
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SocketError(f"PLUGIN_UNIX_SOCKET_GROUP: there is no group {group!r}") from error


def _name() -> str:
    return f"{_SOCKET_PREFIX}{os.urandom(8).hex()}"
