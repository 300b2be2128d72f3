"""The `status` path: what it says in every state of a mount, and what it never says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, ROLE, Mounted
from vault_jwt_plugin.jwt_auth import factory
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.paths.status import ROLES_AT_ONCE
from vault_jwt_plugin.sdk import (
    LogicalError,
    LoopLag,
    Operation,
    UnsupportedOperation,
    jsonutil,
)
from vault_jwt_plugin.sdk.testing import make_context

NOW = "2023-11-14T22:13:20Z"
URL = "https://issuer/keys"


def mount_test(test):
    def run():
        async def mounted():
            async with Mounted() as mount:
                await test(mount)

        asyncio.run(mounted())

    run.__name__ = test.__name__
    return run


async def status(mount):
    return (await mount.ask(Operation.READ, "status")).data


async def refused(mount, **login):
    with pytest.raises(LogicalError):
        await mount.login(**login)


def key_set(*kids):
    return {"keys": [tokens.public_jwk(tokens.key_for("RS256"), kid=kid) for kid in kids]}


STATIC = {
    "kind": "static",
    "url": "",
    "keys": 1,
    "unusable_keys": 0,
    "fetched_at": None,
    "age_seconds": None,
    "refresh_in_seconds": None,
    "expires_in_seconds": None,
    "fetches": 0,
    "failures": 0,
    "last_failure_at": None,
    "last_error": None,
}


@mount_test
async def test_nothing_happened_yet(mount):
    requests = dict.fromkeys(sorted(Operation), 0) | {"read": 1}
    assert await status(mount) == {
        "version": "",
        "protocol_version": 0,
        "started_at": NOW,
        "uptime_seconds": 0,
        "can_write": True,
        "event_loop_lag_ms": None,
        "logins": {"granted": 0, "denied": 0, "failed": 0},
        "denials": [],
        "failures": [],
        "requests": [{"operation": name, "count": count} for name, count in requests.items()],
        "roles": [],
        "other_roles": {"granted": 0, "denied": 0},
        "cached_roles": 0,
        "cached_cel_roles": 0,
        "cached_roles_max": 10_000,
        "key_sources": [],
        "config_error": None,
    }


@mount_test
async def test_after_logins_and_denials(mount):
    await mount.configure()
    await mount.write("role/other", ROLE)
    for _ in range(3):
        await mount.login()
    await mount.login(role="other")
    mount.now += 90
    await refused(mount, jwt="x")
    await refused(mount, jwt="x")
    await refused(mount, role="made-up")
    said = await status(mount)
    assert said["uptime_seconds"] == 90
    assert said["logins"] == {"granted": 4, "denied": 3, "failed": 0}
    assert said["denials"] == [
        {"reason": "role_unknown", "count": 1},
        {"reason": "token_malformed", "count": 2},
    ]
    demo, other = said["roles"]
    assert demo == {
        "role": "demo",
        "granted": 3,
        "denied": 2,
        "last_denied_at": "2023-11-14T22:14:50Z",
        "last_denied_reason": "token_malformed",
    }
    assert other == {
        "role": "other",
        "granted": 1,
        "denied": 0,
        "last_denied_at": None,
        "last_denied_reason": "",
    }
    assert said["cached_roles"] == 2
    assert said["key_sources"] == [STATIC]
    assert {"operation": "update", "count": 8} in said["requests"]


@mount_test
async def test_an_issuer_that_goes_away(mount):
    mount.fetcher.documents[URL] = {"keys": [*key_set("a")["keys"], {"kty": "oct"}]}
    await mount.configure(jwks_url=URL)
    await mount.login(tokens.token(CLAIMS, header={"kid": "a"}))
    (source,) = (await status(mount))["key_sources"]
    fetched = STATIC | {
        "kind": "jwks",
        "url": URL,
        "unusable_keys": 1,
        "fetched_at": NOW,
        "age_seconds": 0,
        "refresh_in_seconds": 3600,
        "expires_in_seconds": 86400,
        "fetches": 1,
    }
    assert source == fetched

    del mount.fetcher.documents[URL]
    mount.now += 30
    await refused(mount, jwt=tokens.token(CLAIMS, header={"kid": "new"}))
    (source,) = (await status(mount))["key_sources"]
    assert source == fetched | {
        "age_seconds": 30,
        "refresh_in_seconds": 3570,
        "expires_in_seconds": 86370,
        "failures": 1,
        "last_failure_at": "2023-11-14T22:13:50Z",
        "last_error": {
            "code": "unreachable",
            "message": f'can\'t use "{URL}": nobody listens there',
        },
    }


@mount_test
async def test_each_set_of_several_is_a_source(mount):
    pairs = [{"jwks_url": f"{URL}/{name}"} for name in "ab"]
    for pair in pairs:
        mount.fetcher.documents[pair["jwks_url"]] = key_set("k")
    await mount.configure(jwks_pairs=pairs)
    await mount.login(tokens.token(CLAIMS, header={"kid": "k"}))
    said = (await status(mount))["key_sources"]
    assert [(each["kind"], each["url"]) for each in said] == [
        ("multi_jwks", f"{URL}/a"),
        ("multi_jwks", f"{URL}/b"),
    ]


@mount_test
async def test_it_fetches_nothing(mount):
    mount.fetcher.documents[URL] = key_set("a")
    await mount.configure(jwks_url=URL)
    mount.backend.invalidate_key("config")
    mount.fetcher.asked.clear()
    (source,) = (await status(mount))["key_sources"]
    assert (source["keys"], source["fetched_at"], source["refresh_in_seconds"]) == (0, None, 0)
    assert mount.fetcher.asked == []


@mount_test
async def test_it_answers_while_storage_does_not(mount):
    await mount.configure()
    await mount.login()
    mount.backend.invalidate_key("config")
    mount.storage.fail_with = "disk on fire"
    await refused(mount)
    said = await status(mount)
    assert said["key_sources"] == []
    assert said["config_error"]["message"] == "disk on fire"
    assert said["logins"] == {"granted": 1, "denied": 0, "failed": 1}
    assert said["failures"] == [{"code": said["config_error"]["code"], "count": 1}]


@mount_test
async def test_a_configuration_that_can_not_be_used(mount):
    await mount.configure()
    stored = mount.storage.json("config") | {"jwt_validation_pubkeys": ["no PEM"]}
    entry = mount.storage.entries["config"]
    mount.storage.entries["config"] = replace(entry, value=json.dumps(stored).encode())
    mount.backend.invalidate_key("config")
    assert (await status(mount))["config_error"]["code"] == "config_unusable"


@mount_test
async def test_no_secrets(mount):
    url = "https://user:pa55word@issuer/keys?sig=s3cret"
    mount.fetcher.documents[url] = key_set("a")
    await mount.configure(jwks_url=url)
    token = tokens.token(CLAIMS, header={"kid": "a"})
    await mount.login(token)
    await refused(mount, jwt=token[:-4])
    del mount.fetcher.documents[url]
    mount.now += 60
    await refused(mount, jwt=tokens.token(CLAIMS, header={"kid": "new"}))
    said = json.dumps(await status(mount))
    assert "https://issuer/keys" in said
    for secret in ("user:", "pa55word", "s3cret", "eyJ", "jeff", str(CLAIMS["sub"])):
        assert secret not in said


def test_it_needs_a_token():
    backend = factory(make_context())
    assert [each for each in backend.unauthenticated if each[:1] in {"s", "+", "*"}] == []
    path = backend.route("status")
    assert path is not None
    assert path.pattern == "status"


@pytest.mark.parametrize("path", ["config", "login", "role", "role/status"])
def test_no_other_path_is_hidden(path):
    routed = factory(make_context()).route(path)
    assert routed is not None
    assert routed.pattern != "status"


@mount_test
async def test_it_can_only_be_read(mount):
    for operation in (Operation.UPDATE, Operation.DELETE, Operation.LIST):
        with pytest.raises(UnsupportedOperation):
            await mount.ask(operation, "status")


@mount_test
async def test_help_and_openapi(mount):
    answer = (await mount.ask(Operation.HELP, "status")).data
    assert "counts for itself" in " ".join(answer["help"].split())
    read = answer["openapi"]["paths"]["/status"]["get"]
    assert read["operationId"] == "jwt-read-status"
    assert "^status$" in (await mount.ask(Operation.HELP, "")).data["help"]


def test_it_says_whose_status_it_is():
    async def main():
        context = replace(make_context(), version="v1.2.3", protocol_version=5)
        backend = JWTBackend(context)
        mount = Mounted()
        mount.backend = backend
        said = await status(mount)
        assert (said["version"], said["protocol_version"]) == ("v1.2.3", 5)
        assert said["can_write"] is False
        await backend.cleanup()

    asyncio.run(main())


@mount_test
async def test_how_late_the_event_loop_is(mount):
    lag = LoopLag(p50_s=0.0004, p99_s=0.02345, max_s=1.5, over_s=599.75)
    mount.backend = JWTBackend(replace(mount.context, loop_lag=lambda: lag))
    said = await status(mount)
    assert said["event_loop_lag_ms"] == {
        "p50": 0.4,
        "p99": 23.4,
        "max": 1500.0,
        "over_seconds": 599,
    }
    await mount.backend.cleanup()


@mount_test
async def test_many_roles_are_shown_as_few_are_and_hold_nobody_up(mount):
    await mount.configure()
    names = [f"role-{number:04}" for number in range(5 * ROLES_AT_ONCE + 1)]
    for name in names[:ROLES_AT_ONCE]:
        mount.backend._mount.counters.login_granted(name)
    few = (await status(mount))["roles"]
    for name in names[ROLES_AT_ONCE:]:
        mount.backend._mount.counters.login_granted(name)
    mount.backend._mount.counters.login_denied("expired", role=names[-1])

    turns = 0
    asked = asyncio.create_task(status(mount))
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    said = json.loads(jsonutil.dumps(asked.result()))
    assert turns > len(names) // ROLES_AT_ONCE
    assert [role["role"] for role in said["roles"]] == names
    assert said["roles"][:ROLES_AT_ONCE] == few
    assert said["roles"][-1] == {
        "role": names[-1],
        "granted": 1,
        "denied": 1,
        "last_denied_at": NOW,
        "last_denied_reason": "expired",
    }
