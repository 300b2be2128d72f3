from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.jwt_auth import tokens
from tests.jwt_auth.fakes import FakeAPI
from tests.jwt_auth.providers.helpers import (
    NoFetcher,
    asking,
    build_error,
    denial,
    groups_of,
    login,
    outcome_of,
    settings_of,
)
from tests.jwt_auth.providers.stand_in import Answer, StandIn
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.config.provider import build_provider
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import Document
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.providers import ProviderError, _calls
from vault_jwt_plugin.jwt_auth.providers._google import GoogleEndpoints
from vault_jwt_plugin.jwt_auth.providers.gsuite import SCOPES, GSuite

SCOPE = " ".join(SCOPES)
CLOUD = "https://www.googleapis.com/auth/cloud-platform"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
USER = {"sub": "ann@example.com"}


def pem(key: Any, form: Any = serialization.PrivateFormat.PKCS8) -> str:
    raw = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return str(raw.decode())


KEY = tokens.key_for("RS256", "google")
FILE = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "k1",
    "private_key": pem(KEY),
    "client_email": "robot@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
ACCOUNT = json.dumps(FILE)


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Google:
    """A script that stands for all of Google's APIs.

    Attributes:
        groups: pages of e-mail addresses by member: the answer, page for page.
        schemas: of every user.
        answers: replaces the answer of a path that starts so.
    """

    def __init__(self, groups=None, schemas=None):
        self.groups = groups or {}
        self.schemas = schemas
        self.answers: dict[str, Any] = {}
        self.tokens = 0
        self.lifetime = 3599

    def __call__(self, asked):
        for prefix, answer in self.answers.items():
            if asked.path.startswith(prefix):
                return answer(asked) if callable(answer) else answer
        if asked.path == "/token":
            self.tokens += 1
            return Answer(body={"access_token": f"ya29.{self.tokens}", "expires_in": self.lifetime})
        if asked.path.startswith("/metadata/"):
            return Answer(body={"access_token": "machine", "expires_in": 3599})
        if asked.path.endswith(":signJwt"):
            return Answer(body={"keyId": "k", "signedJwt": "signed.by.google"})
        if asked.path.endswith(":generateAccessToken"):
            return Answer(body={"accessToken": "generated", "expireTime": "2026-01-01T00:00:00Z"})
        if asked.path == "/directory/groups":
            pages = self.groups.get(asked.query["userKey"], [[]])
            at = int(asked.query.get("pageToken", 0))
            body: dict[str, Any] = {"groups": [{"email": email} for email in pages[at]]}
            if at + 1 < len(pages):
                body["nextPageToken"] = str(at + 1)
            return Answer(body=body)
        return Answer(body={} if self.schemas is None else {"customSchemas": self.schemas})


def endpoints_of(api):
    return GoogleEndpoints(
        token=api.origin + "/token",
        iam=api.origin + "/iam/v1",
        directory=api.origin + "/directory",
        metadata=api.origin + "/metadata",
    )


def made(api, **options):
    members = {"gsuite_service_account": ACCOUNT} | options
    return lambda fetcher: GSuite(
        settings_of("gsuite", **members), Trust(), fetcher, endpoints=endpoints_of(api)
    )


def fetching(api, **options):
    return made(api, fetch_groups=True, **options)


# Groups.


def test_what_is_sent_for_groups():
    google = Google({"ann@example.com": [["a@x", "b@x"]]})
    with StandIn(google) as api:
        assert groups_of(fetching(api), login(USER)) == ["a@x", "b@x"]
    token, groups = api.asked
    assert (token.method, token.target) == ("POST", "/token")
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token.form["grant_type"] == JWT_BEARER
    assert set(token.form) == {"grant_type", "assertion"}
    assertion = jwt.decode(token.form["assertion"], RSAKey.import_key(pem(KEY)), ["RS256"])
    assert assertion.header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    issued_at = assertion.claims["iat"]
    assert abs(issued_at - time.time()) < 60
    assert assertion.claims == {
        "iss": "robot@p.iam.gserviceaccount.com",
        "scope": SCOPE,
        "aud": api.origin + "/token",
        "iat": issued_at,
        "exp": issued_at + 3600,
    }
    assert (groups.method, groups.path, groups.body) == ("GET", "/directory/groups", b"")
    assert groups.query == {
        "userKey": "ann@example.com",
        "fields": "nextPageToken,groups(email)",
    }
    assert groups.headers["authorization"] == "Bearer ya29.1"
    assert token.connection == groups.connection


