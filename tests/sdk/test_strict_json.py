"""JSON from outside: exact numbers, and nothing that two readers could read in two ways."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.jsonutil import StrictJSONError
from vault_jwt_plugin.sdk.jsonutil import loads_strict as loads


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": [1, "x", true, null]}', {"a": [1, "x", True, None]}),
        (b"9007199254740993", 9007199254740993),
        (b"12345678901234567890123", 12345678901234567890123),
        (b"0.1", Decimal("0.1")),
        (b"2.0", Decimal("2.0")),
        (b"1e3", Decimal(1000)),
        (b"1e308", Decimal("1e308")),
        (b"1e-1000", Decimal("1e-1000")),
        (b"0e99999", Decimal(0)),
        (b'"\\u0000"', "\0"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('"\u017f\u212a"'.encode(), "\u017f\u212a"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"a": {"b": 1}, "c": {"b": 2}}', {"a": {"b": 1}, "c": {"b": 2}}),
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
        (b'"' + b"[" * 200 + b'"', "[" * 200),
    ],
    ids=repr,
)
def test_accepted(raw, value):
    result = loads(raw)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "syntax"),
        (b"{", "syntax"),
        (b"{} {}", "syntax"),
        (b"{'a': 1}", "syntax"),
        (b'{"a": 1,}', "syntax"),
        (b'"\n"', "syntax"),
        (b'"\x00"', "syntax"),
        (b"01", "syntax"),
        (b"+1", "syntax"),
        (b"\xef\xbb\xbf{}", "syntax"),
        (b"\xff\xfe{\x00}\x00", "utf8"),
        (b"\xff", "utf8"),
        (b'"\xc0\xaf"', "utf8"),
        (b'"\xed\xa0\x80"', "utf8"),
        (b"NaN", "number"),
        (b"[Infinity]", "number"),
        (b"-Infinity", "number"),
        (b"1e309", "number"),
        (b"-1e400", "number"),
        (b"1e999999999", "number"),
        (b"1e99999999999999999999", "number"),
        (b"1e-99999999999999999999999", "number"),
        (b"1e-1001", "number"),
        (b"1" * 5000, "number"),
        (b"0." + b"1" * 2000, "number"),
        (b'{"a": 1, "a": 1}', "duplicate"),
        (b'[{"x": {"a": 1, "\\u0061": 2}}]', "duplicate"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'["a", {"b": ["\\ude00\\ud83d"]}]', "surrogate"),
        (b"[" * 65 + b"]" * 65, "depth"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "depth"),
        (b"[" * 500_000, "depth"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_refused(raw, code):
    with pytest.raises(StrictJSONError) as caught:
        loads(raw)
    assert caught.value.code == code


def test_brackets_in_strings_and_siblings_are_no_depth():
    raw = b'["\\"[[", ' + b"[], " * 100 + b'"]]\\\\"]'
    assert len(loads(raw)) == 102


@pytest.mark.parametrize(
    ("member", "named"),
    [
        ("a", '"a"'),
        ("x" * 200, f'"{"x" * 128}…"'),
        ("\\n\\u001b", '"\\n\\u001b"'),
        ("Permission denied", "(text left out)"),
    ],
)
def test_a_member_that_is_given_twice_is_named_and_no_value_is(member, named):
    with pytest.raises(StrictJSONError) as caught:
        loads(f'{{"b": 1, "{member}": "hush", "{member}": "hush2"}}'.encode())
    assert str(caught.value) == f"it holds the member {named} twice"


def test_a_megabyte_of_anything_is_quick():
    for piece in (b'"a', b'{"a":', b"[1,", b'"\\', b"[[]],"):
        started_at = time.perf_counter()
        with pytest.raises(StrictJSONError):
            loads(piece * (1024 * 1024 // len(piece)))
        assert time.perf_counter() - started_at < 5.0


def test_a_string_without_end_is_looked_through_once():
    """Not once from each of its quotes: a header of 16 KiB would hold up every login for 0.5 s."""
    for end in (b"", b"\\"):
        started_at = time.perf_counter()
        with pytest.raises(StrictJSONError) as caught:
            loads(b"[]" * 65 + b'"' + b'\\"' * 32_768 + end)
        assert caught.value.code == "syntax"
        assert time.perf_counter() - started_at < 1.0


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_our_error(raw):
    with suppress(StrictJSONError):
        loads(raw)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(_values, st.booleans())
def test_what_json_writes_is_read_back(value, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert loads(raw) == value


def test_limits_are_what_the_documents_say():
    assert jsonutil.STRICT_MAX_DEPTH == 64
    assert jsonutil.MAX_EXPONENT == 308
