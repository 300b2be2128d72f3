from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.jwt_auth.fakes import FakeAPI
from tests.jwt_auth.providers.helpers import NoFetcher, build, build_error, login
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.config.provider import build_provider
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.jwt_auth.providers import PROVIDERS, readable_settings
from vault_jwt_plugin.jwt_auth.providers._calls import (
    LOGIN_DEADLINE_S,
    MAX_GROUPS,
    Calls,
    text_list,
)
from vault_jwt_plugin.jwt_auth.providers._login import with_claim
from vault_jwt_plugin.jwt_auth.providers._settings import Settings

KNOWN = "known are azure, gsuite, ibmisam, kubernetes, okta, secureauth"


@pytest.mark.parametrize("settings", [None, {}])
def test_no_settings_are_no_provider(settings):
    assert build_provider(Config(provider_config=settings), NoFetcher()) is None


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_is_made_by_its_name_alone(name):
    provider = build({"provider": name, "unknown": ["kept", "ignored"]})
    # Kubernetes is a source of keys, which adds nothing to logins.
    assert provider.name == name if name != "kubernetes" else provider is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"fetch_groups": True}, "'provider' field not found in provider_config"),
        ({"provider": None}, "'provider' field not found in provider_config"),
        ({"provider": 1}, "'provider' field not found in provider_config"),
        ({"provider": ["azure"]}, "'provider' field not found in provider_config"),
        ({"Provider": "azure"}, "'provider' field not found in provider_config"),
        ({"provider": ""}, f'provider "" not found in custom providers; {KNOWN}'),
        ({"provider": "Azure"}, f'provider "Azure" not found in custom providers; {KNOWN}'),
        ({"provider": "empty"}, f'provider "empty" not found in custom providers; {KNOWN}'),
        ({"provider": "azure\n"}, f'provider "azure\\n" not found in custom providers; {KNOWN}'),
    ],
)
def test_a_provider_that_is_none(settings, text):
    assert build_error(settings) == text


FLAG = [("azure", "fetch_groups"), ("gsuite", "fetch_groups"), ("gsuite", "fetch_user_info")]
TEXT = [
    ("gsuite", "gsuite_service_account"),
    ("gsuite", "gsuite_admin_impersonate"),
    ("gsuite", "impersonate_principal"),
    ("gsuite", "user_custom_schemas"),
    ("gsuite", "domain"),
    ("okta", "org_url"),
    ("okta", "api_token"),
    ("okta", "user_id_claim"),
    ("okta", "groups_filter"),
]
NUMBER = [("gsuite", "groups_recurse_max_depth"), ("okta", "groups_cap")]

WRONG = [
    *(
        (provider, name, value, f"'{name}' must be a boolean, is {kind}")
        for provider, name in [*FLAG, ("okta", "fetch_groups")]
        for value, kind in [
            ("true", "a string"),
            ("", "an empty string"),
            (1, "another number"),
            ([True], "a list"),
            ({}, "an object"),
        ]
    ),
    *(
        (provider, name, value, f"'{name}' must be a string, is {kind}")
        for provider, name in TEXT
        for value, kind in [(True, "a boolean"), (["x"], "a list"), ({}, "an object")]
    ),
    *(
        (provider, name, value, f"'{name}' must be a whole number, is {kind}")
        for provider, name in NUMBER
        for value, kind in [
            ("5", "a string"),
            (True, "a boolean"),
            (Decimal("5.0"), "another number"),
            (2**63, "another number"),
            ([], "a list"),
        ]
    ),
]


@pytest.mark.parametrize(
    ("provider", "name", "value", "problem"),
    WRONG,
    ids=[f"{provider}-{name}-{value!r}" for provider, name, value, _ in WRONG],
)
def test_settings_are_decoded_strictly(provider, name, value, problem):
    text = build_error({"provider": provider, name: value})
    assert text == f'error initializing "{provider}" provider_config: {problem}'


def test_settings_as_mapstructure_reads_them():
    settings = Settings(
        "x",
        {
            "A": "folded",
            "b": "exact",
            "B": "not this",
            "null": None,
            "number": 5,
            "fraction": Decimal("1.50"),
        },
    )
    assert [settings.text(name) for name in ("a", "b", "null", "none")] == [
        "folded",
        "exact",
        "",
        "",
    ]
    # Go keeps a number's literal, which is a text to it.
    assert (settings.text("number"), settings.text("fraction")) == ("5", "1.50")
    assert (settings.flag("null"), settings.flag("none")) == (False, False)
    assert (settings.whole_number("null"), settings.whole_number("number")) == (0, 5)


def test_secrets_are_not_read_back():
    settings = {
        "provider": "okta",
        "api_token": "hush",
        "API_Token": "hush",
        "gsuite_service_account": "hush",
        "org_url": "https://a",
        "other": [1],
    }
    assert readable_settings(settings) == {"provider": "okta", "org_url": "https://a", "other": [1]}
    assert readable_settings(None) == {}


