"""The comparison itself: what counts as a difference, and what is explained."""

from __future__ import annotations

import pytest

from tests.differential.differences import DIFFERENCES, Difference
from tests.differential.steps import Call, Case, Renew, Tune
from tests.differential.test_differential import unexplained
from tests.differential.world import between, differences

EQUAL = {
    "same": ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    "ttl-within-tolerance": ({"token": {"ttl": 3600}}, {"token": {"ttl": 3598}}),
}
UNEQUAL = {
    "value": ({"a": 1}, {"a": 2}, {"a": (1, 2)}),
    "type": ({"a": 1}, {"a": True}, {"a": (1, True)}),
    "text-and-number": ({"a": "1"}, {"a": 1}, {"a": ("1", 1)}),
    "missing": ({"a": {"b": 1}}, {"a": {}}, {"a.b": (1, ...)}),
    "more": ({}, {"a": None}, {"a": (..., None)}),
    "null-and-empty": ({"a": None}, {"a": []}, {"a": (None, [])}),
    "order": ({"a": [1, 2]}, {"a": [2, 1]}, {"a": ([1, 2], [2, 1])}),
    "ttl-beyond-tolerance": ({"t": {"ttl": 9}}, {"t": {"ttl": 6}}, {"t.ttl": (9, 6)}),
    "lease-is-exact": ({"lease_duration": 9}, {"lease_duration": 8}, {"lease_duration": (9, 8)}),
}


@pytest.mark.parametrize(("builtin", "ours"), EQUAL.values(), ids=EQUAL.keys())
def test_equal(builtin: object, ours: object):
    assert differences(builtin, ours) == {}


@pytest.mark.parametrize(("builtin", "ours", "found"), UNEQUAL.values(), ids=UNEQUAL.keys())
def test_unequal(builtin: object, ours: object, found: object):
    assert differences(builtin, ours) == found


@pytest.mark.parametrize(("ours", "is_told"), [(7200, False), (7202, False), (7203, True)])
def test_what_a_renewal_grants_may_be_moments_apart(ours: int, is_told: bool):
    answers = ({"auth": {"lease_duration": 7200}}, {"auth": {"lease_duration": ours}})
    assert bool(between(Renew(), *answers)) == is_told
    assert bool(between(Tune(data={}), *answers)) == (ours != 7200)


CASE = Case(name="x", steps=(Tune(data={}), Renew(), Call(method="GET", path="role/demo")))


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """One deliberate difference: the status of the case's first step, on OpenBao."""
    difference = Difference(
        case="x", step=0, values={"status": (200, 400)}, topic="", reason="", families=("bao",)
    )
    monkeypatch.setattr("tests.differential.differences.DIFFERENCES", (*DIFFERENCES, difference))


def test_a_difference_that_nobody_declared_stays(declared: None):
    found = {"status": (200, 400)}
    assert unexplained(found, CASE, 0, "vault", is_renewed=False) == found
    assert unexplained(found, CASE, 2, "bao", is_renewed=False) == found


def test_a_declared_status_explains_the_rest_of_the_answer(declared: None):
    found = {"status": (200, 400), "auth": ({}, None), "errors": (False, True)}
    assert unexplained(found, CASE, 0, "bao", is_renewed=False) == {}


@pytest.mark.parametrize("found", [{}, {"status": (200, 500)}], ids=["gone", "another"])
def test_a_declared_difference_that_is_not_there_is_reported(
    declared: None, found: dict[str, tuple[int, int]]
):
    left = unexplained(found, CASE, 0, "bao", is_renewed=False)
    assert left["status (declared in differences.py)"] == (200, 400)


def test_every_renewal_that_succeeds_says_less_about_orphans():
    found = {"auth.orphan": (True, False)}
    assert unexplained(found, CASE, 1, "bao", is_renewed=True) == {}
    assert unexplained({}, CASE, 1, "bao", is_renewed=True) != {}
    assert unexplained(found, CASE, 2, "bao", is_renewed=True) == found


def test_a_read_may_have_the_other_servers_parameters_at_their_defaults():
    found = {"data.callback_mode": (..., "client")}
    assert unexplained(found, CASE, 2, "vault", is_renewed=False) == {}
    assert unexplained(found, CASE, 2, "bao", is_renewed=False) == found
    other = {"data.callback_mode": (..., "device")}
    assert unexplained(other, CASE, 2, "vault", is_renewed=False) == other
