"""The wall clock jumps by an hour, as after a suspended machine or a wrong time server.

What is decided by age goes by the monotonic clock; only a token's own times go by the wall clock.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.clock import Clock
from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import Operation

HOUR_S = 3600.0
URL = "https://issuer/keys"
KEY = tokens.key_for("RS256")
SET = {"keys": [tokens.public_jwk(KEY, kid="a")]}
NEWER = {"keys": [tokens.public_jwk(tokens.key_for("ES256"), kid="b")]}
LASTING = {name: CLAIMS[name] for name in CLAIMS if name != "iat"} | {
    "nbf": tokens.NOW - 86_400,
    "exp": tokens.NOW + 7 * 86_400,
}
NEWER_JWT = tokens.token(LASTING, alg="ES256", header={"kid": "b"})
JWT = tokens.token(LASTING, header={"kid": "a"})
STEPS = pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])


class Stepping(Mounted):
    """A mount of which `now` moves the wall clock and `steady.now` the monotonic one."""

    def __init__(self, after=None):
        super().__init__()
        if after is not None:
            self.storage.entries = after.storage.entries
            self.now = after.now
        self.steady = Clock()
        self.fetcher.documents = {URL: SET}
        self.system.state = 12288
        self.backend = JWTBackend(self.context, fetcher=self.fetcher, monotonic=self.steady)

    async def stored(self):
        await self.backend._mount.key_archive.settle()

    def wait(self, seconds):
        """Time passes, by both clocks."""
        self.now += seconds
        self.steady.now += seconds

    async def refresh(self):
        """A login an hour later, and the fetch that it brings about."""
        self.wait(HOUR_S)
        await self.login(JWT)
        await self.keys_settle()
        await self.stored()

    async def code(self, jwt=JWT):
        with pytest.raises(LoginDenied) as denied:
            await self.login(jwt)
        return denied.value.code


def run(scenario):
    asyncio.run(scenario())


@STEPS
@pytest.mark.parametrize("config", [{}, {"jwks_url": URL}], ids=["static", "fetched"])
def test_a_step_costs_no_login_no_fetch_and_no_read(config, step_s):
    async def scenario():
        async with Stepping() as mount:
            await mount.configure(**config)
            await mount.login(JWT)
            asked = len(mount.fetcher.asked)
            mount.reads()
            mount.now += step_s
            await mount.login(JWT)
            await mount.ask(Operation.ROLLBACK, "")
            mount.now -= step_s
            await mount.login(JWT)
            assert len(mount.fetcher.asked) == asked
            assert mount.reads() == []

    run(scenario)


@pytest.mark.parametrize(
    ("step_s", "code"),
    [
        (HOUR_S, "expired"),
        (-HOUR_S, "not_yet_valid"),
    ],
    ids=["ahead", "back"],
)
def test_a_tokens_times_are_judged_by_the_clock_of_the_moment(step_s, code):
    jwt = tokens.token(LASTING | {"nbf": tokens.NOW - 600, "exp": tokens.NOW + 600})

    async def scenario():
        async with Stepping() as mount:
            await mount.configure()
            await mount.login(jwt)
            mount.now += step_s
            assert await mount.code(jwt) == code
            mount.now -= step_s
            await mount.login(jwt)

    run(scenario)


@STEPS
def test_keys_are_refreshed_and_given_up_in_their_time(step_s):
    async def scenario():
        async with Stepping() as mount:
            await mount.configure(jwks_url=URL)
            await mount.login(JWT)
            mount.now += step_s
            asked = len(mount.fetcher.asked)
            await mount.refresh()
            assert len(mount.fetcher.asked) == asked + 1
            mount.fetcher.documents = {}
            mount.wait(86_399)
            await mount.login(JWT)
            mount.wait(1)
            assert await mount.code() == "keys_unavailable"

    run(scenario)


@STEPS
def test_a_key_that_was_withdrawn_meanwhile_stays_out_after_a_restart(step_s):
    """Also if the clock was set back while the copy was stored, and forward again afterwards."""

    async def scenario():
        async with Stepping() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            await first.stored()
            first.now += step_s
            first.fetcher.documents = {URL: NEWER}
            first.wait(11)
            # Its kid is unknown: the keys are fetched again.
            await first.login(NEWER_JWT)
            await first.stored()
            assert await first.code() == "key_unknown"
            first.now -= step_s
        async with Stepping(first) as second:
            second.fetcher.documents = {}
            assert await second.code() in {"key_unknown", "keys_unavailable"}

    run(scenario)


@STEPS
def test_stored_keys_serve_a_restart_on_either_side_of_a_step(step_s):
    async def scenario():
        async with Stepping() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            await first.stored()
            first.now += step_s
        async with Stepping(first) as second:
            second.fetcher.documents = {}
            if step_s > 0:
                await second.login(JWT)
            else:
                # A copy from the future is none, or one that is too old would pass for new.
                assert await second.code() == "keys_unavailable"

    run(scenario)
