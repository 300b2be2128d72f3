from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.hosts.usage import cpu_seconds, machine_cpu_seconds, resident_mib, usage

WAIT = "import sys; block = bytearray(b'x') * {mib} * 2**20; print(flush=True); sys.stdin.read()"


@pytest.fixture
def sized():
    """Starts processes that hold so many MiB, and wait."""
    started = []

    def start(mib):
        process = subprocess.Popen(
            [sys.executable, "-c", WAIT.format(mib=mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    yield start
    for process in started:
        process.communicate(timeout=60)


def test_memory_is_that_of_all_of_them(sized):
    small, large = sized(1), sized(41)
    grown = usage([large]).private_kib - usage([small]).private_kib
    assert grown == pytest.approx(40 * 1024, abs=4 * 1024)
    both = usage([small, large])
    assert both.private_kib == pytest.approx(
        usage([small]).private_kib + usage([large]).private_kib, abs=1024
    )
    assert both.proportional_kib is None or both.proportional_kib > both.private_kib
    assert resident_mib([small, large]) > both.private_kib / 1024


def test_descriptors_are_counted():
    before = usage([os.getpid()]).descriptors
    ends = os.pipe()
    after = usage([os.getpid()]).descriptors
    for end in ends:
        os.close(end)
    assert before is not None
    assert after == before + 2


def test_a_process_that_is_gone(sized):
    with pytest.raises(OSError):
        usage([2**22 + 1])


def test_processor_time():
    ours, machine = cpu_seconds([os.getpid()]), machine_cpu_seconds()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    used = cpu_seconds([os.getpid()]) - ours
    assert 0.2 < used < 5
    assert machine_cpu_seconds() - machine > 0.2