SET = [
    ({"a": 1}, "a", ["x"], {"a": ["x"]}),
    ({}, "a", ["x"], {"a": ["x"]}),
    ({}, "a/b", ["x"], {"a/b": ["x"]}),
    ({"a": 1}, "/a", ["x"], {"a": ["x"]}),
    ({}, "/a", ["x"], {"a": ["x"]}),
    ({"a": {"c": 1}}, "/a/b", ["x"], {"a": {"c": 1, "b": ["x"]}}),
    ({"a": {"~/": 1}}, "/a/~0~1", ["x"], {"a": {"~/": ["x"]}}),
    ({"a": [1, {"b": 2}]}, "/a/1/b", ["x"], {"a": [1, {"b": ["x"]}]}),
    ({"a": [1, 2]}, "/a/0", ["x"], {"a": [["x"], 2]}),
    ({"a": 1}, "/", ["x"], {"a": 1, "": ["x"]}),
    # The parent is missing, or can hold nothing: the store is skipped.
    ({}, "/a/b", ["x"], {}),
    ({"a": None}, "/a/b", ["x"], {"a": None}),
    ({"a": "t"}, "/a/b", ["x"], {"a": "t"}),
    ({"a": [1]}, "/a/1", ["x"], {"a": [1]}),
    ({"a": [1]}, "/a/-", ["x"], {"a": [1]}),
    ({"a": [1]}, "/a/00", ["x"], {"a": [1]}),
    ({"a": [1]}, "/a/-1", ["x"], {"a": [1]}),
    ({"a": {}}, "/a/b/c", ["x"], {"a": {}}),
    ({"a": 1}, "a", None, {"a": None}),
    ({"a": {}}, "/a/b", None, {"a": {"b": None}}),
]


@pytest.mark.parametrize(
    ("claims", "name", "value", "after"), SET, ids=[str(at) for at in range(len(SET))]
)
def test_setting_a_claim(claims, name, value, after):
    before = repr(claims)
    assert with_claim(VerifiedClaims(claims), ClaimPath.of(name), value) == after
    assert repr(claims) == before


def test_a_pointer_of_many_steps():
    path = ClaimPath.of("/a" * 100_000)
    assert with_claim(VerifiedClaims({"a": {"a": 1}}), path, ["x"]) == {"a": {"a": 1}}


def test_a_login_does_not_show_its_access_token():
    assert "hush" not in repr(login({}, access_token="hush"))


class Session(FakeAPI):
    def __init__(self, error=None):
        super().__init__()
        self.error = error
        self.deadlines = []

    async def send(self, request, *, deadline_s, max_bytes):
        self.deadlines.append(deadline_s)
        if self.error is not None:
            raise self.error


def test_calls_share_a_deadline():
    session = Session()
    now = [100.0]

    async def scenario():
        with Calls("okta", session, trust=Trust(), monotonic=lambda: now[0]) as calls:
            for passed in (0.0, LOGIN_DEADLINE_S - 5, 4.5):
                now[0] += passed
                await calls.send(APIRequest(url="https://a"), "the API")
            now[0] += 0.5
            with pytest.raises(LoginDenied) as caught:
                await calls.send(APIRequest(url="https://a"), "the API")
        return caught.value

    denied = asyncio.run(scenario())
    assert denied.code == "provider_timeout"
    assert denied.message == (
        "okta: calling the API failed: the calls of this login took longer than 30 s in all"
    )
    assert session.deadlines == [9.5, 5.0, 0.5]
    assert session.closed


def test_a_failed_call_says_why_and_not_where():
    error = FetchError("tls_name", "can't use hush", url="hush", problem="wrong name", status=None)

    async def scenario():
        with Calls("okta", Session(error), trust=Trust()) as calls:
            await calls.send(APIRequest(url="https://a"), "the API")

    with pytest.raises(LoginDenied) as caught:
        asyncio.run(scenario())
    assert caught.value.code == "provider_tls_name"
    assert caught.value.message == "okta: calling the API failed: wrong name"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the groups must be a list, are null"),
        ("a", "the groups must be a list, are a string"),
        ({"a": 1}, "the groups must be a list, are an object"),
        (["a", 1], "a group must be a string, is a number"),
        (["a", None], "a group must be a string, is null"),
        ([["a"]], "a group must be a string, is a list"),
    ],
)
def test_lists_of_text(value, problem):
    with pytest.raises(LoginDenied) as caught:
        text_list("azure", "the API", value)
    assert caught.value.code == "provider_answer"
    assert caught.value.message == f"azure: the answer of the API is not usable: {problem}"


def test_too_many_groups():
    assert len(text_list("azure", "the API", ["a"] * MAX_GROUPS)) == MAX_GROUPS
    with pytest.raises(LoginDenied) as caught:
        text_list("azure", "the API", ["a"] * (MAX_GROUPS + 1))
    assert caught.value.code == "provider_too_many_groups"
    assert caught.value.message == "azure: the bearer is in more than 20000 groups"
