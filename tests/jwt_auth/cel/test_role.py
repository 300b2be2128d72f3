from __future__ import annotations

import json
from decimal import Decimal

import pytest

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.role import (
    MAX_PROGRAM_CHARS,
    MAX_VARIABLES,
    CELRole,
    Program,
    Variable,
)
from vault_jwt_plugin.jwt_auth.role.role import StoredRoleError

# As OpenBao 2.7.2 stores one.
STORED = {
    "name": "demo",
    "cel_program": {
        "variables": [{"name": "a", "expression": "claims.sub"}],
        "expression": "pb.Auth{display_name: a}",
    },
    "message": "hi",
    "expiration_leeway": 150_000_000_000,
    "not_before_leeway": -1_000_000_000,
    "clock_skew_leeway": 0,
    "bound_audiences": ["x", "y"],
}


def stored(**changes):
    members = STORED | changes
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def test_a_role_of_openbao_is_read_and_given_back_as_it_was():
    role = CELRole.from_stored("demo", stored())
    assert role.cel_program == Program(
        expression="pb.Auth{display_name: a}",
        variables=(Variable(name="a", expression="claims.sub"),),
    )
    assert json.loads(role.to_stored()) == STORED
    assert role.read_data() == STORED | {"expiration_leeway": 150, "not_before_leeway": -1}


@pytest.mark.parametrize(
    "changes",
    [
        {"message": ...},
        {"bound_audiences": None},
        {"bound_audiences": []},
        {"cel_program": {"expression": "false"}},
        {"failure_policy": "Deny", "later": {"a": [1, 2.5, None]}},
    ],
    ids=["no message", "null audiences", "no audiences", "no variables", "unknown members"],
)
def test_round_trips(changes):
    raw = stored(**changes)
    assert json.loads(CELRole.from_stored("demo", raw).to_stored()) == json.loads(raw)


def test_the_keys_name_wins():
    role = CELRole.from_stored("other", stored())
    assert role.name == role.read_data()["name"] == "other"


def test_what_is_missing_is_empty():
    role = CELRole.from_stored("demo", b'{"cel_program": {"expression": "false"}}')
    assert role.read_data() == {
        "name": "demo",
        "cel_program": {"expression": "false"},
        "message": "",
        "expiration_leeway": 0,
        "not_before_leeway": 0,
        "clock_skew_leeway": 0,
        "bound_audiences": None,
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "not JSON at character 1: "),
        (b"[]", "no JSON object with a cel_program"),
        (b"{}", "no JSON object with a cel_program"),
        (stored(cel_program="x"), "no JSON object with a cel_program"),
        (stored(cel_program={}), "cel_program.expression cannot be empty"),
        (
            stored(bound_audiences={"a": 1}),
            "'bound_audiences' should be a list of strings, is an object",
        ),
        (stored(expiration_leeway="soon"), "'expiration_leeway' should be a duration (seconds,"),
        (stored(message=[]), "'message' should be a string, is a list"),
    ],
)
def test_what_can_not_be_understood(raw, message):
    with pytest.raises(StoredRoleError) as caught:
        CELRole.from_stored("demo", raw)
    assert caught.value.message.startswith(f'stored CEL role "demo": {message}')


@pytest.mark.parametrize(
    ("members", "expression", "variables"),
    [
        ({"expression": "e"}, "e", ()),
        ({"expression": "e", "variables": None}, "e", ()),
        ({"expression": "e", "variables": []}, "e", ()),
        ({"Expression": "e", "VARIABLES": [{"NAME": "a", "eXpression": "1"}]}, "e", (("a", "1"),)),
        ({"expression": "e", "EXPRESSION": "f"}, "e", ()),
        ({"expression": 5}, "5", ()),
        ({"expression": Decimal("1.5")}, "1.5", ()),
        ({"expression": "e", "variables": [{"name": 5, "expression": 1}]}, "e", (("5", "1"),)),
        ({"expression": "e", "variables": [{}]}, "e", (("", ""),)),
        ({"expression": "e", "other": 1, "variables": [{"x": 1, "name": "a"}]}, "e", (("a", ""),)),
    ],
)
def test_programs_as_callers_write_them(members, expression, variables):
    seen = Program.from_json(members)
    assert seen.expression == expression
    assert tuple((each.name, each.expression) for each in seen.variables) == variables


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({}, "cel_program", "cel_program.expression cannot be empty"),
        ({"expression": ""}, "cel_program", "cel_program.expression cannot be empty"),
        ({"expression": None}, "cel_program", "cel_program.expression cannot be empty"),
        (
            {"expression": True},
            "cel_program",
            "cel_program.expression must be a string, is a boolean",
        ),
        (
            {"expression": ["a"]},
            "cel_program",
            "cel_program.expression must be a string, is a list",
        ),
        (
            {"expression": "e", "variables": "x"},
            "cel_program",
            "cel_program.variables must be a list of objects, is a string",
        ),
        (
            {"expression": "e", "variables": {"name": "a"}},
            "cel_program",
            "cel_program.variables must be a list of objects, is an object",
        ),
        (
            {"expression": "e", "variables": [{"name": "a"}, "x"]},
            "cel_program",
            "cel_program.variables[1] must be an object, is a string",
        ),
        (
            {"expression": "e", "variables": [{"name": {}}]},
            "cel_program",
            "cel_program.variables[0].name must be a string, is an object",
        ),
        (
            {"expression": "e", "variables": [{"name": "a", "expression": False}]},
            "cel_program",
            "cel_program.variables[0].expression must be a string, is a boolean",
        ),
        (
            {"expression": "e", "variables": [{}] * (MAX_VARIABLES + 1)},
            "cel_too_large",
            "cel_program has more than 32 variables",
        ),
        (
            {"expression": "e" * MAX_PROGRAM_CHARS, "variables": [{"expression": "f"}]},
            "cel_too_large",
            "cel_program has more than 32768 characters",
        ),
    ],
)
def test_programs_that_are_none(members, code, message):
    with pytest.raises(CELProgramError) as caught:
        Program.from_json(members)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_what_a_patch_sends_replaces_and_the_rest_stays():
    base = Program(expression="e", variables=(Variable(name="a", expression="1"),))
    assert Program.from_json({}, base) == base
    assert Program.from_json({"variables": None, "expression": None}, base) == base
    assert Program.from_json({"expression": "f"}, base).variables == base.variables
    assert Program.from_json({"variables": []}, base) == Program(expression="e")
    with pytest.raises(CELProgramError):
        Program.from_json({"expression": ""}, base)
