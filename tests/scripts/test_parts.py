"""What scripts/test runs: each test is in one part, whatever is asked for."""

import itertools

import pytest

from tests.scripts.loading import load

script = load("scripts/test")

MARKS = ("hosts", "build", "faults", "serial")
EVERY_SET = [
    set(marks) for count in range(len(MARKS) + 1) for marks in itertools.combinations(MARKS, count)
]


def runs(expression: str, marks: set[str]) -> bool:
    """Whether pytest would run a test with these marks: its expressions are Python's."""
    return not expression or eval(expression, {mark: mark in marks for mark in MARKS})


@pytest.mark.parametrize("marks", EVERY_SET, ids=lambda marks: "-".join(sorted(marks)) or "none")
@pytest.mark.parametrize("hosts", ["found", "none"])
@pytest.mark.parametrize("faults", [True, False])
def test_the_parts_together_are_everything(marks, hosts, faults):
    whole = runs(script.selection("", hosts, faults=faults), marks)
    parts = [
        part for part in script.PARTS if runs(script.selection(part, hosts, faults=faults), marks)
    ]
    assert len(parts) == whole


def test_what_measures_is_alone():
    for marks in ({"serial"}, {"serial", "hosts"}, {"faults", "hosts"}, {"build"}):
        assert runs(script.selection("alone", "all", faults=True), marks)
    assert script.WORKERS["alone"] == []


def test_without_hosts_only_unit_tests_run():
    assert not runs(script.selection("hosts", "none", faults=False), {"hosts"})
    assert not runs(script.selection("alone", "none", faults=False), {"build"})


def test_coverage_has_a_floor():
    assert script.COVERAGE_FLOOR >= 95
    assert f"--cov-fail-under={script.COVERAGE_FLOOR}" in script.part_arguments("unit")
    assert not any("--cov" in argument for argument in script.part_arguments("hosts"))
