"""Patterns as Go reads them: the fixture is what `regexp` of Go 1.26 says of each of them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_jwt_plugin.jwt_auth.providers._re2 import MAX_INSTRUCTIONS, Pattern, PatternError
from vault_jwt_plugin.jwt_auth.providers._re2_syntax import MAX_DEPTH, MAX_PATTERN_CHARS

GO = json.loads((Path(__file__).parent / "fixtures" / "go_regexp.json").read_text())
# Go knows scripts; Python has no table of them.
UNSUPPORTED = {r"\p{Greek}"}
ROWS = [row for row in GO["rows"] if row["pattern"] not in UNSUPPORTED]


def error(text):
    with pytest.raises(PatternError) as caught:
        Pattern(text)
    return str(caught.value)


@pytest.mark.parametrize("row", ROWS, ids=[ascii(row["pattern"])[:40] for row in ROWS])
def test_as_go(row):
    try:
        pattern = Pattern(row["pattern"])
    except PatternError:
        assert not row["valid"]
        return
    assert row["valid"]
    matched = [at for at, text in enumerate(GO["texts"]) if pattern.matches(text)]
    assert matched == row["matches"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(", "missing closing ) (at character 2)"),
        ("a)", "unexpected ) (at character 2)"),
        ("a**", "invalid nested repetition operator (at character 3)"),
        ("*", "missing argument to repetition operator (at character 1)"),
        ("a{2,1}", "invalid repeat count (at character 7)"),
        ("[z-a]", "invalid character class range (at character 5)"),
        ("[a", "missing closing ] (at character 3)"),
        (r"\1", "invalid escape sequence (at character 3)"),
        (r"(?=a)", "invalid or unsupported Perl syntax (at character 4)"),
        (r"\p{Greek}", "unknown or unsupported Unicode class (at character 10)"),
        ("(?P<a b>c)", "invalid named capture (at character 5)"),
        ("a" * (MAX_PATTERN_CHARS + 1), "it is longer than 4096 characters"),
        ("a" * MAX_INSTRUCTIONS, "it is too large"),
        ("((a{50}){50}){50}", "it is too large"),
        ("(" * (MAX_DEPTH + 1), "groups are nested too deep (at character 102)"),
    ],
)
def test_what_is_wrong(text, problem):
    assert error(text) == problem


@given(st.text(alphabet=r"ab.*+?|()[]^$\{}1,-dwsbBAzQExpPLuiU:<>n" + "\n", max_size=30))
@settings(deadline=None)
def test_any_text_is_a_pattern_or_an_error(text):
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    pattern.matches("aab\nb1")


# Written alike and meaning the same in `re` with re.ASCII, whose \B does not know empty texts.
_ATOMS = st.sampled_from(["a", "b", ".", r"\d", r"\w", r"\b", r"\B", "^", "[ab]", "[^a]", r"\A"])


def _nested(inner):
    return st.one_of(
        st.lists(inner, max_size=3).map("".join),
        inner.map(lambda each: f"(?:{each})*"),
        inner.map(lambda each: f"(?:{each})+?"),
        inner.map(lambda each: f"(?:{each})?"),
        inner.map(lambda each: f"(?:{each}){{1,2}}"),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
    )


@given(
    st.recursive(_ATOMS, _nested, max_leaves=6),
    st.text(alphabet="ab1_ \n", min_size=1, max_size=6),
)
@settings(deadline=None, max_examples=300)
def test_as_python_where_both_mean_the_same(text, subject):
    assert Pattern(text).matches(subject) is (re.search(text, subject, re.ASCII) is not None)


def test_time_is_linear():
    # Each takes Python's `re` longer than the universe has.
    before = time.monotonic()
    for text in ("(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        assert not Pattern(text).matches("a" * 20_000 + "!")
    assert time.monotonic() - before < 5


def test_states_are_given_up_when_they_become_many():
    pattern = Pattern("[ab]*a[ab]{12}c")
    number = 1
    for _ in range(30_000):
        number = number * 1103515245 + 12345 & 0x7FFFFFFF
        pattern.matches("ab"[number >> 16 & 1] * (number >> 20 & 7) + "ba")
    text = "".join("ab"[(at * at >> 3) & 1] for at in range(30_000))
    assert not pattern.matches(text)
    assert pattern.matches(text + "a" * 13 + "c")
    assert pattern._transitions <= 20_001
    assert pattern._places <= 250_000
