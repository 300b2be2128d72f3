"""What a source says of its past and its near future."""

from __future__ import annotations

import asyncio

import pytest

from tests.jwt_auth.keys.test_key_source import DOWN, HEADER, UNKNOWN, Setup, key_set, run
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.keys.key_source import RefreshPolicy
from vault_jwt_plugin.jwt_auth.keys.static import StaticKeys

NOW = 1_700_000_000.0


def times(source):
    status = source.status()
    return (status.fetches, status.failures, status.refresh_in_s, status.expires_in_s)


def test_from_nothing_to_keys_that_expire():
    async def scenario():
        setup = Setup("a")
        assert times(setup.source) == (0, 0, 0.0, None)
        await setup.first()
        assert times(setup.source) == (1, 0, 3600.0, 86400.0)
        setup.monotonic.now += 3000
        assert times(setup.source) == (1, 0, 600.0, 83400.0)
        setup.monotonic.now += 3000
        assert times(setup.source) == (1, 0, 0.0, 80400.0)
        setup.monotonic.now += 86400
        assert times(setup.source) == (1, 0, 0.0, 0.0)
        assert setup.source.status().keys == 0

    run(scenario())


def test_failures_are_counted_and_their_time_stays():
    async def scenario():
        setup = Setup("a")
        setup.serve(DOWN)
        with pytest.raises(LoginDenied):
            await setup.first()
        status = setup.source.status()
        assert status.last_error is DOWN
        assert status.failed_at == NOW
        assert times(setup.source) == (0, 1, 10.0, None)
        setup.monotonic.now += 10
        setup.serve(key_set("a"))
        await setup.first()
        status = setup.source.status()
        assert (status.last_error, status.failed_at) == (None, NOW)
        assert times(setup.source) == (1, 1, 3600.0, 86400.0)

    run(scenario())


def test_a_failed_refresh_puts_the_next_one_off():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(DOWN)
        await setup.source.refetch_for(UNKNOWN)
        assert times(setup.source) == (1, 1, 3600.0, 86400.0)
        setup.monotonic.now += 3600
        setup.known(HEADER)
        await setup.background()
        assert times(setup.source) == (1, 2, 10.0, 82800.0)

    run(scenario())


def test_keys_that_never_expire():
    async def scenario():
        setup = Setup("a", policy=RefreshPolicy(trust_for_s=0))
        await setup.first()
        assert setup.source.status().expires_in_s is None

    run(scenario())


def test_static_keys_are_not_fetched():
    assert times(StaticKeys(())) == (0, 0, None, None)


def test_a_fault_of_ours_counts_as_a_failure():
    async def scenario():
        setup = Setup("a")

        async def load():
            raise ZeroDivisionError

        setup.source._load = load
        with pytest.raises(LoginDenied):
            await setup.first()
        await asyncio.sleep(0)
        status = setup.source.status()
        assert (status.failures, status.failed_at) == (1, NOW)
        assert status.last_error.code == "fetch_failed"

    run(scenario())


def test_the_end_of_an_outage_is_logged_once(caplog):
    caplog.set_level("INFO")

    async def scenario():
        setup = Setup("a")
        setup.serve(DOWN)
        with pytest.raises(LoginDenied):
            await setup.first()
        setup.monotonic.now += 10
        setup.serve(key_set("a"))
        await setup.first()
        setup.monotonic.now += 3600
        setup.known()
        await setup.background()

    run(scenario())
    assert [(record.levelname, record.fields["event"]) for record in caplog.records] == [
        ("WARNING", "keys_fetch_failed"),
        ("INFO", "keys_fetch_recovered"),
    ]
    assert caplog.records[1].fields["url"] == '"https://issuer/keys"'
