"""A host with ours on it that a test may do anything to, and what must not be left of us."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.build.world import family, is_running
from tests.faults.load import Load
from tests.hosts.plugin import Mount, Plugin, enable
from tests.hosts.server import group_members
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.hosts.client import Reply
    from tests.hosts.server import DevServer

AUDIENCE = "https://vault.example"
CONNECTIONS = 16
POLL_S = 0.002
OURS = ("staticx-", "goplugin-")
"""How the folders that we make in TMPDIR are called; the sockets `plugin*` there are the host's."""

GONE_S = 2.0
"""In which nothing of us is left after a death."""

BACK_S = 10.0
"""In which a plugin that ended serves again, on a machine that is busy with other tests."""


def role(**more: object) -> dict[str, object]:
    """A role that `token` may use."""
    return {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE} | more


def token() -> str:
    """A JWT that is good for longer than any test."""
    now = int(time.time())
    return make_jwt({"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 7200})


def configure(mount: Mount) -> Mount:
    """Give a new mount a key and the role `demo`."""
    client = mount.client
    path = f"auth/{mount.path}"
    client.must("POST", f"{path}/config", {"jwt_validation_pubkeys": public_pem("rsa")})
    client.must("POST", f"{path}/role/demo", role())
    return mount


def login(mount: Mount, role_name: str = "demo") -> Reply:
    """One login."""
    return mount.login(token(), role_name)


def request(mount: Mount, role_name: str = "demo") -> tuple[str, bytes]:
    """Path and body of a login, for `Load`."""
    body = json.dumps({"jwt": token(), "role": role_name}).encode()
    return f"auth/{mount.path}/login", body


def processes(host_pid: int) -> list[int]:
    """Our processes below the host's, the one that it started first; [] while there is none."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{host_pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += family(int(child))
    return found


def unpacked(folder: Path) -> list[str]:
    """What lies in a TMPDIR that we made."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(OURS))


def wait_until(condition: Callable[[], object], within_s: float, what: str) -> float:
    """The seconds that it took until `condition` was true.

    Raises:
        AssertionError: It was not in time.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - began


def nothing_left(folder: Path, group: int, host_pid: int) -> bool:
    """Whether neither a process nor a folder of ours is left of a host and its process group."""
    others = group_members(group)
    others.pop(host_pid, None)
    return not others and not unpacked(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A running host with one configured mount of ours."""

    server: DevServer
    plugin: Plugin
    mount: Mount

    @classmethod
    def on(cls, server: DevServer, plugin: Plugin, path: str = "jwt") -> Self:
        """Mount ours, registered already, and configure it."""
        mount = configure(enable(server, path, version=plugin.version))
        return cls(server=server, plugin=plugin, mount=mount)

    @property
    def processes(self) -> list[int]:
        """Our processes: the launcher and the program, or the program alone."""
        return processes(self.server.pid)

    @property
    def program(self) -> int:
        """The process that serves."""
        return self.processes[-1]

    def unpacked(self) -> list[str]:
        """What we made in the host's TMPDIR."""
        return unpacked(self.server.temporary)

    def load(self, *requests: tuple[str, bytes], connections: int = CONNECTIONS) -> Load:
        """Logins without a pause; those of the mount unless others are given."""
        return Load(self.server.port, requests or (request(self.mount),), connections=connections)

    def wait_gone(self, pids: Sequence[int]) -> float:
        """The seconds until these processes are gone."""
        return wait_until(lambda: not any(map(is_running, pids)), GONE_S, f"end of {pids}")

    def wait_back(self, mounts: Iterable[Mount] = ()) -> float:
        """The seconds until logins succeed again."""
        wanted = list(mounts) or [self.mount]
        return wait_until(
            lambda: all(login(mount).status == 200 for mount in wanted), BACK_S, "a login"
        )
