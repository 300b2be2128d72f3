"""SIGKILL to the host at every step of the plugin's life: nothing of ours is left."""

from __future__ import annotations

import contextlib
import functools
import http.client
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.world import (
    BACK_S,
    GONE_S,
    World,
    nothing_left,
    processes,
    unpacked,
    wait_until,
)
from tests.hosts.plugin import register
from tests.hosts.server import DevServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.discover import Host
    from tests.hosts.plugin import Plugin

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

STARTING_MS = (0, 30, 120)
STARTING_FULL_MS = range(0, 400, 10)
SETUP_MS = (2,)
SETUP_FULL_MS = range(0, 40, 2)
ENDING_MS = (0, 5)
ENDING_FULL_MS = range(0, 60, 3)


def moments(full: bool, some: tuple[int, ...], every: range) -> list[float]:
    return [milliseconds / 1000 for milliseconds in (every if full else some)]


@contextlib.contextmanager
def meanwhile(action: Callable[[], object]):
    """Run something in a thread that the host's death cuts short."""

    def act():
        with contextlib.suppress(OSError, http.client.HTTPException):
            action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def kill_host(server: DevServer) -> float:
    """Kill it; the seconds until nothing of ours is left."""
    group, pid = server.process_group, server.pid
    server.kill()
    return wait_until(
        lambda: nothing_left(server.temporary, group, pid),
        GONE_S,
        f"end of everything: {processes(pid)}, {unpacked(server.temporary)}",
    )


def has_socket(server: DevServer) -> bool:
    """Whether the plugin listens: the handshake line comes next, then Setup."""
    return any(server.temporary.glob("staticx-*/plugin*")) or any(
        server.temporary.glob("goplugin-*/plugin*")
    )


def test_while_the_plugin_starts(host: Host, ours: Plugin, full, say):
    took = []
    for delay in moments(full, STARTING_MS, STARTING_FULL_MS):
        # Once it is registered, the plugin is started to be asked for its version.
        with DevServer(host) as server, meanwhile(functools.partial(register, server, ours)):
            wait_until(lambda: processes(server.pid), BACK_S, "the plugin's first process")
            time.sleep(delay)
            took.append(kill_host(server))
    say(f"{len(took)} kills, nothing left after {max(took):.2f} s")


def test_while_a_mount_is_set_up(host: Host, ours: Plugin, full, say):
    took = []
    for delay in moments(full, SETUP_MS, SETUP_FULL_MS):
        with DevServer(host) as server:
            register(server, ours)
            wait_until(lambda: not has_socket(server), BACK_S, "the end of the probe")
            with meanwhile(lambda: server.client.post("sys/auth/jwt", {"type": "jwt"})):
                wait_until(lambda: has_socket(server), BACK_S, "the plugin's socket")
                time.sleep(delay)
                took.append(kill_host(server))
    say(f"{len(took)} kills, nothing left after {max(took):.2f} s")


def test_while_it_serves(host: Host, ours: Plugin, say):
    with DevServer(host) as server:
        register(server, ours)
        world = World.on(server, ours)
        with world.load():
            took = kill_host(server)
    say(f"nothing left after {took:.2f} s")


@pytest.mark.parametrize("how", ["disabled", "asked-to-end"])
def test_while_the_plugin_ends(host: Host, ours: Plugin, full, say, how):
    took = []
    for delay in moments(full, ENDING_MS, ENDING_FULL_MS):
        with DevServer(host) as server:
            register(server, ours)
            world = World.on(server, ours)
            end = world.mount.disable if how == "disabled" else server.terminate
            with meanwhile(end):
                time.sleep(delay)
                took.append(kill_host(server))
    say(f"{len(took)} kills, nothing left after {max(took):.2f} s")
