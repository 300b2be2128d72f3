from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, ROLE, Mounted
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, LoginForbidden
from vault_jwt_plugin.sdk import (
    Auth,
    Connection,
    InternalError,
    Operation,
    Response,
    StorageEntry,
    StorageError,
    UserError,
)
from vault_jwt_plugin.sdk.testing import FakeRequest

SECOND = 1_000_000_000
JWKS_URL = "https://issuer.example/keys"
OTHER_KEY = tokens.key_for("RS256", "b")


def run(scenario, entries=None):
    async def main():
        async with Mounted(entries) as mounted:
            await scenario(mounted)

    asyncio.run(main())


async def denied(mounted, jwt=None, role="demo", **request):
    with pytest.raises(LoginDenied) as caught:
        await mounted.login(jwt, role, **request)
    return caught.value.code, caught.value.message


def test_a_login():
    async def scenario(mounted):
        await mounted.configure()
        auth = (await mounted.login()).auth
        assert auth.policies == ("webapps",)
        assert auth.metadata == {"role": "demo"}
        assert auth.internal_data == {"role": "demo", "role_type": "native"}
        assert auth.display_name == auth.alias.name == "jeff"
        assert [group.name for group in auth.group_aliases] == ["foo", "bar"]
        assert auth.renewable
        assert auth.ttl_ns == 3600 * SECOND

    run(scenario)


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.ALIAS_LOOKAHEAD])
def test_a_login_with_all_known_answers_at_once_and_asks_the_host_nothing(operation):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        mounted.storage.calls.clear()
        tasks = asyncio.all_tasks()
        data = {"role": "demo", "jwt": tokens.token(CLAIMS)}
        answer = mounted.start(operation, "login", data)
        assert isinstance(answer, Response)
        assert answer.auth is not None
        assert answer.auth.display_name == "jeff"
        assert mounted.storage.calls == []
        assert asyncio.all_tasks() == tasks

    run(scenario)


def test_the_first_login_reads_config_and_role_once():
    async def scenario(mounted):
        await mounted.configure()
        mounted.storage.calls.clear()
        await asyncio.gather(*(mounted.login() for _ in range(3)))
        assert mounted.storage.calls == [("get", "config"), ("get", "role/demo")]

    run(scenario)


def test_the_role_is_named_in_any_case_or_by_default():
    async def scenario(mounted):
        key = tokens.public_pem(tokens.key_for("RS256"))
        await mounted.configure(jwt_validation_pubkeys=key, default_role="Demo")
        for role in ("demo", "DEMO", ""):
            assert (await mounted.login(role=role)).auth.metadata == {"role": "demo"}

    run(scenario)


def test_checks_in_their_order():
    async def scenario(mounted):
        # Each step repairs one thing; the next check then speaks.
        assert await denied(mounted, "", "") == ("config_missing", "could not load configuration")
        await mounted.write(
            "config",
            {
                "jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256")),
                "jwt_supported_algs": "ES256",
            },
        )
        assert await denied(mounted, "", "") == ("role_missing", "missing role")
        assert await denied(mounted, "") == ("role_unknown", 'role "demo" could not be found')
        role = ROLE | {"allowed_redirect_uris": "u", "token_bound_cidrs": "10.0.0.0/8"}
        await mounted.write("role/demo", role | {"role_type": "oidc"})
        assert await denied(mounted, "") == (
            "role_type",
            "role with oidc role_type is not allowed; write it again with role_type=jwt",
        )
        await mounted.write("role/demo", role)
        assert await denied(mounted, "") == ("token_missing", "missing token")
        for connection in (None, Connection(remote_addr="11.0.0.1")):
            with pytest.raises(LoginForbidden):
                await mounted.login("no token", connection=connection)
        inside = Connection(remote_addr="10.1.2.3")
        code, _ = await denied(mounted, "no token", connection=inside)
        assert code == "token_malformed"
        code, _ = await denied(mounted, connection=inside)
        assert code == "algorithm_not_allowed"

    run(scenario)


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("../config", '"../config"'),
        ("a/b", '"a/b"'),
        ("-", '"-"'),
        ("/" * 200, '"' + "/" * 128 + '…"'),
        ("node is not the leader", "(text left out)"),
        ("a" * 32_769, '"' + "a" * 128 + '…"'),
    ],
    ids=["up", "slash", "dash", "long", "host phrase", "longer than any key"],
)
def test_names_that_no_role_has_are_not_asked_for(role, shown):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        mounted.storage.calls.clear()
        code, text = await denied(mounted, role=role)
        assert (code, text) == ("role_unknown", f"role {shown} could not be found")
        assert mounted.storage.calls == []

    run(scenario)


