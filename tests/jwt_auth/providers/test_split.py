"""secureauth and ibmisam, which only take a text apart."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jwt_auth.providers.helpers import build, login

ROWS = [
    ("secureauth", "a,b", ["a", "b"]),
    ("secureauth", "a, b ,c", ["a", " b ", "c"]),
    ("secureauth", "a b", ["a b"]),
    ("secureauth", ",a,,b,", ["", "a", "", "b", ""]),
    ("secureauth", "", [""]),
    ("secureauth", "a;b", ["a;b"]),
    ("secureauth", ["a,b"], ["a,b"]),
    ("secureauth", None, None),
    ("secureauth", 5, 5),
    ("secureauth", {"a": "b,c"}, {"a": "b,c"}),
    ("ibmisam", "a b", ["a", "b"]),
    ("ibmisam", "a  b", ["a", "", "b"]),
    ("ibmisam", " a ", ["", "a", ""]),
    ("ibmisam", "a,b", ["a,b"]),
    ("ibmisam", "a\tb\nc\u00a0d", ["a\tb\nc\u00a0d"]),
    ("ibmisam", "", [""]),
    ("ibmisam", ["a b"], ["a b"]),
    ("ibmisam", None, None),
    ("ibmisam", True, True),
]


@pytest.mark.parametrize(
    ("provider", "claim", "groups"), ROWS, ids=[f"{name}-{claim!r}" for name, claim, _ in ROWS]
)
def test_groups(provider, claim, groups):
    made = build({"provider": provider})
    for name, claims in [("groups", {"groups": claim}), ("/a/g", {"a": {"g": claim}})]:
        assert asyncio.run(made.fetch_groups(login(claims, groups_claim=name))) == groups


@pytest.mark.parametrize("provider", ["secureauth", "ibmisam"])
def test_a_pointer_whose_parent_is_missing(provider):
    made = build({"provider": provider})
    assert asyncio.run(made.fetch_groups(login({"a": "x"}, groups_claim="/a/g"))) is None


@given(st.sampled_from(["secureauth", "ibmisam"]), st.text())
def test_nothing_is_lost(provider, text):
    separator = {"secureauth": ",", "ibmisam": " "}[provider]
    groups = asyncio.run(build({"provider": provider}).fetch_groups(login({"groups": text})))
    assert separator.join(groups) == text
