"""Key sources: when they fetch, when they do not, and what they do while an issuer is away."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.clock import Clock
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.keys.sources import build_key_source
from tests.jwt_auth.tokens import private_key, public_jwk, public_pem
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied, PublicKeyError
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
from vault_jwt_plugin.jwt_auth.keys.fetched import RemoteKeys
from vault_jwt_plugin.jwt_auth.keys.key_source import (
    RefreshPolicy,
)
from vault_jwt_plugin.jwt_auth.keys.pod import Pod
from vault_jwt_plugin.jwt_auth.keys.static import StaticKeys

URL = "https://issuer/keys"
HEADER = JoseHeader(alg="ES256", kid="a")
UNKNOWN = JoseHeader(alg="ES256", kid="new")
DOWN = FetchError("unreachable", "the issuer is down", url=URL)


def key_set(*kids):
    return {"keys": [public_jwk(private_key("ES256"), kid=kid) for kid in kids]}


class Setup:
    """A JWKS source on a fake fetcher, at a time of the test's choosing."""

    def __init__(self, *kids, policy=None):
        self.fetcher = FakeFetcher({URL: key_set(*kids)})
        self.monotonic = Clock()
        self.source: Any = build_key_source(
            Config(jwks_url=URL, jwks_ca_pem="CA"),
            self.fetcher,
            Clock(1_700_000_000.0),
            policy=policy,
            monotonic=self.monotonic,
        )

    def serve(self, document):
        self.fetcher.documents[URL] = document

    @property
    def fetches(self):
        return len(self.fetcher.asked)

    async def first(self, header=HEADER):
        """Candidates that had to be fetched."""
        return kids(await self.source.candidates(header))

    def known(self, header=HEADER):
        """Candidates without waiting."""
        found = self.source.candidates(header)
        assert isinstance(found, (list, tuple)), "it would have waited"
        return kids(found)

    async def background(self):
        """Let a fetch in the background end."""
        if self.source._fetching is not None:
            await asyncio.wait([self.source._fetching])


def last_code(source):
    error = source.status().last_error
    return error and error.code


def kids(keys):
    return [key.kid for key in keys]


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def test_static_keys_ignore_the_kid():
    source = build_key_source(
        Config(jwt_validation_pubkeys=(public_pem(private_key("ES256")),) * 2),
        FakeFetcher(),
        Clock(),
    )
    assert isinstance(source, StaticKeys)
    assert kids(source.candidates(HEADER)) == [None, None]
    assert run(source.refetch_for(HEADER)) is None
    assert source.status().keys == 2
    run(source.close())


def test_a_static_key_that_can_not_be_read():
    with pytest.raises(PublicKeyError) as refused:
        build_key_source(Config(jwt_validation_pubkeys=("x",)), FakeFetcher(), Clock())
    assert refused.value.index == 1


def test_a_configuration_without_a_source():
    with pytest.raises(LoginDenied) as denied:
        build_key_source(Config(), FakeFetcher(), Clock())
    assert denied.value.code == "no_key_source"
    assert denied.value.message == "the configuration names no source of keys"


def test_keys_of_a_cluster_where_there_is_none(tmp_path):
    config = Config(provider_config={"provider": "kubernetes"})
    with pytest.raises(FetchError) as denied:
        build_key_source(config, FakeFetcher(), Clock(), pod=Pod(folder=tmp_path))
    assert denied.value.code == "not_in_cluster"


def test_the_first_login_fetches_and_the_next_do_not():
    async def scenario():
        setup = Setup("a", "b")
        assert setup.fetches == 0
        assert await setup.first() == ["a"]
        assert setup.known() == ["a"]
        assert setup.known(JoseHeader(alg="ES256")) == ["a", "b"]
        assert setup.known(UNKNOWN) == []
        assert setup.fetcher.asked == [
            (URL, {"trust": Trust(ca_pem="CA"), "deadline_s": 9.5, "max_bytes": 1048576})
        ]

    run(scenario())


def test_logins_at_the_same_time_share_one_fetch():
    async def scenario():
        setup = Setup("a")
        setup.fetcher.gate.clear()
        logins = [asyncio.ensure_future(setup.first()) for _ in range(50)]
        await asyncio.sleep(0)
        setup.fetcher.gate.set()
        assert await asyncio.gather(*logins) == [["a"]] * 50
        assert setup.fetches == 1

    run(scenario())


