from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.jwt_auth import stored, tokens
from tests.jwt_auth.config.test_config import READ_EMPTY
from tests.jwt_auth.mounted import CLAIMS, ROLE, Mounted
from vault_jwt_plugin.jwt_auth.config.config import CONFIG_FIELDS, Config
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.urls import fetch_error
from vault_jwt_plugin.sdk import (
    InternalError,
    Operation,
    ReadOnlyError,
    Response,
    StorageEntry,
    StorageError,
    UnsupportedOperation,
    UserError,
    by_name,
)
from vault_jwt_plugin.sdk.testing import FakeRequest

PEM = tokens.public_pem(tokens.key_for("RS256"))
EC_PEM = tokens.public_pem(tokens.key_for("ES256"))
JWKS_URL = "https://issuer.example/keys"
OTHER_JWKS_URL = "https://other.example/keys"
ISSUER = "https://issuer.example/"
DISCOVERY_URL = "https://issuer.example/.well-known/openid-configuration"
STATIC = {"jwt_validation_pubkeys": [PEM]}


def run(scenario, entries=None):
    async def main():
        async with Mounted(entries) as mounted:
            mounted.fetcher.documents = {
                JWKS_URL: {"keys": [tokens.public_jwk(tokens.key_for("RS256"), kid="1")]},
                OTHER_JWKS_URL: {"keys": [tokens.public_jwk(tokens.key_for("ES256"), kid="2")]},
                DISCOVERY_URL: {"issuer": ISSUER, "jwks_uri": JWKS_URL},
            }
            await scenario(mounted)

    asyncio.run(main())


CLIENT = {"oidc_client_id": "id", "oidc_client_secret": "hush"}
PAIRS = {
    "jwks_pairs": [
        {"jwks_url": JWKS_URL, "jwks_ca_pem": "CA"},
        {"JWKS_URL": OTHER_JWKS_URL, "jwks_ca_pem": None, "more": 1},
    ]
}
# What is asked for: once to see that it is there, and then by the source of the keys.
JWKS_ASKED = [(JWKS_URL, "")] * 2
DISCOVERY_ASKED = [(DISCOVERY_URL, "CA"), (DISCOVERY_URL, "CA"), (JWKS_URL, "CA")]

