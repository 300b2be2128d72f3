from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from dataclasses import replace

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.cel.mounted import AUDIENCE, CELMounted, run
from tests.jwt_auth.mounted import CLAIMS, ROLE
from vault_jwt_plugin.jwt_auth.cel import evaluator
from vault_jwt_plugin.jwt_auth.cel.program import INLINE_CHARS, CompiledProgram
from vault_jwt_plugin.jwt_auth.cel.values import MAX_TEXT_CHARS
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.role.role import StoredRoleError
from vault_jwt_plugin.sdk import Auth, Connection, InternalError, Operation, Response

SUBJECT = CLAIMS["sub"]
OTHER_KEY = tokens.key_for("RS256", "b")
LARGE = {"pad": "x" * (INLINE_CHARS + 1)}


async def denied(mounted, claims=None, **login):
    with pytest.raises(LoginDenied) as caught:
        await mounted.cel_login(claims, **login)
    return caught.value.code, caught.value.message


def without(*names):
    return tokens.token({name: value for name, value in CLAIMS.items() if name not in names})


def test_a_login():
    async def scenario(mounted):
        await mounted.configure()
        auth = (await mounted.cel_login()).auth
        assert auth.display_name == auth.alias.name == SUBJECT
        assert auth.internal_data == {"role": "demo", "role_type": "cel"}

    run(scenario)


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.ALIAS_LOOKAHEAD])
def test_a_login_with_all_known_answers_at_once_and_asks_the_host_nothing(operation):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.cel_login()
        mounted.reads()
        data = {"role": "demo", "jwt": tokens.token(CLAIMS)}
        answer = mounted.start(operation, "cel/login", data, connection=None)
        assert isinstance(answer, Response)
        assert answer.auth is not None
        assert answer.auth.display_name == SUBJECT
        assert mounted.reads() == []

    run(scenario)


def test_a_role_that_is_not_known_is_read_once():
    async def scenario(mounted):
        await mounted.configure()
        mounted.reads()
        await mounted.cel_login()
        assert mounted.reads() == ["config", "cel/role/demo"]

    run(scenario)


def test_the_program_sees_the_operation():
    async def scenario(mounted):
        await mounted.configure("operation == 'update' ? pb.Auth{} : operation")
        await mounted.cel_login()
        assert await denied(mounted, operation=Operation.ALIAS_LOOKAHEAD, connection=None) == (
            "cel_denied_text",
            'CEL role "demo" denied the login: "alias-lookahead"',
        )

    run(scenario)


# The order of the checks: each row fails its own check and every later one.


def test_without_config():
    async def scenario(mounted):
        assert await denied(mounted, role=None, jwt="") == (
            "config_missing",
            "could not load configuration",
        )

    run(scenario)


