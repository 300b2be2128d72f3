"""A mount over an outage of its issuer and its own restart: only storage goes from life to life."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.keys.stored import STORAGE_PREFIX
from vault_jwt_plugin.sdk import Operation, UserError

URL = "https://issuer/keys"
OTHER_URL = "https://other/keys"
KEY = tokens.key_for("RS256")
SET = {"keys": [tokens.public_jwk(KEY, kid="a")]}
DAY_S = 86400
LASTING = CLAIMS | {"exp": tokens.NOW + 30 * DAY_S}
JWT = tokens.token(LASTING, header={"kid": "a"})


def run(scenario):
    asyncio.run(scenario())


class Life(Mounted):
    """A mount whose issuers serve the set above; `after` starts with another's storage."""

    def __init__(self, after=None, *, later_s=0, state=12288):
        super().__init__()
        self.fetcher.documents = {URL: SET, OTHER_URL: SET}
        self.system.state = state
        if after is not None:
            self.storage.entries = after.storage.entries
            self.now = after.now + later_s

    def outage(self):
        self.fetcher.documents = {}

    def copies(self):
        return [key for key in self.storage.entries if key.startswith(STORAGE_PREFIX)]

    async def stored(self):
        await self.backend._mount.key_archive.settle()
        return self.copies()

    async def code(self, jwt=JWT):
        with pytest.raises(LoginDenied) as denied:
            await self.login(jwt)
        return denied.value.code


@pytest.mark.parametrize(
    "config",
    [{"jwks_url": URL}, {"jwks_pairs": [{"jwks_url": URL}, {"jwks_url": OTHER_URL}]}],
    ids=["url", "pairs"],
)
def test_logins_go_on_after_a_restart_without_the_issuer(config):
    async def scenario():
        async with Life() as first:
            await first.configure(**config)
            await first.login(JWT)
            # Of several sets, the first that has the kid is enough for a login.
            await first.keys_settle()
            assert len(await first.stored()) == len(config.get("jwks_pairs", "1"))
        async with Life(first, later_s=3600) as second:
            second.outage()
            await second.login(JWT)
            assert await second.code(tokens.token(LASTING, header={"kid": "b"})) == "key_unknown"
        async with Life(first, later_s=DAY_S) as third:
            third.outage()
            assert await third.code() == "keys_unavailable"

    run(scenario)


def test_a_withdrawn_key_stops_working_at_the_next_refresh_and_stays_out():
    async def scenario():
        async with Life() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            first.fetcher.documents[URL] = {"keys": []}
            first.now += 3599
            await first.login(JWT)
            first.now += 1
            await first.backend.periodic()
            await first.keys_settle()
            assert await first.code() == "key_unknown"
            await first.stored()
        async with Life(first) as second:
            second.outage()
            assert await second.code() == "key_unknown"

    run(scenario)


def test_a_late_answer_to_a_former_source_is_not_stored_over_newer_keys():
    async def scenario():
        async with Life() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            await first.stored()
            first.now += 3600
            gate, asking = asyncio.Event(), asyncio.Event()
            fetch = first.fetcher.get_json

            async def slow(url, **options):
                document = await fetch(url, **options)
                if not asking.is_set():
                    asking.set()
                    await gate.wait()
                return document

            first.fetcher.get_json = slow
            await first.login(JWT)
            await asking.wait()
            # The key is withdrawn, and the config changes: a new source fetches what is left.
            first.fetcher.documents[URL] = {"keys": []}
            first.now += 1
            await first.write("config", {"jwks_url": URL, "bound_issuer": "issuer"})
            assert await first.code() == "key_unknown"
            first.now += 1
            gate.set()
            await first.keys_settle()
            (copy,) = await first.stored()
            assert first.storage.json(copy)["keys"] == []
        async with Life(first, later_s=60) as second:
            second.outage()
            assert await second.code() == "key_unknown"

    run(scenario)


def test_a_late_answer_to_a_former_source_does_not_bring_back_its_copy():
    async def scenario():
        async with Life() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            await first.stored()
            first.now += 3600
            first.fetcher.gate = asyncio.Event()
            first.fetcher.asking.clear()
            await first.login(JWT)
            await first.fetcher.asking.wait()
            gate, first.fetcher.gate = first.fetcher.gate, None
            # The operator wants to be rid of these keys while the issuer is slow.
            key = tokens.public_pem(tokens.key_for("RS256", "b"))
            await first.write("config", {"jwt_validation_pubkeys": key})
            assert await first.stored() == []
            gate.set()
            await first.keys_settle()
            assert await first.stored() == []
        async with Life(first, later_s=60) as second:
            second.outage()
            await second.write("config", {"jwks_url": URL, "skip_jwks_validation": True})
            assert await second.code() == "keys_unavailable"

    run(scenario)


def test_a_mount_without_logins_keeps_its_keys_fresh():
    async def scenario():
        async with Life() as first:
            await first.configure(jwks_url=URL)
            await first.login(JWT)
            for _ in range(48):
                first.now += 3600
                await first.backend.periodic()
                await first.keys_settle()
                await first.stored()
        async with Life(first, later_s=17 * 3600) as second:
            second.outage()
            await second.login(JWT)

    run(scenario)


