from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jwt_auth.cel.mounted import make_engine
from vault_jwt_plugin.jwt_auth.cel.tree import (
    Call,
    Const,
    Ident,
    bind,
    integer,
    text,
)
from vault_jwt_plugin.jwt_auth.cel.wire import ASTError, decode, encode

CASES = json.loads((Path(__file__).parent / "fixtures" / "openbao.json").read_text())["cases"]


@pytest.fixture(scope="module")
def env():
    return make_engine()._environment.plain


def test_every_expression_comes_back_as_it_was(env):
    seen = 0
    for case in CASES:
        try:
            parsed = env.compile(case["expression"], disable_check=True)
        except RuntimeError:
            continue
        tree = decode(parsed.serialize())
        assert decode(encode(tree)) == tree
        env.deserialize(encode(tree))
        seen += 1
    assert seen > 300


def test_an_expression_of_parts_means_what_it_says(env):
    tree = bind("v", integer(1000), Call("_+_", (Ident("v"), Ident("v"))))
    assert env.deserialize(encode(tree)).eval(data={}).value() == 2000
    tree = bind("v", text("a\0ü"), Ident("v"))
    assert env.deserialize(encode(tree)).eval(data={}).value() == "a\0ü"


def test_a_name_that_nobody_uses_is_not_evaluated(env):
    broken = Call("_/_", (integer(1), integer(0)))
    assert env.deserialize(encode(bind("v", broken, integer(3)))).eval(data={}).value() == 3


def test_the_text_of_a_constant():
    assert text("x").text == "x"
    assert text("").text == ""
    assert integer(5).text is None
    assert Const("bool_value", value=False).text is None


def cut(parsed):
    return [parsed[:length] for length in range(len(parsed))]


def test_what_is_no_expression_is_refused(env):
    parsed = env.compile("[a.b(c), {'d': 1}, e.map(f, g), X{h: 2.5}]", disable_check=True)
    whole = parsed.serialize()
    tree = decode(whole)
    for part in cut(whole):
        with pytest.raises(ASTError):
            decode(part)
    assert decode(whole) == tree


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x0a\x01x", b"\x08\x05", b"\x0b", b"\xff" * 12, b"\x0a\x80"],
    ids=["empty", "another type", "a number", "a group", "a long number", "a cut length"],
)
def test_nonsense_is_refused(raw):
    with pytest.raises(ASTError):
        decode(raw)


def packed(expression):
    parsed = b"\x12" + bytes([len(expression)]) + expression
    url = b"type.googleapis.com/cel.expr.ParsedExpr"
    return b"\x0a" + bytes([len(url)]) + url + b"\x12" + bytes([len(parsed)]) + parsed


@pytest.mark.parametrize(
    "expression",
    [b"\x22\x03\x0a\x01x\x50\x01", b"\x22\x05\x0a\x01x\x10\x01", b"\x52\x00", b"\x1a\x00"],
    ids=["in an expression", "in a part", "kind", "constant"],
)
def test_what_is_unknown_is_refused(expression):
    assert decode(packed(b"\x22\x03\x0a\x01x")) == Ident("x")
    with pytest.raises(ASTError):
        decode(packed(expression))
