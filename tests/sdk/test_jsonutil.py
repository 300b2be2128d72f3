"""JSON as the hosts read and write it."""

from __future__ import annotations

import contextlib
import time
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.jsonutil import JSONError, Number, dumps, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 9007199254740993),
        ("1.10", Number("1.10")),
        ("1e3", Number("1e3")),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\ud800x"', "\ufffdx"),
        ('{"\\udc00":["\\udc00"]}', {"\ufffd": ["\ufffd"]}),
        (b'"\xc3\xa9"', "é"),
        ("[" * 128 + "]" * 128, None),
        ('"' + "[" * 500 + '"', "[" * 500),
    ],
    ids=lambda value: str(value)[:20],
)
def test_decodes(text, value):
    got = loads(text)
    if value is not None:
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("", "not JSON at character 0: Expecting value"),
        ('{"a":', "not JSON at character 5: Expecting value"),
        (b"\xff", "not UTF-8"),
        ("[" * 129, "nested deeper than 128 levels"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper than 128 levels"),
        ("1e309", "a number's power of ten is beyond 308"),
        ("1e-309", "a number's power of ten is beyond 308"),
        ("1e999999999999", "a number's power of ten is beyond 308"),
        ("1e99999999999999999999", "a number's power of ten is beyond 308"),
        ("[-1.5E-99999999999999999999]", "a number's power of ten is beyond 308"),
        ("0." + "1" * 2000, "a number has more than 1024 characters"),
        ("1" * 5000, "a number has too many digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_refuses(text, message):
    with pytest.raises(JSONError) as caught:
        loads(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("literal", ["1e3", "1E3", "1e+03", "2.0", "0.10", "-0.0", "1.5e-7"])
def test_a_number_stays_as_it_was_written(literal):
    (number,) = loads(f"[{literal}]")
    assert number == Decimal(literal)
    assert dumps({"a": [number]}) == f'{{"a":[{literal}]}}'


def test_encodes_every_digit():
    value = {"a": Decimal("1.10"), "b": (1, "é\n<"), "c": MappingProxyType({"d": None})}
    assert dumps(value) == '{"a":1.10,"b":[1,"é\\n<"],"c":{"d":null}}'


def test_what_is_encoded_already_is_placed_as_it_is():
    encoded = jsonutil.Encoded(dumps(["a", 'b"']))
    assert loads(dumps({"keys": encoded, "n": [encoded]})) == {
        "keys": ["a", 'b"'],
        "n": [["a", 'b"']],
    }


@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), [Decimal("Infinity")]], ids=str)
def test_no_form_for_nan(value):
    with pytest.raises(ValueError):
        dumps(value)


@pytest.mark.parametrize("value", [{1, 2}, {"a": object()}, MappingProxyType({1: Decimal(1)})])
def test_no_form_for_other_types(value):
    with pytest.raises(TypeError):
        dumps(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.integers(-(10**12), 10**12).map(lambda number: Decimal(2 * number + 1) / 2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_round_trip(value):
    assert loads(dumps(value)) == value


@given(st.text(alphabet='[]{}",:\\u0d8 1e-.', max_size=60))
def test_any_text_is_decoded_or_refused(text):
    with contextlib.suppress(JSONError):
        loads(text)


def test_depth_is_not_fooled_by_strings():
    assert jsonutil.loads('["' + "]" * 400 + '",' + "[" * 127 + "]" * 127 + "]")


def test_a_string_without_end_is_looked_through_once():
    started_at = time.perf_counter()
    with pytest.raises(JSONError):
        loads("[]" * 129 + '"' + '\\"' * 32_768)
    assert time.perf_counter() - started_at < 1.0