def test_a_node_that_can_not_write_reads_copies_and_writes_none():
    async def scenario():
        async with Life() as active:
            await active.configure(jwks_url=URL)
            await active.login(JWT)
            await active.stored()
        async with Life(active, later_s=DAY_S / 2, state=24576) as standby:
            before = dict(standby.storage.entries)
            await standby.login(JWT)
            await standby.stored()
            assert standby.storage.entries == before
            assert "put" not in [method for method, _ in standby.storage.calls]
            standby.outage()
            standby.backend.invalidate_key("config")
            await standby.login(JWT)

    run(scenario)


def test_before_initialize_nothing_is_written():
    async def scenario():
        async with Life() as first:
            await first.configure(jwks_url=URL)
            await first.stored()
        early = Life(first)
        early.storage.entries = {
            key: each for key, each in first.storage.entries.items() if "/" not in key
        } | {"role/demo": first.storage.entries["role/demo"]}
        await early.login(JWT)
        assert await early.stored() == []
        await early.backend.initialize()
        await early.backend.periodic()
        assert len(await early.stored()) == 1
        await early.backend.cleanup()

    run(scenario)


def test_another_nodes_copy_leaves_config_and_roles_known():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            await mounted.login(JWT)
            (copy,) = await mounted.stored()
            mounted.reads()
            asked = len(mounted.fetcher.asked)
            mounted.backend.invalidate_key(copy)
            await mounted.login(JWT)
            assert mounted.reads() == []
            assert len(mounted.fetcher.asked) == asked

    run(scenario)


def test_copies_of_former_sources_go_with_the_next_config():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            await mounted.login(JWT)
            (first,) = await mounted.stored()
            await mounted.write("config", {"jwks_url": OTHER_URL})
            await mounted.login(JWT)
            (second,) = await mounted.stored()
            assert first != second
            keys = {"jwt_validation_pubkeys": tokens.public_pem(KEY)}
            await mounted.write("config", keys)
            assert await mounted.stored() == []
            assert set(mounted.storage.entries) == {"config", "role/demo"}

    run(scenario)


def test_the_same_source_keeps_its_copy_over_a_config_write():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            await mounted.login(JWT)
            before = await mounted.stored()
            await mounted.write("config", {"jwks_url": URL, "bound_issuer": CLAIMS["iss"]})
            assert await mounted.stored() == before
            mounted.outage()
            await mounted.login(JWT)

    run(scenario)


def test_a_config_whose_origins_are_not_known_costs_no_copy():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            await mounted.login(JWT)
            before = await mounted.stored()
            # As another version may store it.
            broken = json.dumps({"jwks_pairs": ["x"]}).encode()

            async def change():
                await mounted.storage.put(
                    type(mounted.storage.entries["config"])(key="config", value=broken)
                )

            await mounted.backend._mount.write(change, drops="config")
            assert await mounted.stored() == before

    run(scenario)


# The two parameters.


def test_the_times_are_read_back_only_when_they_are_set():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            data = (await mounted.ask(Operation.READ, "config")).data
            assert not {"jwks_refresh_after", "jwks_trust_for"} & data.keys()
            assert "jwks_trust_for" not in mounted.storage.json("config")
            times = {"jwks_refresh_after": "10m", "jwks_trust_for": 0}
            await mounted.write("config", {"jwks_url": URL, **times})
            data = (await mounted.ask(Operation.READ, "config")).data
            assert (data["jwks_refresh_after"], data["jwks_trust_for"]) == (600, 0)
            assert mounted.storage.json("config")["jwks_refresh_after"] == 600_000_000_000
            # A client that does not know them leaves them alone.
            await mounted.write("config", {"jwks_url": OTHER_URL})
            data = (await mounted.ask(Operation.READ, "config")).data
            assert (data["jwks_refresh_after"], data["jwks_trust_for"]) == (600, 0)
            await mounted.write("config", {"jwks_url": URL, "jwks_refresh_after": 0})
            data = (await mounted.ask(Operation.READ, "config")).data
            assert "jwks_refresh_after" not in data
            assert data["jwks_trust_for"] == 0

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            {"jwks_refresh_after": "9s"},
            "invalid jwks_refresh_after: it must be at least 10s, or 0",
        ),
        ({"jwks_trust_for": 59}, "invalid jwks_trust_for: it must be at least 60s, or 0"),
    ],
    ids=["refresh", "trust"],
)
def test_times_that_are_too_short(sent, message):
    async def scenario():
        async with Life() as mounted:
            with pytest.raises(UserError) as refused:
                await mounted.write("config", {"jwks_url": URL, **sent})
            assert refused.value.message == message
            assert mounted.fetcher.asked == []

    run(scenario)


def test_the_times_are_acted_on():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            times = {"jwks_refresh_after": 30, "jwks_trust_for": 120}
            await mounted.write("config", {"jwks_url": URL, **times})
            await mounted.login(JWT)
            mounted.outage()
            mounted.now += 119
            await mounted.login(JWT)
            await mounted.keys_settle()
            mounted.now += 1
            assert await mounted.code() == "keys_unavailable"

    run(scenario)


def test_a_null_in_storage_is_not_set():
    async def scenario():
        async with Life() as mounted:
            await mounted.configure(jwks_url=URL)
            members = mounted.storage.json("config") | {"jwks_trust_for": None}
            entry = mounted.storage.entries["config"]
            await mounted.storage.put(type(entry)(key="config", value=json.dumps(members).encode()))
            mounted.backend.invalidate_key("config")
            data = (await mounted.ask(Operation.READ, "config")).data
            assert "jwks_trust_for" not in data

    run(scenario)