def test_acting_as_an_administrator_and_for_one_domain():
    with StandIn(Google()) as api:
        make = fetching(api, gsuite_admin_impersonate="boss@example.com", domain="example.com")
        assert groups_of(make, login(USER)) == []
    token, groups = api.asked
    assertion = jwt.decode(token.form["assertion"], RSAKey.import_key(pem(KEY)), ["RS256"])
    assert assertion.claims["sub"] == "boss@example.com"
    assert groups.query["domain"] == "example.com"


TREE = {
    "ann@example.com": [["a@x"], ["b@x", "a@x"]],
    "a@x": [["c@x", "b@x"]],
    "b@x": [["a@x", "ann@example.com"]],
    "c@x": [["d@x"]],
    "d@x": [["e@x"]],
}


@pytest.mark.parametrize(
    ("depth", "groups", "members"),
    [
        (0, ["a@x", "b@x"], 1),
        (1, ["a@x", "b@x", "c@x", "ann@example.com"], 3),
        (2, ["a@x", "b@x", "c@x", "ann@example.com", "d@x"], 4),
        (3, ["a@x", "b@x", "c@x", "ann@example.com", "d@x", "e@x"], 5),
        (50, ["a@x", "b@x", "c@x", "ann@example.com", "d@x", "e@x"], 6),
    ],
)
def test_recursion(depth, groups, members):
    with StandIn(Google(TREE)) as api:
        assert groups_of(fetching(api, groups_recurse_max_depth=depth), login(USER)) == groups
    asked = [each.query["userKey"] for each in api.asked if each.path == "/directory/groups"]
    assert len(set(asked)) == members


def test_each_group_is_reached_by_its_shortest_way():
    # By depth, c@x would be met at the end of a@x -> b@x, and not be gone into.
    tree = {"u": [["a@x", "c@x"]], "a@x": [["b@x"]], "b@x": [["c@x"]], "c@x": [["d@x"]]}
    with StandIn(Google(tree)) as api:
        groups = groups_of(fetching(api, groups_recurse_max_depth=1), login({"sub": "u"}))
    assert groups == ["a@x", "c@x", "b@x", "d@x"]


def test_without_fetch_groups_the_claim_is_erased():
    provider = GSuite(settings_of("gsuite"), Trust(), NoFetcher())
    assert asyncio.run(provider.fetch_groups(login({"groups": ["a"], **USER}))) is None


def test_groups_without_an_address_are_passed_over():
    with StandIn(Google()) as api:
        google = api.script
        google.answers["/directory/groups"] = Answer(
            body={"groups": [{"email": ""}, {"email": None}, {}, None, {"email": "a@x"}]}
        )
        # "" would list every group there is.
        assert groups_of(fetching(api, groups_recurse_max_depth=0), login(USER)) == ["a@x"]


@pytest.mark.parametrize("groups", [None, []])
def test_no_groups(groups):
    with StandIn(Google()) as api:
        api.script.answers["/directory/groups"] = Answer(body={"groups": groups})
        assert groups_of(fetching(api), login(USER)) == []