def test_a_missing_role_is_asked_for_each_time():
    async def scenario(mounted):
        await mounted.configure()
        for _ in range(2):
            assert (await denied(mounted, role="later"))[0] == "role_unknown"
        await mounted.write("role/later", ROLE)
        assert (await mounted.login(role="later")).auth.metadata == {"role": "later"}

    run(scenario)


def test_a_role_write_is_seen_by_the_next_login():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        await mounted.write("role/demo", ROLE | {"bound_subject": "other"})
        assert (await denied(mounted))[0] == "subject_mismatch"
        await mounted.ask(Operation.DELETE, "role/demo")
        assert (await denied(mounted))[0] == "role_unknown"

    run(scenario)


def test_a_config_write_is_seen_by_the_next_login():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        key = tokens.public_pem(OTHER_KEY)
        await mounted.write("config", {"jwt_validation_pubkeys": key})
        assert (await denied(mounted))[0] == "signature_invalid"
        jwt = tokens.token(CLAIMS, key=OTHER_KEY)
        assert (await mounted.login(jwt)).auth.alias.name == "jeff"

    run(scenario)


@pytest.mark.parametrize("key", ["config", "role/demo"])
def test_invalidate_key_is_seen_by_the_next_login(key):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        # Another node wrote it.
        del mounted.storage.entries[key]
        await mounted.login()
        mounted.backend.invalidate_key(key)
        assert (await denied(mounted))[0] in {"config_missing", "role_unknown"}

    run(scenario)


@pytest.mark.parametrize("key", ["config/", "configx", "role/demo2", "role/", "x/role/demo", ""])
def test_other_keys_drop_nothing(key):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        mounted.storage.calls.clear()
        mounted.backend.invalidate_key(key)
        await mounted.login()
        assert mounted.storage.calls == []

    run(scenario)


def test_where_the_node_can_not_write_config_and_role_are_read_each_second():
    async def scenario(mounted):
        await mounted.configure()
        mounted.system.state = 24576
        await mounted.backend.periodic()
        await mounted.login()
        mounted.reads()
        mounted.now += 0.9
        await mounted.login()
        assert mounted.reads() == []
        mounted.now += 0.1
        await mounted.login()
        assert mounted.reads() == ["config", "role/demo"]

    run(scenario)


def test_storage_failure_is_a_fault_and_the_next_login_works():
    async def scenario(mounted):
        await mounted.configure()
        mounted.storage.fail_with = "disk on fire"
        with pytest.raises(StorageError) as caught:
            await mounted.login()
        assert caught.value.message == "disk on fire"
        mounted.storage.fail_with = None
        await mounted.login()

    run(scenario)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"nonsense", "not JSON at character 0: Expecting value"),
        # Not the value: it is for whoever wrote it, and not for who logs in.
        (
            b'{"token_bound_cidrs":["nowhere"]}',
            "'token_bound_cidrs' holds something that is not an address",
        ),
        (b'{"token_policies_template_claims":true,"token_policies":["{{"]}', "policy 1"),
    ],
    ids=["json", "cidr", "template"],
)
def test_a_stored_role_that_can_not_be_used_is_a_fault(raw, text):
    async def scenario(mounted):
        await mounted.configure()
        mounted.storage.entries["role/demo"] = StorageEntry(key="role/demo", value=raw)
        mounted.backend.invalidate_key("role/demo")
        with pytest.raises(InternalError) as caught:
            await mounted.login()
        assert caught.value.message.startswith(f'stored role "demo": {text}')
        assert "nowhere" not in caught.value.message

    run(scenario)


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (
            b'{"jwt_validation_pubkeys":["hush"]}',
            "config_unusable",
            "error configuring token validator: ",
        ),
        (
            b"{}",
            "config_unusable",
            "error configuring token validator: the configuration names no source of keys",
        ),
    ],
    ids=["bad key", "empty"],
)
def test_configurations_of_the_builtin_that_can_not_be_used(raw, code, text):
    async def scenario(mounted):
        await mounted.write("role/demo", ROLE)
        got, message = await denied(mounted)
        assert got == code
        assert message.startswith(text)
        assert "hush" not in message
        # The read shows what it holds, and that it can't be used.
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "invalid"
        assert response.warnings == (f"failed to construct JWK validator: {message}",)

    run(scenario, {"config": raw})


