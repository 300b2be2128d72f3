"""Inputs that nobody has thought of: every target under atheris, for a while."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import runner, targets

SHORT_S = 60.0
"""Of all targets together, their start not counted."""

SHORT_SEED = 1
"""Of the short form: a commit should pass today if it passed yesterday. New chances are for the
full form, and for `scripts/fuzz`."""

FULL_S = 600.0
"""Of each target, with --full-faults."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(8 * 3600)]


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Each target's outcome; they run as many at a time as there are processors."""
    if reason := runner.absent():
        reporter = request.config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(f"\nNO FUZZING: {reason}", red=True)
        pytest.skip(f"NO FUZZING: {reason}")
    full = request.config.getoption("--full-faults")
    jobs = os.cpu_count() or 1
    seconds = FULL_S if full else max(SHORT_S / len(targets.NAMES), 1)
    folder = tmp_path_factory.mktemp("fuzz")
    seed = None if full else SHORT_SEED
    found = runner.fuzz_all(targets.NAMES, seconds=seconds, jobs=jobs, folder=folder, seed=seed)
    return {outcome.name: outcome for outcome in found}


@pytest.mark.parametrize("name", targets.NAMES)
def test_nothing_is_found(name, outcomes, capsys):
    outcome = outcomes[name]
    with capsys.disabled():
        print(f"\n{outcome}", end=" ")
    assert outcome.clean, outcome.output
    assert outcome.runs