def test_a_hang_up_does_not_end_the_fetch_of_the_others():
    async def scenario():
        setup = Setup("a")
        setup.fetcher.gate.clear()
        one, other = (asyncio.ensure_future(setup.first()) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        setup.fetcher.gate.set()
        assert await other == ["a"]
        assert setup.fetches == 1

    run(scenario())


def test_an_issuer_that_is_down_from_the_start():
    async def scenario():
        setup = Setup()
        setup.serve(DOWN)
        for _ in range(20):
            with pytest.raises(LoginDenied) as denied:
                await setup.first()
            assert denied.value.code == "keys_unavailable"
            assert denied.value.message == (
                "there are no keys to verify the token with: the issuer is down"
            )
        assert setup.fetches == 1
        setup.monotonic.now += 9.9
        with pytest.raises(LoginDenied):
            await setup.first()
        assert setup.fetches == 1
        setup.serve(key_set("a"))
        setup.monotonic.now += 0.1
        assert await setup.first() == ["a"]

    run(scenario())


def test_a_rotation_is_followed_by_one_fetch():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(key_set("a", "new"))
        assert kids(await setup.source.refetch_for(UNKNOWN)) == ["new"]
        assert setup.known(UNKNOWN) == ["new"]
        assert setup.fetches == 2

    run(scenario())


def test_a_thousand_unknown_kids_cause_one_fetch():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        at_once = [setup.source.refetch_for(UNKNOWN) for _ in range(500)]
        assert await asyncio.gather(*at_once) == [None] * 500
        for _ in range(500):
            setup.monotonic.now += 0.019
            assert await setup.source.refetch_for(UNKNOWN) is None
        assert setup.fetches == 2
        setup.monotonic.now += 10
        await setup.source.refetch_for(UNKNOWN)
        assert setup.fetches == 3

    run(scenario())


def test_a_refetch_that_brings_the_same_set_brings_nothing():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        assert await setup.source.refetch_for(HEADER) is None
        assert setup.fetches == 2

    run(scenario())


def test_a_refetch_without_the_key_still_says_that_the_set_is_new():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(key_set("b"))
        assert await setup.source.refetch_for(UNKNOWN) == []
        assert setup.known() == []

    run(scenario())


def test_a_refetch_that_fails_keeps_the_keys(caplog):
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(DOWN)
        assert await setup.source.refetch_for(UNKNOWN) is None
        assert setup.known() == ["a"]
        setup.monotonic.now += 9
        assert await setup.source.refetch_for(UNKNOWN) is None
        assert setup.fetches == 2
        assert setup.source.status().last_error is DOWN

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert [record.getMessage() for record in caplog.records] == ["keys can't be fetched"]
    assert caplog.records[0].fields == {
        "event": "keys_fetch_failed",
        "reason": "unreachable",
        "error": "the issuer is down",
    }


def test_the_cooldown_after_a_failure_counts_from_its_end():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(DOWN)
        setup.fetcher.gate.clear()
        setup.fetcher.called.clear()
        refetch = asyncio.ensure_future(setup.source.refetch_for(UNKNOWN))
        await setup.fetcher.called.wait()
        setup.monotonic.now += 9
        setup.fetcher.gate.set()
        assert await refetch is None
        setup.monotonic.now += 9
        assert await setup.source.refetch_for(UNKNOWN) is None
        assert setup.fetches == 2
        setup.monotonic.now += 1
        await setup.source.refetch_for(UNKNOWN)
        assert setup.fetches == 3

    run(scenario())


def test_old_keys_are_refreshed_behind_the_logins_back():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(key_set("a", "b"))
        setup.monotonic.now += 3599
        setup.known()
        assert setup.fetches == 1
        setup.monotonic.now += 1
        setup.fetcher.gate.clear()
        for _ in range(10):
            assert setup.known(JoseHeader(alg="ES256")) == ["a"]
        await asyncio.sleep(0)
        assert setup.fetches == 2
        setup.fetcher.gate.set()
        await setup.background()
        assert setup.known(JoseHeader(alg="ES256")) == ["a", "b"]
        assert setup.fetches == 2

    run(scenario())


@pytest.mark.parametrize(
    ("max_age_s", "refresh_after"),
    [(None, 3600), (0, 60), (59, 60), (61, 61), (1800, 1800), (99999, 3600)],
)
def test_max_age_lowers_the_time_to_a_refresh(max_age_s, refresh_after):
    async def scenario():
        setup = Setup("a")
        setup.fetcher.max_age_s = max_age_s
        await setup.first()
        setup.monotonic.now += refresh_after - 0.5
        setup.known()
        await setup.background()
        assert setup.fetches == 1
        setup.monotonic.now += 0.5
        setup.known()
        await setup.background()
        assert setup.fetches == 2

    run(scenario())


def test_logins_go_on_through_an_outage_until_the_keys_are_too_old():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(DOWN)
        for _ in range(23):
            setup.monotonic.now += 3600
            assert setup.known() == ["a"]
            await setup.background()
        assert setup.fetches == 24
        setup.monotonic.now += 3599
        assert setup.known() == ["a"]
        await setup.background()
        setup.monotonic.now += 11
        with pytest.raises(LoginDenied) as denied:
            await setup.first()
        assert denied.value.code == "keys_unavailable"
        assert setup.source.status().keys == 0
        setup.serve(key_set("a"))
        setup.monotonic.now += 11
        assert await setup.first() == ["a"]

    run(scenario())


def test_a_failing_refresh_is_tried_again_after_the_cooldown_only():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve(DOWN)
        setup.monotonic.now += 3600
        for _ in range(30):
            setup.known()
            await setup.background()
            setup.monotonic.now += 1
        assert setup.fetches == 1 + 3

    run(scenario())


def test_keys_can_be_trusted_for_ever():
    async def scenario():
        setup = Setup("a", policy=RefreshPolicy(trust_for_s=0))
        await setup.first()
        setup.serve(DOWN)
        setup.monotonic.now += 1e9
        assert setup.known() == ["a"]
        await setup.background()

    run(scenario())


def test_an_empty_set_withdraws_every_key():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve({"keys": []})
        setup.monotonic.now += 3600
        assert setup.known() == ["a"]
        await setup.background()
        assert setup.known() == []

    run(scenario())


def test_what_is_no_set_withdraws_none():
    async def scenario():
        setup = Setup("a")
        await setup.first()
        setup.serve({"error": "maintenance"})
        setup.monotonic.now += 3600
        setup.known()
        await setup.background()
        assert setup.known() == ["a"]
        assert last_code(setup.source) == "not_a_key_set"

    run(scenario())


def test_a_hung_issuer_holds_nobody_with_known_keys():
    async def scenario():
        setup = Setup("a", policy=RefreshPolicy(deadline_s=0.2))
        await setup.first()
        setup.fetcher.gate.clear()
        unknown = [asyncio.ensure_future(setup.source.refetch_for(UNKNOWN)) for _ in range(5)]
        await asyncio.sleep(0)
        assert setup.known() == ["a"]
        assert await asyncio.gather(*unknown) == [None] * 5
        assert setup.known() == ["a"]
        assert last_code(setup.source) == "timeout"
        assert setup.fetches == 2

    run(scenario())


def test_status():
    async def scenario():
        setup = Setup("a", "b")
        assert setup.source.status().fetched_at is None
        setup.serve({"keys": [*key_set("a")["keys"], {"kty": "oct"}]})
        await setup.first()
        status = setup.source.status()
        assert (status.keys, status.fetched_at, status.last_error) == (1, 1_700_000_000.0, None)
        assert [each.position for each in status.unusable] == [2]

    run(scenario())


def test_closing_ends_the_fetch_and_denies_who_waits():
    async def scenario():
        setup = Setup("a")
        setup.fetcher.gate.clear()
        waiting = asyncio.ensure_future(setup.first())
        await setup.fetcher.called.wait()
        await setup.source.close()
        with pytest.raises(LoginDenied) as denied:
            await waiting
        assert denied.value.message == (
            "there are no keys to verify the token with: the configuration has changed"
        )
        with pytest.raises(LoginDenied):
            await setup.first()
        assert await setup.source.refetch_for(HEADER) is None
        assert setup.fetches == 1
        await setup.source.close()

    run(scenario())


def test_a_fault_of_ours_is_logged_and_waits_its_turn(caplog):
    async def scenario():
        async def load():
            raise RuntimeError("fault")

        monotonic = Clock()
        source: Any = RemoteKeys(load, policy=RefreshPolicy(), clock=Clock(), monotonic=monotonic)
        for _ in range(3):
            with pytest.raises(LoginDenied) as denied:
                await source.candidates(HEADER)
            assert denied.value.message == (
                "there are no keys to verify the token with: fetching them failed unexpectedly; "
                "the server's log says why"
            )

    run(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "fetching keys failed unexpectedly"
    ]


ISSUER = "https://issuer/"
DISCOVERY = "https://issuer/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "more", [{}, {"oidc_client_id": "id", "oidc_client_secret": "s3cret"}], ids=["keys", "flow"]
)
def test_discovery(more):
    async def scenario():
        fetcher = FakeFetcher(
            {DISCOVERY: {"issuer": ISSUER, "jwks_uri": URL}, URL: key_set("a", "b")}
        )
        config = Config(oidc_discovery_url=ISSUER, oidc_discovery_ca_pem="CA", **more)
        monotonic = Clock()
        source: Any = build_key_source(config, fetcher, Clock(), monotonic=monotonic)
        assert kids(await source.candidates(HEADER)) == ["a"]
        assert fetcher.urls == [DISCOVERY, URL]
        assert {kwargs["trust"] for _, kwargs in fetcher.asked} == {Trust(ca_pem="CA")}
        assert fetcher.asked[1][1]["deadline_s"] <= 9.5
        # The keys may move: the document is read again with them.
        moved = "https://issuer/moved"
        fetcher.documents |= {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": moved},
            moved: key_set("new"),
        }
        assert kids(await source.refetch_for(UNKNOWN)) == ["new"]
        fetcher.documents[DISCOVERY] = {"issuer": "https://other/", "jwks_uri": URL}
        monotonic.now += 20
        assert await source.refetch_for(HEADER) is None
        assert last_code(source) == "issuer_mismatch"
        assert kids(source.candidates(UNKNOWN)) == ["new"]

    run(scenario())
