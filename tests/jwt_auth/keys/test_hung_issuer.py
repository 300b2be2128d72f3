"""An issuer that accepts connections and says nothing holds up its own logins only."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.cel.mounted import CELMounted
from tests.jwt_auth.loopback import Server
from tests.jwt_auth.mounted import CLAIMS, ROLE, Mounted
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.login.waiting import MAX_LARGE_CHARS, SMALL_CHARS
from vault_jwt_plugin.sdk import Operation, Response, StorageEntry

WAITING = 100
LOGINS = 200


class Fetching(Mounted):
    """A mount that fetches over HTTP."""

    def __init__(self):
        super().__init__()
        self.backend = JWTBackend(self.context)


def say_nothing(connection, _target):
    connection.recv(1)


def silent():
    return Server(say_nothing)


def logins_of(mounted, jwt):
    """Seconds that many logins take; each is answered at once, without a task."""
    started = time.perf_counter()
    for _ in range(LOGINS):
        answer = mounted.start(Operation.UPDATE, "login", {"role": "demo", "jwt": jwt})
        assert isinstance(answer, Response)
    return time.perf_counter() - started


@pytest.mark.parametrize("path", ["login", "cel/login"])
def test_large_logins_that_wait_are_bounded_together(path):
    """Unknown kid, unknown keys: whoever has no token of ours could fill the memory with them."""
    url = "https://issuer/keys"
    header = tokens.b64url(json.dumps({"alg": "RS256", "kid": "b"}).encode())
    large = f"{header}.{'A' * SMALL_CHARS}.{tokens.b64url(bytes(256))}"
    room = MAX_LARGE_CHARS // (len(json.dumps({"role": "demo", "jwt": large})) - 2)

    async def scenario():
        async with CELMounted() as mounted:
            mounted.fetcher.documents[url] = {
                "keys": [tokens.public_jwk(tokens.key_for("RS256"), kid="a")]
            }
            await mounted.configure()
            await mounted.write("config", {"jwks_url": url})
            await mounted.write("role/demo", ROLE)
            ours = tokens.token(CLAIMS, header={"kid": "a"})
            for known in (False, True):
                if known:
                    mounted.now += 60
                else:
                    # The fetch of the write is not over yet.
                    mounted.backend._mount.invalidate("config")
                gate = mounted.fetcher.gate = asyncio.Event()

                def login(jwt):
                    data = {"role": "demo", "jwt": jwt}
                    return asyncio.create_task(mounted.ask(Operation.UPDATE, path, data))

                waiting = [login(large) for _ in range(room)]
                one_more = login(large)
                with pytest.raises(LoginDenied, match="too many large logins") as denied:
                    await one_more
                assert denied.value.code == "keys_unavailable"
                small = login(ours)
                gate.set()
                mounted.fetcher.gate = None
                assert (await small).auth.alias.name
                codes = {
                    getattr(each, "code", "")
                    for each in await asyncio.gather(*waiting, return_exceptions=True)
                }
                assert codes == {"key_unknown"}
                assert mounted.backend._waiting_room.chars == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("source", ["jwks_url", "jwks_pairs", "oidc_discovery_url"])
def test_other_mounts_keep_their_rate(source):
    """Two mounts in one process; only the first's keys are at the issuer that hangs."""

    async def scenario():
        async with AsyncExitStack() as stack:
            server = stack.enter_context(silent())
            hung, other = [await stack.enter_async_context(Fetching()) for _ in range(2)]
            await other.configure()
            url = server.url("")
            config = {source: [{"jwks_url": url}, {"jwks_url": url}]}
            if source != "jwks_pairs":
                config = {source: url}
            await hung.write("role/demo", ROLE)
            raw = json.dumps(config).encode()
            await hung.storage.put(StorageEntry(key="config", value=raw))
            jwt = tokens.token(CLAIMS, header={"kid": "1"})
            await other.login(jwt)
            before = min(logins_of(other, jwt) for _ in range(3))

            waiting = [asyncio.create_task(hung.login(jwt)) for _ in range(WAITING)]
            await asyncio.to_thread(server.asked.wait, 5)
            during = []
            for _ in range(3):
                during.append(logins_of(other, jwt))
                await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
            # Well apart from what noise does; a login that waits would take seconds.
            assert min(during) < 3 * before
            # One fetch for all of them, and for each of several sets.
            assert len(server.requests) <= 2
            await hung.backend.cleanup()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            denied = [end for end in ends if isinstance(end, LoginDenied)]
            assert len(denied) == len(ends)
            assert {end.code for end in denied} == {"keys_unavailable"}

    asyncio.run(scenario())