def test_pages_without_end(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.providers.gsuite.MAX_PAGES", 3)
    with StandIn(Google()) as api:
        api.script.answers["/directory/groups"] = Answer(body={"nextPageToken": "again"})
        code, message = denial(fetching(api), login(USER))
    assert code == "provider_too_many_pages"
    assert message == "gsuite: Google's Directory API answers in more than 3 pages"
    assert api.paths.count("/directory/groups") == 3


def test_too_many_groups(monkeypatch):
    monkeypatch.setattr(_calls, "MAX_GROUPS", 3)
    with StandIn(Google(TREE)) as api:
        code, message = denial(fetching(api, groups_recurse_max_depth=2), login(USER))
    assert code == "provider_too_many_groups"
    assert message == "gsuite: the bearer is in more than 3 groups"


USERS = [
    ({"sub": "a@x"}, "sub", "a@x"),
    ({"sub": "a b&c=d/é"}, "sub", "a b&c=d/é"),
    ({"a": {"b": "u"}}, "/a/b", "u"),
]


@pytest.mark.parametrize(("claims", "user_claim", "user"), USERS, ids=[row[2] for row in USERS])
def test_the_user_that_is_asked_for(claims, user_claim, user):
    with StandIn(Google()) as api:
        groups_of(fetching(api), login(claims, user_claim=user_claim))
    assert api.asked[-1].query["userKey"] == user


@pytest.mark.parametrize("info", [True, False], ids=["user info", "groups"])
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "missing"),
        ("", "an empty string"),
        (5, "a number"),
        (["a"], "a list"),
        (".", "a step of a path"),
        ("..", "a step of a path"),
    ],
)
def test_users_that_can_not_be_asked_for(info, value, found):
    members = {"fetch_groups": True, "fetch_user_info": True, "user_custom_schemas": "a"}
    provider = GSuite(settings_of("gsuite", **members), Trust(), NoFetcher())
    wanted = login({"sub": value})
    with pytest.raises(LoginDenied) as caught:
        asyncio.run((provider.fetch_user_info if info else provider.fetch_groups)(wanted))
    assert caught.value.code == "provider_user_id"
    assert caught.value.message == (
        f'gsuite: claim "sub" must be a string that names the user, is {found}'
    )


# User info.


def info_of(make, wanted):
    return asking(make, lambda provider: provider.fetch_user_info(wanted))


def test_custom_schemas_become_claims():
    schemas = {"Prefs": {"team": "a"}, "Empty": None, "sub": {"not": "asked for"}}
    with StandIn(Google(schemas=schemas)) as api:
        make = made(api, fetch_user_info=True, user_custom_schemas="Prefs, Empty")
        assert info_of(make, login(USER)) == {"Prefs": {"team": "a"}, "Empty": {}}
    asked = api.asked[-1]
    assert (asked.method, asked.path) == ("GET", "/directory/users/ann%40example.com")
    assert asked.query == {
        "projection": "custom",
        "customFieldMask": "Prefs, Empty",
        "fields": "customSchemas",
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fetch_user_info": True},
        {"user_custom_schemas": "Prefs"},
        {"fetch_user_info": False, "user_custom_schemas": "Prefs"},
    ],
)
def test_nothing_to_ask_for(options):
    provider = GSuite(settings_of("gsuite", **options), Trust(), NoFetcher())
    assert asyncio.run(provider.fetch_user_info(login(USER))) == {}


def test_schemas_without_fetch_user_info_are_warned_of_once(caplog):
    members = {"user_custom_schemas": "Prefs", "gsuite_service_account": ACCOUNT}
    provider = GSuite(settings_of("gsuite", **members), Trust(), NoFetcher())
    with caplog.at_level(logging.WARNING):
        asyncio.run(provider.check())
        asyncio.run(provider.check())
    assert caplog.messages == [
        "gsuite: user_custom_schemas does nothing without fetch_user_info=true"
    ]


def test_a_user_without_schemas():
    with StandIn(Google()) as api:
        make = made(api, fetch_user_info=True, user_custom_schemas="Prefs")
        assert info_of(make, login(USER)) == {}


# Bad answers.

DIRECTORY = "gsuite: calling Google's Directory API failed: "
ANSWER = "gsuite: the answer of Google's Directory API is not usable: "
TOKEN = "gsuite: calling Google's token endpoint failed: "
NO_TOKEN = "gsuite: the answer of Google's token endpoint is not usable: it holds no 'access_token'"

