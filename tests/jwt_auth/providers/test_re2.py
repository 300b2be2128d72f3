"""Patterns as Go reads them: the fixture is what `regexp` of Go 1.26 says of each of them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_jwt_plugin.jwt_auth.providers._re2 import MAX_PATTERN_CHARS, Pattern, PatternError

GO = json.loads((Path(__file__).parent / "fixtures" / "go_regexp.json").read_text())
# Go has no way to match half of a character.
NOT_IN_GO = {r"\C"}
ROWS = [row for row in GO["rows"] if row["pattern"] not in NOT_IN_GO]


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
        ("(", "missing ): ("),
        ("a)", "unexpected ): a)"),
        ("a**", "bad repetition operator: **"),
        ("*", "no argument for repetition operator: *"),
        ("a{2,1}", "invalid repetition size: {2,1}"),
        ("[z-a]", "invalid character class range: z-a"),
        ("\u00e9[", "missing ]: ["),
        (r"\1", r"invalid escape sequence: \1"),
        (r"(?=a)", "invalid perl operator: (?="),
        (r"\p{Gruk}", r"invalid character class range: \p{Gruk}"),
        ("(?P<a b>c)", "invalid named capture group: (?P<a b>"),
        ("a" * (MAX_PATTERN_CHARS + 1), "it is longer than 4096 characters"),
        (r"\pL{1000}", "pattern too large - compile failed"),
        ("((a{50}){50}){50}", "invalid repetition size: {50}"),
    ],
)
def test_what_is_wrong(text, problem, capfd):
    with pytest.raises(PatternError) as caught:
        Pattern(text)
    assert str(caught.value) == problem
    assert capfd.readouterr().err == ""


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(PatternError) as caught:
        Pattern("a")
    assert str(caught.value) == "patterns need the library google-re2, which is missing"


def test_the_library_keeps_no_pattern_that_nobody_uses():
    Pattern("(a.{300}z|b)").matches("ab" * 500)
    assert re2._Regexp._make.cache_info().currsize == 0


def test_text_that_is_no_unicode_and_text_that_c_would_cut():
    assert Pattern("^a.b$").matches("a\u00e9b")
    assert Pattern("b$").matches("a\ud800b")
    assert not Pattern("\u00e9").matches("\ud800")
    assert Pattern("a\0b").matches("xa\0by")
    assert not Pattern("a\0b").matches("xa")
    assert Pattern("b").matches("a\0b")


@given(st.text(max_size=30), st.text(max_size=30))
@settings(deadline=None)
def test_any_text_is_a_pattern_or_an_error(text, subject):
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    pattern.matches(subject)


def test_time_is_linear():
    # The first four take Python's `re` longer than the universe has.
    before = time.monotonic()
    for text in ("(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "a.{900}z"):
        assert not Pattern(text).matches("a" * 20_000 + "!")
    assert time.monotonic() - before < 5