def key_set(*keys):
    return {"keys": [tokens.public_jwk(key, kid=kid) for kid, key in keys]}


def test_fetched_keys():
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL, jwks_ca_pem="")
        jwt = tokens.token(CLAIMS, header={"kid": "1"})
        await asyncio.gather(mounted.login(jwt), mounted.login(jwt))
        # Once to see that it can be written, once for the logins.
        assert mounted.fetcher.asked_trusting == [(JWKS_URL, "")] * 2
        answer = mounted.start(Operation.UPDATE, "login", {"role": "demo", "jwt": jwt})
        assert isinstance(answer, Response)

    run(scenario)


@pytest.mark.parametrize("kid", ["1", "2"], ids=["replaced under its id", "new id"])
def test_a_rotated_key_is_fetched_at_once(kid):
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.documents[JWKS_URL] = key_set((kid, OTHER_KEY))
        jwt = tokens.token(CLAIMS, key=OTHER_KEY, header={"kid": kid})
        assert (await mounted.login(jwt)).auth.alias.name == "jeff"

    run(scenario)


def test_keys_that_come_between_two_steps_of_a_login_are_tried():
    """A fetch that others wait for ends after the login has seen the old keys."""

    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.documents[JWKS_URL] = key_set(("2", OTHER_KEY))
        jwt = tokens.token(CLAIMS, key=OTHER_KEY, header={"kid": "2"})
        late = mounted.start(Operation.UPDATE, "login", {"role": "demo", "jwt": jwt})
        await mounted.login(jwt)
        assert (await late).auth.alias.name == "jeff"

    run(scenario)


def test_other_denials_fetch_nothing():
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.asked.clear()
        late = tokens.token(CLAIMS | {"exp": tokens.NOW - 600}, header={"kid": "1"})
        assert (await denied(mounted, late))[0] == "expired"
        assert mounted.fetcher.asked == []

    run(scenario)


def test_forged_tokens_fetch_at_most_once_in_a_while():
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.asked.clear()
        forged = tokens.token(CLAIMS, key=OTHER_KEY, header={"kid": "1"})
        for _ in range(5):
            assert (await denied(mounted, forged))[0] == "signature_invalid"
        assert len(mounted.fetcher.asked) == 1

    run(scenario)


def test_denials_are_logged_without_the_token(caplog):
    caplog.set_level("INFO")

    async def scenario(mounted):
        await mounted.configure()
        caplog.clear()
        jwt = tokens.token(CLAIMS, key=OTHER_KEY)
        for _ in range(2):  # once reading, once with all known
            await denied(mounted, jwt)
        await mounted.write("role/demo", ROLE | {"token_bound_cidrs": "10.0.0.0/8"})
        caplog.clear()
        with pytest.raises(LoginForbidden):
            await mounted.login(jwt)
        fields = [record.fields for record in caplog.records]
        assert fields == [
            {
                "event": "login_denied",
                "role": '"demo"',
                "reason": "address_forbidden",
                "request_id": "6e8b41c5-0000-4000-8000-000000000001",
            }
        ]
        assert jwt not in caplog.text

    run(scenario)


def test_each_denial_is_logged_once(caplog):
    caplog.set_level("INFO")

    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = key_set(("1", tokens.key_for("RS256")))
        await mounted.configure(jwks_url=JWKS_URL)
        caplog.clear()
        forged = tokens.token(CLAIMS, key=OTHER_KEY, header={"kid": "1"})
        for expected in range(1, 4):
            # Reading config, role and keys; then refetching keys; then with all known.
            await denied(mounted, forged)
            denials = [record for record in caplog.records if record.message == "login denied"]
            assert len(denials) == expected

    run(scenario)


# resolve-role


def test_resolve_role():
    async def scenario(mounted):
        key = tokens.public_pem(tokens.key_for("RS256"))
        await mounted.configure(jwt_validation_pubkeys=key, default_role="demo")
        await mounted.write("role/web", ROLE | {"role_type": "oidc", "allowed_redirect_uris": "u"})
        for sent, role in (({"role": "DEMO"}, "demo"), ({}, "demo"), ({"role": "web"}, "web")):
            for _ in range(2):  # reading, then known
                response = await mounted.ask(Operation.RESOLVE_ROLE, "login", sent)
                assert response == Response(data={"role": role})

    run(scenario)


