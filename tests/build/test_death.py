"""If any process of a start is killed, or the host is gone, nothing of ours is left."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.build.test_start import HOST, healthy
from tests.build.world import family, is_empty, is_running, seconds_until
from tests.goplugin.host_stand_in import host_environment, started

pytestmark = pytest.mark.build

GONE_S = 2.0


@pytest.fixture
def plugin(binary, tmpdir):
    with started([str(binary)], identity=HOST, TMPDIR=str(tmpdir)) as process:
        assert healthy(process)
        yield process


def all_gone(pids, folder):
    return not any(map(is_running, pids)) and is_empty(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
@pytest.mark.parametrize("victim", [0, 1], ids=["launcher", "program"])
def test_a_process_is_killed(plugin, tmpdir, victim, number):
    pids = family(plugin.process.pid)
    os.kill(pids[victim], number)
    plugin.wait_gone(GONE_S)
    seconds_until(lambda: all_gone(pids, tmpdir), GONE_S)


def test_ctrl_c_in_the_host_s_terminal_ends_nothing(plugin, tmpdir):
    pids = family(plugin.process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(map(is_running, pids))
    assert healthy(plugin)
    plugin.process.terminate()
    plugin.wait_gone(GONE_S)
    seconds_until(lambda: all_gone(pids, tmpdir), GONE_S)


HOST_PROCESS = """
import os, subprocess, sys, time
plugin = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
if sys.argv[2] == "served":
    plugin.stdout.readline()
else:
    time.sleep(float(sys.argv[2]))
print(plugin.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("moment", ["served", "0.005", "0.02", "0.05", "0.1"])
def test_the_host_is_killed(binary, tmpdir, moment):
    host = subprocess.Popen(
        [sys.executable, "-c", HOST_PROCESS, str(binary), moment],
        env=host_environment(HOST, TMPDIR=str(tmpdir)),
        stdout=subprocess.PIPE,
        text=True,
    )
    with host:
        assert host.stdout is not None
        pids = family(int(host.stdout.readline()))
        host.kill()
    seconds_until(lambda: all_gone(pids, tmpdir), GONE_S)