BAD = [
    ("/token", Answer(status=400, body={"error": "hush"}), "http_status", TOKEN + "it answered"),
    ("/token", Answer(status=500), "http_status", TOKEN + "it answered with HTTP status 500"),
    ("/token", Answer(body=b"<"), "not_json", TOKEN + "its answer is not JSON"),
    ("/token", Answer(body=[]), "answer", NO_TOKEN),
    ("/token", Answer(body={}), "answer", NO_TOKEN),
    ("/token", Answer(body={"access_token": ""}), "answer", NO_TOKEN),
    ("/token", Answer(body={"access_token": 5}), "answer", NO_TOKEN),
    ("/token", Answer(body={"access_token": "a\r\nX: y"}), "answer", NO_TOKEN),
    (
        "/token",
        Answer(status=307, headers=[("Location", "https://evil.example/")]),
        "redirect_refused",
        TOKEN + "it redirects",
    ),
    ("/directory", Answer(status=403), "http_status", DIRECTORY + "it answered with HTTP status"),
    ("/directory", Answer(status=404), "http_status", DIRECTORY + "it answered with HTTP status"),
    ("/directory", Answer(body=b"{"), "not_json", DIRECTORY + "its answer is not JSON"),
    ("/directory", Answer(body=b" " * 5_000_000), "too_large", DIRECTORY + "its answer is larger"),
    ("/directory", Answer(body=[]), "answer", ANSWER + "it must be an object, is a list"),
    ("/directory", Answer(body=None), "answer", ANSWER + "it must be an object, is null"),
]
BAD_GROUPS = [
    ({"groups": {}}, "its 'groups' must be a list, is an object"),
    ({"groups": "a"}, "its 'groups' must be a list, is a string"),
    ({"groups": ["a"]}, "a group must be an object, is a string"),
    ({"groups": [[]]}, "a group's 'email' must be a string, is a list"),
    ({"groups": [{"email": 5}]}, "a group's 'email' must be a string, is a number"),
    ({"nextPageToken": 5}, "its 'nextPageToken' must be a string, is a number"),
    ({"nextPageToken": ["a"]}, "its 'nextPageToken' must be a string, is a list"),
]
BAD_SCHEMAS = [
    ({"customSchemas": []}, "its 'customSchemas' must be an object, is a list"),
    ({"customSchemas": "a"}, "its 'customSchemas' must be an object, is a string"),
    ({"customSchemas": {"Prefs": "a"}}, "a custom schema must be an object, is a string"),
    ({"customSchemas": {"Prefs": ["a"]}}, "a custom schema must be an object, is a list"),
]


@pytest.mark.parametrize("info", [True, False], ids=["user info", "groups"])
@pytest.mark.parametrize(
    ("path", "answer", "code", "text"), BAD, ids=[str(at) for at in range(len(BAD))]
)
def test_bad_answers(info, path, answer, code, text):
    with StandIn(Google()) as api:
        api.script.answers[path] = answer
        make = fetching(api, fetch_user_info=True, user_custom_schemas="Prefs")
        got = denial(make, login(USER), info=info)
    assert got[0] == f"provider_{code}"
    assert got[1].startswith(text)
    assert "ann" not in got[1]


@pytest.mark.parametrize(
    ("body", "problem"),
    [*BAD_GROUPS, *BAD_SCHEMAS],
    ids=[problem for _, problem in [*BAD_GROUPS, *BAD_SCHEMAS]],
)
def test_answers_of_another_form(body, problem):
    with StandIn(Google()) as api:
        api.script.answers["/directory"] = Answer(body=body)
        make = fetching(api, fetch_user_info=True, user_custom_schemas="Prefs")
        got = denial(make, login(USER), info="customSchemas" in body)
    assert got == ("provider_answer", ANSWER + problem)


def test_apis_that_hang(monkeypatch):
    # Long enough for what comes before on a busy machine.
    monkeypatch.setattr(_calls, "LOGIN_DEADLINE_S", 1.5)
    for path, text in [("/token", TOKEN), ("/directory", DIRECTORY)]:
        with StandIn(Google()) as api:
            api.script.answers[path] = Answer(hang=True)
            code, message = denial(fetching(api), login(USER))
        assert code == "provider_timeout"
        assert message.startswith(text + "it did not answer completely within ")


# Tokens.


def twice(provider):
    async def scenario():
        return [await provider.fetch_groups(login(USER)) for _ in range(2)]

    return scenario()


def test_a_token_serves_until_it_ends():
    with StandIn(Google({"ann@example.com": [["a@x"]]})) as api:
        assert asking(fetching(api), twice) == [["a@x"], ["a@x"]]
    assert api.paths == ["/token", "/directory/groups", "/directory/groups"]


