"""Matching claims with what a role binds."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jwt_auth.tokens import verified
from vault_jwt_plugin.jwt_auth.claims.bound_claims import (
    MAX_GLOB_WORK,
    BoundClaim,
    compile_bound_claims,
    glob_matches,
    whole,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied

CLAIMS: dict[str, object] = {
    "sub": "me",
    "a.b": "dots",
    "https://x/y": "url",
    "/lit": "slash",
    "null": None,
    "zero": 0,
    "no": False,
    "nest": {"a/b": 1, "m~n": 2, "~1": 4, "": 3, "list": ["x", {"y": "z"}], "01": "key"},
    "list": [10, 11],
    "": "empty name",
}


@pytest.mark.parametrize(
    ("number", "cut"),
    [(42, 42), (Decimal("42.9"), 42), (Decimal("-42.9"), -42), (2**53 + 1, 2**53 + 1)],
)
def test_numbers_are_cut_towards_zero_and_keep_their_digits(number, cut):
    assert whole(number) == cut


def outcome(
    bound: object, claims: dict[str, object], *, glob: bool = False, name: str = "c"
) -> str:
    try:
        BoundClaim.of(name, bound, glob=glob).check(verified(claims))
    except LoginDenied as denied:
        return denied.code.removeprefix("bound_claim_")
    return "match"


TEXT_ROWS = [
    ("a", "a", "match"),
    ("a", "A", "mismatch"),
    ("a", "ab", "mismatch"),
    ("", "", "match"),
    ("", "a", "mismatch"),
    ("a*", "ab", "mismatch"),
    ("a*", "a*", "match"),
    (["a", "b"], "b", "match"),
    (["a", "b"], ["c", "b"], "match"),
    (["a", "b"], ["c"], "mismatch"),
    ("a", ["b", "a"], "match"),
    ("a", [], "mismatch"),
    ([], "a", "mismatch"),
    ([], [], "mismatch"),
    ("a", None, "missing"),
    ("a", {}, "type"),
    ("a", {"a": "a"}, "type"),
    ("a", [["a"]], "mismatch"),
    ("a", [{"a": 1}, None, "a"], "match"),
    ([{"a": 1}], [{"a": 1}], "mismatch"),
    ([["a"]], ["a"], "mismatch"),
    ("\u00e9", "e\u0301", "mismatch"),
    (True, True, "match"),
    (True, False, "mismatch"),
    (False, False, "match"),
    (True, "true", "mismatch"),
    ("true", True, "mismatch"),
    (True, 1, "mismatch"),
    (1, True, "mismatch"),
    (0, False, "mismatch"),
    ([True], [False, True], "match"),
    (42, 42, "match"),
    (42, Decimal("42.9"), "match"),
    (42, Decimal("42.0"), "match"),
    (42, 43, "mismatch"),
    (42, "42", "mismatch"),
    ("42", 42, "mismatch"),
    (Decimal("42.0"), 42, "mismatch"),
    (Decimal("42.9"), Decimal("42.9"), "mismatch"),
    ([41, 42], 42, "match"),
    (42, [42], "mismatch"),
    ([42], [42], "mismatch"),
    (-1, Decimal("-1.5"), "match"),
    (0, Decimal("0.5"), "match"),
    (2**53 + 1, 2**53 + 1, "match"),
    (2**53, 2**53 + 1, "mismatch"),
    (10**308, Decimal("1e308"), "match"),
    (None, "a", "invalid"),
    ({}, "a", "invalid"),
    ([None], "a", "mismatch"),
]
GLOB_ROWS = [
    ("a*", "abc", "match"),
    ("*", "", "match"),
    ("*", "anything", "match"),
    ("", "", "match"),
    ("", "x", "mismatch"),
    ("a*c", "ac", "match"),
    ("a*a", "a", "mismatch"),
    ("a*b*a", "aba", "match"),
    ("*b*b*", "b", "mismatch"),
    ("*b*b", "b", "mismatch"),
    ("a*b*b", "ab", "mismatch"),
    ("**", "x", "match"),
    ("a?c", "abc", "mismatch"),
    ("[ab]*", "ab", "mismatch"),
    ("a.c*", "abc", "mismatch"),
    ("A*", "ab", "mismatch"),
    ("\\*", "\\x", "match"),
    (["x*", "a"], "a", "match"),
    ("a*", [1, None, True, {}, "ab"], "match"),
    ("*", [1], "mismatch"),
    ("*", 1, "mismatch"),
    ("*", True, "mismatch"),
    ("*", None, "missing"),
    ("*", {}, "type"),
    (1, 1, "invalid"),
    (["a", True], "a", "invalid"),
    ([["a"]], "a", "invalid"),
    ([], "a", "mismatch"),
]


@pytest.mark.parametrize(
    ("bound", "value", "expected", "glob"),
    [(*row, False) for row in TEXT_ROWS] + [(*row, True) for row in GLOB_ROWS],
    ids=[f"string {row[0]!r:.20} {row[1]!r:.20}" for row in TEXT_ROWS]
    + [f"glob {row[0]!r} {row[1]!r}" for row in GLOB_ROWS],
)
def test_matching(bound, value, expected, glob):
    assert outcome(bound, {"c": value}, glob=glob) == expected


@pytest.mark.parametrize(
    ("bound", "claims", "message", "received"),
    [
        ("s3cret", {}, 'claim "c" is missing', "nothing"),
        (
            "s3cret",
            {"c": "t0ken"},
            'claim "c" does not match any associated bound claim values',
            "a string",
        ),
        (
            "s3cret",
            {"c": {"t0ken": 1}},
            'claim "c" must be a string, a number, a boolean, or a list of these, is an object',
            "an object",
        ),
        (
            {"s3cret": 1},
            {"c": "t0ken"},
            'the role\'s bound claim "c" can match nothing: it is an object',
            "an object",
        ),
    ],
    ids=["missing", "mismatch", "type", "invalid"],
)
def test_denials_say_claim_and_kind_and_no_value(bound, claims, message, received):
    with pytest.raises(LoginDenied) as denied:
        BoundClaim.of("c", bound, glob=False).check(verified(claims))
    assert (denied.value.message, denied.value.claim, denied.value.received) == (
        message,
        "c",
        received,
    )


def test_a_glob_that_is_none_says_so():
    with pytest.raises(LoginDenied) as denied:
        BoundClaim.of("c", ["a", 4], glob=True).check(verified({"c": "a"}))
    assert denied.value.message == (
        'the role\'s bound claim "c" can match nothing: it is a pattern that is a number'
    )


def test_pointers_in_bound_claims():
    assert outcome("z", CLAIMS, name="/nest/list/1/y") == "match"


def test_compiling_a_role():
    assert compile_bound_claims(None, "string") == ()
    compiled = compile_bound_claims({"a": "x*", "/b": ["y"]}, "glob")
    assert [each.path.name for each in compiled] == ["a", "/b"]
    compiled[0].check(verified({"a": "xyz"}))


def test_a_hostile_glob_takes_linear_time():
    started_at = time.perf_counter()
    assert not glob_matches(("*a" * 500 + "*b").split("*"), "a" * 100_000)
    assert not glob_matches("*".join("ab" * 2000).split("*"), "ab" * 50_000 + "c")
    assert time.perf_counter() - started_at < 5.0


def test_patterns_times_values_are_bounded():
    patterns = [f"*{number}*z" for number in range(1000)]
    fits = MAX_GLOB_WORK // 1000 // (16 + 4)
    bound = BoundClaim.of("c", patterns, glob=True)
    values = [f"{number:04x}" for number in range(fits + 1)]
    with pytest.raises(LoginDenied) as denied:
        bound.check(verified({"c": values}))
    assert denied.value.code == "bound_claim_too_large"
    assert denied.value.claim == "c"
    assert denied.value.message == (
        'claim "c" is too large to be compared with all of the role\'s 1000 patterns for it'
    )
    assert outcome(patterns, {"c": values[:-1]}, glob=True) == "mismatch"
    # One that matches in time is let in, whatever follows.
    assert outcome(patterns, {"c": ["7z", *values]}, glob=True) == "match"
    assert outcome(patterns, {"c": "x" * MAX_GLOB_WORK}, glob=True) == "too_large"
    # Texts that are no patterns are looked up.
    assert outcome(["a", "b"] * 1000, {"c": values * 10}, glob=True) == "mismatch"


_small = st.text(alphabet="ab*", max_size=9)


@given(_small, st.text(alphabet="ab", max_size=12))
def test_globs_are_what_a_simple_pattern_says(pattern, text):
    reference = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert glob_matches(pattern.split("*"), text) == bool(reference.fullmatch(text))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(_json, _json, st.booleans(), st.sampled_from(["c", "/c", "/c/0", "/c/a", "/"]))
def test_any_values_match_or_are_denied(bound, value, glob, name):
    assert outcome(bound, {"c": value}, glob=glob, name=name) in {
        "match",
        "missing",
        "mismatch",
        "type",
        "invalid",
    }
