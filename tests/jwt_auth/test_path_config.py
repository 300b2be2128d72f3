from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.jwt_auth import stored, tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from tests.jwt_auth.test_config import READ_EMPTY
from vault_jwt_plugin.jwt_auth.config import CONFIG_FIELDS_BY_NAME
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.urls import fetch_error
from vault_jwt_plugin.sdk import (
    InternalError,
    Operation,
    ReadOnlyError,
    Response,
    StorageEntry,
    StorageError,
    UnsupportedOperation,
    UserError,
)
from vault_jwt_plugin.sdk.testing import FakeRequest

PEM = tokens.public_pem(tokens.key_for("RS256"))
EC_PEM = tokens.public_pem(tokens.key_for("ES256"))
JWKS_URL = "https://issuer.example/keys"
ISSUER = "https://issuer.example/"
DISCOVERY_URL = "https://issuer.example/.well-known/openid-configuration"
STATIC = {"jwt_validation_pubkeys": [PEM]}


def run(scenario, entries=None):
    async def main():
        async with Mounted(entries) as mounted:
            mounted.fetcher.documents = {
                JWKS_URL: {"keys": [tokens.public_jwk(tokens.key_for("RS256"), kid="1")]},
                DISCOVERY_URL: {"issuer": ISSUER, "jwks_uri": JWKS_URL},
            }
            await scenario(mounted)

    asyncio.run(main())