@pytest.mark.parametrize("lifetime", [0, 60, -5, "3599", None, True])
def test_a_token_that_ends_soon_or_does_not_say_is_not_kept(lifetime):
    with StandIn(Google()) as api:
        api.script.lifetime = lifetime
        asking(fetching(api), twice)
    assert api.paths.count("/token") == 2


def test_a_token_that_was_revoked_is_replaced_once():
    revoked = ["ya29.1"]

    def groups(asked):
        used = asked.headers["authorization"].removeprefix("Bearer ")
        if used in revoked and api.paths.count("/directory/groups") > 1:
            return Answer(status=401)
        return Answer(body={"groups": [{"email": "a@x"}]})

    with StandIn(Google()) as api:
        api.script.answers["/directory/groups"] = groups
        assert asking(fetching(api), twice) == [["a@x"], ["a@x"]]
    assert api.script.tokens == 2


def test_another_refusal_says_nothing_about_the_token():
    answers = [Answer(body={}), Answer(status=403), Answer(body={})]
    with StandIn(Google()) as api:
        api.script.answers["/directory"] = lambda _asked: answers.pop(0)

        async def scenario(provider):
            await provider.fetch_groups(login(USER))
            with pytest.raises(LoginDenied) as caught:
                await provider.fetch_groups(login(USER))
            assert caught.value.code == "provider_http_status"
            await provider.fetch_groups(login(USER))

        asking(fetching(api), scenario)
    assert api.paths.count("/token") == 1


def test_a_new_token_that_is_refused_is_not_tried_again():
    with StandIn(Google()) as api:
        api.script.answers["/directory"] = Answer(status=401)
        code, _ = denial(fetching(api), login(USER))
    assert code == "provider_http_status"
    assert api.paths == ["/token", "/directory/groups"]


