"""A Unix socket in front of another, whose connections can be broken off."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 65_536


class Relay:
    """Passes bytes on, both ways, to whoever listens at `target`.

    Attributes:
        path: where it listens itself.
        target: where connections that come are passed on to.
        accepted: how many connections came.
    """

    def __init__(self, path: Path, target: str) -> None:
        self.path = path
        self.accepted = 0
        self.target = target
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._refusing = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.cut()
        self.path.unlink(missing_ok=True)

    def cut(self) -> None:
        """Break off every connection, both sides, without a word of the protocols above."""
        with self._changed:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._changed:
            assert self._changed.wait_for(lambda: self._open.isdisjoint(ends), 5)

    @contextlib.contextmanager
    def refusing(self):
        """Break everything off, and close what comes at once, for the time of the body."""
        self._refusing = True
        self.cut()
        try:
            yield
        finally:
            self._refusing = False

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refusing:
                end.close()
                continue
            other = socket.socket(socket.AF_UNIX)
            try:
                other.connect(self.target)
            except OSError:
                end.close()
                other.close()
                continue
            threading.Thread(target=self._pass_on, args=(end, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with one, other:
            with self._changed:
                self._open |= {one, other}
            back = threading.Thread(target=_copy, args=(other, one), daemon=True)
            back.start()
            _copy(one, other)
            back.join()
        with self._changed:
            self._open -= {one, other}
            self._changed.notify_all()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