def test_resolve_role_answers_at_once_when_all_is_known():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        answer = mounted.start(Operation.RESOLVE_ROLE, "login", {"role": "demo"})
        assert answer == Response(data={"role": "demo"})

    run(scenario)


def test_resolve_role_is_a_response_or_an_error():
    async def scenario(mounted):
        async def failed(data):
            with pytest.raises(UserError) as caught:
                await mounted.ask(Operation.RESOLVE_ROLE, "login", data)
            return caught.value.code

        assert await failed({"role": "demo"}) == "config_missing"
        await mounted.configure()
        assert await failed({}) == "role_missing"
        assert await failed({"role": "gone"}) == "role_unknown"
        assert await failed({"role": ["demo"]}) == "field_invalid"
        await mounted.login()
        assert await failed({}) == "role_missing"

    run(scenario)


# renew


async def renewed(mounted, internal_data, **auth):
    given = Auth(internal_data=internal_data, **auth)
    return await mounted.ask(Operation.RENEW, "login", {}, auth=given)


@pytest.mark.parametrize(
    "internal_data",
    [{"role": "demo"}, {"role": "demo", "role_type": "native"}, {"role": "demo", "role_type": ""}],
    ids=["vault", "openbao", "empty type"],
)
def test_renew_takes_ttls_from_the_role_as_it_is_now(internal_data):
    async def scenario(mounted):
        await mounted.configure()
        kept: dict[str, Any] = {
            "policies": ("old",),
            "token_policies": ("old",),
            "metadata": {"role": "demo"},
            "display_name": "jeff",
            "ttl_ns": 1,
            "max_ttl_ns": 1,
            "period_ns": 1,
            "renewable": True,
            "entity_id": "e",
        }
        for ttl in ("2h", "3h"):
            await mounted.write("role/demo", ROLE | {"ttl": ttl, "max_ttl": "9h", "period": "10m"})
            response = await renewed(mounted, internal_data, **kept)
            assert response.auth == Auth(
                **kept
                | {
                    "internal_data": internal_data,
                    "ttl_ns": int(ttl[0]) * 3600 * SECOND,
                    "max_ttl_ns": 9 * 3600 * SECOND,
                    "period_ns": 600 * SECOND,
                }
            )

    run(scenario)


def test_renew_with_all_known_answers_at_once():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.login()
        given = Auth(internal_data={"role": "demo"})
        assert isinstance(mounted.start(Operation.RENEW, "login", {}, auth=given), Response)

    run(scenario)


@pytest.mark.parametrize(
    ("internal_data", "code", "text"),
    [
        ({}, "renew_without_role", "failed to fetch role_name during renewal"),
        ({"role": ""}, "renew_without_role", "failed to fetch role_name during renewal"),
        ({"role": 5}, "renew_without_role", "failed to fetch role_name during renewal"),
        (
            {"role": "gone"},
            "renew_role_unknown",
            'role "gone" does not exist during renewal',
        ),
        (
            {"role": "../x"},
            "renew_role_unknown",
            'role "../x" does not exist during renewal',
        ),
        (
            {"role": "demo", "role_type": "cel"},
            "renew_role_unknown",
            'CEL role "demo" does not exist during renewal',
        ),
        (
            {"role": "demo", "role_type": []},
            "renew_role_type",
            "role type a list is not supported during renewal",
        ),
    ],
)
def test_renew_refused(internal_data, code, text):
    async def scenario(mounted):
        await mounted.configure()
        with pytest.raises(InternalError) as caught:
            await renewed(mounted, internal_data)
        assert (caught.value.code, caught.value.message) == (code, text)

    run(scenario)


def test_renew_without_auth():
    async def scenario(mounted):
        with pytest.raises(InternalError):
            await mounted.ask(Operation.RENEW, "login", {})

    run(scenario)


def test_a_login_has_no_existence_check():
    async def scenario(mounted):
        answer = mounted.backend.handle_existence_check(FakeRequest(path="login"))
        assert not inspect.isawaitable(answer)
        assert answer is None

    run(scenario)
