"""Memory, descriptors and TMPDIR run out under a running plugin, and come back.

What fails says why, the host's own restart is all the repair that it takes, and nothing hangs.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.world import (
    BACK_S,
    World,
    configure,
    login,
)
from tests.hosts.plugin import enable, register
from tests.hosts.server import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.discover import Host
    from tests.hosts.plugin import Plugin

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MIB = 2**20
HOPELESS_S = 5.0
"""A login that cannot be served is told so in this time."""

MAY_FAIL_S = 2.0
"""After what used up the memory: the process notices, ends, and the host starts a new one."""


@contextlib.contextmanager
def limited(pid: int, kind: int, soft: int) -> Iterator[None]:
    """A resource limit of a running process (prlimit(2)), for the time of the body."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # It may have ended, and a new one begun.
            resource.prlimit(pid, kind, before)


def address_space(pid: int) -> int:
    """Bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def log_in_with(world: World, size: int) -> None:
    """Send a token of so many bytes; the answer does not matter, nor whether there is one."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        world.mount.login("x" * size, "demo")


@pytest.mark.parametrize("left", [0, 2 * MIB], ids=["nothing", "2-MiB"])
def test_memory(world: World, say, left):
    world.wait_back()
    program = world.program
    with world.load() as load, limited(program, resource.RLIMIT_AS, address_space(program) + left):
        requests = [
            threading.Thread(target=log_in_with, args=(world, size))
            for size in (900_000, 3_000_000, *[8_000_000] * 4)
        ]
        for request in requests:
            request.start()
        for request in requests:
            request.join(BACK_S)
        asked = time.monotonic()
        time.sleep(MAY_FAIL_S + 0.5)
        world.wait_back()
    last = max((failed.ended for failed in load.failed), default=asked)
    say(
        f"{len(load.failed)} of {len(load.logins)} failed, "
        f"the last {max(0, last - asked):.2f} s after the last large request"
    )
    assert last - asked < MAY_FAIL_S
    if world.program != program:
        assert "ends; the server starts it again" in world.server.log()
    assert len(world.unpacked()) <= 1


def descriptors(pid: int) -> int:
    return 1 + max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def test_descriptors(world: World, say):
    pids = world.processes
    with world.load() as load:
        with limited(pids[-1], resource.RLIMIT_NOFILE, descriptors(pids[-1])):
            began = time.monotonic()
            refused = world.server.client.post("sys/auth/second", {"type": "jwt"})
            took = time.monotonic() - began
        second = configure(enable(world.server, "second", version=world.plugin.version))
        assert login(second).status == 200
        second.disable()
    say(
        f"a new mount is refused after {took:.2f} s, "
        f"{len(load.failed)} of {len(load.logins)} logins failed"
    )
    assert refused.status in {400, 500}
    assert "Too many open files" in refused.errors[0]
    assert load.failed == []
    assert world.processes == pids


class Tmpfs:
    """The TMPDIR of a host: a file system of its own, in a mount namespace of the host's own."""

    def __init__(self, server: DevServer) -> None:
        self.folder = Path(f"/proc/{server.pid}/root{server.temporary}")
        self._enter = ["nsenter", f"--target={server.pid}", "--mount"]
        self._mounted_at = server.temporary
        self._filler = self.folder / "filler"

    @staticmethod
    def wrapper(folder: Path) -> list[str]:
        """What makes it, and becomes the host."""
        mount = f'mount -t tmpfs -o size=96m tmpfs {folder} && exec "$@"'
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", mount, "sh"]

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def remount(self, option: str) -> None:
        command = ["mount", "-o", f"remount,{option}", str(self._mounted_at)]
        subprocess.run([*self._enter, *command], check=True)

    def spoil(self, how: str) -> None:
        if how == "full":
            self.fill()
        else:
            self.remount(how)

    def repair(self, how: str) -> None:
        if how == "full":
            self._filler.unlink()
        else:
            self.remount({"ro": "rw", "noexec": "exec"}[how])


def has_logged(server: DevServer, text: str, since: int) -> bool:
    """Whether an error with this text is in the log."""
    lines = server.log()[since:].splitlines()
    return any("[ERROR]" in line and text in line for line in lines)


def hopeless_s(world: World) -> float:
    """How long a login takes to be told that there is no plugin to serve it."""
    began = time.monotonic()
    assert login(world.mount).status == 500
    took = time.monotonic() - began
    assert took < HOPELESS_S
    return took


SAID = {
    "full": "[ERROR] TMPDIR is full?",
    "ro": "Read-only file system",
    "noexec": "Permission denied",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_tmpdir(host: Host, ours: Plugin, say):
    if ours.path is None:
        pytest.skip("--plugin=source unpacks nothing")
    # What operators see by default.
    server = DevServer(host, log_level="info")
    server.wrapper = tuple(Tmpfs.wrapper(server.temporary))
    with server:
        register(server, ours)
        world = World.on(server, ours)
        tmpfs = Tmpfs(server)
        for how, said in SAID.items():
            tmpfs.spoil(how)
            # Nothing of it concerns a plugin that runs.
            assert login(world.mount).status == 200
            pids = world.processes
            os.kill(pids[-1], signal.SIGKILL)
            world.wait_gone(pids)
            if how == "full":
                tmpfs.fill()
            logged = len(server.log())
            began = time.monotonic()
            took = hopeless_s(world)
            # Of a process that ends at once, a host may miss what it said; the next login says it.
            while not has_logged(server, said, logged):
                hopeless_s(world)
                assert time.monotonic() - began < HOPELESS_S, said
            tmpfs.repair(how)
            back = world.wait_back()
            say(f"{how}: an error after {took:.2f} s; repaired, a login after {back:.2f} s")
