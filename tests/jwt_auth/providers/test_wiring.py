"""Providers on a mount: config write and read, and the order of a login."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, ROLE, Mounted
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import InternalError, Operation, Response, StorageEntry, UserError

PEM = tokens.public_pem(tokens.key_for("RS256"))
STATIC = {"jwt_validation_pubkeys": PEM}
ME = "https://graph.microsoft.com/v1.0/me/getMemberObjects"
OKTA = {"provider": "okta", "org_url": "https://example.okta.com", "api_token": "hush"}
OKTA_GROUPS = "https://example.okta.com/api/v1/users/jeff/groups"
ASK_OKTA = OKTA | {"fetch_groups": True, "groups_cap": 1}
GROUPS = "https://vault/groups"


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def run(scenario, entries=None):
    async def main():
        async with Mounted(entries) as mounted:
            return await scenario(mounted)

    return asyncio.run(main())


async def setup(mounted, provider, role: dict[str, Any] | None = None):
    await mounted.write("config", STATIC | {"provider_config": provider})
    await mounted.write("role/demo", ROLE | (role or {}))


async def login(mounted, claims: dict[str, Any] | None = None, **data):
    sent = {"role": "demo", "jwt": tokens.token(CLAIMS | (claims or {}))} | data
    return (await mounted.ask(Operation.UPDATE, "login", sent)).auth


async def denied(mounted, claims: dict[str, Any] | None = None, **data):
    with pytest.raises(LoginDenied) as caught:
        await login(mounted, claims, **data)
    assert "hush" not in caught.value.message
    return caught.value.code, caught.value.message


def names(auth):
    return [alias.name for alias in auth.group_aliases]


# Configuration.

CONFIGS = [
    ({"provider": "azure", "fetch_groups": True}, {}),
    ({"provider": "azure", "unknown": {"a": [1.5]}}, {}),
    ({"provider": "secureauth"}, {}),
    ({"provider": "ibmisam"}, {}),
    (OKTA, {"api_token"}),
    ({"provider": "gsuite", "groups_recurse_max_depth": 3, "domain": "a"}, {}),
]


@pytest.mark.parametrize(
    ("provider", "hidden"), CONFIGS, ids=[str(at) for at in range(len(CONFIGS))]
)
def test_a_write_and_what_is_read(provider, hidden):
    async def scenario(mounted):
        await setup(mounted, provider)
        assert mounted.storage.json("config")["provider_config"] == provider
        data = (await mounted.ask(Operation.READ, "config")).data
        assert data["status"] == "valid"
        shown = {name: value for name, value in provider.items() if name not in hidden}
        assert json.loads(json.dumps(data["provider_config"], default=float)) == shown
        assert mounted.fetcher.asked == []

    run(scenario)


REFUSED = [
    ({"fetch_groups": True}, "'provider' field not found in provider_config"),
    (
        {"provider": "nobody"},
        (
            'provider "nobody" not found in custom providers; known are azure, gsuite, ibmisam, '
            "kubernetes, okta, secureauth"
        ),
    ),
    (
        {"provider": "azure", "fetch_groups": "true"},
        (
            "error initializing \"azure\" provider_config: 'fetch_groups' must be a boolean, "
            "is a string"
        ),
    ),
    (
        OKTA | {"org_url": "http://example.okta.com"},
        "error initializing \"okta\" provider_config: 'org_url' must be an https URL with a host",
    ),
    (
        {"provider": "gsuite", "gsuite_service_account": "hush"},
        (
            "error initializing \"gsuite\" provider_config: 'gsuite_service_account' can't be "
            "used: it is neither JSON nor the path of a file"
        ),
    ),
]


@pytest.mark.parametrize(("provider", "text"), REFUSED, ids=[str(at) for at in range(len(REFUSED))])
def test_a_write_that_is_refused(provider, text):
    async def scenario(mounted):
        sent = STATIC | {"provider_config": provider}
        with pytest.raises(UserError) as caught:
            await mounted.ask(Operation.UPDATE, "config", sent)
        assert (caught.value.code, caught.value.message) == ("provider_invalid", text)
        assert mounted.storage.entries == {}
        # It is the last of the checks.
        for earlier, start in [
            ({"jwt_supported_algs": "none"}, "invalid jwt_supported_algs"),
            ({"oidc_response_mode": "x"}, "invalid oidc_response_mode"),
            ({"jwks_url": "u"}, "exactly one of"),
        ]:
            with pytest.raises(UserError) as caught:
                await mounted.ask(Operation.UPDATE, "config", sent | earlier)
            assert caught.value.message.startswith(start)

    run(scenario)


def test_a_read_looks_at_the_provider_again(tmp_path):
    path = tmp_path / "key.json"
    key = tokens.key_for("RS256", "google")
    from tests.jwt_auth.providers.test_gsuite import pem

    path.write_text(
        json.dumps({"type": "service_account", "client_email": "a@b", "private_key": pem(key)})
    )
    provider = {"provider": "gsuite", "gsuite_service_account": str(path)}

    async def scenario(mounted):
        await setup(mounted, provider, {"groups_claim": ""})
        data = (await mounted.ask(Operation.READ, "config")).data
        assert data["provider_config"] == {"provider": "gsuite"}
        assert (await login(mounted)).alias.name == "jeff"
        path.unlink()
        text = (
            "error initializing \"gsuite\" provider_config: 'gsuite_service_account' can't be "
            "used: it is neither JSON nor the path of a file"
        )
        with pytest.raises(InternalError) as caught:
            await mounted.ask(Operation.READ, "config")
        assert (caught.value.code, caught.value.message) == ("provider_invalid", text)
        # So does every login, and a write can still repair it.
        assert await denied(mounted) == (
            "provider_invalid",
            f"failed to load custom provider config: {text}",
        )
        await setup(mounted, {})
        assert names(await login(mounted)) == ["foo", "bar"]

    run(scenario)


def test_a_stored_token_uri_that_is_not_googles_can_be_read():
    """The builtin methods take any."""
    key = {
        "type": "service_account",
        "client_email": "a@b",
        "private_key": "hush",
        "token_uri": "https://oauth2.example/token",
    }
    stored = {
        "jwt_validation_pubkeys": [PEM],
        "provider_config": {"provider": "gsuite", "gsuite_service_account": json.dumps(key)},
    }
    text = (
        "error initializing \"gsuite\" provider_config: 'gsuite_service_account' can't be used: "
        "its 'token_uri' is not Google's; the key is not used there"
    )

    async def scenario(mounted):
        await mounted.write("role/demo", ROLE)
        read = await mounted.ask(Operation.READ, "config")
        assert (read.data["status"], read.warnings) == ("invalid", (text,))
        assert await denied(mounted) == (
            "provider_invalid",
            f"failed to load custom provider config: {text}",
        )
        with pytest.raises(UserError) as caught:
            await mounted.ask(Operation.UPDATE, "config", stored)
        assert caught.value.message == text

    run(scenario, {"config": json.dumps(stored).encode()})


STORED = {"jwt_validation_pubkeys": [PEM], "provider_config": {"provider": "nobody"}}


def test_a_stored_provider_that_is_none():
    async def scenario(mounted):
        await mounted.write("role/demo", ROLE)
        text = (
            'provider "nobody" not found in custom providers; known are azure, gsuite, ibmisam, '
            "kubernetes, okta, secureauth"
        )
        assert await denied(mounted) == (
            "provider_invalid",
            f"failed to load custom provider config: {text}",
        )
        # The user claim comes first.
        assert (await denied(mounted, {"https://vault/user": None}))[0] == "user_claim_missing"
        with pytest.raises(InternalError):
            await mounted.ask(Operation.READ, "config")
        await setup(mounted, {})
        assert (await login(mounted)).alias.name == "jeff"

    run(scenario, {"config": json.dumps(STORED).encode()})


# Logins.


@pytest.mark.parametrize("provider", [{}, None, {"provider": "azure"}])
def test_who_has_no_provider_is_answered_at_once(provider):
    async def scenario(mounted):
        await mounted.write("config", STATIC | {"provider_config": provider})
        await mounted.write("role/demo", ROLE)
        await login(mounted)
        data = {"role": "demo", "jwt": tokens.token(CLAIMS)}
        answer = mounted.start(Operation.UPDATE, "login", data)
        assert isinstance(answer, Response) is not bool(provider)
        if not isinstance(answer, Response):
            answer = await answer
        assert names(answer.auth) == ["foo", "bar"]

    run(scenario)


SPLIT = [
    ("secureauth", "a,b,,c", ["a", "b", "c"]),
    ("secureauth", ["x,y"], ["x,y"]),
    ("ibmisam", "a b  c", ["a", "b", "c"]),
    ("ibmisam", "", []),
]


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.ALIAS_LOOKAHEAD])
@pytest.mark.parametrize(("provider", "claim", "groups"), SPLIT)
def test_groups_of_one_text(operation, provider, claim, groups):
    async def scenario(mounted):
        await setup(mounted, {"provider": provider})
        sent = {"role": "demo", "jwt": tokens.token(CLAIMS | {GROUPS: claim})}
        auth = (await mounted.ask(operation, "login", sent)).auth
        assert names(auth) == groups
        assert auth.display_name == auth.alias.name == "jeff"
        assert auth.metadata == {"role": "demo"}
        assert auth.policies == ("webapps",)

    run(scenario)


def test_bound_claims_see_the_groups_and_mappings_what_was_before():
    async def scenario(mounted):
        role = {"bound_claims": {GROUPS: "b"}, "claim_mappings": {GROUPS: "all"}}
        await setup(mounted, {"provider": "secureauth"}, role)
        auth = await login(mounted, {GROUPS: "a,b"})
        assert names(auth) == ["a", "b"]
        assert auth.metadata == {"all": "a,b", "role": "demo"}
        assert (await denied(mounted, {GROUPS: "a,c"}))[0] == "bound_claim_mismatch"

    run(scenario)


def test_policy_templates_see_the_groups():
    async def scenario(mounted):
        role = {
            "policies": None,
            "token_policies": "{{ index .groups 1 }}",
            "token_policies_template_claims": True,
            "groups_claim": "groups",
        }
        await setup(mounted, {"provider": "secureauth"}, role)
        assert (await login(mounted, {"groups": "a,b"})).policies == ("b",)

    run(scenario)


@pytest.mark.parametrize(
    "provider",
    [
        {"provider": "secureauth"},
        {"provider": "ibmisam"},
        {"provider": "gsuite"},
        OKTA,
    ],
    ids=lambda provider: provider["provider"],
)
@pytest.mark.parametrize("claims", [{}, {"a": None}, {"a": "x"}, {"a": []}, {"a": {"g": None}}])
def test_a_pointer_whose_parent_is_missing(provider, claims):
    async def scenario(mounted):
        await setup(mounted, provider, {"groups_claim": "/a/g"})
        assert await denied(mounted, claims) == (
            "groups_claim_missing",
            'claim "/a/g" (the role\'s groups_claim) is missing',
        )

    run(scenario)


def test_fetched_groups_without_a_place_are_missing():
    async def scenario(mounted):
        mounted.fetcher.documents[ME] = {"value": ["g"]}
        await setup(mounted, {"provider": "azure", "fetch_groups": True}, {"groups_claim": "/a/g"})
        code, _ = await denied(mounted, distributed_claim_access_token="t")
        assert code == "groups_claim_missing"
        auth = await login(mounted, {"a": {}}, distributed_claim_access_token="t")
        assert names(auth) == ["g"]

    run(scenario)


def test_gsuite_without_fetch_groups_erases_the_claim():
    async def scenario(mounted):
        await setup(mounted, {"provider": "gsuite"})
        assert (await denied(mounted))[0] == "groups_claim_missing"
        await setup(mounted, {"provider": "gsuite"}, {"groups_claim": ""})
        assert names(await login(mounted)) == []
        assert mounted.fetcher.asked == []

    run(scenario)


def test_azure_with_the_token_that_was_sent():
    async def scenario(mounted):
        mounted.fetcher.documents[ME] = {"value": ["g1", "g2"]}
        await setup(mounted, {"provider": "azure", "fetch_groups": True})
        auth = await login(mounted, distributed_claim_access_token="eyJ.hush")
        assert names(auth) == ["g1", "g2"]
        (sent,) = mounted.fetcher.sent
        assert (sent.method, sent.url) == ("POST", ME)
        assert sent.headers["Authorization"] == "Bearer eyJ.hush"
        mounted.fetcher.sent.clear()
        sent_tokens: list[dict[str, Any]] = [{}, {"distributed_claim_access_token": ""}]
        for data in sent_tokens:
            assert await denied(mounted, None, **data) == (
                "provider_access_token",
                (
                    "failed to fetch groups: azure: no access token to call the Microsoft Graph "
                    "API with; send one as distributed_claim_access_token"
                ),
            )
        assert mounted.fetcher.sent == []

    run(scenario)


def test_azure_by_the_source_in_the_token():
    endpoint = "https://graph.microsoft.com/v1.0/users/1/getMemberObjects"
    claims = {
        GROUPS: None,
        "_claim_names": {GROUPS: "src1"},
        "_claim_sources": {"src1": {"endpoint": endpoint}},
    }

    async def scenario(mounted):
        mounted.fetcher.documents[endpoint] = {"value": ["g"]}
        await setup(mounted, {"provider": "azure"})
        auth = await login(mounted, claims, distributed_claim_access_token="t")
        assert names(auth) == ["g"]
        claims["_claim_sources"] = {"src1": {"endpoint": "https://evil.example/"}}
        code, text = await denied(mounted, claims, distributed_claim_access_token="hush")
        assert code == "provider_endpoint"
        assert text.startswith("failed to fetch groups: azure: the endpoint in the token's")
        assert [request.url for request in mounted.fetcher.sent] == [endpoint]

    run(scenario)


def test_nothing_is_fetched_without_a_groups_claim():
    async def scenario(mounted):
        await setup(mounted, {"provider": "azure", "fetch_groups": True}, {"groups_claim": ""})
        assert names(await login(mounted)) == []
        assert mounted.fetcher.sent == []

    run(scenario)


PROFILES = [{"profile": {"name": "g"}}]


def test_what_is_checked_before_groups_are_fetched_and_what_after():
    async def scenario(mounted):
        mounted.fetcher.documents[OKTA_GROUPS] = PROFILES
        settings = ASK_OKTA | {"user_id_claim": "https://vault/user"}
        role = {"claim_mappings": {"team": "team"}, "bound_claims": {GROUPS: "g"}}
        await setup(mounted, settings, role)
        assert names(await login(mounted)) == ["g"]
        assert len(mounted.fetcher.sent) == 1
        rows: list[tuple[dict[str, Any], str]] = [
            ({"exp": tokens.NOW - 600}, "expired"),
            ({"https://vault/user": None}, "user_claim_missing"),
            ({"team": 5}, "mapped_claim_type"),
            ({"https://vault/user": "."}, "provider_user_id"),
        ]
        for claims, code in rows:
            assert (await denied(mounted, claims))[0] == code
            assert len(mounted.fetcher.sent) == 1
        await setup(mounted, settings, role | {"bound_claims": {GROUPS: "other"}})
        assert (await denied(mounted))[0] == "bound_claim_mismatch"
        assert len(mounted.fetcher.sent) == 2

    run(scenario)


def test_a_token_of_another_key_reaches_no_provider():
    async def scenario(mounted):
        await setup(mounted, ASK_OKTA)
        jwt = tokens.token(CLAIMS, key=tokens.key_for("RS256", "b"))
        with pytest.raises(LoginDenied):
            await mounted.login(jwt)
        assert mounted.fetcher.sent == []

    run(scenario)


def test_another_configuration_has_another_provider():
    async def scenario(mounted):
        await setup(mounted, {"provider": "secureauth"})
        assert names(await login(mounted, {GROUPS: "a,b c"})) == ["a", "b c"]
        await setup(mounted, {"provider": "ibmisam"})
        assert names(await login(mounted, {GROUPS: "a,b c"})) == ["a,b", "c"]
        # And one that another node wrote.
        stored = mounted.storage.json("config") | {"provider_config": {"provider": "secureauth"}}
        mounted.storage.entries["config"] = StorageEntry(
            key="config", value=json.dumps(stored).encode()
        )
        mounted.backend.invalidate_key("config")
        assert names(await login(mounted, {GROUPS: "a,b c"})) == ["a", "b c"]

    run(scenario)


def test_keys_that_are_fetched_first():
    url = "https://issuer.example/keys"

    async def scenario(mounted):
        jwk = tokens.public_jwk(tokens.key_for("RS256"), kid="1")
        mounted.fetcher.documents[url] = {"keys": [jwk]}
        config = {"jwks_url": url, "provider_config": {"provider": "secureauth"}}
        await mounted.write("config", config)
        await mounted.write("role/demo", ROLE)
        mounted.backend.invalidate_key("config")
        jwt = tokens.token(CLAIMS | {GROUPS: "a,b"}, header={"kid": "1"})
        assert names((await mounted.login(jwt)).auth) == ["a", "b"]
        # A key that is new: the login fetches, then asks the provider.
        other = tokens.key_for("RS256", "b")
        mounted.fetcher.documents[url] = {"keys": [tokens.public_jwk(other, kid="2")]}
        mounted.now += 60
        jwt = tokens.token(CLAIMS | {GROUPS: "c,d"}, header={"kid": "2"}, key=other)
        assert names((await mounted.login(jwt)).auth) == ["c", "d"]

    run(scenario)


def test_user_info_becomes_metadata_but_no_other_name(monkeypatch):
    from tests.jwt_auth.providers.test_gsuite import ACCOUNT

    claims = {"Prefs": {"team": "of the token"}, "who": {"name": "jeff"}}
    role = {
        "user_claim": "/who/name",
        "user_claim_json_pointer": True,
        "claim_mappings": {"/Prefs/team": "team"},
        "bound_claims": {"/Prefs/team": "a"},
        "groups_claim": "",
    }
    provider = {
        "provider": "gsuite",
        "gsuite_service_account": ACCOUNT,
        "fetch_user_info": True,
        "user_custom_schemas": "Prefs,who",
    }
    user = (
        "https://admin.googleapis.com/admin/directory/v1/users/jeff?projection=custom"
        "&customFieldMask=Prefs%2Cwho&fields=customSchemas"
    )

    async def scenario(mounted):
        mounted.fetcher.documents |= {
            "https://oauth2.googleapis.com/token": {"access_token": "t", "expires_in": 3599},
            user: {"customSchemas": {"Prefs": {"team": "a"}, "who": {"name": "root"}}},
        }
        await setup(mounted, provider, role)
        auth = await login(mounted, claims)
        assert auth.metadata == {"team": "a", "role": "demo"}
        assert auth.display_name == auth.alias.name == "jeff"
        mounted.fetcher.documents[user] = {"customSchemas": {"Prefs": {"team": 5}}}
        assert (await denied(mounted, claims))[0] == "mapped_claim_type"

    run(scenario)


def test_a_login_that_is_given_up():
    async def scenario(mounted):
        await setup(mounted, ASK_OKTA | {"user_id_claim": "https://vault/user"})
        await denied(mounted)
        mounted.fetcher.gate = asyncio.Event()
        mounted.fetcher.asking.clear()
        task = asyncio.create_task(login(mounted))
        await mounted.fetcher.asking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Another login is not held up meanwhile, nor is this one's session left open.
        mounted.fetcher.gate = None
        mounted.fetcher.documents[OKTA_GROUPS] = PROFILES
        assert names(await login(mounted)) == ["g"]

    run(scenario)


def test_nothing_of_a_login_is_logged(caplog):
    async def scenario(mounted):
        await setup(mounted, {"provider": "azure", "fetch_groups": True})
        await denied(mounted, {"sub": CLAIMS["sub"]}, distributed_claim_access_token="eyJ.hush")

    with caplog.at_level(logging.DEBUG):
        run(scenario)
    assert "login denied" in caplog.messages
    shown = [f"{record.message} {record.__dict__}" for record in caplog.records]
    assert not any("hush" in text or "jeff" in text for text in shown)
