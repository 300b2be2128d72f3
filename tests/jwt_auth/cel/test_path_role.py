from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.jwt_auth.cel.mounted import GRANT, CELMounted, run
from vault_jwt_plugin.jwt_auth.backend import factory
from vault_jwt_plugin.jwt_auth.cel.path_role import WARN_UNBOUND
from vault_jwt_plugin.jwt_auth.role.role import StoredRoleError
from vault_jwt_plugin.sdk import (
    InternalError,
    Operation,
    ReadOnlyError,
    ReplicationState,
    UnsupportedOperation,
    UnsupportedPath,
)
from vault_jwt_plugin.sdk.testing import make_context

WRITTEN = {
    "name": "demo",
    "cel_program": {"expression": GRANT},
    "message": "",
    "expiration_leeway": 150,
    "not_before_leeway": 150,
    "clock_skew_leeway": 60,
    "bound_audiences": [],
}
PROGRAM = {"expression": GRANT, "variables": [{"name": "a", "expression": "1"}]}
FULL = {
    "cel_program": PROGRAM,
    "message": "hi",
    "expiration_leeway": 10,
    "not_before_leeway": "20s",
    "clock_skew_leeway": -1,
    "bound_audiences": "x,y",
}
FULL_READ = FULL | {"name": "demo", "not_before_leeway": 20, "bound_audiences": ["x", "y"]}


def test_a_write_answers_what_a_read_does():
    async def scenario(mounted):
        response = await mounted.put()
        assert response.data == WRITTEN
        assert response.warnings == (WARN_UNBOUND,)
        assert (await mounted.ask(Operation.READ, "cel/role/demo")).data == WRITTEN
        assert mounted.storage.json("cel/role/demo") == {
            "name": "demo",
            "cel_program": {"expression": GRANT},
            "expiration_leeway": 150_000_000_000,
            "not_before_leeway": 150_000_000_000,
            "clock_skew_leeway": 60_000_000_000,
            "bound_audiences": [],
        }

    run(scenario)


def test_a_write_replaces_everything():
    async def scenario(mounted):
        response = await mounted.ask(Operation.UPDATE, "cel/role/demo", FULL)
        assert (response.data, response.warnings) == (FULL_READ, ())
        assert (await mounted.put()).data == WRITTEN

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "changes"),
    [
        ({}, {}),
        ({"message": "new"}, {"message": "new"}),
        ({"message": None}, {"message": ""}),
        ({"expiration_leeway": "1m"}, {"expiration_leeway": 60}),
        ({"expiration_leeway": None}, {}),
        ({"bound_audiences": "z"}, {"bound_audiences": ["z"]}),
        ({"bound_audiences": None}, {"bound_audiences": []}),
        (
            {"cel_program": {"expression": "false"}},
            {"cel_program": PROGRAM | {"expression": "false"}},
        ),
        ({"cel_program": {"variables": []}}, {"cel_program": {"expression": GRANT}}),
        ({"cel_program": {"variables": None}}, {}),
        (
            {"cel_program": {"variables": [{"name": "b", "expression": "2"}]}},
            {"cel_program": {"expression": GRANT, "variables": [{"name": "b", "expression": "2"}]}},
        ),
    ],
)
def test_a_patch_changes_what_it_sends(sent, changes):
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "cel/role/demo", FULL)
        response = await mounted.ask(Operation.PATCH, "cel/role/demo", sent)
        expected = FULL_READ | changes
        assert response.data == expected
        assert (await mounted.ask(Operation.READ, "cel/role/demo")).data == expected

    run(scenario)


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.PATCH])
@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (
            {"cel_program": {"expression": "1 +"}},
            "cel_syntax",
            "cel_program.expression: line 1, column 4: Syntax error: ",
        ),
        (
            {"cel_program": {"expression": "nope"}},
            "cel_type",
            "cel_program.expression: line 1, column 1: undeclared reference to 'nope'",
        ),
        ({"cel_program": {"expression": ""}}, "cel_program", "cel_program.expression cannot be"),
        ({"cel_program": {"variables": 5}}, "cel_program", "cel_program.variables must be a list"),
        ({"cel_program": "x"}, "field_invalid", "Field validation failed: error converting input "),
        (
            {"cel_program": {"expression": "1"}, "clock_skew_leeway": "x"},
            "field_invalid",
            "Field validation failed: error converting input ",
        ),
    ],
)
def test_a_refused_write_changes_nothing(operation, sent, code, message):
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "cel/role/demo", FULL)
        seen, text = await mounted.refused(mounted.ask(operation, "cel/role/demo", sent))
        assert seen == code
        assert text.startswith(message)
        assert (await mounted.ask(Operation.READ, "cel/role/demo")).data == FULL_READ

    async def main():
        async with CELMounted() as mounted:
            await scenario(mounted)

    asyncio.run(main())