ACCEPTED: list[Any] = [
    (STATIC, {"jwt_validation_pubkeys": [PEM.strip()]}, []),
    ({"jwt_validation_pubkeys": PEM}, {"jwt_validation_pubkeys": [PEM.strip()]}, []),
    (
        {"jwt_validation_pubkeys": [PEM, EC_PEM]},
        {"jwt_validation_pubkeys": [PEM.strip(), EC_PEM.strip()]},
        [],
    ),
    ({"jwks_url": JWKS_URL}, {"jwks_url": JWKS_URL}, [(JWKS_URL, "")]),
    (
        {"jwks_url": JWKS_URL, "jwks_ca_pem": "CA"},
        {"jwks_url": JWKS_URL, "jwks_ca_pem": "CA"},
        [(JWKS_URL, "CA")],
    ),
    ({"oidc_discovery_url": ISSUER}, {"oidc_discovery_url": ISSUER}, [(DISCOVERY_URL, "")]),
    (
        {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA"},
        {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA"},
        [(DISCOVERY_URL, "CA")],
    ),
    (
        STATIC | {"bound_issuer": "me", "default_role": "DEMO", "namespace_in_state": False},
        {
            "jwt_validation_pubkeys": [PEM.strip()],
            "bound_issuer": "me",
            "default_role": "demo",
            "namespace_in_state": False,
        },
        [],
    ),
    (
        STATIC | {"jwt_supported_algs": "RS256,EdDSA"},
        {"jwt_validation_pubkeys": [PEM.strip()], "jwt_supported_algs": ["RS256", "EdDSA"]},
        [],
    ),
    (
        # What is not built may be sent empty: clients send every parameter that they know.
        STATIC
        | {
            "oidc_client_id": "",
            "oidc_client_secret": None,
            "oidc_response_mode": "",
            "oidc_response_types": [],
            "jwks_pairs": [],
            "provider_config": {},
            "unsupported_critical_cert_extensions": "",
            "override_allowed_server_names": [],
            "skip_jwks_validation": False,
            "jwks_url": "",
            "oidc_discovery_url": "",
        },
        {"jwt_validation_pubkeys": [PEM.strip()]},
        [],
    ),
]


@pytest.mark.parametrize(
    ("sent", "differs", "asked"),
    ACCEPTED,
    ids=[",".join(name for name in sent if sent[name]) for sent, _, _ in ACCEPTED],
)
def test_accepted(sent, differs, asked):
    async def scenario(mounted):
        assert await mounted.ask(Operation.UPDATE, "config", sent) is None
        assert mounted.fetcher.asked == asked
        response = await mounted.ask(Operation.READ, "config")
        assert response == Response(data=READ_EMPTY | differs | {"status": "valid"})
        # Reading fetches nothing.
        assert mounted.fetcher.asked == asked

    run(scenario)


def not_built(names, are="is"):
    return f"{names} {are} not supported by this version of the plugin; nothing was stored"


ONE_SOURCE = (
    "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set, but "
)

REFUSED: list[Any] = [
    # In the order of the checks: rows also break a later one, which must not be reported.
    ({"oidc_client_id": "x"}, not_built("'oidc_client_id'")),
    (
        STATIC | {"oidc_client_id": "x", "oidc_client_secret": "hush"},
        not_built("'oidc_client_id' and 'oidc_client_secret'", "are"),
    ),
    (STATIC | {"oidc_response_mode": "query"}, not_built("'oidc_response_mode'")),
    (STATIC | {"oidc_response_types": "code"}, not_built("'oidc_response_types'")),
    ({"jwks_pairs": [{"jwks_url": "u"}]}, not_built("'jwks_pairs'")),
    (STATIC | {"provider_config": {"provider": "azure"}}, not_built("'provider_config'")),
    (
        STATIC | {"unsupported_critical_cert_extensions": "1.2.3"},
        not_built("'unsupported_critical_cert_extensions'"),
    ),
    (
        STATIC | {"override_allowed_server_names": "a"},
        not_built("'override_allowed_server_names'"),
    ),
    ({"jwks_url": "u", "skip_jwks_validation": True}, not_built("'skip_jwks_validation'")),
    ({}, ONE_SOURCE + "none is"),
    ({"bound_issuer": "x", "jwt_supported_algs": "none"}, ONE_SOURCE + "none is"),
    (
        STATIC | {"jwks_url": "u"},
        ONE_SOURCE + "'jwt_validation_pubkeys' and 'jwks_url' are",
    ),
    (
        STATIC | {"jwks_url": "u", "oidc_discovery_url": "d"},
        ONE_SOURCE + "'jwt_validation_pubkeys', 'jwks_url' and 'oidc_discovery_url' are",
    ),
    (
        {"oidc_discovery_url": DISCOVERY_URL},
        (
            "'oidc_discovery_url' must not contain '.well-known/openid-configuration': give the "
            "issuer as it names itself"
        ),
    ),
    (STATIC | {"jwt_supported_algs": "RS256,none"}, 'unsupported signing algorithm "none"'),
    (STATIC | {"jwt_supported_algs": "HS256"}, 'unsupported signing algorithm "HS256"'),
    (STATIC | {"jwt_supported_algs": "rs256"}, 'unsupported signing algorithm "rs256"'),
]


@pytest.mark.parametrize(
    ("sent", "text"), REFUSED, ids=[str(index) for index in range(len(REFUSED))]
)
def test_refused_and_nothing_stored(sent, text):
    async def scenario(mounted):
        for before in ({}, {"config": stored.VAULT_CONFIG}):
            with pytest.raises(UserError) as caught:
                await write_over(mounted, before, sent)
            if text.startswith("unsupported signing"):
                assert caught.value.message.startswith("invalid jwt_supported_algs: " + text)
            else:
                assert caught.value.message == text
            assert "hush" not in caught.value.message
            assert mounted.fetcher.asked == []

    run(scenario)


async def write_over(mounted, before, sent):
    mounted.storage.entries = {
        key: StorageEntry(key=key, value=value) for key, value in before.items()
    }
    kept = dict(mounted.storage.entries)
    try:
        await mounted.ask(Operation.UPDATE, "config", sent)
    finally:
        assert mounted.storage.entries == kept


@pytest.mark.parametrize(
    ("pems", "text"),
    [
        (["hush"], "it is no PEM: there is no '-----BEGIN' line"),
        ([PEM, "hush"], "it is no PEM: there is no '-----BEGIN' line"),
        (
            [PEM.replace("MII", "AAA")],
            "its PEM block holds neither a public key nor a certificate",
        ),
    ],
    ids=["no pem", "the second", "no key"],
)
def test_keys_that_do_not_parse(pems, text):
    async def scenario(mounted):
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {}, {"jwt_validation_pubkeys": pems})
        assert caught.value.message == (
            f"public key {len(pems)} of jwt_validation_pubkeys can't be used: {text}"
        )

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        ({"jwks_url": "https://down/keys"}, "unreachable", "error checking jwks URL: "),
        (
            {"oidc_discovery_url": "https://down/"},
            "unreachable",
            "error checking oidc discovery URL: ",
        ),
        (
            {"oidc_discovery_url": ISSUER.removesuffix("/")},
            "issuer_mismatch",
            "error checking oidc discovery URL: ",
        ),
        ({"jwks_url": DISCOVERY_URL}, "not_a_key_set", "error checking jwks URL: "),
        ({"jwks_url": "https://ca/"}, "bad_ca_pem", "error checking jwks_ca_pem: "),
        # Fetching comes before the algorithms.
        ({"jwks_url": "https://down/keys", "jwt_supported_algs": "none"}, "unreachable", "error"),
    ],
    ids=["jwks", "discovery", "slash", "no key set", "ca", "order"],
)
def test_keys_that_can_not_be_had(sent, code, text):
    async def scenario(mounted):
        mounted.fetcher.documents["https://ca/"] = fetch_error("bad_ca_pem", "https://ca/", "no")
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {"config": stored.VAULT_CONFIG}, sent)
        assert caught.value.code == code
        assert caught.value.message.startswith(text)

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (
            {"jwks_url": ["hush"]},
            'converting input for field "jwks_url": expected text, got a list',
        ),
        ({"provider_config": "hush"}, '"provider_config": expected an object, got text'),
        ({"namespace_in_state": "hush"}, "expected a boolean (true or false), got text"),
        ({"oidc_client_secret": {"hush": 1}}, "expected text, got an object"),
    ],
)
def test_wrong_kinds(sent, text):
    async def scenario(mounted):
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {}, STATIC | sent)
        assert text in caught.value.message
        assert "hush" not in caught.value.message

    run(scenario)