ACCEPTED: list[Any] = [
    (STATIC, {"jwt_validation_pubkeys": [PEM.strip()]}, []),
    ({"jwt_validation_pubkeys": PEM}, {"jwt_validation_pubkeys": [PEM.strip()]}, []),
    (
        {"jwt_validation_pubkeys": [PEM, EC_PEM]},
        {"jwt_validation_pubkeys": [PEM.strip(), EC_PEM.strip()]},
        [],
    ),
    ({"jwks_url": JWKS_URL}, {"jwks_url": JWKS_URL}, JWKS_ASKED),
    (
        {"jwks_url": JWKS_URL, "jwks_ca_pem": "CA"},
        {"jwks_url": JWKS_URL, "jwks_ca_pem": "CA"},
        [(JWKS_URL, "CA")] * 2,
    ),
    (PAIRS, PAIRS, [(JWKS_URL, "CA"), (OTHER_JWKS_URL, "")] * 2),
    (
        # One bare object is a list of one.
        {"jwks_pairs": {"jwks_url": JWKS_URL}},
        {"jwks_pairs": [{"jwks_url": JWKS_URL}]},
        JWKS_ASKED,
    ),
    (
        {"oidc_discovery_url": ISSUER},
        {"oidc_discovery_url": ISSUER},
        [(DISCOVERY_URL, ""), (DISCOVERY_URL, ""), (JWKS_URL, "")],
    ),
    (
        {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA"},
        {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA"},
        DISCOVERY_ASKED,
    ),
    (
        CLIENT | {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA"},
        {"oidc_discovery_url": ISSUER, "oidc_discovery_ca_pem": "CA", "oidc_client_id": "id"},
        DISCOVERY_ASKED,
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
        STATIC | {"oidc_response_mode": "form_post", "oidc_response_types": "code, id_token"},
        {
            "jwt_validation_pubkeys": [PEM.strip()],
            "oidc_response_mode": "form_post",
            "oidc_response_types": ["code", "id_token"],
        },
        [],
    ),
    (
        STATIC | {"oidc_response_mode": "query", "oidc_response_types": ["code"]},
        {
            "jwt_validation_pubkeys": [PEM.strip()],
            "oidc_response_mode": "query",
            "oidc_response_types": ["code"],
        },
        [],
    ),
    (
        STATIC
        | {
            "override_allowed_server_names": "issuer.internal, 10.0.0.1",
            "unsupported_critical_cert_extensions": ["2.5.29.16", "1.3.6.1.4.1.99999.1"],
            "skip_jwks_validation": True,
        },
        {
            "jwt_validation_pubkeys": [PEM.strip()],
            "override_allowed_server_names": ["issuer.internal", "10.0.0.1"],
            "unsupported_critical_cert_extensions": ["2.5.29.16", "1.3.6.1.4.1.99999.1"],
        },
        [],
    ),
    (
        # Clients send every parameter that they know.
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
        expected = Response(data=READ_EMPTY | differs | {"status": "valid"})
        assert await mounted.ask(Operation.READ, "config") == expected
        assert mounted.fetcher.asked_trusting == asked
        assert "skip_jwks_validation" not in mounted.storage.json("config")
        # What is known is not asked for again.
        assert await mounted.ask(Operation.READ, "config") == expected
        assert mounted.fetcher.asked_trusting == asked

    run(scenario)


ONE_SOURCE = (
    "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url' or "
    "the provider 'kubernetes' must be set, but "
)
CLIENT_WHOLE = "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"
ID_TOKEN = "the response type 'id_token' needs the oidc_response_mode 'form_post'"


def bad_oid(shown):
    return (
        f"invalid unsupported_critical_cert_extensions: error parsing extension OID {shown}: it "
        "must be numbers with dots between them"
    )


REFUSED: list[Any] = [
    # In the order of the checks: rows also break later ones, which must not be reported.
    ({}, ONE_SOURCE + "none is"),
    ({"bound_issuer": "x", "jwt_supported_algs": "none"}, ONE_SOURCE + "none is"),
    (
        STATIC | {"jwks_url": "u", "oidc_client_id": "id"},
        ONE_SOURCE + "'jwt_validation_pubkeys' and 'jwks_url' are",
    ),
    (
        STATIC | PAIRS | {"jwks_url": "u", "oidc_discovery_url": "d"},
        ONE_SOURCE
        + "'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs' and 'oidc_discovery_url' are",
    ),
    (STATIC | {"oidc_client_id": "id", "jwt_supported_algs": "none"}, CLIENT_WHOLE),
    ({"oidc_discovery_url": DISCOVERY_URL, "oidc_client_secret": "hush"}, CLIENT_WHOLE),
    (STATIC | CLIENT, "'oidc_discovery_url' must be set for OIDC"),
    (
        {"jwks_url": "u", "unsupported_critical_cert_extensions": "1.2.3,1.2.x"},
        bad_oid('"1.2.x"'),
    ),
    (STATIC | {"unsupported_critical_cert_extensions": ["+1"]}, bad_oid('"+1"')),
    (STATIC | {"unsupported_critical_cert_extensions": ["1..2"]}, bad_oid('"1..2"')),
    (STATIC | {"unsupported_critical_cert_extensions": ["1.-2"]}, bad_oid('"1.-2"')),
    (STATIC | {"unsupported_critical_cert_extensions": [""]}, bad_oid('""')),
    (
        STATIC | {"unsupported_critical_cert_extensions": ["\u0661.\u0662"]},
        bad_oid('"\u0661.\u0662"'),
    ),
    (
        {"jwks_url": "u", "override_allowed_server_names": ["a", ""]},
        "invalid override_allowed_server_names: a name is empty",
    ),
    (
        {"oidc_discovery_url": DISCOVERY_URL, "jwt_supported_algs": "none"},
        (
            "'oidc_discovery_url' must not contain '.well-known/openid-configuration': give the "
            "issuer as it names itself"
        ),
    ),
    (
        PAIRS | {"jwks_ca_pem": "CA", "bound_issuer": "me"},
        "CA PEMs must be provided as part of the 'jwks_pairs' when using multiple JWKS URLs",
    ),
    (
        {"jwks_pairs": ["u"], "bound_issuer": "me"},
        "'bound_issuer' is not supported for use with 'jwks_pairs'",
    ),
    (
        {"jwks_pairs": ["hush"], "jwt_supported_algs": "none"},
        (
            "invalid jwks_pairs: it must be a list of objects with the members 'jwks_url' and "
            "'jwks_ca_pem', but element 1 is a string"
        ),
    ),
    (STATIC | {"jwt_supported_algs": "RS256,none"}, 'unsupported signing algorithm "none"'),
    (STATIC | {"jwt_supported_algs": "HS256"}, 'unsupported signing algorithm "HS256"'),
    (
        STATIC | {"jwt_supported_algs": "rs256", "oidc_response_types": "x"},
        'unsupported signing algorithm "rs256"',
    ),
    (
        STATIC | {"oidc_response_types": "code,token", "oidc_response_mode": "x"},
        "invalid oidc_response_types: \"token\"; 'code' and 'id_token' are allowed",
    ),
    (
        STATIC | {"oidc_response_types": [""]},
        "invalid oidc_response_types: \"\"; 'code' and 'id_token' are allowed",
    ),
    (STATIC | {"oidc_response_types": "id_token"}, ID_TOKEN),
    (STATIC | {"oidc_response_types": "code,id_token", "oidc_response_mode": "query"}, ID_TOKEN),
    (
        STATIC | {"oidc_response_types": "id_token", "oidc_response_mode": "fragment"},
        "invalid oidc_response_mode: \"fragment\"; 'query' and 'form_post' are allowed",
    ),
]


@pytest.mark.parametrize(
    ("sent", "text"), REFUSED, ids=[str(index) for index in range(len(REFUSED))]
)
@pytest.mark.parametrize("skip", [False, True], ids=["", "skipping"])
def test_refused_and_nothing_stored(sent, text, skip):
    async def scenario(mounted):
        for before in ({}, {"config": stored.VAULT_CONFIG}):
            with pytest.raises(UserError) as caught:
                await write_over(mounted, before, sent | {"skip_jwks_validation": skip})
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


NO_BEGIN = "it is not PEM: there is no '-----BEGIN' line; in a command, NAME=@FILE sends a file"


@pytest.mark.parametrize(
    ("pems", "text"),
    [
        (["hush"], NO_BEGIN),
        ([PEM, "hush"], NO_BEGIN),
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


DOWN = {"jwks_url": "https://down/keys"}
BAD_CA = {"jwks_url": "https://ca/"}

# What can't be fetched: what is sent, the error's code, how its text begins.
UNREACHABLE: dict[str, Any] = {
    "jwks": (DOWN, "unreachable", "error checking jwks URL: "),
    "discovery": (
        {"oidc_discovery_url": "https://down/"},
        "unreachable",
        "error checking oidc discovery URL: ",
    ),
    "client": (
        CLIENT | {"oidc_discovery_url": "https://down/"},
        "unreachable",
        "error checking oidc discovery URL: ",
    ),
    "slash": (
        {"oidc_discovery_url": ISSUER.removesuffix("/")},
        "issuer_mismatch",
        "error checking oidc discovery URL: ",
    ),
    "no key set": ({"jwks_url": DISCOVERY_URL}, "not_a_key_set", "error checking jwks URL: "),
    "one pair": (
        {"jwks_pairs": [{"jwks_url": JWKS_URL}, DOWN]},
        "unreachable",
        "error checking jwks URL: ",
    ),
    "discovery ca": (
        {"oidc_discovery_url": "https://ca"},
        "bad_ca_pem",
        "error checking oidc discovery URL: ",
    ),
}
# What skip_jwks_validation does not help.
UNREADABLE: dict[str, Any] = {
    "ca": (BAD_CA, "bad_ca_pem", "error checking jwks_ca_pem: "),
    "ca of a pair": ({"jwks_pairs": [DOWN, BAD_CA]}, "bad_ca_pem", "error checking jwks_ca_pem: "),
}
# Fetching comes before the algorithms.
ORDER = {"order": (DOWN | {"jwt_supported_algs": "none"}, "unreachable", "error checking jwks")}


def fail_cas(mounted):
    for url in ("https://ca/", "https://ca/.well-known/openid-configuration"):
        mounted.fetcher.documents[url] = fetch_error("bad_ca_pem", url, "no")


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    (UNREACHABLE | UNREADABLE | ORDER).values(),
    ids=(UNREACHABLE | UNREADABLE | ORDER).keys(),
)
def test_keys_that_can_not_be_had(sent, code, text):
    async def scenario(mounted):
        fail_cas(mounted)
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {"config": stored.VAULT_CONFIG}, sent)
        assert caught.value.code == code
        assert caught.value.message.startswith(text)

    run(scenario)


@pytest.mark.parametrize(("sent", "code", "text"), UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_keys_that_can_not_be_had_are_stored_if_asked_for(sent, code, text):
    async def scenario(mounted):
        fail_cas(mounted)
        response = await mounted.ask(
            Operation.UPDATE, "config", sent | {"skip_jwks_validation": True}
        )
        (warning,) = response.warnings
        assert warning.startswith(text)
        assert warning.endswith("; stored all the same, as skip_jwks_validation asks")
        assert response == Response(warnings=(warning,))
        assert "skip_jwks_validation" not in mounted.storage.json("config")
        response = await mounted.ask(Operation.READ, "config")
        works = "jwks_pairs" in sent  # with the other set
        assert response.data["status"] == ("valid" if works else "invalid")
        (warning,) = response.warnings
        assert warning.startswith("the keys can't be fetched: ")

    run(scenario)


@pytest.mark.parametrize(("sent", "code", "text"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_ca_that_can_not_be_read_is_refused_though_validation_is_skipped(sent, code, text):
    async def scenario(mounted):
        fail_cas(mounted)
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {}, sent | {"skip_jwks_validation": True})
        assert caught.value.code == code
        assert caught.value.message.startswith(text)

    run(scenario)


def test_later_checks_are_not_skipped():
    async def scenario(mounted):
        sent = DOWN | {"skip_jwks_validation": True, "jwt_supported_algs": "none"}
        with pytest.raises(UserError) as caught:
            await write_over(mounted, {}, sent)
        assert caught.value.message.startswith("invalid jwt_supported_algs")

    run(scenario)


def test_keys_that_could_not_be_had_are_there_later():
    async def scenario(mounted):
        url = DOWN["jwks_url"]
        await mounted.write("role/demo", ROLE)
        await mounted.ask(Operation.UPDATE, "config", DOWN | {"skip_jwks_validation": True})
        await mounted.ask(Operation.READ, "config")
        mounted.fetcher.documents[url] = mounted.fetcher.documents[JWKS_URL]
        mounted.now += 10
        response = await mounted.ask(Operation.READ, "config")
        assert (response.data["status"], response.warnings) == ("valid", ())
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (
            {"jwks_url": ["hush"]},
            'converting input for field "jwks_url": expected a string, got a list',
        ),
        (
            {"provider_config": "{}"},
            "got a string; in a command, send the whole request as JSON (write PATH @FILE)",
        ),
        ({"namespace_in_state": "hush"}, "expected a boolean, got a string"),
        ({"oidc_client_secret": {"hush": 1}}, "expected a string, got an object"),
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


def test_a_stored_config_that_can_not_be_understood_is_a_fault_until_it_is_replaced(caplog):
    async def scenario(mounted):
        with pytest.raises(InternalError) as caught:
            await mounted.ask(Operation.READ, "config")
        assert caught.value.code == "stored_config_invalid"
        with pytest.raises(UserError):
            await mounted.ask(Operation.UPDATE, "config", {})
        assert mounted.storage.entries["config"].value == b"[]"
        assert await mounted.ask(Operation.UPDATE, "config", STATIC) is None
        [record] = caplog.records
        assert record.fields == {
            "event": "stored_config_replaced",
            "error": "stored config: no JSON object",
        }
        assert (await mounted.ask(Operation.READ, "config")).data["status"] == "valid"

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
        mounted.backend.invalidate_key("config")
        # Else the keys would be the stored ones.
        await mounted.backend._mount.key_archive.settle()
        (stored,) = [key for key in mounted.storage.entries if key.startswith("key_source/")]
        del mounted.storage.entries[stored]
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


def test_keys_that_outlive_their_issuer_are_valid_with_a_warning():
    async def scenario(mounted):
        await mounted.configure(jwks_url=JWKS_URL)
        await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        mounted.fetcher.documents.pop(JWKS_URL)
        with pytest.raises(LoginDenied):
            await mounted.login(tokens.token(CLAIMS, header={"kid": "new"}))
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "valid"
        (warning,) = response.warnings
        assert warning.startswith(
            "the keys of 2023-11-14T22:13:20Z are in use, newer ones can't be fetched: can't use "
        )

    run(scenario)


@pytest.mark.parametrize("pairs", [False, True], ids=["jwks_url", "jwks_pairs"])
def test_unusable_keys_are_warnings(pairs):
    async def scenario(mounted):
        key = tokens.public_jwk(tokens.key_for("RS256"), kid="1")
        mounted.fetcher.documents[JWKS_URL] = {"keys": [{"kty": "oct", "k": "hush"}, key, {}]}
        source = {"jwks_url": JWKS_URL}
        await mounted.ask(Operation.UPDATE, "config", {"jwks_pairs": [source]} if pairs else source)
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "valid"
        assert response.warnings == (
            (
                f'key 1 of "{JWKS_URL}" is not used: it is symmetric (oct): whoever reads the set '
                "could sign"
            ),
            f'key 3 of "{JWKS_URL}" is not used: it names no key type (kty)',
        )

    run(scenario)


def test_many_unusable_keys_are_counted():
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = {"keys": [{}] * 22}
        await mounted.ask(Operation.UPDATE, "config", {"jwks_url": JWKS_URL})
        warnings = (await mounted.ask(Operation.READ, "config")).warnings
        assert len(warnings) == 22
        assert warnings[-1] == f'2 more keys of "{JWKS_URL}" are not used'

    run(scenario)


@pytest.mark.parametrize("keys", [[], [{"kty": "oct", "k": "hush"}]], ids=["none", "unusable"])
def test_a_set_that_verifies_nothing_is_a_warning(keys):
    async def scenario(mounted):
        mounted.fetcher.documents[JWKS_URL] = {"keys": keys}
        await mounted.ask(Operation.UPDATE, "config", {"jwks_url": JWKS_URL})
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "valid"  # as the builtin methods say
        assert len(response.warnings) == 1 + len(keys)
        assert response.warnings[0] == (
            f'"{JWKS_URL}" holds no usable key: no token can be verified with it'
        )

    run(scenario)


def test_a_read_does_not_wait_long_for_keys(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.paths.config.STATUS_WAIT_S", 0.01)

    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "config", {"jwks_url": JWKS_URL})
        mounted.backend.invalidate_key("config")
        mounted.fetcher.gate = asyncio.Event()
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "invalid"
        assert response.warnings == (
            f'the keys of "{JWKS_URL}" have not been fetched yet; read again in a moment',
        )
        mounted.fetcher.gate.set()
        response = await mounted.ask(Operation.READ, "config")
        assert (response.data["status"], response.warnings) == ("valid", ())

    run(scenario)


def test_a_write_starts_to_fetch_the_keys():
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "config", {"jwks_url": JWKS_URL})
        await mounted.keys_settle()
        assert mounted.fetcher.asked_trusting == JWKS_ASKED

    run(scenario)


def test_a_write_that_ends_after_its_mount_fetches_nothing():
    async def scenario(mounted):
        await mounted.ask(Operation.UPDATE, "config", STATIC)
        mount = mounted.backend._mount
        await mounted.backend.cleanup()
        mount.keys.warm(Config(jwks_url=JWKS_URL))
        assert mount.keys._current is None
        assert mounted.fetcher.asked == []

    run(scenario)


def test_a_token_logs_in_where_the_oidc_flow_is_configured():
    """OpenBao; Vault refuses it."""

    async def scenario(mounted):
        await mounted.configure(**CLIENT, oidc_discovery_url=ISSUER, bound_issuer="issuer")
        response = await mounted.login(tokens.token(CLAIMS, header={"kid": "1"}))
        assert response.auth.alias.name == "jeff"

    run(scenario)


def test_tokens_log_in_with_keys_of_every_pair():
    async def scenario(mounted):
        await mounted.configure(**PAIRS)
        for alg, kid in (("RS256", "1"), ("ES256", "2")):
            jwt = tokens.token(CLAIMS, alg=alg, key=tokens.key_for(alg), header={"kid": kid})
            assert (await mounted.login(jwt)).auth.alias.name == "jeff"
        with pytest.raises(LoginDenied) as caught:
            await mounted.login(tokens.token(CLAIMS))
        assert caught.value.code == "kid_missing"

    run(scenario)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            b'{"jwks_pairs":[{"jwks_url":1}]}',
            "invalid jwks_pairs: 'jwks_url' of element 1 must be a string, is a number",
        ),
        (b'{"jwks_pairs":[null]}', "element 1 is null"),
    ],
    ids=["member", "element"],
)
def test_stored_pairs_that_can_not_be_read(config, message):
    async def scenario(mounted):
        response = await mounted.ask(Operation.READ, "config")
        assert response.data["status"] == "invalid"
        assert message in response.warnings[0]

    run(scenario, {"config": config})


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
    assert by_name(CONFIG_FIELDS)["oidc_client_secret"].sensitive
