"""The names of all roles, kept between lists and dropped in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.jwt_auth.mounted import ROLE, Mounted
from vault_jwt_plugin.jwt_auth.role.role_list import MAX_KEPT_BYTES, SHORT_BYTES
from vault_jwt_plugin.sdk import Operation, StorageError, jsonutil
from vault_jwt_plugin.sdk.storage import ReplicationState

if TYPE_CHECKING:
    from vault_jwt_plugin.sdk.testing import InMemoryStorage


def lists_of(storage: InMemoryStorage) -> int:
    count = sum(method in {"list", "list_page"} for method, _ in storage.calls)
    storage.calls.clear()
    return count


async def names(mounted: Mounted) -> Any:
    answer = await mounted.ask(Operation.LIST, "role/")
    return jsonutil.loads(jsonutil.dumps(answer.data)).get("keys", [])


def many(length: int) -> dict[str, bytes]:
    return {f"role/team-{n:06}": b"{}" for n in range(length)}


def test_the_names_are_read_once():
    async def run() -> None:
        async with Mounted({"role/b": b"{}", "role/a": b"{}"}) as mounted:
            assert await names(mounted) == ["a", "b"]
            assert lists_of(mounted.storage) == 1
            assert await names(mounted) == ["a", "b"]
            assert lists_of(mounted.storage) == 0

    asyncio.run(run())


def test_a_write_a_delete_and_an_invalidation_drop_them():
    async def run() -> None:
        async with Mounted({"role/a": b"{}"}) as mounted:
            assert await names(mounted) == ["a"]
            await mounted.write("role/b", ROLE)
            assert await names(mounted) == ["a", "b"]
            await mounted.ask(Operation.DELETE, "role/b")
            assert await names(mounted) == ["a"]
            # Another node wrote, and the host says so.
            await mounted.storage.put(await mounted.storage.get("role/a"))
            mounted.storage.entries["role/c"] = mounted.storage.entries["role/a"]
            assert await names(mounted) == ["a"]
            mounted.backend.invalidate_key("role/c")
            assert await names(mounted) == ["a", "c"]
            mounted.storage.entries["role/d"] = mounted.storage.entries["role/a"]
            mounted.backend.invalidate_key("config")
            assert await names(mounted) == ["a", "c", "d"]

    asyncio.run(run())


def test_it_is_answered_though_roles_are_written_all_the_time():
    async def run() -> None:
        async with Mounted({"role/a": b"{}"}) as mounted:
            list_page = mounted.storage.list_page

            async def overtaken(*args: Any, **options: Any) -> Any:
                mounted.backend.invalidate_key("role/b")
                return await list_page(*args, **options)

            mounted.storage.list_page = overtaken
            assert await names(mounted) == ["a"]

    asyncio.run(run())


def test_a_node_that_cannot_write_believes_them_for_a_second():
    async def run() -> None:
        async with Mounted({"role/a": b"{}"}) as mounted:
            mounted.system.state = int(ReplicationState.PERFORMANCE_STANDBY)
            await mounted.backend.periodic()
            assert await names(mounted) == ["a"]
            mounted.storage.entries["role/b"] = mounted.storage.entries["role/a"]
            assert await names(mounted) == ["a"]
            mounted.now += 1.0
            assert await names(mounted) == ["a", "b"]

    asyncio.run(run())


def test_no_role_is_not_remembered():
    async def run() -> None:
        async with Mounted() as mounted:
            assert (await mounted.ask(Operation.LIST, "role/")).data == {}
            await mounted.ask(Operation.LIST, "role/")
            assert lists_of(mounted.storage) == 2

    asyncio.run(run())


def test_a_write_that_fails_on_its_way_leaves_doubt():
    async def run() -> None:
        async with Mounted({"role/a": b"{}"}) as mounted:
            assert await names(mounted) == ["a"]
            mounted.storage.fail_with = "the host went away"
            with pytest.raises(StorageError):
                await mounted.ask(Operation.CREATE, "role/b", ROLE)
            mounted.storage.fail_with = None
            mounted.storage.entries["role/b"] = mounted.storage.entries["role/a"]
            assert await names(mounted) == ["a", "b"]

    asyncio.run(run())


@pytest.mark.parametrize("length", [3, 400, 1000, 30_000])
def test_a_list_of_any_length_is_the_same_list(length):
    async def run() -> None:
        entries = many(length)
        async with Mounted(entries) as mounted:
            expected = [key.removeprefix("role/") for key in entries]
            for _ in range(2):
                assert await names(mounted) == expected
            size = len(jsonutil.dumps(expected))
            assert lists_of(mounted.storage) == (1 if size <= MAX_KEPT_BYTES else 2)
            answer = await mounted.ask(Operation.LIST, "role/")
            is_encoded = isinstance(answer.data["keys"], jsonutil.Encoded)
            assert is_encoded == (size > SHORT_BYTES)
            pages = await mounted.ask(Operation.LIST, "role/", {"after": "team-000000", "limit": 2})
            assert pages.data == {"keys": expected[1:3]}

    asyncio.run(run())
