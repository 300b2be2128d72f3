from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.fakes import FakeAPI
from tests.jwt_auth.providers.helpers import (
    NoFetcher,
    asking,
    build,
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
from vault_jwt_plugin.jwt_auth.providers import _calls
from vault_jwt_plugin.jwt_auth.providers.azure import Azure, GraphEndpoints

CA = Authority()
CERTIFICATE = CA.issue("127.0.0.1")
TOKEN = "eyJ.hush.x"
GUIDS = ["6b3f0a5e-0000-4000-8000-000000000001", "6b3f0a5e-0000-4000-8000-000000000002"]


def distributed(endpoint, name="groups", source="src1"):
    return {"_claim_names": {name: source}, "_claim_sources": {source: {"endpoint": endpoint}}}


def made(api, ca_pem=CA.pem, **options):
    """A provider that takes the stand-in for Microsoft Graph."""
    endpoints = GraphEndpoints(
        me=api.origin + "/v1.0/me/getMemberObjects",
        origins=frozenset({api.origin}),
        legacy={"https://graph.windows.net": api.origin},
    )
    return lambda fetcher: Azure(
        settings_of("azure", **options),
        Trust(ca_pem=ca_pem),
        fetcher,
        endpoints=endpoints,
    )


def test_groups_in_the_token_are_not_asked_for():
    provider = build({"provider": "azure"})
    for value in (["a"], "a", [], 5, {"a": 1}):
        wanted = login({"groups": value, **distributed("https://evil.example/")})
        assert asyncio.run(provider.fetch_groups(wanted)) == value


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("/v1.0/users/1/getMemberObjects", "/v1.0/users/1/getMemberObjects"),
        ("/x?api-version=1&b=%20#frag", "/x?api-version=1&b=%20"),
        ("", "/"),
        # What is left without the line break is a path like another.
        ("/a\r\nX:y", "/aX:y"),
    ],
)
def test_what_is_sent_for_a_distributed_claim(endpoint, target):
    with StandIn({"value": GUIDS}, certificate=CERTIFICATE) as api:
        wanted = login(distributed(api.origin + endpoint), access_token=TOKEN)
        assert groups_of(made(api), wanted) == GUIDS
    (asked,) = api.asked
    assert (asked.method, asked.target) == ("POST", target)
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {"securityEnabledOnly": False}


def test_the_retired_api_is_replaced():
    with StandIn({"value": []}, certificate=CERTIFICATE) as api:
        endpoint = "https://graph.windows.net/tenant/users/1/getMemberObjects"
        assert groups_of(made(api), login(distributed(endpoint), access_token=TOKEN)) == []
    assert api.paths == ["/v1.0/tenant/users/1/getMemberObjects"]


@pytest.mark.parametrize("claims", [{}, {"groups": ["in the token"]}], ids=["none", "some"])
def test_fetch_groups_always_asks_for_the_bearer(claims):
    with StandIn({"value": GUIDS}, certificate=CERTIFICATE) as api:
        wanted = login(claims, access_token=TOKEN)
        assert groups_of(made(api, fetch_groups=True), wanted) == GUIDS
    assert [(asked.method, asked.path) for asked in api.asked] == [
        ("POST", "/v1.0/me/getMemberObjects")
    ]


REAL = [
    ("https://graph.microsoft.com/v1.0/a?b=c", "https://graph.microsoft.com/v1.0/a?b=c"),
    ("https://graph.microsoft.com:443/a", "https://graph.microsoft.com/a"),
    ("HTTPS://GRAPH.Microsoft.com/a", "https://graph.microsoft.com/a"),
    ("https://graph.microsoft.us/a", "https://graph.microsoft.us/a"),
    ("https://dod-graph.microsoft.us/a", "https://dod-graph.microsoft.us/a"),
    ("https://microsoftgraph.chinacloudapi.cn/a", "https://microsoftgraph.chinacloudapi.cn/a"),
    ("https://graph.windows.net/t/users/1", "https://graph.microsoft.com/v1.0/t/users/1"),
    ("https://graph.microsoftazure.us/t", "https://graph.microsoft.us/v1.0/t"),
    # What is sent is put together from the pinned origin: nothing of the text can move the host.
    ("https://graph.microsoft.com//evil.example/a", "https://graph.microsoft.com//evil.example/a"),
]


