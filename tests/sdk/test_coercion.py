"""How each field type reads values (framework/field_data.go over mapstructure, parseutil)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_jwt_plugin.sdk import Field, FieldError, FieldType
from vault_jwt_plugin.sdk.jsonutil import Number

S = 1_000_000_000
_BIG = 2**63

ACCEPT: list[tuple[FieldType, Any, Any]] = [
    # string: numbers become decimal text, bool 1/0, null empty
    (FieldType.STRING, "a b", "a b"),
    (FieldType.STRING, "", ""),
    (FieldType.STRING, None, ""),
    (FieldType.STRING, True, "1"),
    (FieldType.STRING, False, "0"),
    (FieldType.STRING, 42, "42"),
    (FieldType.STRING, -7, "-7"),
    (FieldType.STRING, 2**70, str(2**70)),
    (FieldType.STRING, Decimal("1.50"), "1.50"),
    (FieldType.STRING, Decimal("1e3"), "1000"),
    (FieldType.STRING, Number("1e3"), "1e3"),
    (FieldType.STRING, Number("2.0"), "2.0"),
    (FieldType.STRING, 2**53 + 1, "9007199254740993"),
    (FieldType.COMMA_STRINGS, [Number("1E3"), 7], ("1E3", "7")),
    (FieldType.KV_PAIRS, {"a": Number("1.50")}, {"a": "1.50"}),
    (FieldType.LOWER_STRING, "Demo", "demo"),
    (FieldType.LOWER_STRING, None, ""),
    # bool
    (FieldType.BOOL, True, True),
    (FieldType.BOOL, False, False),
    (FieldType.BOOL, None, False),
    (FieldType.BOOL, "", False),
    (FieldType.BOOL, 1, True),
    (FieldType.BOOL, 0, False),
    *((FieldType.BOOL, word, True) for word in ("1", "t", "T", "TRUE", "true", "True")),
    *((FieldType.BOOL, word, False) for word in ("0", "f", "F", "FALSE", "false", "False")),
    # int
    (FieldType.INT, 5, 5),
    (FieldType.INT, -5, -5),
    (FieldType.INT, "", 0),
    (FieldType.INT, None, 0),
    (FieldType.INT, True, 1),
    (FieldType.INT, "42", 42),
    (FieldType.INT, "+42", 42),
    (FieldType.INT, "-42", -42),
    (FieldType.INT, "0x1F", 31),
    (FieldType.INT, "0b101", 5),
    (FieldType.INT, "0o17", 15),
    (FieldType.INT, "017", 15),
    (FieldType.INT, "1_000", 1000),
    (FieldType.INT, "0", 0),
    (FieldType.INT, _BIG - 1, _BIG - 1),
    # comma list: text splits, list elements do not, all trimmed
    (FieldType.COMMA_STRINGS, "", ()),
    (FieldType.COMMA_STRINGS, None, ()),
    (FieldType.COMMA_STRINGS, "a", ("a",)),
    (FieldType.COMMA_STRINGS, " a , b,", ("a", "b", "")),
    (FieldType.COMMA_STRINGS, ["a,b", " c "], ("a,b", "c")),
    (FieldType.COMMA_STRINGS, [1, True, None, "x"], ("1", "1", "", "x")),
    (FieldType.COMMA_STRINGS, [], ()),
    (FieldType.COMMA_STRINGS, {}, ()),
    (FieldType.COMMA_STRINGS, 7, ("7",)),
    (FieldType.COMMA_STRINGS, True, ("1",)),
    # map
    (FieldType.MAP, {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    (FieldType.MAP, {}, {}),
    (FieldType.MAP, None, None),
    (FieldType.MAP, [], {}),
    (FieldType.MAP, [{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
    # kv map
    (
        FieldType.KV_PAIRS,
        {"a": "b", "n": 1, "t": True, "z": None},
        {"a": "b", "n": "1", "t": "1", "z": ""},
    ),
    (FieldType.KV_PAIRS, "a=b", {"a": "b"}),
    (FieldType.KV_PAIRS, "a=b,c=d", {"a": "b,c=d"}),
    (FieldType.KV_PAIRS, ["a=b", "c=", "d=e=f"], {"a": "b", "c": "", "d": "e=f"}),
    (FieldType.KV_PAIRS, [{"a": "b"}], {"a": "b"}),
    (FieldType.KV_PAIRS, [], {}),
    (FieldType.KV_PAIRS, None, None),
    # list: one bare object is wrapped
    (FieldType.LIST, [1, "a"], (1, "a")),
    (FieldType.LIST, {"a": 1}, ({"a": 1},)),
    (FieldType.LIST, {}, ()),
    (FieldType.LIST, None, ()),
    (FieldType.LIST, "x", ("x",)),
    # duration
    (FieldType.DURATION, 90, 90 * S),
    (FieldType.DURATION, "90", 90 * S),
    (FieldType.DURATION, "", 0),
    (FieldType.DURATION, "1h30m", 5400 * S),
    (FieldType.DURATION, "1.5h", 5400 * S),
    (FieldType.DURATION, "1m.5s", 60 * S),
    (FieldType.DURATION, "1500ms", 1 * S),
    (FieldType.DURATION, "999ms", 0),
    (FieldType.DURATION, "2µs", 0),
    (FieldType.DURATION, "30d", 30 * 86400 * S),
    (FieldType.DURATION, "-0.5s", 0),
    (FieldType.SIGNED_DURATION, -1, -1 * S),
    (FieldType.SIGNED_DURATION, "-1.5s", -1 * S),
    (FieldType.SIGNED_DURATION, "-2d", -172800 * S),
    (FieldType.SIGNED_DURATION, "+1h", 3600 * S),
]

_DURATION = 'a duration (seconds, or a string such as "90s", "1h30m", "30d")'
REJECT: list[tuple[FieldType, Any, Any, Any]] = [
    (FieldType.STRING, [], "a string", "a list"),
    (FieldType.STRING, ["a"], "a string", "a list"),
    (FieldType.STRING, {}, "a string", "an object"),
    (FieldType.LOWER_STRING, {"a": 1}, "a string", "an object"),
    (FieldType.BOOL, "yes", "a boolean", "a string that is neither"),
    (FieldType.BOOL, "tRUE", "a boolean", "a string that is neither"),
    (FieldType.BOOL, [], "a boolean", "a list"),
    (FieldType.INT, "x", "a whole number", "a string that is no number"),
    (FieldType.INT, " 5", "a whole number", "a string that is no number"),
    (FieldType.INT, "5.0", "a whole number", "a string that is no number"),
    (FieldType.INT, "08", "a whole number", "a string that is no number"),
    (FieldType.INT, "1__0", "a whole number", "a string that is no number"),
    (FieldType.INT, "٤", "a whole number", "a string that is no number"),
    (FieldType.INT, "9" * 200, "a whole number", "a string that is no number"),
    *(
        (kind, Number(literal), expected, "a number with a fraction or an exponent")
        for literal in ("5.9", "5.0", "0.0", "1e3", "-1.5")
        for kind, expected in (
            (FieldType.INT, "a whole number"),
            (FieldType.DURATION, f"{_DURATION} that is not negative"),
            (FieldType.SIGNED_DURATION, _DURATION),
        )
    ),
    *(
        (FieldType.BOOL, number, "a boolean", "a number other than 0 and 1")
        for number in (2, -1, Number("1.0"), Number("0.0"), Number("0.5"), Number("1e0"))
    ),
    (FieldType.INT, _BIG, "a whole number", "a number beyond 64 bits"),
    (FieldType.INT, str(-_BIG - 1), "a whole number", "a number beyond 64 bits"),
    (FieldType.INT, {}, "a whole number", "an object"),
    (
        FieldType.COMMA_STRINGS,
        {"a": 1},
        "a comma-separated string or a list of strings",
        "an object",
    ),
    (
        FieldType.COMMA_STRINGS,
        ["a", ["b"]],
        "a comma-separated string or a list of strings",
        "a list that holds a list",
    ),
    (FieldType.MAP, "a=b", "an object", "a string"),
    (FieldType.MAP, "", "an object", "an empty string"),
    (FieldType.MAP, 1, "an object", "a number"),
    (FieldType.MAP, ["a"], "an object", "a list that holds a string"),
    (
        FieldType.KV_PAIRS,
        "ab",
        'an object of strings or "key=value" strings',
        'a string that is no "key=value"',
    ),
    (
        FieldType.KV_PAIRS,
        "=b",
        'an object of strings or "key=value" strings',
        'a string that is no "key=value"',
    ),
    (
        FieldType.KV_PAIRS,
        {"a": ["b"]},
        'an object of strings or "key=value" strings',
        "an object that holds a list",
    ),
    (
        FieldType.KV_PAIRS,
        ["a=b", {}],
        'an object of strings or "key=value" strings',
        "a list that holds an object",
    ),
    (FieldType.DURATION, "soon", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, "1.5", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, "1.5d", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, ".s", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, "-", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, "1h ", f"{_DURATION} that is not negative", "a string that is none"),
    (FieldType.DURATION, -1, f"{_DURATION} that is not negative", "a negative one"),
    (FieldType.DURATION, "-1s", f"{_DURATION} that is not negative", "a negative one"),
    (FieldType.DURATION, True, f"{_DURATION} that is not negative", "a boolean"),
    (FieldType.DURATION, [1], f"{_DURATION} that is not negative", "a list"),
    (FieldType.DURATION, 10**10, f"{_DURATION} that is not negative", "one of more than 292 years"),
    (FieldType.SIGNED_DURATION, "106752d", _DURATION, "one of more than 292 years"),
    (FieldType.SIGNED_DURATION, {}, _DURATION, "an object"),
]

OBJECT_HINT = "; in a command, send the whole request as JSON (write PATH @FILE)"


def _id(row):
    return f"{row[0].value}-{str(row[1])[:24]!r}-{type(row[1]).__name__}"


@pytest.mark.parametrize(("kind", "raw", "value"), ACCEPT, ids=map(_id, ACCEPT))
def test_reads(kind, raw, value):
    got = Field(name="f", type=kind).coerce(raw)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(("kind", "raw", "expected", "received"), REJECT, ids=map(_id, REJECT))
def test_refuses_naming_field_and_kinds_only(kind, raw, expected, received):
    with pytest.raises(FieldError) as caught:
        Field(name="the_field", type=kind).coerce(raw)
    error = caught.value
    assert (error.field, error.expected, error.received) == ("the_field", expected, received)
    assert error.code == "field_invalid"
    assert error.message == (
        'Field validation failed: error converting input for field "the_field": '
        f"expected {expected}, got {received}"
        + (OBJECT_HINT if kind is FieldType.MAP and isinstance(raw, str) else "")
    )


def test_every_type_is_covered():
    assert {row[0] for row in ACCEPT} == set(FieldType)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(FieldType), json_values)
def test_any_json_is_read_or_refused_and_survives_storage(kind, raw):
    field = Field(name="f", type=kind)
    try:
        value = field.coerce(raw)
    except FieldError:
        return
    assert field.from_stored(field.stored(value)) == value
