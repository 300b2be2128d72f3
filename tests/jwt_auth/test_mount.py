from __future__ import annotations

import asyncio

import pytest

from tests.jwt_auth.mounted import ROLE, Mounted
from vault_jwt_plugin.sdk import Operation, ReadOnlyError, StorageError, UserError


def run(scenario):
    async def main():
        async with Mounted() as mounted:
            await scenario(mounted)

    asyncio.run(main())


class SlowPut:
    """Makes the storage's next puts wait until `gate` opens; then they happen."""

    def __init__(self, storage):
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()
        self._put = storage.put
        storage.put = self

    async def __call__(self, entry):
        self.waiting.set()
        await self.gate.wait()
        await self._put(entry)


def test_a_write_runs_to_its_end_though_its_caller_goes_away():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        slow = SlowPut(mounted.storage)
        write = asyncio.create_task(
            mounted.ask(Operation.UPDATE, "role/demo", ROLE | {"policies": "new"})
        )
        await slow.waiting.wait()
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        # The host has not stored it yet: the old role is what there is.
        assert (await mounted.login()).auth.policies == ("webapps",)
        slow.gate.set()
        await asyncio.gather(*mounted.backend._mount._writes)
        assert (await mounted.login()).auth.policies == ("new",)

    run(scenario)


def test_a_write_that_the_host_does_not_answer_does_not_keep_the_mount(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.mount.WRITES_END_S", 0.0)

    async def scenario(mounted):
        slow = SlowPut(mounted.storage)
        write = asyncio.create_task(mounted.write("role/demo", ROLE))
        await slow.waiting.wait()
        await mounted.backend.cleanup()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert mounted.storage.entries == {}

    run(scenario)


def test_a_write_under_way_may_end_when_the_mount_does():
    async def scenario(mounted):
        slow = SlowPut(mounted.storage)
        write = asyncio.create_task(mounted.write("role/demo", ROLE))
        await slow.waiting.wait()
        cleanup = asyncio.create_task(mounted.backend.cleanup())
        slow.gate.set()
        await cleanup
        await write
        assert list(mounted.storage.entries) == ["role/demo"]

    run(scenario)


def test_a_login_during_a_write_does_not_keep_the_old_role():
    async def scenario(mounted):
        await mounted.configure()
        slow = SlowPut(mounted.storage)
        write = asyncio.create_task(
            mounted.ask(Operation.UPDATE, "role/demo", ROLE | {"policies": "new"})
        )
        await slow.waiting.wait()
        assert (await mounted.login()).auth.policies == ("webapps",)
        slow.gate.set()
        await write
        assert (await mounted.login()).auth.policies == ("new",)

    run(scenario)


def test_after_a_write_of_unknown_outcome_nothing_is_believed_for_long():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        put = mounted.storage.put

        async def stored_but_not_said(entry):
            await put(entry)
            raise StorageError("deadline exceeded")

        mounted.storage.put = stored_but_not_said
        with pytest.raises(StorageError):
            await mounted.ask(Operation.UPDATE, "role/demo", ROLE | {"policies": "new"})
        assert (await mounted.login()).auth.policies == ("new",)
        mounted.reads()
        mounted.now += 1
        await mounted.login()
        assert mounted.reads() == ["config", "role/demo"]

    run(scenario)


def test_a_refused_write_leaves_what_is_known_alone():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        with pytest.raises(UserError):
            await mounted.ask(Operation.UPDATE, "role/demo", ROLE | {"token_type": "x"})
        mounted.reads()
        mounted.now += 1
        await mounted.login()
        assert mounted.reads() == []

    run(scenario)


def test_a_read_only_answer_makes_entries_short_lived():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        mounted.storage.read_only = True
        with pytest.raises(ReadOnlyError):
            await mounted.ask(Operation.UPDATE, "role/demo", ROLE)
        assert not mounted.backend._mount.writable
        await mounted.login()
        mounted.reads()
        mounted.now += 1
        await mounted.login()
        assert mounted.reads() == ["config", "role/demo"]

    run(scenario)


@pytest.mark.parametrize(
    ("state", "local", "writable"),
    [
        (12288, False, True),  # Vault's community edition
        (8224, False, True),  # OpenBao, active
        (24576, False, False),  # OpenBao, standby
        (12288 | 64, False, False),  # performance secondary
        (12288 | 64, True, True),  # ... with a local mount
        (12288 | 512, True, False),  # DR secondary
    ],
)
def test_the_node(state, local, writable):
    async def scenario(mounted):
        mounted.system.state = state
        mounted.system.local = local
        await mounted.backend.periodic()
        assert mounted.backend._mount.writable is writable

    run(scenario)


def test_a_node_that_is_not_known_counts_as_not_writable(caplog):
    async def scenario(mounted):
        assert mounted.backend._mount.writable

        async def unknown():
            raise RuntimeError("no answer")

        mounted.backend._mount.system = type(
            "Unknown", (), {"replication_state": staticmethod(unknown)}
        )()
        await mounted.backend.periodic()
        assert not mounted.backend._mount.writable
        assert caplog.records[0].message == "the node's replication state is not known"

    run(scenario)


def test_before_initialize_the_node_is_not_known():
    mounted = Mounted()
    assert not mounted.backend._mount.writable
    assert mounted.storage.calls == []


def test_a_node_that_can_no_longer_write_forgets_what_it_believed():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        mounted.system.state = 24576
        await mounted.backend.periodic()
        mounted.reads()
        await mounted.login()
        assert mounted.reads() == ["config", "role/demo"]

    run(scenario)


def test_what_was_read_before_the_node_could_write_is_of_no_use():
    async def scenario(mounted):
        await mounted.configure()
        mount = mounted.backend._mount
        mount.set_writable(writable=False)
        gate, reading = asyncio.Event(), asyncio.Event()
        get = mounted.storage.get

        async def slow(key):
            entry = await get(key)
            if key == "role/demo" and not gate.is_set():
                reading.set()
                await gate.wait()
            return entry

        mounted.storage.get = slow
        login = asyncio.create_task(mounted.login())
        await reading.wait()
        # Deleted by the node that was active; what it told this one got lost.
        await mounted.storage.delete("role/demo")
        mount.set_writable(writable=True)
        gate.set()
        for each in (login, mounted.login()):
            with pytest.raises(UserError) as denied:
                await each
            assert denied.value.code == "role_unknown"

    run(scenario)
