from __future__ import annotations

import asyncio
import gc

import pytest

from vault_jwt_plugin.jwt_auth import cache as cache_module
from vault_jwt_plugin.jwt_auth.cache import DOUBT_S, MAX_READS, Cache
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import InternalError, StorageError


class Store:
    """Stored bytes, a gate that reads wait at, and a clock; counts reads."""

    def __init__(self, **entries):
        self.entries = {name: value.encode() for name, value in entries.items()}
        self.reads = []
        self.gate = None
        self.reading = asyncio.Event()
        self.fails = None
        self.writable = True
        self.now = 1000.0
        self.decoded = 0

    def cache(self, capacity=100):
        return Cache(
            read=self.read,
            decode=self.decode,
            writable=lambda: self.writable,
            capacity=capacity,
            monotonic=lambda: self.now,
        )

    async def read(self, name):
        self.reads.append(name)
        # What the host saw when it was asked; it may answer much later.
        seen = self.entries.get(name)
        if self.gate is not None:
            self.reading.set()
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return seen

    def decode(self, name, raw):
        self.decoded += 1
        if raw == b"broken":
            raise InternalError("broken")
        return [name, raw.decode()]


def test_a_value_is_read_once():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        assert cache.get_cached("a") is None
        first = await cache.get("a")
        assert first == ["a", "1"]
        assert await cache.get("a") is first
        assert cache.get_cached("a") is first
        assert store.reads == ["a"]

    asyncio.run(scenario())


def test_what_is_not_there_is_never_kept():
    async def scenario():
        store = Store()
        cache = store.cache()
        assert await cache.get("a") is None
        assert await cache.get("a") is None
        assert store.reads == ["a", "a"]
        assert len(cache) == 0
        store.entries["a"] = b"1"
        assert await cache.get("a") == ["a", "1"]

    asyncio.run(scenario())


def test_a_read_under_way_does_not_put_back_what_a_write_dropped():
    async def scenario():
        store = Store(a="old")
        cache = store.cache()
        store.gate = asyncio.Event()
        early, deciding = (asyncio.create_task(get("a")) for get in (cache.get, cache.get_current))
        await store.reading.wait()
        store.entries["a"] = b"new"
        cache.drop("a")
        store.gate.set()
        # Who asked before the write may get the old value, but decides nothing by it.
        assert await early == ["a", "old"]
        assert await deciding == ["a", "new"]
        assert cache.get_cached("a") == ["a", "new"]

    asyncio.run(scenario())


@pytest.mark.parametrize("drop", ["drop", "drop_all", "doubt"])
def test_who_asks_after_a_write_does_not_join_a_read_from_before_it(drop):
    async def scenario():
        store = Store(a="old")
        cache = store.cache()
        gate = store.gate = asyncio.Event()
        early, deciding = (asyncio.create_task(get("a")) for get in (cache.get, cache.get_current))
        await store.reading.wait()
        store.entries["a"] = b"new"
        getattr(cache, drop)(*(["a"] if drop == "drop" else []))
        store.gate = None
        assert await cache.get("a") == ["a", "new"]
        gate.set()
        assert await early == ["a", "old"]
        assert await deciding == ["a", "new"]
        assert cache.get_cached("a") == ["a", "new"]

    asyncio.run(scenario())


def test_a_write_of_another_name_overtakes_nothing():
    async def scenario():
        store = Store(a="old")
        cache = store.cache()
        store.gate = asyncio.Event()
        early = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        cache.drop("b")
        store.gate.set()
        assert await early == ["a", "old"]
        assert cache.get_cached("a") == ["a", "old"]

    asyncio.run(scenario())


def test_what_is_dropped_whenever_it_is_read_ends_in_a_denial():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        read, reads = cache._read, 0

        async def overtaken(name):
            nonlocal reads
            reads += 1
            cache.drop(name)
            return await read(name)

        cache._read = overtaken
        with pytest.raises(LoginDenied) as denied:
            await cache.get_current("a")
        assert (denied.value.code, reads) == ("changed_meanwhile", MAX_READS)

    asyncio.run(scenario())


