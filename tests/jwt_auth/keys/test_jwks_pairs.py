"""Several key sets as one source: keys are found by kid, and no set holds up another."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.clock import Clock
from tests.jwt_auth import tokens
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.keys.sources import build_key_source
from tests.jwt_auth.mounted import CLAIMS, Mounted
from tests.jwt_auth.tokens import private_key, public_jwk
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
from vault_jwt_plugin.jwt_auth.keys.jwks_pairs import MultiKeys

URL_A, URL_B = "https://a.example/keys", "https://b.example/keys"
CONFIG = Config(
    jwks_pairs=({"jwks_url": URL_A, "jwks_ca_pem": "CA"}, {"jwks_url": URL_B}),
    override_allowed_server_names=("internal",),
)
A, B, NEW = (JoseHeader(alg="ES256", kid=kid) for kid in ("a", "b", "new"))
DOWN = FetchError("unreachable", "it is down", url=URL_B)


def keys(*kids):
    return {"keys": [public_jwk(private_key("ES256"), kid=kid) for kid in kids]}


class Gated(FakeFetcher):
    """Answers for one URL wait until they may go."""

    def __init__(self, documents, slow):
        super().__init__(documents)
        self.slow = slow
        self.go = asyncio.Event()

    async def get_json(self, url, **kwargs):
        if url == self.slow:
            self.asked.append((url, kwargs))
            await self.go.wait()
            self.asked.pop()
        return await super().get_json(url, **kwargs)


def play(scenario, *, a=None, b=None, slow=None):
    """Run a scenario with a source of two sets."""

    async def main():
        documents = {URL_A: keys("a") if a is None else a, URL_B: keys("b") if b is None else b}
        fetcher = FakeFetcher(documents) if slow is None else Gated(documents, slow)
        clock = Clock()
        source = build_key_source(CONFIG, fetcher, clock, monotonic=clock)
        assert isinstance(source, MultiKeys)
        try:
            await scenario(source, fetcher, clock)
        finally:
            await source.close()
        current = asyncio.current_task()
        assert {task for task in asyncio.all_tasks() if task is not current} == set()

    asyncio.run(main())


async def found(source, header):
    answer = source.candidates(header)
    return [key.kid for key in (await answer if inspect.isawaitable(answer) else answer)]


async def denied(source, header):
    with pytest.raises(LoginDenied) as caught:
        await found(source, header)
    return caught.value


def test_keys_are_found_in_either_set_and_then_at_once():
    async def scenario(source, fetcher, _clock):
        assert await found(source, A) == ["a"]
        assert await found(source, B) == ["b"]
        for header in (A, B):
            assert len(source.candidates(header)) == 1
        assert sorted(fetcher.urls) == [URL_A, URL_B]
        trusts = {url: kwargs["trust"] for url, kwargs in fetcher.asked}
        assert trusts == {
            URL_A: Trust(ca_pem="CA", server_names=("internal",)),
            URL_B: Trust(server_names=("internal",)),
        }

    play(scenario)


def test_a_token_must_name_its_key():
    async def scenario(source, fetcher, _clock):
        denial = await denied(source, JoseHeader(alg="ES256"))
        assert denial.code == "kid_missing"
        assert denial.message == "the token must name its key (kid) where jwks_pairs are configured"
        assert fetcher.asked == []

    play(scenario)


def test_all_sets_that_have_the_kid_are_tried_in_their_order():
    async def scenario(source, fetcher, _clock):
        await source.settle()
        source.start()
        await source.settle()
        candidates = source.candidates(A)
        assert [key.kind for key in candidates] == ["P-256", "Ed25519"]

    both = {"keys": [public_jwk(private_key("EdDSA"), kid="a")]}
    play(scenario, b=both)


def test_one_set_that_can_not_be_had_hinders_nobody_else():
    async def scenario(source, fetcher, _clock):
        assert await found(source, A) == ["a"]
        # Not a denial for want of keys: the kid may be a new one of the other set.
        assert await found(source, B) == []
        assert await source.refetch_for(B) is None

    play(scenario, b=DOWN)


def test_no_set_can_be_had():
    async def scenario(source, fetcher, _clock):
        denial = await denied(source, A)
        assert denial.code == "keys_unavailable"
        assert denial.message == "there are no keys to verify the token with: it is down"
        # Not asked for again before the cooldown is over.
        await denied(source, A)
        assert len(fetcher.asked) == 2

    play(scenario, a=DOWN, b=DOWN)


def test_the_first_login_does_not_wait_for_a_set_that_hangs():
    async def scenario(source, fetcher, _clock):
        assert await found(source, A) == ["a"]
        assert not fetcher.go.is_set()
        waiting = asyncio.ensure_future(found(source, B))
        await asyncio.sleep(0)
        assert len(source.candidates(A)) == 1
        fetcher.go.set()
        assert await waiting == ["b"]
        assert sorted(fetcher.urls) == [URL_A, URL_B]

    play(scenario, slow=URL_B)


def test_a_signature_that_fails_waits_for_the_set_that_is_being_fetched():
    """The same kid in two sets, the slower of which has the key."""

    async def scenario(source, fetcher, _clock):
        assert await found(source, A) == ["a"]
        refetch = asyncio.ensure_future(source.refetch_for(A))
        await asyncio.sleep(0)
        fetcher.go.set()
        assert [key.kid for key in await refetch] == ["a", "a"]

    play(scenario, b=keys("a"), slow=URL_B)


def test_an_unknown_kid_refetches_all_sets_once_in_a_while():
    async def scenario(source, fetcher, clock):
        await found(source, A)
        await found(source, B)
        fetcher.documents[URL_B] = keys("new")
        assert await found(source, NEW) == []
        assert [key.kid for key in await source.refetch_for(NEW)] == ["new"]
        assert sorted(fetcher.urls) == [URL_A, URL_A, URL_B, URL_B]
        for _ in range(5):
            assert await source.refetch_for(JoseHeader(alg="ES256", kid="x")) is None
        assert len(fetcher.asked) == 4
        clock.now += 10
        assert await source.refetch_for(JoseHeader(alg="ES256", kid="x")) is None
        assert len(fetcher.asked) == 6

    play(scenario)


def test_a_new_key_is_not_held_up_by_a_set_that_hangs():
    async def scenario(source, fetcher, clock):
        fetcher.go.set()
        await found(source, B)
        await found(source, A)
        fetcher.go.clear()
        fetcher.documents[URL_A] = keys("new")
        assert [key.kid for key in await source.refetch_for(NEW)] == ["new"]
        assert not fetcher.go.is_set()
        # A withdrawn key is gone.
        assert await found(source, A) == []

    play(scenario, slow=URL_B)


def test_a_caller_that_goes_away_leaves_the_fetches_to_the_others():
    async def scenario(source, fetcher, _clock):
        gone, stays = (asyncio.ensure_future(found(source, B)) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        fetcher.go.set()
        assert await stays == ["b"]
        with pytest.raises(asyncio.CancelledError):
            await gone

    play(scenario, slow=URL_B)


def test_old_sets_are_fetched_in_the_background():
    async def scenario(source, fetcher, clock):
        await found(source, A)
        await found(source, B)
        clock.now += 3600
        source.refresh()
        await source.settle()
        assert sorted(fetcher.urls) == [URL_A, URL_A, URL_B, URL_B]

    play(scenario)


def test_status():
    async def scenario(source, fetcher, clock):
        source.start()
        await source.settle()
        status = source.status()
        assert (status.keys, status.url, status.fetched_at) == (2, "", 1000.0)
        assert status.last_error is DOWN
        assert [each.position for each in status.unusable] == [2]
        assert [(part.keys, part.url, part.last_error) for part in status.parts] == [
            (2, f'"{URL_A}"', None),
            (0, f'"{URL_B}"', DOWN),
        ]

    one_odd = {"keys": [*keys("a")["keys"], {}, *keys("c")["keys"]]}
    play(scenario, a=one_odd, b=DOWN)


def test_a_closed_source_has_no_keys():
    async def scenario(source, fetcher, _clock):
        await source.close()
        assert (await denied(source, A)).code == "keys_unavailable"
        assert fetcher.asked == []

    play(scenario)


def test_a_token_waits_for_every_set_that_may_have_its_key():
    """Two sets know the kid, and both change; the first answer is of the other one."""

    async def scenario():
        old, new, other = (tokens.key_for("RS256", name) for name in ("a", "b", "c"))
        sets = {
            url: {"keys": [tokens.public_jwk(key, kid="1")]}
            for url, key in ((URL_A, other), (URL_B, old))
        }
        async with Mounted() as mount:
            mount.fetcher.documents = dict(sets)
            await mount.configure(jwks_pairs=[{"jwks_url": url} for url in sets])
            await mount.keys_settle()
            mount.fetcher.documents = {
                URL_A: {"keys": [*sets[URL_A]["keys"], tokens.public_jwk(new, kid="2")]},
                URL_B: {"keys": [tokens.public_jwk(new, kid="1")]},
            }
            source = mount.backend._mount.keys._current[1]
            get_json, refetch_for = mount.fetcher.get_json, source.refetch_for
            other_tried, asked = asyncio.Event(), 0

            async def ordered(url, **options):
                if url == URL_B:
                    await other_tried.wait()
                return await get_json(url, **options)

            async def counted(header):
                nonlocal asked
                asked += 1
                if asked == 2:
                    other_tried.set()
                return await refetch_for(header)

            mount.fetcher.get_json, source.refetch_for = ordered, counted
            granted = await mount.login(tokens.token(CLAIMS, key=new, header={"kid": "1"}))
            assert granted.auth.policies == ("webapps",)

    asyncio.run(scenario())
