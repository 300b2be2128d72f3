"""Logins that wait while their mount is changed: they end as the change says."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.cel.mounted import CELMounted
from tests.jwt_auth.mounted import CLAIMS, ROLE
from vault_jwt_plugin.jwt_auth.cache import MAX_AGE_S
from vault_jwt_plugin.jwt_auth.cel.program import CompiledProgram
from vault_jwt_plugin.jwt_auth.login.flow import MAX_STARTS
from vault_jwt_plugin.sdk import LogicalError, Operation, StorageEntry
from vault_jwt_plugin.sdk.storage import ReplicationState

URL = "https://issuer/keys"
OTHER_URL = "https://other/keys"
OLD = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
NEW = tokens.public_jwk(tokens.key_for("RS256", "b"), kid="b")


async def ask(login):
    """The policies of what was granted, or the code of the denial."""
    try:
        return (await login).auth.policies
    except LogicalError as error:
        return error.code


@asynccontextmanager
async def hung(mount, url=URL):
    """Whoever asks for `url` first waits for the end of the block; gives the event of asking."""
    gate, asking = asyncio.Event(), asyncio.Event()
    get_json = mount.fetcher.get_json

    async def late(asked, **options):
        answer = await get_json(asked, **options)
        if asked == url:
            mount.fetcher.get_json = get_json
            asking.set()
            await gate.wait()
        return answer

    mount.fetcher.get_json = late
    yield asking
    gate.set()


@asynccontextmanager
async def configured():
    """A mount whose issuer serves one key, and has a second one by now."""
    async with CELMounted() as mount:
        mount.fetcher.documents = {URL: {"keys": [OLD]}, OTHER_URL: {"keys": [OLD]}}
        await mount.write("config", {"jwks_url": URL})
        await mount.write("role/demo", ROLE)
        await mount.put(bound_audiences=CLAIMS["aud"])
        await mount.keys_settle()
        mount.fetcher.documents[URL] = {"keys": [OLD, NEW]}
        yield mount
        await mount.keys_settle()


def begin(mount, path, kid):
    """A login that has to wait for keys, however old those at hand are."""
    key = tokens.key_for("RS256", "b") if kid == "b" else tokens.key_for("RS256")
    jwt = tokens.token(CLAIMS | {"exp": mount.now + 60}, key=key, header={"kid": kid})
    login = mount.cel_login if path == "cel/login" else mount.login
    return asyncio.ensure_future(ask(login(jwt=jwt)))


KEYS = ("config", {"jwks_url": OTHER_URL})
ISSUER = ("config", {"jwks_url": URL, "bound_issuer": "another"})
SAME = ("config", {"jwks_url": URL})
FEWER = ("role/demo", {"role_type": "jwt", "policies": "fewer"})
OTHER_ROLE = ("role/another", ROLE)
PROGRAM = {"cel_program": {"expression": "false"}}


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    [
        ("login", KEYS, "key_unknown"),
        ("login", ISSUER, "issuer_mismatch"),
        ("login", FEWER, ("fewer",)),
        ("login", ("role/demo", None), "role_unknown"),
        ("login", SAME, ("webapps",)),
        ("login", OTHER_ROLE, ("webapps",)),
        ("cel/login", KEYS, "key_unknown"),
        ("cel/login", ISSUER, "issuer_mismatch"),
        ("cel/login", ("cel/role/demo", PROGRAM), "cel_denied"),
        ("cel/login", ("cel/role/demo", None), "role_unknown"),
        ("cel/login", SAME, ()),
        ("cel/login", FEWER, ()),
    ],
)
def test_a_login_that_waits_for_newer_keys(path, change, expected):
    async def scenario():
        async with configured() as mount:
            async with hung(mount) as asking:
                login = begin(mount, path, "b")
                await asking.wait()
                where, data = change
                if data is None:
                    await mount.ask(Operation.DELETE, where)
                elif where.startswith("cel"):
                    await mount.ask(Operation.UPDATE, where, data)
                else:
                    await mount.write(where, data)
            assert await login == expected

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["login", "cel/login"])
def test_a_login_that_waits_for_its_first_keys(path):
    async def scenario():
        async with configured() as mount:
            mount.now += 86400
            async with hung(mount) as asking:
                login = begin(mount, path, "a")
                await asking.wait()
                await mount.write(*ISSUER)
            assert await login == "issuer_mismatch"

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["login", "cel/login"])
def test_a_login_that_waits_in_vain_is_judged_by_the_newer_configuration(path):
    async def scenario():
        async with configured() as mount:
            mount.now += 86400
            del mount.fetcher.documents[URL]
            mount.fetcher.gate = asyncio.Event()
            login = begin(mount, path, "a")
            await mount.fetcher.asking.wait()
            key = tokens.public_pem(tokens.key_for("RS256"))
            await mount.write("config", {"jwt_validation_pubkeys": key})
            mount.fetcher.gate.set()
            assert await login == (() if path == "cel/login" else ("webapps",))

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["login", "cel/login"])
def test_what_changes_again_and_again_ends_in_a_denial(path):
    async def scenario():
        async with configured() as mount, AsyncExitStack() as held:
            asking = await held.enter_async_context(hung(mount))
            login = begin(mount, path, "b")
            for number in range(MAX_STARTS):
                await asking.wait()
                # The key is unknown to the next issuer too: it is asked again.
                url = f"https://issuer/{number}"
                mount.fetcher.documents[url] = {"keys": [OLD]}
                await mount.write("config", {"jwks_url": url})
                await mount.backend._mount.keys._current[1].settle()
                async with AsyncExitStack() as following:
                    asking = await following.enter_async_context(hung(mount, url))
                    await held.aclose()
                    held.push_async_exit(following.pop_all())
            assert await login == "changed_meanwhile"

    asyncio.run(scenario())


@asynccontextmanager
async def hung_storage(mount, key, *, seen_late):
    """The next read of `key` is answered after the block; gives the event of asking.

    Args:
        seen_late: whether with what is stored by then.
    """
    gate, asking = asyncio.Event(), asyncio.Event()
    get = mount.storage.get

    async def late(asked):
        if asked != key:
            return await get(asked)
        mount.storage.get = get
        seen = await get(asked)
        asking.set()
        await gate.wait()
        return await get(asked) if seen_late else seen

    mount.storage.get = late
    yield asking
    gate.set()


PEMS = [tokens.public_pem(tokens.key_for("RS256", *name)) for name in ((), ("b",))]
POLICIES = "pb.Auth{{policies: ['{}'], display_name: 'x', alias: logical.Alias{{name: 'x'}}}}"


async def write_role(mount, path, policies):
    if path == "login":
        await mount.write("role/demo", ROLE | {"policies": policies})
    else:
        await mount.put(POLICIES.format(policies), bound_audiences=CLAIMS["aud"])


@pytest.mark.parametrize("seen_late", [False, True])
@pytest.mark.parametrize(("path", "key"), [("login", "role/demo"), ("cel/login", "cel/role/demo")])
def test_a_login_that_waits_for_storage(path, key, seen_late):
    async def scenario():
        async with CELMounted() as mount:
            await mount.write("config", {"jwt_validation_pubkeys": PEMS[0]})
            for withdrawn, change, expected in [
                ("policies", "before", ("after",)),
                ("role", None, "role_unknown"),
                ("key", PEMS[1], "signature_invalid"),
            ]:
                await write_role(mount, path, "before")
                mount.backend.invalidate_key(key)
                async with hung_storage(mount, key, seen_late=seen_late) as asking:
                    login = begin(mount, path, "a")
                    await asking.wait()
                    if withdrawn == "key":
                        await mount.write("config", {"jwt_validation_pubkeys": change})
                    if withdrawn == "role":
                        await mount.ask(Operation.DELETE, key)
                    else:
                        # Who has the withdrawn key must not get what the role gives since then.
                        await write_role(mount, path, "after")
                assert await login == expected

    asyncio.run(scenario())


@pytest.mark.parametrize("withdrawn", ["key", "role", "nothing"])
def test_a_login_whose_program_is_evaluated_in_a_thread(withdrawn, monkeypatch):
    started, go = threading.Event(), threading.Event()
    evaluate = CompiledProgram.evaluate

    def slow(self, inputs, role):
        started.set()
        assert go.wait(10)
        return evaluate(self, inputs, role)

    async def scenario():
        async with CELMounted() as mount:
            await mount.configure()
            jwt = tokens.token(CLAIMS | {"x": ["a" * 100] * 300})
            monkeypatch.setattr(CompiledProgram, "evaluate", slow)
            login = asyncio.ensure_future(ask(mount.cel_login(jwt=jwt)))
            await asyncio.to_thread(started.wait, 10)
            if withdrawn == "key":
                await mount.write("config", {"jwt_validation_pubkeys": PEMS[1]})
            elif withdrawn == "role":
                await mount.ask(Operation.DELETE, "cel/role/demo")
            go.set()
            expected = {"key": "signature_invalid", "role": "role_unknown", "nothing": ()}
            assert await login == expected[withdrawn]

    asyncio.run(scenario())


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False)])
def test_a_number_that_becomes_a_truth_value_is_a_change(before, after):
    async def scenario():
        async with configured() as mount:
            await mount.write("role/demo", ROLE | {"bound_claims": {"admin": before}})
            async with hung(mount) as asking:
                claims = CLAIMS | {"admin": before, "exp": mount.now + 60}
                jwt = tokens.token(claims, key=tokens.key_for("RS256", "b"), header={"kid": "b"})
                login = asyncio.ensure_future(ask(mount.login(jwt)))
                await asking.wait()
                await mount.write("role/demo", ROLE | {"bound_claims": {"admin": after}})
            assert await login == "bound_claim_mismatch"

    asyncio.run(scenario())


def test_a_login_with_the_former_configuration_does_not_bring_back_its_keys():
    async def scenario():
        async with configured() as mount:
            mount.backend.invalidate_key("role/demo")
            async with hung_storage(mount, "role/demo", seen_late=False) as asking:
                login = begin(mount, "login", "a")
                await asking.wait()
                await mount.write(*KEYS)
                await mount.keys_settle()
                source = mount.backend._mount.keys._current[1]
            assert await login == ("webapps",)
            assert mount.backend._mount.keys._current[1] is source

    asyncio.run(scenario())


def test_where_the_node_cannot_write_an_older_configuration_does_not_come_back():
    async def scenario():
        async with configured() as mount:
            mount.system.state = ReplicationState.PERFORMANCE_STANDBY
            await mount.backend.periodic()
            async with hung_storage(mount, "role/demo", seen_late=False) as asking:
                login = begin(mount, "login", "a")
                await asking.wait()
                # Another node replaces the key; that is not told, but seen by the next login.
                stored = {"jwt_validation_pubkeys": [PEMS[1]]}
                mount.storage.entries["config"] = StorageEntry(
                    key="config", value=json.dumps(stored).encode()
                )
                mount.now += MAX_AGE_S
                assert await begin(mount, "login", "a") == "signature_invalid"
                source = mount.backend._mount.keys._current[1]
            assert await login == "signature_invalid"
            assert mount.backend._mount.keys._current[1] is source

    asyncio.run(scenario())


def test_only_what_was_granted_is_counted():
    async def scenario():
        async with configured() as mount:
            async with hung(mount) as asking:
                login = begin(mount, "login", "b")
                await asking.wait()
                await mount.write(*KEYS)
            await login
            counters = mount.backend._mount.counters
            assert (counters.logins, dict(counters.denied)) == (0, {"key_unknown": 1})

    asyncio.run(scenario())
