"""What happens all the time leaves nothing to the collector of garbage.

The collector looks at old objects only when there are a quarter more of them: what a fetch, a write
or a refused login left in a cycle would be there for minutes, and memory would grow by megabytes.
"""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.certs import Authority
from tests.jwt_auth.loopback import Server, answering
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.sdk import LogicalError

TIMES = 20
URL = "https://issuer/keys"


async def left_by(action):
    """Objects that so many calls leave in cycles."""
    for _ in range(3):
        await action()
    gc.collect()
    gc.disable()
    try:
        for _ in range(TIMES):
            await action()
        return gc.collect()
    finally:
        gc.enable()


def on_a_mount(scenario):
    async def main():
        async with Mounted() as mount:
            await scenario(mount)

    asyncio.run(main())


async def refused(mount, jwt, role="demo"):
    try:
        await mount.login(jwt, role)
    except LogicalError:
        return
    raise AssertionError


def test_logins_and_writes():
    async def scenario(mount):
        await mount.configure()
        wrong = tokens.token(CLAIMS)[:-8] + "AAAAAAAA"

        async def each():
            await mount.configure()
            await mount.login()
            await refused(mount, wrong)
            await refused(mount, "a.b.c")
            await refused(mount, tokens.token(CLAIMS), role="nobody-made-this")

        assert await left_by(each) < TIMES

    on_a_mount(scenario)


def test_logins_that_wait_for_keys():
    async def scenario(mount):
        key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
        mount.fetcher.documents[URL] = {"keys": [key]}
        wrong = tokens.token(CLAIMS, header={"kid": "a"})[:-8] + "AAAAAAAA"
        unknown = tokens.token(CLAIMS, header={"kid": "b"})

        async def each():
            await mount.configure(jwks_url=URL)
            await mount.login(tokens.token(CLAIMS, header={"kid": "a"}))
            # The first has the keys fetched again, the second comes too early for that.
            await refused(mount, wrong)
            await refused(mount, unknown)

        assert await left_by(each) < TIMES

    on_a_mount(scenario)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_fetches(secure):
    authority = Authority()
    certificate = authority.issue("127.0.0.1") if secure else None

    async def main():
        fetcher = HTTPFetcher()
        trust = Trust(ca_pem=authority.pem)

        async def each():
            await fetcher.get_json(server.url(), trust=trust, deadline_s=30, max_bytes=1000)

        left = await left_by(each)
        fetcher.close()
        return left

    with Server(answering({}), certificate=certificate) as server:
        assert asyncio.run(asyncio.wait_for(main(), 60)) < TIMES
