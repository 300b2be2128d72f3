"""Fetched keys and their stored copies: which are in use, for how long, and who waits."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, cast

import pytest

from tests.clock import Clock
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.keys.sources import build_key_source
from tests.jwt_auth.keys.test_key_source import DOWN, HEADER, UNKNOWN, URL, key_set, kids, last_code
from tests.jwt_auth.keys.test_stored import keys_of
from tests.jwt_auth.loopback import Server, answering
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.keys import fetched as remote_keys
from vault_jwt_plugin.jwt_auth.keys.fetched import MAX_WAITING, PATIENCE_S
from vault_jwt_plugin.jwt_auth.keys.key_source import RefreshPolicy

NOW = 1_700_000_000.0
HOUR_S = 3600.0


class FakeArchive:
    """Stands in for the mount's archive: one origin's stored keys, and what is saved."""

    def __init__(self, *kids, age_s=0.0):
        self.stored: Any = (
            keys_of(*key_set(*kids)["keys"], fetched_at=NOW - age_s) if kids else None
        )
        self.saved: list[Any] = []
        self.loads = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def of(self, _origin, *, trust_for_s):
        self.trust_for_s = trust_for_s
        return self

    async def load(self):
        self.loads += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return self.stored

    def save(self, keys):
        self.saved.append(keys)


class Started:
    """A JWKS source just after the start of its process, with these stored keys."""

    def __init__(self, *stored, age_s=0.0, config=None, issuer: Any = DOWN):
        self.fetcher = FakeFetcher({URL: issuer})
        self.monotonic = Clock()
        self.clock = Clock(NOW)
        self.archive: Any = FakeArchive(*stored, age_s=age_s)
        self.source: Any = build_key_source(
            config or Config(jwks_url=URL),
            self.fetcher,
            self.clock,
            monotonic=self.monotonic,
            archive=cast("Any", self.archive),
        )

    def pass_s(self, seconds):
        self.clock.now += seconds
        self.monotonic.now += seconds

    @property
    def fetches(self):
        return len(self.fetcher.asked)

    async def login(self, header=HEADER):
        found = self.source.candidates(header)
        return kids(found if isinstance(found, (list, tuple)) else await found)

    async def denied(self, header=HEADER):
        with pytest.raises(LoginDenied) as denied:
            await self.login(header)
        return denied.value.message

    async def background(self):
        while tasks := [t for t in (self.source._fetching, self.source._recovering) if t]:
            await asyncio.wait(tasks)


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 10))


def test_logins_go_on_through_an_outage_and_a_restart(caplog):
    async def scenario():
        started = Started("a", age_s=2 * HOUR_S)
        assert await started.login() == ["a"]
        assert started.fetches == 1
        status = started.source.status()
        assert (status.keys, status.fetched_at) == (1, NOW - 2 * HOUR_S)
        assert last_code(started.source) == "unreachable"
        # What was not fetched is not stored as if it had been.
        assert started.archive.saved == []

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "keys can't be fetched",
        "stored keys are in use until the issuer answers",
    ]


def test_the_issuer_is_asked_again_after_the_cooldown():
    async def scenario():
        started = Started("a")
        await started.login()
        for _ in range(10):
            started.pass_s(0.9)
            assert await started.login() == ["a"]
            await started.background()
        assert started.fetches == 1
        started.fetcher.documents[URL] = key_set("b")
        started.pass_s(1.1)
        assert await started.login() == ["a"]
        await started.background()
        assert started.fetches == 2
        assert await started.login() == []
        assert await started.login(UNKNOWN) == []
        assert [kids(each.fetched.key_set.keys) for each in started.archive.saved] == [["b"]]

    run(scenario())


def test_what_was_withdrawn_while_the_process_was_away_is_not_used_once():
    async def scenario():
        started = Started("a", issuer=key_set("b"))
        assert await started.login() == []
        assert started.fetches == 1

    run(scenario())


def test_an_empty_set_of_the_issuer_counts_more_than_stored_keys():
    async def scenario():
        started = Started("a", issuer={"keys": []})
        assert await started.login() == []

    run(scenario())


def test_a_hung_issuer_is_waited_for_a_short_time_only(monkeypatch):
    monkeypatch.setattr(remote_keys, "PATIENCE_S", 0.05)

    async def scenario():
        started = Started("a", issuer=key_set("a", "b"))
        started.fetcher.gate.clear()
        began = time.monotonic()
        assert await asyncio.gather(*(started.login() for _ in range(20))) == [["a"]] * 20
        assert time.monotonic() - began < 2
        assert await started.login() == ["a"]
        assert started.source._fetching is not None
        started.fetcher.gate.set()
        await started.background()
        assert started.fetches == 1
        assert started.source.status().keys == 2

    assert PATIENCE_S == 1.0
    run(scenario())


def test_without_stored_keys_logins_wait_for_the_issuer(monkeypatch):
    monkeypatch.setattr(remote_keys, "PATIENCE_S", 0.0)

    async def scenario():
        started = Started(issuer=key_set("a"))
        started.fetcher.gate.clear()
        login = asyncio.ensure_future(started.login())
        await started.fetcher.called.wait()
        await asyncio.sleep(0.02)
        assert not login.done()
        started.fetcher.gate.set()
        assert await login == ["a"]

    run(scenario())


@pytest.mark.parametrize(
    ("age_s", "left_s"), [(0, 24 * HOUR_S), (23 * HOUR_S, HOUR_S), (24 * HOUR_S - 1, 1)]
)
def test_stored_keys_age_by_when_they_were_fetched(age_s, left_s):
    async def scenario():
        started = Started("a", age_s=age_s)
        assert await started.login() == ["a"]
        started.pass_s(left_s - 0.5)
        assert await started.login() == ["a"]
        await started.background()
        started.pass_s(0.5)
        assert await started.denied() == (
            "there are no keys to verify the token with: the issuer is down"
        )

    run(scenario())


@pytest.mark.parametrize("age_s", [24 * HOUR_S, 1e9])
def test_stored_keys_that_are_too_old_are_not_used(age_s):
    async def scenario():
        started = Started("a", age_s=age_s)
        await started.denied()
        assert started.source.status().keys == 0

    run(scenario())


def test_a_clock_that_was_put_back_makes_keys_no_younger():
    async def scenario():
        started = Started("a", age_s=-30)
        assert await started.login() == ["a"]
        # By the clock of who stored them they are younger; that much it may be ahead.
        started.pass_s(24 * HOUR_S + 30)
        await started.denied()

    run(scenario())


def test_trust_for_ever():
    async def scenario():
        started = Started("a", age_s=1e9, config=Config(jwks_url=URL, jwks_trust_for=0))
        assert started.archive.trust_for_s == 0
        assert await started.login() == ["a"]
        assert started.source.status().expires_in_s is None

    run(scenario())


def test_a_store_that_fails_is_no_fault_of_the_login(caplog):
    async def scenario():
        started = Started("a", issuer=key_set("b"))
        started.archive.fault = RuntimeError("fault")
        assert await started.login() == []
        await started.background()
        assert await started.login(UNKNOWN) == []
        assert [record.getMessage() for record in caplog.records] == [
            "loading stored keys failed unexpectedly"
        ]

    run(scenario())


def test_a_store_that_hangs_holds_up_no_login_that_the_issuer_serves():
    async def scenario():
        started = Started("a", issuer=key_set("a", "b"))
        given_up = asyncio.Event()

        async def load():
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()

        started.archive.load = load
        assert await started.login() == ["a"]
        assert given_up.is_set()

    run(scenario())


def test_storage_is_asked_once_in_a_cooldown():
    async def scenario():
        started = Started()
        for _ in range(20):
            await started.denied()
        assert (started.archive.loads, started.fetches) == (1, 1)
        started.pass_s(10)
        # Another node may have stored keys meanwhile.
        started.archive.stored = FakeArchive("a").stored
        assert await started.login() == ["a"]
        assert (started.archive.loads, started.fetches) == (2, 2)

    run(scenario())


def test_closing_ends_the_wait_for_storage():
    async def scenario():
        started = Started("a", issuer=key_set("a"))
        started.archive.gate.clear()
        login = asyncio.ensure_future(started.denied())
        await started.fetcher.called.wait()
        await started.source.close()
        # The fetch was faster than storage, and its keys are good.
        if not login.done():
            await asyncio.wait([login])

    run(scenario())


def test_every_good_fetch_is_offered_to_the_store():
    async def scenario():
        started = Started(issuer=key_set("a"))
        await started.login()
        started.pass_s(HOUR_S)
        started.source.refresh()
        await started.background()
        assert [each.fetched_at for each in started.archive.saved] == [NOW, NOW + HOUR_S]

    run(scenario())


def test_the_tick_refreshes_keys_that_are_old_enough():
    async def scenario():
        started = Started(issuer=key_set("a"))
        started.source.refresh()
        assert started.source._fetching is None, "nobody asked for these keys yet"
        await started.login()
        started.pass_s(HOUR_S - 1)
        started.source.refresh()
        assert started.source._fetching is None
        started.pass_s(1)
        started.fetcher.documents[URL] = DOWN
        started.source.refresh()
        await started.background()
        assert started.fetches == 2
        started.source.refresh()
        assert started.source._fetching is None, "within the cooldown"

    run(scenario())


@pytest.mark.parametrize(
    ("config", "policy", "max_age_s", "expected_s"),
    [
        ({}, {}, None, 3600),
        ({"jwks_refresh_after": 300}, {}, None, 300),
        ({"jwks_refresh_after": 30}, {}, 45, 30),
        ({"jwks_refresh_after": 30}, {}, 0, 30),
        ({"jwks_refresh_after": 86400}, {}, None, 43200),
        ({"jwks_refresh_after": 86400, "jwks_trust_for": 0}, {}, None, 86400),
        ({"jwks_trust_for": 600}, {}, None, 300),
        ({"jwks_trust_for": 600}, {}, 0, 60),
        ({}, {"refresh_after_s": 120.0}, None, 120),
        ({"jwks_refresh_after": 300}, {"refresh_after_s": 120.0}, None, 300),
    ],
)
def test_when_keys_are_fetched_anew(config, policy, max_age_s, expected_s):
    async def scenario():
        fetcher = FakeFetcher({URL: key_set("a")})
        fetcher.max_age_s = max_age_s
        source: Any = build_key_source(
            Config(jwks_url=URL, **{name: s * 1_000_000_000 for name, s in config.items()}),
            fetcher,
            Clock(),
            monotonic=Clock(),
            policy=RefreshPolicy(**policy),
        )
        await source.candidates(HEADER)
        assert source.status().refresh_in_s == expected_s

    run(scenario())


def test_logins_that_wait_for_a_hung_issuer_are_bounded():
    async def scenario():
        started = Started(issuer=key_set("a"))
        started.fetcher.gate.clear()
        waiting = [asyncio.ensure_future(started.login()) for _ in range(MAX_WAITING)]
        await started.fetcher.called.wait()
        assert await started.denied() == (
            "there are no keys to verify the token with: they are being fetched, and too many "
            "logins wait for them already"
        )
        started.fetcher.gate.set()
        assert await asyncio.gather(*waiting) == [["a"]] * MAX_WAITING
        started.fetcher.gate.clear()
        refetches = [
            asyncio.ensure_future(started.source.refetch_for(UNKNOWN)) for _ in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        assert await started.source.refetch_for(UNKNOWN) is None
        assert await started.login() == ["a"]
        started.fetcher.gate.set()
        await asyncio.gather(*refetches)
        assert started.fetches == 2

    run(scenario())


def test_a_fetch_that_has_ended_is_not_waited_for():
    """A login may come after the keys are there, and before the task that brought them is done."""

    async def scenario():
        started = Started(issuer=key_set("a"))
        between = []
        # Ahead of the callbacks of the task that saves, which is about to end.
        started.archive.save = lambda _keys: asyncio.get_running_loop().call_soon(
            lambda: between.append(started.source._fetching)
        )
        await started.login()
        assert between == [None]

    run(scenario())


def test_a_fetch_that_is_cancelled_before_it_began():
    async def scenario():
        started = Started("a", issuer=key_set("a"))
        login = asyncio.ensure_future(started.denied())
        await asyncio.sleep(0)
        assert started.fetches == 0
        await started.source.close()
        await login
        assert started.source._fetching is None
        assert started.source._recovering is None

    run(scenario())


def test_who_hangs_up_makes_room():
    async def scenario():
        started = Started(issuer=key_set("a"))
        started.fetcher.gate.clear()
        for _ in range(2):
            waiting = [asyncio.ensure_future(started.login()) for _ in range(MAX_WAITING)]
            await started.fetcher.called.wait()
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert started.source._waiting == 0
        started.fetcher.gate.set()
        assert await started.login() == ["a"]

    run(scenario())


def test_a_thousand_unknown_kids_over_sockets():
    """The figure: at most two fetches in ten seconds, however many tokens ask."""

    async def scenario(server):
        fetcher = HTTPFetcher()
        source: Any = build_key_source(Config(jwks_url=server.url()), fetcher, Clock())
        try:
            assert kids(await source.candidates(HEADER)) == ["a"]
            for _ in range(10):
                await asyncio.gather(*(source.refetch_for(UNKNOWN) for _ in range(100)))
            assert kids(source.candidates(HEADER)) == ["a"]
        finally:
            await source.close()
            fetcher.close()

    with Server(answering(key_set("a"))) as server:
        began = time.monotonic()
        run(scenario(server))
        assert time.monotonic() - began < 9, "too slow to show anything"
        assert len(server.targets) == 2