def test_refused_without_a_program():
    async def scenario(mounted):
        write = mounted.ask(Operation.UPDATE, "cel/role/demo", {"message": "x"})
        assert await mounted.refused(write) == (
            "cel_program",
            "missing required field 'cel_program'",
        )
        write = mounted.ask(Operation.UPDATE, "cel/role/demo", {"cel_program": None})
        assert await mounted.refused(write) == (
            "cel_program",
            "cel_program.expression cannot be empty",
        )
        await mounted.put()
        patch = mounted.ask(Operation.PATCH, "cel/role/demo", {"cel_program": None})
        assert await mounted.refused(patch) == ("cel_program", "cel_program can't be taken away")

    run(scenario)


def test_a_patch_of_nothing():
    async def scenario(mounted):
        patch = mounted.ask(Operation.PATCH, "cel/role/none", {"message": "x"})
        assert await mounted.refused(patch) == (
            "role_unknown",
            "unable to fetch the CEL role to patch",
        )

    run(scenario)


def test_names_keep_their_case_and_lists_page():
    async def scenario(mounted):
        for name in ("b", "Zed", "a.b", "a-b"):
            assert (await mounted.put(name=name)).data["name"] == name
        assert (await mounted.ask(Operation.READ, "cel/role/Zed")).data["name"] == "Zed"
        assert await mounted.ask(Operation.READ, "cel/role/zed") is None

        async def keys(path="cel/role/", **query):
            return (await mounted.ask(Operation.LIST, path, query)).data.get("keys")

        assert await keys() == await keys("cel/role") == ["Zed", "a-b", "a.b", "b"]
        assert await keys(limit="2") == ["Zed", "a-b"]
        assert await keys(after="a.a") == ["a.b", "b"]
        assert await keys(after="Zed", limit="1") == ["a-b"]
        assert await keys(limit="-1") == ["Zed", "a-b", "a.b", "b"]

    run(scenario)


def test_an_empty_list_a_read_and_a_delete_of_nothing():
    async def scenario(mounted):
        assert (await mounted.ask(Operation.LIST, "cel/role/")).data == {}
        assert await mounted.ask(Operation.READ, "cel/role/none") is None
        assert await mounted.ask(Operation.DELETE, "cel/role/none") is None
        await mounted.put()
        assert await mounted.ask(Operation.DELETE, "cel/role/demo") is None
        assert await mounted.ask(Operation.READ, "cel/role/demo") is None

    run(scenario)


def test_native_and_cel_roles_are_apart():
    async def scenario(mounted):
        await mounted.configure()
        assert await mounted.ask(Operation.READ, "role/demo") is None
        assert (await mounted.ask(Operation.LIST, "role/")).data == {}

    run(scenario)


def test_unknown_stored_members_stay():
    raw = b'{"cel_program": {"expression": "false"}, "later": {"a": [1]}, "name": "demo"}'

    async def scenario(mounted):
        await mounted.ask(Operation.PATCH, "cel/role/demo", {"message": "x"})
        assert mounted.storage.json("cel/role/demo")["later"] == {"a": [1]}
        await mounted.put()
        assert mounted.storage.json("cel/role/demo")["later"] == {"a": [1]}

    run(scenario, {"cel/role/demo": raw})


def test_a_role_that_can_not_be_understood_is_repaired_by_a_write():
    async def scenario(mounted):
        for operation, sent in ((Operation.READ, {}), (Operation.PATCH, {"message": "x"})):
            with pytest.raises(StoredRoleError):
                await mounted.ask(operation, "cel/role/demo", sent)
        assert (await mounted.put()).data == WRITTEN
        assert (await mounted.ask(Operation.READ, "cel/role/demo")).data == WRITTEN

    run(scenario, {"cel/role/demo": b"{"})