def test_a_key_file_is_read_at_every_login(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(ACCOUNT)

    async def scenario(provider):
        await provider.fetch_groups(login(USER))
        path.write_text(json.dumps(FILE | {"client_email": "other@p"}))
        await provider.fetch_groups(login(USER))
        path.unlink()
        with pytest.raises(ProviderError) as caught:
            await provider.fetch_groups(login(USER))
        return caught.value.message

    with StandIn(Google()) as api:
        message = asking(fetching(api, gsuite_service_account=str(path)), scenario)
    assert message == (
        INIT + "'gsuite_service_account' can't be used: it is neither JSON nor the path of a file"
    )
    issuers = [
        jwt.decode(asked.form["assertion"], RSAKey.import_key(pem(KEY)), ["RS256"]).claims["iss"]
        for asked in api.asked
        if asked.path == "/token"
    ]
    assert issuers == ["robot@p.iam.gserviceaccount.com", "other@p"]


# Credentials.

INIT = 'error initializing "gsuite" provider_config: '
IN_SETTING = INIT + "'gsuite_service_account' can't be used: "
SMALL = rsa.generate_private_key(65537, 1024)


def check(**members):
    provider = GSuite(settings_of("gsuite", **members), Trust(), NoFetcher())
    asyncio.run(provider.check())


def check_error(**members) -> str:
    with pytest.raises(ProviderError) as caught:
        check(**members)
    assert "hush" not in caught.value.message
    return caught.value.message


def without(name):
    return {key: value for key, value in FILE.items() if key != name}


@pytest.mark.parametrize(
    "file",
    [
        FILE,
        FILE | {"private_key": pem(KEY, serialization.PrivateFormat.TraditionalOpenSSL)},
        without("private_key_id"),
        without("token_uri"),
        FILE | {"token_uri": "https://accounts.google.com/o/oauth2/token"},
        FILE | {"token_uri": "https://www.googleapis.com/oauth2/v3/token"},
        FILE | {"token_uri": "https://oauth2.mtls.googleapis.com:443/token"},
        FILE | {"more": [1]},
    ],
)
def test_keys_that_are_taken(file, tmp_path):
    check(gsuite_service_account=json.dumps(file))
    check(gsuite_service_account="\n " + json.dumps(file, indent=2))
    path = tmp_path / "key.json"
    path.write_text(json.dumps(file))
    check(gsuite_service_account=str(path))


NOT_THE_TYPE = (
    'its \'type\' must be "service_account" (or "authorized_user" in a file of gcloud\'s)'
)
NO_KEY = "its 'private_key' must be an RSA private key of 2048 to 8192 bits in PEM format"
BAD_KEYS = [
    ("{hush", "it is not JSON: "),
    ("{}", NOT_THE_TYPE),
    (json.dumps(FILE | {"type": "external_account"}), NOT_THE_TYPE),
    (json.dumps(FILE | {"type": None}), NOT_THE_TYPE),
    (json.dumps(without("client_email")), "its 'client_email' must be a string, is missing"),
    (
        json.dumps(FILE | {"client_email": ""}),
        "its 'client_email' must be a string, is an empty string",
    ),
    (json.dumps(without("private_key")), "its 'private_key' must be a string, is missing"),
    (json.dumps(FILE | {"private_key": 5}), "its 'private_key' must be a string, is a number"),
    (
        json.dumps(FILE | {"private_key": "hush"}),
        NO_KEY,
    ),
    (
        json.dumps(FILE | {"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}),
        NO_KEY,
    ),
    (
        json.dumps(FILE | {"private_key": pem(SMALL)}),
        NO_KEY,
    ),
    (
        json.dumps(FILE | {"private_key_id": 5}),
        "its 'private_key_id' must be a string, is a number",
    ),
    (
        json.dumps(FILE | {"token_uri": "https://evil.example/token"}),
        "its 'token_uri' is not Google's; the key is not used there",
    ),
    (
        json.dumps(FILE | {"token_uri": "http://oauth2.googleapis.com/token"}),
        "its 'token_uri' is not Google's; the key is not used there",
    ),
    *(
        (
            json.dumps(FILE | {"token_uri": uri}),
            "its 'token_uri' is not Google's; the key is not used there",
        )
        for uri in (
            "https://evilgoogleapis.com/token",
            "https://www.googleapis.com.evil.example/token",
            "https://www.googleapis.com@evil.example/token",
            "https://me@www.googleapis.com/token",
            "https://evil.example/www.googleapis.com",
            "https://evil.example#.googleapis.com",
            "https://evil.example\\.googleapis.com/token",
            "https://x.accounts.google.com/token",
            "https://www.googleapis.com:8443/token",
            "https://www.googleapis.com:port/token",
            "www.googleapis.com/token",
            "https://[",
        )
    ),
    (
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "a",
                "client_secret": "b",
                "refresh_token": "c",
            }
        ),
        "its 'type' must be \"service_account\"",
    ),
    ("/no/such/file", "it is neither JSON nor the path of a file"),
    ("hush", "it is neither JSON nor the path of a file"),
    ("a\x00b", "it is neither JSON nor the path of a file"),
    ("x" * 10_000, "it is neither JSON nor the path of a file"),
    ("/", "it is neither JSON nor the path of a file"),
    ("\ud800", "it is neither JSON nor the path of a file"),
]


@pytest.mark.parametrize(
    ("setting", "problem"), BAD_KEYS, ids=[str(at) for at in range(len(BAD_KEYS))]
)
def test_keys_that_are_not(setting, problem):
    assert check_error(gsuite_service_account=setting).startswith(IN_SETTING + problem)


def test_files_that_can_not_be_used(tmp_path):
    path = tmp_path / "key.json"
    path.write_bytes(b" " * 70_000)
    assert check_error(gsuite_service_account=str(path)) == (
        IN_SETTING + "it is larger than 64 KiB"
    )
    path.write_text("hush")
    assert check_error(gsuite_service_account=str(path)).startswith(IN_SETTING + "it is not JSON: ")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"groups_recurse_max_depth": -1}, "'groups_recurse_max_depth' must be a positive integer"),
        *(
            (
                {"impersonate_principal": principal},
                "'impersonate_principal' must be the e-mail address of a service account",
            )
            for principal in ("a", "a@b/../c@d", "../x@y", "a@b:signJwt", "a b@c", "a@b\n", "@b")
        ),
    ],
)
def test_settings_that_are_refused(settings, problem):
    assert build_error({"provider": "gsuite"} | settings) == INIT + problem


USER_FILE = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "hush1",
    "refresh_token": "hush2",
}


def ambient(api, **options):
    return fetching(api, gsuite_service_account="", **options)