@pytest.mark.parametrize(
    ("login", "code", "message"),
    [
        ({"role": None, "jwt": ""}, "role_missing", "missing role"),
        ({"role": "nobody", "jwt": ""}, "role_unknown", 'role "nobody" could not be found'),
        ({"role": "a/b", "jwt": ""}, "role_unknown", 'role "a/b" could not be found'),
        ({"role": "../config", "jwt": ""}, "role_unknown", 'role "../config" could not be found'),
        ({"jwt": ""}, "token_missing", "missing token"),
        ({"jwt": "x"}, "token_malformed", None),
        ({"jwt": tokens.token({"aud": "z"}, key=OTHER_KEY)}, "signature_invalid", None),
        ({"jwt": tokens.token({"iss": 5, "aud": "z"})}, "claim_type", None),
        ({"jwt": tokens.token({"iss": "x", "aud": "z"})}, "issuer_mismatch", None),
        ({"jwt": tokens.token({"iss": "issuer", "aud": "z"})}, "audience_mismatch", None),
        ({"jwt": without("aud", "exp", "iat")}, "audience_missing", None),
        ({"jwt": without("exp", "iat")}, "time_missing", None),
        ({"claims": {"exp": tokens.NOW - 100}}, "expired", None),
        ({"claims": {"iat": tokens.NOW + 100}}, "not_yet_valid", None),
        ({"claims": {"SUB": "x"}}, "claim_name", None),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
def test_order_and_codes(login, code, message):
    async def scenario(mounted):
        await mounted.configure("claims.nope")
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await mounted.write("config", keys | {"bound_issuer": "issuer"})
        seen = await denied(mounted, **login)
        assert seen[0] == code
        if message is not None:
            assert seen[1] == message

    run(scenario)


def test_an_algorithm_that_is_not_configured():
    async def scenario(mounted):
        await mounted.configure()
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await mounted.write("config", keys | {"jwt_supported_algs": "ES256"})
        assert (await denied(mounted))[0] == "algorithm_not_allowed"

    run(scenario)


def test_names_that_no_role_can_have_are_not_asked_for():
    async def scenario(mounted):
        await mounted.configure()
        mounted.reads()
        for role in ("../config", "a/b", "-", "x" * 40_000):
            assert (await denied(mounted, role=role))[0] == "role_unknown"
        assert not any(key.startswith("cel/") for key in mounted.reads())

    run(scenario)


# Audiences: the program decides where the role names none, and only there.


@pytest.mark.parametrize(
    ("bound", "aud", "code"),
    [
        ("", "x", None),
        ("", ["x", "y"], None),
        ("", ..., None),
        ("x,y", "y", None),
        ("x,y", ["z", "x"], None),
        ("x,y", "z", "audience_mismatch"),
        ("x,y", [], "audience_missing"),
        ("x,y", ..., "audience_missing"),
        ("x,y", "X", "audience_mismatch"),
    ],
)
def test_audiences(bound, aud, code):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.put(bound_audiences=bound)
        claims = {
            name: value for name, value in (CLAIMS | {"aud": aud}).items() if value is not ...
        }
        login = mounted.cel_login(jwt=tokens.token(claims))
        if code is None:
            assert (await login).auth.display_name == SUBJECT
        else:
            with pytest.raises(LoginDenied) as caught:
                await login
            assert caught.value.code == code

    run(scenario)


@pytest.mark.parametrize(
    ("leeways", "claims", "granted"),
    [
        ({}, {"exp": tokens.NOW - 55}, True),
        ({}, {"exp": tokens.NOW - 65}, False),
        ({"clock_skew_leeway": -1}, {"exp": tokens.NOW - 5}, False),
        ({"clock_skew_leeway": 90}, {"exp": tokens.NOW - 85}, True),
        ({"expiration_leeway": 500}, {"exp": None, "iat": tokens.NOW - 550}, True),
        ({"expiration_leeway": 500}, {"exp": None, "iat": tokens.NOW - 570}, False),
        ({"not_before_leeway": 1000}, {"iat": None, "exp": tokens.NOW + 1050}, True),
        ({"not_before_leeway": -1}, {"iat": None, "exp": tokens.NOW + 100}, False),
    ],
)
def test_leeways_are_the_roles(leeways, claims, granted):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.put(bound_audiences=AUDIENCE, **leeways)
        if granted:
            await mounted.cel_login(claims)
        else:
            assert (await denied(mounted, claims))[0] in {"expired", "not_yet_valid"}

    run(scenario)


def test_no_subject_and_no_address_is_asked_for():
    async def scenario(mounted):
        await mounted.configure()
        for connection in (None, Connection(remote_addr="203.0.113.9")):
            assert (await mounted.cel_login({"sub": "someone"}, connection=connection)).auth

    run(scenario)


# Names of roles.


def test_login_names_are_lower_cased():
    async def scenario(mounted):
        await mounted.configure()
        assert (await mounted.cel_login(role="DEMO")).auth
        await mounted.put(name="Upper")
        assert await denied(mounted, role="Upper") == (
            "role_unknown",
            'role "upper" could not be found',
        )

    run(scenario)


def test_the_default_role_is_shared_with_native_roles():
    async def scenario(mounted):
        await mounted.configure()
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await mounted.write("config", keys | {"default_role": "demo"})
        assert (await mounted.cel_login(role=None)).auth.internal_data["role"] == "demo"

    run(scenario)


def test_a_native_role_is_no_cel_role_and_the_other_way_round():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.write("role/native", ROLE)
        assert (await denied(mounted, role="native"))[0] == "role_unknown"
        with pytest.raises(LoginDenied) as caught:
            await mounted.login(role="demo")
        assert caught.value.code == "role_unknown"

    run(scenario)


# What is kept between logins.


def test_a_write_a_patch_and_a_delete_are_seen_at_once():
    async def scenario(mounted):
        await mounted.configure("'one'")
        assert (await denied(mounted))[1].endswith('"one"')
        await mounted.put("'two'")
        assert (await denied(mounted))[1].endswith('"two"')
        patch = {"cel_program": {"expression": "'three'"}}
        await mounted.ask(Operation.PATCH, "cel/role/demo", patch)
        assert (await denied(mounted))[1].endswith('"three"')
        await mounted.ask(Operation.DELETE, "cel/role/demo")
        assert (await denied(mounted))[0] == "role_unknown"

    run(scenario)


@pytest.mark.parametrize("key", ["cel/role/demo", "config"])
def test_another_nodes_write_is_seen_once_the_host_says_so(key):
    async def scenario(mounted):
        await mounted.configure("'one'")
        await denied(mounted)
        raw = {"cel_program": {"expression": "'two'"}, "bound_audiences": [AUDIENCE]}
        entry = mounted.storage.entries["cel/role/demo"]
        mounted.storage.entries["cel/role/demo"] = replace(entry, value=json.dumps(raw).encode())
        assert (await denied(mounted))[1].endswith('"one"')
        mounted.backend.invalidate_key(key)
        assert (await denied(mounted))[1].endswith('"two"')

    run(scenario)


def test_a_stored_program_that_this_version_can_not_use_is_named():
    raw = {"cel_program": {"expression": "claims.t.format([1])"}}

    async def scenario(mounted):
        await mounted.configure()
        assert await denied(mounted, role="old") == (
            "cel_program_unusable",
            (
                "CEL role \"old\" can't be used: 'format' is supported on a literal string with a "
                "literal list of values only, as in '%s@%s'.format([a, b])"
            ),
        )

    run(scenario, {"cel/role/old": json.dumps(raw).encode()})


def test_a_stored_role_that_can_not_be_understood_is_a_fault():
    async def scenario(mounted):
        await mounted.configure()
        with pytest.raises(StoredRoleError):
            await mounted.cel_login(role="old")

    run(scenario, {"cel/role/old": b"{"})


# Keys.


def test_keys_are_fetched_and_fetched_again():
    url = "https://issuer.example/keys"

    async def scenario(mounted):
        mounted.fetcher.documents[url] = {"keys": [tokens.public_jwk(OTHER_KEY, kid="b")]}
        await mounted.write("config", {"jwks_url": url})
        await mounted.put(bound_audiences=AUDIENCE)
        other = tokens.token(CLAIMS, key=OTHER_KEY, header={"kid": "b"})
        assert (await mounted.cel_login(jwt=other)).auth
        mine = tokens.token(CLAIMS, header={"kid": "a"})
        assert (await denied(mounted, jwt=mine))[0] == "key_unknown"
        mounted.fetcher.documents[url]["keys"].append(
            tokens.public_jwk(tokens.key_for("RS256"), kid="a")
        )
        mounted.now += 11
        assert (await mounted.cel_login(jwt=mine)).auth

    run(scenario)


def test_a_fetch_that_fails_denies():
    url = "https://issuer.example/keys"

    async def scenario(mounted):
        mounted.fetcher.documents[url] = {"keys": []}
        await mounted.write("config", {"jwks_url": url})
        await mounted.put(bound_audiences=AUDIENCE)
        code, _ = await denied(mounted)
        assert code in {"key_unknown", "signature_invalid"}

    run(scenario)


# Large claims.


def test_large_claims_are_evaluated_in_a_thread(monkeypatch):
    seen = []
    evaluate = CompiledProgram.evaluate

    def noting(self, inputs, role):
        seen.append(threading.current_thread().name)
        return evaluate(self, inputs, role)

    monkeypatch.setattr(CompiledProgram, "evaluate", noting)

    async def scenario(mounted):
        await mounted.configure()
        assert (await mounted.cel_login()).auth
        assert (await mounted.cel_login(LARGE)).auth.display_name == SUBJECT
        assert (await denied(mounted, LARGE | {"pad": "x" * (MAX_TEXT_CHARS + 1)}))[0] == (
            "cel_claims_too_large"
        )
        await mounted.put("'no'", bound_audiences=AUDIENCE)
        assert (await denied(mounted, LARGE))[0] == "cel_denied_text"

    run(scenario)
    assert seen[0] == threading.main_thread().name
    assert [name.startswith("cel") for name in seen] == [False, True, True]


def test_a_slow_program_denies_holds_up_no_other_login_and_is_bounded(monkeypatch):
    let_go = threading.Event()
    evaluate = CompiledProgram.evaluate

    def slow(self, inputs, role):
        if inputs.is_large:
            let_go.wait(10)
        return evaluate(self, inputs, role)

    monkeypatch.setattr(CompiledProgram, "evaluate", slow)
    monkeypatch.setattr(evaluator, "DEADLINE_S", 0.05)
    monkeypatch.setattr(evaluator, "MAX_WAITING", 3)

    async def scenario(mounted):
        await mounted.configure()
        waiting = [asyncio.ensure_future(denied(mounted, LARGE)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (await mounted.cel_login()).auth
        for each in waiting:
            assert await each == (
                "cel_timeout",
                'the program of CEL role "demo" took longer than 0 s',
            )
        # Their threads are still at it.
        assert await denied(mounted, LARGE) == (
            "cel_busy",
            "too many logins with large claims at once; try again in a moment",
        )
        let_go.set()
        for _ in range(200):
            with contextlib.suppress(LoginDenied):
                if (await mounted.cel_login(LARGE)).auth:
                    break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("no login is let in again")

    run(scenario)


# Renewal.


def auth_of(**internal_data):
    return Auth(internal_data=internal_data, ttl_ns=5, max_ttl_ns=7, period_ns=9, policies=("p",))


async def renew(mounted, auth):
    return (await mounted.ask(Operation.RENEW, "cel/login", {}, auth=auth)).auth


def test_renew_keeps_everything():
    async def scenario(mounted):
        await mounted.configure()
        given = (await mounted.cel_login()).auth
        assert await renew(mounted, given) == given
        kept = auth_of(role="demo", role_type="cel")
        assert await renew(mounted, kept) == kept

    run(scenario)


def test_renew_needs_no_program_that_can_be_used():
    raw = json.dumps({"cel_program": {"expression": "no longer (("}}).encode()

    async def scenario(mounted):
        kept = auth_of(role="old", role_type="cel")
        assert await renew(mounted, kept) == kept

    run(scenario, {"cel/role/old": raw})


@pytest.mark.parametrize(
    ("internal_data", "code", "text"),
    [
        ({"role_type": "cel"}, "renew_without_role", "failed to fetch role_name during renewal"),
        (
            {"role": "", "role_type": "cel"},
            "renew_without_role",
            "failed to fetch role_name during renewal",
        ),
        (
            {"role": 5, "role_type": "cel"},
            "renew_without_role",
            "failed to fetch role_name during renewal",
        ),
        (
            {"role": "gone", "role_type": "cel"},
            "renew_role_unknown",
            'CEL role "gone" does not exist during renewal',
        ),
        (
            {"role": "../demo", "role_type": "cel"},
            "renew_role_unknown",
            'CEL role "../demo" does not exist during renewal',
        ),
        (
            {"role": "native", "role_type": "cel"},
            "renew_role_unknown",
            'CEL role "native" does not exist during renewal',
        ),
        (
            {"role": "demo", "role_type": "native"},
            "renew_role_unknown",
            'role "demo" does not exist during renewal',
        ),
        ({"role": "gone"}, "renew_role_unknown", 'role "gone" does not exist during renewal'),
        (
            {"role": "demo", "role_type": "CEL"},
            "renew_role_type",
            'role type "CEL" is not supported during renewal',
        ),
    ],
)
def test_renew_refused(internal_data, code, text):
    async def scenario(mounted):
        await mounted.configure()
        await mounted.write("role/native", ROLE)
        with pytest.raises(InternalError) as caught:
            await renew(mounted, auth_of(**internal_data))
        assert (caught.value.code, caught.value.message) == (code, text)

    run(scenario)


def test_a_lease_without_a_type_is_a_native_roles_or_else_a_cel_roles():
    async def scenario(mounted):
        await mounted.configure()
        kept = auth_of(role="demo")
        assert await renew(mounted, kept) == kept
        await mounted.write("role/demo", ROLE)
        assert (await renew(mounted, kept)).ttl_ns == 3_600_000_000_000
        assert await renew(mounted, auth_of(role="demo", role_type="cel")) == auth_of(
            role="demo", role_type="cel"
        )

    run(scenario)


def test_renew_reads_storage_and_its_faults_are_faults():
    async def scenario(mounted):
        with pytest.raises(StoredRoleError):
            await renew(mounted, auth_of(role="old", role_type="cel"))
        with pytest.raises(StoredRoleError):
            await renew(mounted, auth_of(role="old"))

    run(scenario, {"cel/role/old": b"{"})


# What hosts ask beside, and what is noted.


def test_resolve_role():
    async def scenario(mounted):
        await mounted.configure()
        answer = await mounted.ask(Operation.RESOLVE_ROLE, "cel/login", {"role": "Demo"})
        assert answer.data == {"role": "demo"}
        with pytest.raises(LoginDenied) as caught:
            await mounted.ask(Operation.RESOLVE_ROLE, "cel/login", {"role": "nobody"})
        assert caught.value.message == 'role "nobody" could not be found'

    run(scenario)


def test_resolve_role_of_a_program_that_cannot_be_used():
    async def scenario(mounted):
        await mounted.configure()
        entry = mounted.storage.entries["cel/role/demo"]
        stored = json.loads(entry.value)
        stored["cel_program"]["expression"] = "("
        mounted.storage.entries[entry.key] = replace(entry, value=json.dumps(stored).encode())
        mounted.backend.invalidate_key(entry.key)
        # Its logins are denied; rate limits for the role are to count them all the same.
        answer = await mounted.ask(Operation.RESOLVE_ROLE, "cel/login", {"role": "demo"})
        assert answer.data == {"role": "demo"}

    run(scenario)


def test_denials_are_noted_without_the_token(caplog):
    caplog.set_level(logging.INFO)

    async def scenario(mounted):
        await mounted.configure("claims.sub == 'x' ? pb.Auth{} : 'not ' + claims.sub")
        await denied(mounted)
        await denied(mounted, LARGE)
        (count,) = [
            count
            for name, count in mounted.backend._mount.counters.roles.items()
            if name == "cel/demo"
        ]
        assert (count.denied, count.last_reason) == (2, "cel_denied_text")

    run(scenario)
    assert [record.fields["reason"] for record in caplog.records if "denied" in record.message] == [
        "cel_denied_text",
        "cel_denied_text",
    ]
    assert SUBJECT not in caplog.text


def test_logins_are_counted_under_their_own_name():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.cel_login()
        await mounted.cel_login(operation=Operation.ALIAS_LOOKAHEAD)
        counters = mounted.backend._mount.counters
        assert counters.roles["cel/demo"].logins == 1
        await mounted.ask(Operation.DELETE, "cel/role/demo")
        assert "cel/demo" not in counters.roles
        await denied(mounted)
        assert "cel/demo" not in counters.roles

    run(scenario)


def test_a_login_of_the_other_kind_does_not_clear_a_roles_count():
    async def scenario(mounted):
        await mounted.configure()
        await mounted.cel_login()
        with pytest.raises(LoginDenied, match="could not be found"):
            await mounted.login("a.b.c", role="cel/demo")
        assert mounted.backend._mount.counters.roles["cel/demo"].logins == 1

    run(scenario)


def test_without_the_protocols_messages_a_login_is_a_fault():
    raw = json.dumps({"cel_program": {"expression": "pb.Auth{}"}}).encode()

    async def scenario(mounted):
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await mounted.write("config", keys)
        with pytest.raises(InternalError) as caught:
            await mounted.cel_login()
        assert caught.value.code == "cel_unavailable"
        # A role that is not there needs no library to be not there.
        assert (await denied(mounted, role="nobody"))[0] == "role_unknown"

    run(scenario, {"cel/role/demo": raw}, with_messages=False)


def test_two_mounts_share_nothing():
    async def main():
        one, two = CELMounted(), CELMounted()
        async with contextlib.AsyncExitStack() as stack:
            for mounted in (one, two):
                await mounted.backend.initialize()
                stack.push_async_callback(mounted.backend.cleanup)
            await one.configure("'one'")
            await two.configure("'two'")
            assert (await denied(one))[1].endswith('"one"')
            assert (await denied(two))[1].endswith('"two"')

    asyncio.run(main())