def test_warnings_about_input():
    async def scenario(mounted):
        sent = FULL | {"nonsense": 1, "name": "other"}
        response = await mounted.ask(Operation.UPDATE, "cel/role/demo", sent)
        assert response.data == FULL_READ
        assert response.warnings == (
            "Endpoint ignored these unrecognized parameters: [nonsense]",
            (
                "Endpoint replaced the value of these parameters with the values captured from the "
                "endpoint's path: [name]"
            ),
        )

    run(scenario)


@pytest.mark.parametrize("name", ["-x", "a/b", "", "x-", "a b"])
def test_names_that_no_role_has(name):
    async def scenario(mounted):
        with pytest.raises((UnsupportedPath, UnsupportedOperation)):
            await mounted.put(name=name)

    run(scenario)


def test_operations_of_the_paths():
    backend = factory(make_context())
    found = {
        path.pattern: {
            operation: (spec.operation_id, spec.forward_standby, spec.forward_secondary)
            for operation in path.operations
            if (spec := path.spec(operation)) is not None
        }
        for path in backend.paths
        if path.pattern.startswith("cel/")
    }
    role = found.pop(next(pattern for pattern in found if pattern.startswith("cel/role/(")))
    assert role == {
        Operation.READ: ("jwt-read-cel-role", False, False),
        Operation.UPDATE: ("jwt-write-cel-role", True, True),
        Operation.PATCH: ("jwt-patch-cel-role", True, True),
        Operation.DELETE: ("jwt-delete-cel-role", True, True),
    }
    assert found == {
        "cel/role/?": {Operation.LIST: ("jwt-list-cel", False, False)},
        "cel/login": {
            Operation.UPDATE: ("jwt-cel-login", False, False),
            Operation.ALIAS_LOOKAHEAD: ("", False, False),
            Operation.RESOLVE_ROLE: ("", False, False),
        },
    }


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.PATCH, Operation.DELETE])
def test_writes_are_for_the_active_node(operation):
    async def scenario(mounted):
        mounted.system.state = int(ReplicationState.PERFORMANCE_STANDBY)
        with pytest.raises(ReadOnlyError):
            await mounted.ask(operation, "cel/role/demo", FULL)
        assert mounted.storage.calls == []

    run(scenario)


def test_two_patches_at_once_are_both_kept():
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "cel/role/demo", FULL)
        one = mounted.ask(Operation.PATCH, "cel/role/demo", {"message": "one"})
        two = mounted.ask(
            Operation.PATCH, "cel/role/demo", {"cel_program": {"expression": "false"}}
        )
        await asyncio.gather(one, two)
        role = (await mounted.ask(Operation.READ, "cel/role/demo")).data
        assert (role["message"], role["cel_program"]["expression"]) == ("one", "false")

    run(scenario)


def test_two_patches_that_do_not_go_together_are_not_both_taken():
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "cel/role/demo", FULL)
        uses = {"cel_program": {"expression": "a == 1 ? pb.Auth{} : false"}}
        takes_away: dict[str, Any] = {"cel_program": {"variables": []}}
        outcomes = await asyncio.gather(
            mounted.ask(Operation.PATCH, "cel/role/demo", uses),
            mounted.ask(Operation.PATCH, "cel/role/demo", takes_away),
            return_exceptions=True,
        )
        assert [getattr(outcome, "code", "") for outcome in outcomes] == ["", "cel_type"]
        program = (await mounted.ask(Operation.READ, "cel/role/demo")).data["cel_program"]
        assert program == PROGRAM | uses["cel_program"]

    run(scenario)


def test_help_and_openapi_know_the_paths():
    async def scenario(mounted):
        page = await mounted.ask(Operation.HELP, "cel/role/demo")
        assert "Common Expression Language" in page.data["help"]
        root = await mounted.ask(Operation.HELP, "")
        paths = root.data["openapi"]["paths"]
        assert set(paths["/cel/role/{name}"]) >= {"get", "post", "delete", "patch"}
        assert paths["/cel/login"]["post"]["operationId"] == "jwt-cel-login"

    run(scenario)


def test_without_the_protocols_messages_nothing_can_be_written():
    async def scenario(mounted):
        with pytest.raises(InternalError) as caught:
            await mounted.put()
        assert caught.value.code == "cel_unavailable"
        assert await mounted.ask(Operation.READ, "cel/role/demo") is None

    run(scenario, with_messages=False)