class Recorder(FakeAPI):
    def __init__(self, answer=None):
        super().__init__()
        self.sent = []
        self.answer = answer

    async def send(self, request, *, deadline_s, max_bytes):
        self.sent.append(request)
        return Document(json=self.answer, digest=b"", max_age_s=None)


@pytest.mark.parametrize(("endpoint", "url"), REAL, ids=[endpoint for endpoint, _ in REAL])
def test_known_hosts(endpoint, url):
    recorder = Recorder({"value": []})
    provider = Azure(settings_of("azure"), Trust(), recorder)
    asyncio.run(provider.fetch_groups(login(distributed(endpoint), access_token=TOKEN)))
    assert [request.url for request in recorder.sent] == [url]


def test_whom_it_trusts():
    recorder = Recorder({"value": []})
    config = Config(
        provider_config={"provider": "azure", "fetch_groups": True},
        oidc_discovery_ca_pem="PEM",
        override_allowed_server_names=("a",),
        unsupported_critical_cert_extensions=("1.2",),
    )
    provider: Any = build_provider(config, recorder)
    asyncio.run(provider.fetch_groups(login({}, access_token=TOKEN)))
    assert recorder.trusts == [config.trust("PEM")]
    assert recorder.sent[0].url == "https://graph.microsoft.com/v1.0/me/getMemberObjects"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://graph.microsoft.com/a",
        "https://evil.example/a",
        "https://graph.microsoft.com.evil.example/a",
        "https://evil.example/graph.microsoft.com",
        "https://graph.microsoft.com@evil.example/a",
        "https://user:password@graph.microsoft.com/a",
        "https://graph.microsoft.com:8443/a",
        "https://graph.microsoft.com:99999/a",
        "https://graph.microsoft.com:x/a",
        "https://graph.microsoft.com./a",
        "https://xgraph.microsoft.com/a",
        "https://evil.example\\.graph.microsoft.com/a",
        "https://graph.microsoft.com\\@evil.example/a",
        "https://[graph.microsoft.com/a",
        "https://graph.microsoft.com%2eevil.example/a",
        "https:graph.microsoft.com/a",
        "//graph.microsoft.com/a",
        "graph.microsoft.com/a",
        "file:///etc/passwd",
        "http://169.254.169.254/metadata/identity",
        "https://127.0.0.1/",
        "https://graph.chinacloudapi.cn/a",
        "",
        " ",
    ],
)
def test_other_hosts_are_not_called(endpoint):
    wanted = login(distributed(endpoint), access_token=TOKEN)
    provider = Azure(settings_of("azure"), Trust(), NoFetcher())
    with pytest.raises(LoginDenied) as caught:
        asyncio.run(provider.fetch_groups(wanted))
    assert (caught.value.code, caught.value.claim) == ("provider_endpoint", "_claim_sources")
    assert caught.value.message == (
        "azure: the endpoint in the token's '_claim_sources' is not one of the Microsoft Graph "
        "API; it is not called"
    )


@pytest.mark.parametrize("path", ["/a b", "/\x00", "/\u2028", "/a" * 2000])
def test_a_path_that_is_none(path):
    with StandIn({"value": []}) as api:
        wanted = login(distributed(api.origin + path), access_token=TOKEN)
        code, message = denial(made(api), wanted)
    assert code == "provider_bad_url"
    assert message == (
        "azure: calling the Microsoft Graph API failed: it is not an http or https URL with a host"
    )


