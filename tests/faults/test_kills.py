"""SIGKILL and SIGSTOP of each of our processes while logins go on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from math import inf
from typing import TYPE_CHECKING

import pytest

from tests.faults.world import (
    BACK_S,
    CONNECTIONS,
    World,
    configure,
    login,
    request,
    role,
    wait_until,
)
from tests.hosts.plugin import enable

if TYPE_CHECKING:
    from tests.faults.load import Login

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

KILLS = 5
KILLS_FULL = 50
MAY_FAIL_S = 0.3
"""After a kill. A host answers with an error until it has reaped the process, then waits for the
new one."""
STOPPED_S = 10.0


def kill(world: World, victim: int) -> float:
    """Kill one of our processes and wait until all is as before; the moment of the kill."""
    pids = world.processes
    moment = time.monotonic()
    os.kill(pids[victim], signal.SIGKILL)
    world.wait_gone(pids)
    wait_until(lambda: len(world.processes) == len(pids), BACK_S, "a new process")
    world.wait_back()
    wait_until(lambda: len(world.unpacked()) <= 1, BACK_S, "removal of what was unpacked")
    return moment


def after_kill_s(failed: Login, kills: list[float]) -> float:
    """How long after the last kill a login failed; without a limit if there was none."""
    return min((failed.ended - moment for moment in kills if moment <= failed.ended), default=inf)


@pytest.mark.parametrize("victim", [0, 1], ids=["launcher", "program"])
def test_killed_while_logins_go_on(world, full, say, victim):
    if victim >= len(world.processes):
        pytest.skip("--plugin=source has no launcher")
    kills = []
    with world.load() as load:
        for _ in range(KILLS_FULL if full else KILLS):
            time.sleep(random.uniform(0.1, 0.4))
            kills.append(kill(world, victim))
    last = max((after_kill_s(failed, kills) for failed in load.failed), default=0)
    say(
        f"{len(kills)} kills, {len(load.logins)} logins, {len(load.failed)} failed, "
        f"the last {last * 1000:.0f} ms after a kill; longest wait {load.longest_s():.2f} s"
    )
    assert last <= MAY_FAIL_S
    assert "panic" not in world.server.log()


def test_stopped_for_ten_seconds(world, say):
    """As a machine that is suspended, or a debugger, stops them: whatever waits then completes."""
    pids = world.processes
    cold = configure(enable(world.server, "cold", version=world.plugin.version))
    written = []
    ending = threading.Event()

    def write():
        # Drops the role: logins are stopped while they wait for the host's storage, too.
        while not ending.is_set():
            written.append(cold.write("role/demo", role()).status)

    writer = threading.Thread(target=write)
    with world.load(request(world.mount), request(cold)) as load:
        writer.start()
        time.sleep(0.3)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert login(cold).status == 200
        ending.set()
        writer.join()
    waited = [one for one in load.logins if one.ended - one.began > STOPPED_S / 2]
    say(f"{len(waited)} logins waited, {len(load.failed)} of {len(load.logins)} failed")
    assert len(waited) >= CONNECTIONS
    assert load.failed == []
    assert set(written) == {204}
    assert world.processes == pids
    cold.disable()