def test_a_failed_read_that_a_write_overtakes_is_done_again():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        read = cache._read

        async def fails(name):
            cache._read = read
            cache.drop(name)
            raise StorageError("gone")

        cache._read = fails
        assert await cache.get_current("a") == ["a", "1"]

    asyncio.run(scenario())


@pytest.mark.parametrize(("late_s", "seen"), [(0.999, "old"), (1.0, "new")])
def test_where_the_node_can_not_write_a_read_is_shared_for_a_second(late_s, seen):
    async def scenario():
        store = Store(a="old")
        store.writable = False
        cache = store.cache()
        gate = store.gate = asyncio.Event()
        early = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        # Written by the active node; nothing told this one.
        store.entries["a"] = b"new"
        store.now += late_s
        store.gate = None
        late = asyncio.create_task(cache.get("a"))
        await asyncio.sleep(0)
        gate.set()
        assert await late == ["a", seen]
        assert await early == ["a", "old"]

    asyncio.run(scenario())


def test_callers_share_a_read():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        store.gate = asyncio.Event()
        callers = [asyncio.create_task(cache.get("a")) for _ in range(5)]
        await store.reading.wait()
        store.gate.set()
        values = await asyncio.gather(*callers)
        assert store.reads == ["a"]
        assert all(value is values[0] for value in values)

    asyncio.run(scenario())


def test_a_caller_that_goes_away_does_not_fail_the_others():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        store.gate = asyncio.Event()
        first = asyncio.create_task(cache.get("a"))
        second = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        store.gate.set()
        assert await second == ["a", "1"]

    asyncio.run(scenario())


def test_failures_reach_every_caller_and_are_not_kept():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        store.fails = StorageError("down")
        for _ in range(2):
            with pytest.raises(StorageError):
                await cache.get("a")
        store.fails = None
        assert await cache.get("a") == ["a", "1"]
        store.entries["b"] = b"broken"
        with pytest.raises(InternalError):
            await cache.get("b")
        assert cache.get_cached("b") is None

    asyncio.run(scenario())


def test_a_failure_that_nobody_waits_for_is_no_noise(caplog):
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        store.fails = StorageError("down")
        store.gate = asyncio.Event()
        caller = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        caller.cancel()
        store.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(scenario())
    assert caplog.records == []


def test_where_the_node_can_not_write_entries_live_a_second():
    async def scenario():
        store = Store(a="1")
        store.writable = False
        cache = store.cache()
        first = await cache.get("a")
        store.now += 0.999
        assert cache.get_cached("a") is first
        store.now += 0.001
        assert cache.get_cached("a") is None
        # Unchanged bytes: the same value, decoded once.
        assert await cache.get("a") is first
        assert store.decoded == 1
        store.now += 1
        store.entries["a"] = b"2"
        assert await cache.get("a") == ["a", "2"]
        store.now += 1
        del store.entries["a"]
        assert await cache.get("a") is None
        assert len(cache) == 0

    asyncio.run(scenario())


def test_age_counts_from_before_the_read():
    async def scenario():
        store = Store(a="1")
        store.writable = False
        cache = store.cache()
        store.gate = asyncio.Event()
        caller = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        store.now += 1
        store.gate.set()
        await caller
        assert cache.get_cached("a") is None

    asyncio.run(scenario())


def test_where_the_node_can_write_entries_live_until_dropped():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        first = await cache.get("a")
        store.now += 1e9
        assert cache.get_cached("a") is first

    asyncio.run(scenario())


def test_after_a_doubtful_write_entries_live_a_second_for_a_while():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        await cache.get("a")
        cache.doubt()
        assert cache.get_cached("a") is None
        await cache.get("a")
        store.now += 1
        assert cache.get_cached("a") is None
        store.now += DOUBT_S
        await cache.get("a")
        store.now += 1e9
        assert cache.get_cached("a") == ["a", "1"]

    asyncio.run(scenario())