NO_SOURCE = "the token holds neither it nor its source in '_claim_names'"
NO_ENDPOINT = "the token's '_claim_sources' names no endpoint for it"


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({}, f"{NO_SOURCE} (found nothing)"),
        ({"groups": None}, f"{NO_SOURCE} (found nothing)"),
        ({"_claim_names": "groups"}, f"{NO_SOURCE} (found nothing)"),
        ({"_claim_names": {"other": "src1"}}, f"{NO_SOURCE} (found nothing)"),
        ({"_claim_names": {"groups": 1}}, f"{NO_SOURCE} (found a number)"),
        ({"_claim_names": {"groups": ["src1"]}}, f"{NO_SOURCE} (found a list)"),
        ({"_claim_names": {"groups": "src1"}}, f"{NO_ENDPOINT} (found nothing)"),
        (
            {"_claim_names": {"groups": "src1"}, "_claim_sources": ["src1"]},
            f"{NO_ENDPOINT} (found nothing)",
        ),
        (
            {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src2": {}}},
            f"{NO_ENDPOINT} (found nothing)",
        ),
        (
            # An aggregated claim (OIDC Core 5.6.1) is none that is fetched.
            {"_claim_names": {"groups": "s"}, "_claim_sources": {"s": {"JWT": "hush"}}},
            f"{NO_ENDPOINT} (found nothing)",
        ),
        (
            {"_claim_names": {"groups": "s"}, "_claim_sources": {"s": {"endpoint": 5}}},
            f"{NO_ENDPOINT} (found a number)",
        ),
    ],
)
def test_no_source_of_the_claim(claims, problem):
    provider = build({"provider": "azure"})
    with pytest.raises(LoginDenied) as caught:
        asyncio.run(provider.fetch_groups(login(claims, access_token=TOKEN)))
    assert (caught.value.code, caught.value.claim) == ("provider_claim_source", "groups")
    assert caught.value.message == (
        f"azure: claim \"groups\" (the role's groups_claim) can't be had: {problem}"
    )


@pytest.mark.parametrize("name", ["groups", "/groups", "https://vault/groups"])
def test_names_of_the_claim(name):
    with StandIn({"value": GUIDS}) as api:
        claims = distributed(api.origin, name=name if "://" in name else "groups")
        wanted = login(claims, groups_claim=name, access_token=TOKEN)
        assert groups_of(made(api, ca_pem=""), wanted) == GUIDS


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (
            "",
            (
                "no access token to call the Microsoft Graph API with; send one as "
                "distributed_claim_access_token"
            ),
        ),
        ("a b", "distributed_claim_access_token must be visible ASCII characters"),
        ("a\r\nX: hush", "distributed_claim_access_token must be visible ASCII characters"),
        ("é", "distributed_claim_access_token must be visible ASCII characters"),
        ("\x00", "distributed_claim_access_token must be visible ASCII characters"),
    ],
)
def test_access_tokens(always, token, problem):
    provider = build({"provider": "azure", "fetch_groups": always})
    wanted = login(distributed("https://graph.microsoft.com/a"), access_token=token)
    with pytest.raises(LoginDenied) as caught:
        asyncio.run(provider.fetch_groups(wanted))
    assert (caught.value.code, caught.value.message) == (
        "provider_access_token",
        f"azure: {problem}",
    )


CALLING = "azure: calling the Microsoft Graph API failed: "
ANSWER = "azure: the answer of the Microsoft Graph API is not usable: "

