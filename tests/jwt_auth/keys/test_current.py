from __future__ import annotations

import asyncio

from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.keys.current import RETIRED_S


def run(scenario):
    async def main():
        async with Mounted() as mounted:
            await scenario(mounted)

    asyncio.run(main())


class Source:
    def __init__(self):
        self.closed = asyncio.Event()

    async def close(self):
        self.closed.set()


def test_key_sources_live_as_long_as_their_configuration():
    async def scenario(mounted):
        made = []

        def make(_config):
            made.append(Source())
            return made[-1]

        mount = mounted.backend._mount
        mount.keys._make = make
        first = mount.keys.of(Config(jwks_url="a"))
        assert mount.keys.of(Config(jwks_url="a")) is first
        second = mount.keys.of(Config(jwks_url="b"))
        assert second is not first
        # A login may still wait for the first one's keys.
        assert not first.closed.is_set()
        mount.invalidate("config")
        third = mount.keys.of(Config(jwks_url="b"))
        assert third is not second
        await mount.close()
        assert [source.closed.is_set() for source in made] == [True, True, True]
        await mount.close()

    run(scenario)


def test_static_keys_of_the_past_take_no_memory():
    async def scenario(mounted):
        await mounted.configure()
        for _ in range(3):
            await mounted.login()
            await mounted.configure()
        assert mounted.backend._mount.keys._closing == set()

    run(scenario)


def test_a_retired_key_source_is_closed_in_time(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.keys.current.RETIRED_S", 0.0)

    async def scenario(mounted):
        mount = mounted.backend._mount
        source = Source()
        mount.keys._make = lambda _config: source
        mount.keys.of(Config(jwks_url="a"))
        mount.invalidate("config")
        await asyncio.wait_for(source.closed.wait(), 5)

    assert RETIRED_S == 30.0
    run(scenario)


def test_a_key_source_that_can_not_be_closed_is_logged(caplog, monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.keys.current.RETIRED_S", 0.0)

    class Broken(Source):
        async def close(self):
            await super().close()
            raise RuntimeError("stuck")

    async def scenario(mounted):
        mount = mounted.backend._mount
        source = Broken()
        mount.keys._make = lambda _config: source
        mount.keys.of(Config(jwks_url="a"))
        await mount.close()
        assert [record.message for record in caplog.records] == ["closing a key source failed"]

    run(scenario)
