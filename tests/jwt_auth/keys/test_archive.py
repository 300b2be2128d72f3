"""What is written of fetched keys, when, and what is not."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.clock import Clock
from tests.jwt_auth.keys.test_stored import JWK, ORIGIN, keys_of
from tests.jwt_auth.tokens import private_key, public_jwk
from vault_jwt_plugin.jwt_auth.keys import archive as key_archive
from vault_jwt_plugin.jwt_auth.keys.archive import KeyArchive
from vault_jwt_plugin.jwt_auth.keys.stored import Origin
from vault_jwt_plugin.sdk.testing import InMemoryStorage

KEY = ORIGIN.storage_key
NOW = 1_700_000_000.0
OTHER = Origin(kind="discovery", url="https://other/")
DAY_S = 86400.0


class Setup:
    def __init__(self, storage=None):
        self.storage: Any = storage or InMemoryStorage()
        self.writable = True
        self.configured: Any = {KEY, OTHER.storage_key}
        self.clock = Clock(NOW)
        self.archive = KeyArchive(
            self.storage,
            writable=lambda: self.writable,
            read_only=self.read_only,
            in_use=self.in_use,
            clock=self.clock,
            logger=logging.getLogger("archive"),
        )
        self.store = self.archive.of(ORIGIN, trust_for_s=DAY_S)

    def read_only(self):
        self.writable = False

    async def in_use(self):
        return self.configured

    async def save(self, *jwks, store=None):
        (store or self.store).save(keys_of(*jwks, fetched_at=self.clock.now))
        await self.archive.settle()

    @property
    def puts(self):
        return [key for method, key in self.storage.calls if method == "put"]


def run(scenario, **setup):
    asyncio.run(asyncio.wait_for(scenario(Setup(**setup)), 10))


def test_keys_come_back():
    async def scenario(setup):
        assert await setup.store.load() is None
        await setup.save(JWK)
        assert setup.puts == [KEY]
        again = Setup(setup.storage)
        found = await again.store.load()
        assert found is not None
        assert [key.kid for key in found.fetched.key_set.keys] == ["a"]
        assert found.fetched_at == NOW
        assert await again.archive.of(OTHER, trust_for_s=0).load() is None

    run(scenario)


def test_nobody_waits_for_a_write():
    async def scenario(setup):
        setup.store.save(keys_of(JWK, fetched_at=NOW))
        assert setup.storage.calls == []
        await setup.archive.settle()
        assert setup.puts == [KEY]

    run(scenario)


def test_keys_are_written_once_per_change():
    async def scenario(setup):
        await setup.store.load()
        for _ in range(5):
            await setup.save(JWK)
            setup.clock.now += 3600
        assert len(setup.puts) == 1
        await setup.save(JWK, {"kty": "oct"})
        await setup.save(JWK | {"alg": "x"}, {"kty": "oct"})
        assert len(setup.puts) == 2
        await setup.save()
        assert len(setup.puts) == 3

    run(scenario)


@pytest.mark.parametrize(
    ("trust_for_s", "age_s", "writes"),
    [(DAY_S, 21599, 1), (DAY_S, 21600, 2), (0, 10 * DAY_S, 1)],
    ids=["young", "a quarter of the trust", "for ever"],
)
def test_the_same_keys_are_written_again_when_their_age_would_matter(trust_for_s, age_s, writes):
    async def scenario(setup):
        store = setup.archive.of(ORIGIN, trust_for_s=trust_for_s)
        await setup.save(JWK, store=store)
        setup.clock.now += age_s
        await setup.save(JWK, store=store)
        assert len(setup.puts) == writes

    run(scenario)


def test_after_a_start_the_same_keys_are_not_written_again():
    async def scenario(setup):
        await setup.save(JWK)
        for load_first in (True, False):
            again = Setup(InMemoryStorage({KEY: setup.storage.entries[KEY].value}))
            if load_first:
                await again.store.load()
            await again.save(JWK)
            assert again.puts == []

    run(scenario)


def test_a_node_that_can_not_write_writes_when_it_can():
    async def scenario(setup):
        setup.writable = False
        await setup.save(JWK)
        setup.archive.sweep()
        await setup.archive.settle()
        assert setup.storage.calls == []
        setup.writable = True
        setup.archive.flush()
        await setup.archive.settle()
        assert setup.puts == [KEY]

    run(scenario)


def test_a_node_that_turns_out_to_be_read_only_stops_writing(caplog):
    async def scenario(setup):
        setup.storage.read_only = True
        await setup.save(JWK)
        assert not setup.writable
        await setup.save(JWK)
        assert len(setup.puts) == 1
        assert caplog.records == []

    run(scenario)


def test_a_write_that_fails_is_tried_again_at_the_next_tick(caplog):
    async def scenario(setup):
        await setup.store.load()
        setup.storage.fail_with = "disk full"
        await setup.save(JWK)
        assert [record.getMessage() for record in caplog.records] == ["keys can't be stored"]
        assert caplog.records[0].fields["error"] == "disk full"
        setup.storage.fail_with = None
        setup.archive.flush()
        await setup.archive.settle()
        assert KEY in setup.storage.entries
        setup.storage.calls.clear()
        setup.archive.flush()
        await setup.archive.settle()
        assert setup.storage.calls == []

    run(scenario)


def test_only_the_newest_of_what_waits_is_written():
    async def scenario(setup):
        setup.writable = False
        await setup.save(JWK)
        await setup.save(JWK | {"kid": "b"})
        setup.writable = True
        await setup.save(JWK | {"kid": "c"})
        assert len(setup.puts) == 1
        assert setup.storage.json(KEY)["keys"][0]["kid"] == "c"

    run(scenario)


def test_keys_that_change_while_they_are_written_are_written_again():
    async def scenario(setup):
        put = setup.storage.put
        gate = asyncio.Event()
        writing = asyncio.Event()

        async def slowly(entry):
            writing.set()
            await gate.wait()
            await put(entry)

        setup.storage.put = slowly
        setup.store.save(keys_of(JWK, fetched_at=NOW))
        await writing.wait()
        setup.store.save(keys_of(JWK | {"kid": "b"}, fetched_at=NOW + 1))
        gate.set()
        await setup.archive.settle()
        assert setup.storage.json(KEY)["keys"][0]["kid"] == "b"

    run(scenario)


def test_older_keys_than_the_stored_ones_are_not_written():
    async def scenario(setup):
        await setup.save(JWK)
        again = Setup(setup.storage)
        again.clock.now -= 10
        setup.storage.calls.clear()
        await again.save(JWK | {"kid": "b"})
        assert again.puts == []

    run(scenario)


def test_a_set_that_is_too_large_is_not_stored_and_the_old_one_goes(monkeypatch, caplog):
    async def scenario(setup):
        await setup.save(JWK)
        size = len(setup.storage.entries[KEY].value)
        monkeypatch.setattr(key_archive, "MAX_ENTRY_BYTES", size)
        await setup.save(JWK, public_jwk(private_key("ES256"), kid="b"))
        assert KEY not in setup.storage.entries
        (record,) = caplog.records
        assert record.getMessage() == "keys are not stored: they are too large"
        assert record.fields["max_bytes"] == size
        await setup.save(JWK, public_jwk(private_key("ES256"), kid="b"))
        assert len(caplog.records) == 1
        await setup.save(JWK)
        assert KEY in setup.storage.entries

    run(scenario)


@pytest.mark.parametrize("ahead_s", [0, 60, 61, 1e6])
def test_keys_from_the_future_are_ignored_and_replaced(ahead_s, caplog):
    async def scenario(setup):
        setup.clock.now += ahead_s
        await setup.save(JWK)
        again = Setup(setup.storage)
        found = await again.store.load()
        assert (found is not None) == (ahead_s <= 60)
        if found is None:
            assert caplog.records[0].getMessage() == "stored keys are ignored"
            assert caplog.records[0].fields["key"] == KEY
            assert caplog.records[0].fields["error"] == (
                "they say that they were fetched in the future"
            )
            await again.save(JWK)
            assert setup.storage.json(KEY)["fetched_at"] == NOW

    run(scenario)


def test_keys_that_can_not_be_understood_are_ignored_and_replaced(caplog):
    async def scenario(setup):
        assert await setup.store.load() is None
        assert caplog.records[0].fields["error"] == "they have another format"
        await setup.save(JWK)
        assert json.loads(setup.storage.entries[KEY].value)["format"] == 1

    run(scenario, storage=InMemoryStorage({KEY: b"{}"}))


def test_a_storage_that_fails_has_no_keys(caplog):
    async def scenario(setup):
        setup.storage.fail_with = "sealed"
        assert await setup.store.load() is None
        assert [record.getMessage() for record in caplog.records] == ["stored keys can't be read"]

    run(scenario)


def test_what_nothing_refers_to_is_deleted():
    async def scenario(setup):
        await setup.save(JWK)
        await setup.save(JWK, store=setup.archive.of(OTHER, trust_for_s=DAY_S))
        setup.configured = {OTHER.storage_key}
        setup.archive.sweep()
        await setup.archive.settle()
        assert list(setup.storage.entries) == ["config", OTHER.storage_key]
        # It is gone: the same keys are new again.
        setup.configured = {KEY}
        await setup.save(JWK)
        assert KEY in setup.storage.entries

    run(scenario, storage=InMemoryStorage({"config": b"{}"}))


@pytest.mark.parametrize("configured", [(), (OTHER.storage_key,), None])
def test_what_nothing_refers_to_is_not_stored(configured):
    async def scenario(setup):
        setup.configured = configured
        await setup.save(JWK)
        assert setup.puts == []
        setup.configured = {KEY}
        await setup.save(JWK)
        assert setup.puts == [KEY]

    run(scenario)


def test_nothing_is_deleted_when_it_is_not_known_what_is_referred_to():
    async def scenario(setup):
        await setup.save(JWK)
        setup.configured = None
        setup.archive.sweep()
        await setup.archive.settle()
        assert list(setup.storage.entries) == [KEY]

    run(scenario)


def test_what_another_node_changed_is_read_again_before_writing():
    async def scenario(setup):
        await setup.save(JWK)
        await setup.storage.delete(KEY)
        await setup.save(JWK)
        assert KEY not in setup.storage.entries
        setup.archive.forget(KEY)
        await setup.save(JWK)
        assert KEY in setup.storage.entries

    run(scenario)


def test_closing_waits_for_a_write_but_not_for_long():
    async def scenario(setup):
        setup.store.save(keys_of(JWK, fetched_at=NOW))
        await setup.archive.close(within_s=5)
        assert KEY in setup.storage.entries
        await setup.save(JWK | {"kid": "b"})
        assert len(setup.puts) == 1

        async def never(_entry):
            await asyncio.Event().wait()

        stuck = Setup()
        stuck.storage.put = never
        stuck.store.save(keys_of(JWK, fetched_at=NOW))
        await asyncio.sleep(0)
        await stuck.archive.close(within_s=0.01)
        await stuck.archive.close(within_s=0.01)
        assert stuck.archive._task is None

    run(scenario)


def test_a_fault_of_ours_is_logged(caplog):
    async def scenario(setup):
        async def fault(_prefix):
            raise RuntimeError("fault")

        setup.storage.list = fault
        setup.archive.sweep()
        await setup.archive.settle()
        assert [record.getMessage() for record in caplog.records] == [
            "storing keys failed unexpectedly"
        ]

    run(scenario)