BAD = [
    (Answer(status=401), "provider_http_status", CALLING + "it answered with HTTP status 401"),
    (Answer(status=403), "provider_http_status", CALLING + "it answered with HTTP status 403"),
    (Answer(status=429), "provider_http_status", CALLING + "it answered with HTTP status 429"),
    (Answer(status=500), "provider_http_status", CALLING + "it answered with HTTP status 500"),
    (
        Answer(status=201, body={"value": []}),
        "provider_http_status",
        CALLING + "it answered with HTTP status 201, 200 is needed",
    ),
    (
        Answer(status=302, headers=[("Location", "https://evil.example/")]),
        "provider_redirect_refused",
        CALLING + "it redirects, which is not followed with credentials",
    ),
    (Answer(body=b"<html>"), "provider_not_json", CALLING + "its answer is not JSON: "),
    (Answer(body=b""), "provider_not_json", CALLING + "its answer is not JSON: "),
    (Answer(body=b'{"value":[],"value":[]}'), "provider_not_json", CALLING),
    (
        Answer(body=b" " * 5_000_000),
        "provider_too_large",
        CALLING + "its answer is larger than 4096 KiB",
    ),
    (
        Answer(headers=[("Content-Encoding", "br")]),
        "provider_not_json",
        CALLING + "its answer is compressed in a way not asked for",
    ),
    (Answer(body=[]), "provider_answer", ANSWER + "it must be an object, is a list"),
    (Answer(body="a"), "provider_answer", ANSWER + "it must be an object, is a string"),
    (Answer(body=None), "provider_answer", ANSWER + "it must be an object, is null"),
    (Answer(body={}), "provider_answer", ANSWER + "the groups must be a list, are null"),
    (
        Answer(body={"value": "a"}),
        "provider_answer",
        ANSWER + "the groups must be a list, are a string",
    ),
    (
        Answer(body={"value": ["a", 5]}),
        "provider_answer",
        ANSWER + "a group must be a string, is a number",
    ),
]


@pytest.mark.parametrize(("answer", "code", "text"), BAD, ids=[str(at) for at in range(len(BAD))])
def test_bad_answers(answer, code, text):
    with StandIn(answer, certificate=CERTIFICATE) as api:
        got = denial(made(api, fetch_groups=True), login({}, access_token=TOKEN))
    assert got[0] == code
    assert got[1].startswith(text)
    assert len(api.asked) == 1


def test_a_server_that_is_not_trusted_is_sent_nothing():
    with StandIn({"value": []}, certificate=CERTIFICATE) as api:
        code, _ = denial(
            made(api, ca_pem=Authority().pem, fetch_groups=True), login({}, access_token=TOKEN)
        )
    assert code == "provider_tls_untrusted"
    assert api.asked == []


def test_a_server_that_hangs(monkeypatch):
    monkeypatch.setattr(_calls, "LOGIN_DEADLINE_S", 0.3)
    with StandIn(Answer(hang=True)) as api:
        code, message = denial(
            made(api, ca_pem="", fetch_groups=True), login({}, access_token=TOKEN)
        )
    assert code == "provider_timeout"
    assert message == CALLING + "it did not answer completely within 0.3 s"


def test_a_server_that_is_down():
    with StandIn({}) as api:
        pass
    code, message = denial(made(api, ca_pem="", fetch_groups=True), login({}, access_token=TOKEN))
    assert code == "provider_unreachable"
    assert message.startswith(CALLING + "it can't be reached")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "a"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries({"value": JSON}))
@settings(deadline=None)
def test_any_answer_is_groups_or_a_denial(answer):
    provider = Azure(settings_of("azure", fetch_groups=True), Trust(), Recorder(answer))
    outcome = outcome_of(provider, login({}, access_token=TOKEN))
    if isinstance(outcome, str):
        assert outcome == "provider_answer"
    else:
        assert all(isinstance(group, str) for group in outcome)


@given(JSON, JSON, JSON)
@settings(deadline=None)
def test_any_claims_are_groups_or_a_denial(groups, names, sources):
    claims = {"groups": groups, "_claim_names": {"groups": names}, "_claim_sources": sources}
    provider = Azure(settings_of("azure"), Trust(), NoFetcher())
    outcome = outcome_of(provider, login(claims, access_token=TOKEN))
    if groups is None:
        assert outcome in {"provider_claim_source", "provider_endpoint"}
    else:
        assert outcome == groups


def test_each_login_asks_anew():
    with StandIn({"value": GUIDS}) as api:

        async def twice(provider):
            return [
                await provider.fetch_groups(login({}, access_token=token)) for token in ("a", "b")
            ]

        assert asking(made(api, ca_pem="", fetch_groups=True), twice) == [GUIDS, GUIDS]
    assert [asked.headers["authorization"] for asked in api.asked] == ["Bearer a", "Bearer b"]