def test_nothing_stored_is_the_hosts_404():
    async def scenario(mounted):
        assert await mounted.ask(Operation.READ, "config") is None

    run(scenario)


def test_a_write_replaces_and_keeps_what_we_do_not_know():
    before = json.loads(stored.OPENBAO_CONFIG) | {"from_the_future": [1]}

    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "config", STATIC)
        after = mounted.storage.json("config")
        assert after["oidc_client_id"] == after["oidc_client_secret"] == ""
        assert after["provider_config"] == {}
        assert after["namespace_in_state"] is False
        assert after["from_the_future"] == [1]

    run(scenario, {"config": json.dumps(before).encode()})


def test_a_stored_key_that_can_not_be_read_can_be_replaced():
    async def scenario(mounted):
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "invalid"
        await mounted.ask(Operation.UPDATE, "config", STATIC)
        assert (await mounted.ask(Operation.READ, "config")).data["status"] == "valid"

    run(scenario, {"config": b'{"jwt_validation_pubkeys":["broken"]}'})


@pytest.mark.parametrize("operation", [Operation.READ, Operation.UPDATE])
def test_a_stored_config_that_can_not_be_understood_is_a_fault(operation):
    async def scenario(mounted):
        with pytest.raises(InternalError) as caught:
            await mounted.ask(operation, "config", STATIC)
        assert caught.value.code == "stored_config_invalid"
        assert mounted.storage.entries["config"].value == b"[]"

    run(scenario, {"config": b"[]"})


def test_storage_faults():
    async def scenario(mounted):
        mounted.storage.read_only = True
        with pytest.raises(ReadOnlyError):
            await mounted.ask(Operation.UPDATE, "config", STATIC)
        mounted.storage.read_only = False
        mounted.storage.fail_with = "no space"
        for operation in (Operation.READ, Operation.UPDATE):
            with pytest.raises(StorageError) as caught:
                await mounted.ask(operation, "config", STATIC)
            assert caught.value.message == "no space"
        assert mounted.storage.entries == {}

    run(scenario)


def test_a_slow_issuer_holds_up_nobody():
    async def scenario(mounted):
        await mounted.configure()
        mounted.fetcher.gate = asyncio.Event()
        slow = asyncio.create_task(mounted.ask(Operation.UPDATE, "config", {"jwks_url": JWKS_URL}))
        await mounted.fetcher.asking.wait()
        # A login, a read and another write go on meanwhile.
        assert (await mounted.login()).auth.alias.name == "jeff"
        assert (await mounted.ask(Operation.READ, "config")).data["status"] == "valid"
        await mounted.ask(Operation.UPDATE, "config", STATIC | {"namespace_in_state": False})
        mounted.fetcher.gate.set()
        await slow
        # What the other write left is what is merged with.
        data = (await mounted.ask(Operation.READ, "config")).data
        assert data["jwks_url"] == JWKS_URL
        assert data["namespace_in_state"] is False

    run(scenario)


def test_keys_that_can_no_longer_be_had_make_the_status_invalid():
    async def scenario(mounted):
        await mounted.configure(jwks_url=JWKS_URL)
        assert (await mounted.ask(Operation.READ, "config")).data["status"] == "valid"
        keys = mounted.fetcher.documents.pop(JWKS_URL)
        jwt = tokens.token(CLAIMS, header={"kid": "1"})
        with pytest.raises(LoginDenied) as caught:
            await mounted.login(jwt)
        assert caught.value.code == "keys_unavailable"
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "invalid"
        assert response.warnings[0].startswith("the keys can't be fetched: ")
        mounted.fetcher.documents[JWKS_URL] = keys
        mounted.now += 60
        await mounted.login(jwt)
        response = await mounted.ask(Operation.READ, "config")
        assert (response.data["status"], response.warnings) == ("valid", ())

    run(scenario)


def test_a_refused_write_leaves_keys_and_cache_alone():
    async def scenario(mounted):
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.asked.clear()
        mounted.storage.calls.clear()
        with pytest.raises(UserError):
            await mounted.ask(Operation.UPDATE, "config", {})
        mounted.storage.calls.clear()
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        assert mounted.fetcher.asked == []
        assert mounted.storage.calls == []

    run(scenario)


def test_config_has_no_existence_check_and_no_other_operations():
    async def scenario(mounted):
        assert mounted.backend.handle_existence_check(FakeRequest(path="config")) is None
        for operation in (Operation.CREATE, Operation.DELETE, Operation.LIST, Operation.PATCH):
            with pytest.raises(UnsupportedOperation):
                await mounted.ask(operation, "config")

    run(scenario)


def test_the_client_secret_is_declared_sensitive():
    assert CONFIG_FIELDS_BY_NAME["oidc_client_secret"].sensitive