@pytest.mark.parametrize("place", ["variable", "gcloud"])
@pytest.mark.parametrize("file", [FILE, USER_FILE], ids=["key", "user"])
def test_files_of_the_environment(monkeypatch, tmp_path, place, file):
    if place == "variable":
        path = tmp_path / "adc.json"
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    else:
        path = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
        path.parent.mkdir(parents=True)
    path.write_text(json.dumps(file))
    with StandIn(Google({"ann@example.com": [["a@x"]]})) as api:
        assert groups_of(ambient(api), login(USER)) == ["a@x"]
    form = api.asked[0].form
    if file is USER_FILE:
        assert form == {
            "grant_type": "refresh_token",
            "client_id": "id",
            "client_secret": "hush1",
            "refresh_token": "hush2",
        }
    else:
        assert form["grant_type"] == JWT_BEARER


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "it can't be read (no such file or directory)"),
        ("{", "it is not JSON: "),
        ('{"type":"external_account"}', NOT_THE_TYPE),
        (
            '{"type":"authorized_user","client_id":"a","client_secret":"hush"}',
            "its 'refresh_token' must be a string, is missing",
        ),
    ],
)
def test_a_file_of_the_environment_that_can_not_be_used(monkeypatch, tmp_path, content, problem):
    path = tmp_path / "adc.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    where = "the file that GOOGLE_APPLICATION_CREDENTIALS names can't be used: "
    assert check_error().startswith(INIT + where + problem)


def test_the_account_of_the_machine():
    with StandIn(Google()) as api:
        assert groups_of(ambient(api), login(USER)) == []
    token, groups = api.asked
    assert (token.method, token.path) == (
        "GET",
        "/metadata/instance/service-accounts/default/token",
    )
    assert token.query == {"scopes": ",".join(SCOPES)}
    assert token.headers["metadata-flavor"] == "Google"
    assert groups.headers["authorization"] == "Bearer machine"


