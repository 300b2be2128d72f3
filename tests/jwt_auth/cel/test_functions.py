from __future__ import annotations

import json
from pathlib import Path

import pytest

from vault_jwt_plugin.jwt_auth.cel.functions import encode_json
from vault_jwt_plugin.jwt_auth.cel.mail_address import MAX_CHARS, is_mail_address

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "openbao.json").read_text())


@pytest.mark.parametrize(
    ("text", "expected"),
    RECORDED["mail_addresses"].items(),
    ids=map(ascii, RECORDED["mail_addresses"]),
)
def test_mail_addresses_as_go_reads_them(text, expected):
    assert is_mail_address(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@" + "b" * (MAX_CHARS - 2), True),
        ("a@" + "b" * (MAX_CHARS - 1), False),
        ("(" * 4000, False),
        ("a@b " + "()" * 2000, True),
        ("Bob: " + "a@b," * 900 + ";", False),
    ],
    ids=["longest", "too long", "brackets", "comments", "a group of many"],
)
def test_long_texts(text, expected):
    assert is_mail_address(text) is expected


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({}, "{}"),
        ({"b": 1.0, "a": 2.0, "é": 3.0}, '{"a":2,"b":1,"é":3}'),
        ({"a": [], "b": {}, "c": [1.5, None, True, False, "x"]}, None),
        ({"a": [[1.0], {"b": [2.0]}]}, '{"a":[[1],{"b":[2]}]}'),
        ({"a": '<>&"\\\u2028\u2029\n\x01\x7fé\0'}, None),
        ({"<": "k"}, '{"\\u003c":"k"}'),
        ({"n": 1234567.0}, '{"n":1234567}'),
        ({"n": 9007199254740992.0}, '{"n":9007199254740992}'),
        ({"n": 1e20}, '{"n":100000000000000000000}'),
        ({"n": 1e21}, '{"n":1e+21}'),
        ({"n": 1.5e300}, '{"n":1.5e+300}'),
        ({"n": 1e-6}, '{"n":0.000001}'),
        ({"n": 1e-7}, '{"n":1e-7}'),
        ({"n": 1.25e-9}, '{"n":1.25e-9}'),
        ({"n": 5e-324}, '{"n":5e-324}'),
        ({"n": 0.0}, '{"n":0}'),
        ({"n": -0.0}, '{"n":-0}'),
        ({"n": -2.5}, '{"n":-2.5}'),
        ({"n": 0.1}, '{"n":0.1}'),
    ],
)
def test_json_as_go_writes_it(members, text):
    encoded = encode_json(members)
    assert isinstance(encoded, str)
    assert json.loads(encoded) == members
    assert "\0" not in encoded
    if text is not None:
        assert encoded == text


def test_html_is_escaped():
    assert encode_json({"a": "<>&\u2028\u2029"}) == ('{"a":"\\u003c\\u003e\\u0026\\u2028\\u2029"}')


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_no_form_for(number):
    assert encode_json({"a": number}) is False
    assert encode_json({"a": [{"b": number}]}) is False
