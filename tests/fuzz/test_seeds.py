"""All seeds, and what mutation makes of them, through every target: no atheris needed.

The same inputs in every run. New ones are for `test_coverage_guided.py` and `scripts/fuzz`.
"""

from __future__ import annotations

import resource
import time
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import answers, runner, target, targets

MOST_GROWTH_MB = 256

every_target = pytest.mark.parametrize("name", targets.NAMES)


@pytest.fixture(autouse=True, scope="module")
def loop():
    """Targets share an event loop, which must not be left to the collector."""
    yield
    target.close_loop()
    answers.close_files()


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def _grown_mb(before_kb):
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) // 1024


def feed(name, data):
    """One input, within its bounds of time and memory."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried = targets.load(name)
    began_s = time.process_time()
    tried.run(data)
    took_s = time.process_time() - began_s
    assert _grown_mb(before_kb) < MOST_GROWTH_MB
    if took_s > runner.SLOW_CPU_S:
        # The first time may have loaded a library, and the collector may have run.
        assert runner.cpu_s(tried, data) < runner.SLOW_CPU_S


@every_target
def test_seeds(name):
    for data in targets.seeds(name).values():
        feed(name, data)


@every_target
def test_every_example_is_among_the_seeds(name):
    missing = targets.load(name).examples().keys() - targets.seeds(name).keys()
    assert missing == set(), "scripts/fuzz --write-seeds"


@every_target
def test_odd_inputs(name):
    for data in (
        b"",
        b"\0",
        b"\xff",
        b"\xff" * 65_536,
        b"\0" * 65_536,
        b"[" * 65_536,
        b"{" * 65_536,
    ):
        feed(name, data)


@every_target
@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_mutated_seeds(name, data):
    tried = targets.load(name)
    made = data.draw(st.sampled_from(list(targets.seeds(name).values())))
    random = Random(data.draw(st.integers(0, 2**32)))
    for _ in range(data.draw(st.integers(1, 5))):
        made = tried.mutate(made, random, tried.words)[: data.draw(st.sampled_from((8192, 65_536)))]
    feed(name, made)


@every_target
@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.binary(max_size=300))
def test_any_bytes(name, data):
    feed(name, data)