def test_the_account_of_the_machine_is_asked_past_proxies(monkeypatch):
    with StandIn(Google()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        def make(fetcher):
            return GSuite(
                settings_of("gsuite", fetch_groups=True),
                Trust(),
                fetcher,
                endpoints=GoogleEndpoints(metadata="http://metadata.invalid/metadata"),
            )

        code, _ = denial(make, login(USER))
    assert code == "provider_dns"
    assert proxy.asked == []


def test_no_credentials_anywhere():
    with StandIn(Google()) as api:
        api.script.answers["/metadata"] = Answer(status=404)
        code, message = denial(ambient(api), login(USER))
    assert code == "provider_http_status"
    assert message == (
        "gsuite: calling Google's metadata server (neither gsuite_service_account nor application "
        "default credentials are set) failed: it answered with HTTP status 404, 200 is needed"
    )


PRINCIPAL = "robot@p.iam.gserviceaccount.com"


def test_impersonating_an_account():
    with StandIn(Google()) as api:
        groups_of(ambient(api, impersonate_principal=PRINCIPAL), login(USER))
    machine, generate, groups = api.asked
    assert machine.query == {"scopes": CLOUD}
    assert (generate.method, generate.path) == (
        "POST",
        f"/iam/v1/projects/-/serviceAccounts/{PRINCIPAL}:generateAccessToken",
    )
    assert generate.headers["authorization"] == "Bearer machine"
    assert generate.headers["content-type"] == "application/json"
    assert json.loads(generate.body) == {"lifetime": "3600s", "scope": list(SCOPES)}
    assert groups.headers["authorization"] == "Bearer generated"


def test_impersonating_an_account_that_acts_as_an_administrator():
    with StandIn(Google()) as api:
        make = ambient(
            api, impersonate_principal=PRINCIPAL, gsuite_admin_impersonate="boss@example.com"
        )
        groups_of(make, login(USER))
    machine, sign, token, groups = api.asked
    assert machine.query == {"scopes": CLOUD}
    assert sign.path == f"/iam/v1/projects/-/serviceAccounts/{PRINCIPAL}:signJwt"
    assert sign.headers["authorization"] == "Bearer machine"
    payload = json.loads(json.loads(sign.body)["payload"])
    assert payload == {
        "iss": PRINCIPAL,
        "sub": "boss@example.com",
        "scope": SCOPE,
        "aud": api.origin + "/token",
        "iat": payload["iat"],
        "exp": payload["iat"] + 3600,
    }
    assert token.form == {"grant_type": JWT_BEARER, "assertion": "signed.by.google"}
    assert groups.headers["authorization"] == "Bearer ya29.1"


def test_with_a_key_nobody_is_impersonated():
    with StandIn(Google()) as api:
        groups_of(fetching(api, impersonate_principal=PRINCIPAL), login(USER))
    assert api.paths == ["/token", "/directory/groups"]


@pytest.mark.parametrize(
    ("subject", "answer", "code", "text"),
    [
        ("", Answer(status=403), "http_status", "failed: it answered with HTTP status 403"),
        ("", Answer(body={}), "answer", "is not usable: it holds no 'accessToken'"),
        ("b@x", Answer(status=403), "http_status", "failed: it answered with HTTP status 403"),
        ("b@x", Answer(body=[]), "answer", "is not usable: it holds no 'signedJwt'"),
        ("b@x", Answer(body={"signedJwt": 5}), "answer", "is not usable: it holds no 'signedJwt'"),
    ],
)
def test_an_account_that_can_not_be_impersonated(subject, answer, code, text):
    with StandIn(Google()) as api:
        api.script.answers["/iam"] = answer
        make = ambient(api, impersonate_principal=PRINCIPAL, gsuite_admin_impersonate=subject)
        got = denial(make, login(USER))
    assert got[0] == f"provider_{code}"
    assert "Google's IAM credentials API" in got[1]
    assert text in got[1]


# Where Google is, and whom to trust for it.


class Canned(FakeAPI):
    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer
        self.urls = []

    async def send(self, request, *, deadline_s, max_bytes):
        self.urls.append(request.url.split("?")[0])
        token = {"access_token": "t", "expires_in": 3599}
        return Document(
            json=token if "/token" in request.url else self.answer, digest=b"", max_age_s=None
        )


def test_google_is_where_it_is():
    canned = Canned({})
    members = {"gsuite_service_account": ACCOUNT, "fetch_groups": True}
    config = Config(
        provider_config={"provider": "gsuite"} | members,
        oidc_discovery_ca_pem="PEM",
        override_allowed_server_names=("issuer.internal",),
        unsupported_critical_cert_extensions=("1.2",),
    )
    provider: Any = build_provider(config, canned)
    asyncio.run(provider.fetch_groups(login(USER)))
    assert canned.urls == [
        "https://oauth2.googleapis.com/token",
        "https://admin.googleapis.com/admin/directory/v1/groups",
    ]
    # The issuer's CA vouches for nobody at Google; names and OIDs hold for every call.
    assert canned.trusts == [Trust(server_names=("issuer.internal",), critical_extensions=("1.2",))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["groups", "email", "nextPageToken", "customSchemas"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


CANNED = Canned()
# One provider, whose token is kept: making an assertion takes long.
ANY = GSuite(
    settings_of(
        "gsuite",
        gsuite_service_account=ACCOUNT,
        fetch_groups=True,
        groups_recurse_max_depth=2,
        fetch_user_info=True,
        user_custom_schemas="groups,email",
    ),
    Trust(),
    CANNED,
)


@given(JSON | st.fixed_dictionaries({"groups": st.lists(JSON)}))
@settings(deadline=None)
def test_any_answer_is_groups_or_a_denial(answer):
    CANNED.answer = answer
    outcome = outcome_of(ANY, login(USER))
    if isinstance(outcome, str):
        assert outcome in {"provider_answer", "provider_too_many_pages"}
    else:
        assert all(isinstance(group, str) and group for group in outcome)


@given(JSON | st.fixed_dictionaries({"customSchemas": JSON}))
@settings(deadline=None)
def test_any_answer_is_user_info_or_a_denial(answer):
    CANNED.answer = answer
    try:
        added = asyncio.run(ANY.fetch_user_info(login(USER)))
    except LoginDenied as denied:
        added = {denied.code: {}}
    assert set(added) <= {"groups", "email", "provider_answer"}
    assert all(isinstance(value, dict) for value in added.values())