def test_the_least_recently_used_goes_first():
    async def scenario():
        store = Store(a="1", b="2", c="3")
        cache = store.cache(capacity=2)
        await cache.get("a")
        await cache.get("b")
        cache.get_cached("a")
        await cache.get("c")
        assert cache.get_cached("b") is None
        assert cache.get_cached("a") == ["a", "1"]
        assert cache.get_cached("c") == ["c", "3"]
        assert len(cache) == 2

    asyncio.run(scenario())


def test_dropping_one_leaves_the_others():
    async def scenario():
        store = Store(a="1", b="2")
        cache = store.cache()
        await cache.get("a")
        await cache.get("b")
        cache.drop("a")
        assert cache.get_cached("a") is None
        assert cache.get_cached("b") == ["b", "2"]
        cache.drop_all()
        assert cache.get_cached("b") is None

    asyncio.run(scenario())


def test_closing_cancels_reads_under_way():
    async def scenario():
        store = Store(a="1")
        cache = store.cache()
        store.gate = asyncio.Event()
        caller = asyncio.create_task(cache.get("a"))
        await store.reading.wait()
        await cache.close()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert len(cache) == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def held(cache):
    return list(cache._hot), list(cache._cold)


def test_the_least_recently_used_are_kept_as_stored(monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_DECODED_BYTES", 4)

    async def scenario():
        store = Store(a="11", b="22", c="33", d="44")
        cache = store.cache()
        for name in "abcd":
            await cache.get(name)
        assert held(cache) == (["c", "d"], ["a", "b"])
        assert cache._cold["a"].value is None
        assert (len(cache), "a" in cache, "d" in cache, "x" in cache) == (4, True, True, False)
        store.decoded = 0
        # Decoded anew when asked for, without a read; then it is among the first.
        assert cache.get_cached("a") == ["a", "11"]
        assert held(cache) == (["d", "a"], ["b", "c"])
        assert cache.get_cached("a") is cache.get_cached("a")
        assert (store.decoded, store.reads) == (1, ["a", "b", "c", "d"])
        cache.drop("b")
        cache.drop("a")
        assert held(cache) == (["d"], ["c"])
        assert (cache._hot_bytes, cache._bytes) == (2, 4)
        cache.drop_all()
        assert (held(cache), len(cache)) == (([], []), 0)
        assert (cache._hot_bytes, cache._bytes) == (0, 0)

    asyncio.run(scenario())


def test_one_is_always_kept_decoded(monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_DECODED_BYTES", 1)
    monkeypatch.setattr(cache_module, "MAX_BYTES", 1)

    async def scenario():
        store = Store(a="11", b="22")
        cache = store.cache()
        first = await cache.get("a")
        assert cache.get_cached("a") is first
        await cache.get("b")
        assert held(cache) == (["b"], [])

    asyncio.run(scenario())


def test_all_together_are_bounded_in_bytes_and_in_number(monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_DECODED_BYTES", 4)
    monkeypatch.setattr(cache_module, "MAX_BYTES", 8)

    async def scenario():
        store = Store(a="11", b="22", c="33", d="44", e="5555")
        cache = store.cache()
        for name in "abcde":
            await cache.get(name)
        assert held(cache) == (["e"], ["c", "d"])
        cache = store.cache(capacity=2)
        for name in "abc":
            await cache.get(name)
        assert held(cache) == (["b", "c"], [])

    asyncio.run(scenario())


def test_what_is_kept_as_stored_is_read_again_where_writes_may_be_missed(monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_DECODED_BYTES", 2)

    async def scenario():
        store = Store(a="11", b="22")
        store.writable = False
        cache = store.cache()
        for name in "ab":
            await cache.get(name)
        assert held(cache) == (["b"], ["a"])
        store.now += 1
        assert cache.get_cached("a") is None
        store.entries["a"] = b"33"
        assert await cache.get("a") == ["a", "33"]
        del store.entries["b"]
        assert await cache.get("b") is None
        assert held(cache) == (["a"], [])

    asyncio.run(scenario())
