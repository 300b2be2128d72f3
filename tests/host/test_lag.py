"""The lag of the event loop, measured on a loop with a fake clock."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from tests.host.fakes import Host
from tests.host.toy_backend import ToyBackend
from vault_jwt_plugin.host.lag import LagMonitor
from vault_jwt_plugin.sdk import LoopLag


class Loop:
    """A loop with one timer, which it runs when told to, as late as told to."""

    def __init__(self):
        self.now = 100.0
        self.due = 0.0
        self.rings = lambda: None

    def time(self):
        return self.now

    def call_at(self, when, callback, *args):
        self.due = when
        self.rings = lambda: callback(*args)

    def be_late(self, late_s):
        self.now = self.due + late_s
        self.rings()


@pytest.fixture
def loop():
    return Loop()


def watched(loop, delays, **options):
    monitor = LagMonitor(**options)
    monitor._set(loop)
    for late_s in delays:
        loop.be_late(late_s)
    return monitor


def test_nothing_is_known_before_the_first_sample(loop):
    assert watched(loop, []).read() is None


def test_one_sample(loop):
    lag = watched(loop, [0.5]).read()
    assert lag == LoopLag(p50_s=0.5, p99_s=0.5, max_s=0.5, over_s=0.25)


def test_percentiles_are_of_the_nearest_rank(loop):
    # 1/128 s is exact in binary, and so is the result.
    lag = watched(loop, [(number % 100 + 1) / 128 for number in range(200)]).read()
    assert lag == LoopLag(p50_s=50 / 128, p99_s=99 / 128, max_s=100 / 128, over_s=50.0)


def test_the_oldest_are_forgotten(loop):
    monitor = watched(loop, [9.0, 0.25, 0.25, 0.5], samples=3, interval_s=2)
    assert monitor.read() == LoopLag(p50_s=0.25, p99_s=0.5, max_s=0.5, over_s=6)


def test_a_stop_of_the_process_is_one_late_sample(loop):
    monitor = watched(loop, [0.0, 10.0, 0.0])
    assert loop.due == pytest.approx(100.0 + 10.0 + 4 * 0.25)
    lag = monitor.read()
    assert (lag.p50_s, lag.max_s) == (0.0, 10.0)


def test_a_timer_that_comes_early_is_not_late(loop):
    assert watched(loop, [-1e-9]).read().max_s == 0.0


def test_it_takes_no_more_memory_as_time_goes_by(loop):
    monitor = watched(loop, [0.25] * 5000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5000):
            loop.be_late(0.5)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000
    assert monitor.read().over_s == 600


def test_a_handler_that_holds_the_loop_is_seen():
    async def go():
        monitor = LagMonitor(interval_s=0.001)
        monitor.start()
        monitor.start()  # The second start has no effect: all mounts of a process share one.
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.1
        while loop.time() < until:
            pass
        for _ in range(2):  # The timer is due in this turn of the loop, and runs after us.
            await asyncio.sleep(0)
        monitor.stop()
        lag = monitor.read()
        assert lag is not None
        assert 0.09 < lag.max_s < 5
        await asyncio.sleep(0.005)
        assert monitor.read() == lag

    asyncio.run(asyncio.wait_for(go(), 30))


def test_mounts_are_given_it_and_it_ends_with_the_process():
    async def go():
        host = Host(ToyBackend)
        await host.setup("a")
        await host.setup("b")
        first, second = (backend.context.loop_lag for backend in host.backends)
        assert first() == second() is None
        monitor = host.plugin._lag
        timer = monitor._timer
        assert timer is not None
        timer._run()
        assert first() == second() == monitor.read() is not None
        await host.plugin.close()
        assert monitor._timer is None

    asyncio.run(asyncio.wait_for(go(), 10))
