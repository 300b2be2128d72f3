from __future__ import annotations

import asyncio
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.fakes import FakeAPI
from tests.jwt_auth.providers.helpers import (
    NoFetcher,
    build,
    build_error,
    denial,
    groups_of,
    login,
    outcome_of,
    settings_of,
)
from tests.jwt_auth.providers.stand_in import Answer, StandIn
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import Document
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.providers import _calls
from vault_jwt_plugin.jwt_auth.providers.okta import Okta, next_link

CA = Authority()
CERTIFICATE = CA.issue("127.0.0.1")
TOKEN = "00hush"
BASE = {"org_url": "https://example.okta.com", "api_token": TOKEN}
USER = {"sub": "00u1"}


def profile(*names):
    return [{"id": f"00g{at}", "profile": {"name": name}} for at, name in enumerate(names)]


def made(api, ca_pem=CA.pem, **options):
    members = {"org_url": api.origin, "api_token": TOKEN, "fetch_groups": True} | options
    return lambda fetcher: Okta(settings_of("okta", **members), Trust(ca_pem=ca_pem), "", fetcher)


def without_calls(claims, **options):
    provider = build({"provider": "okta"} | BASE | options)
    return asyncio.run(provider.fetch_groups(login(claims)))


INIT = 'error initializing "okta" provider_config: '
HTTPS = "'org_url' must be an https URL with a host"
NEEDS_URL = (
    "'org_url' must be set in provider_config or oidc_discovery_url must be configured when "
    "fetch_groups=true"
)

REFUSED = [
    ({"org_url": "http://example.okta.com"}, "", HTTPS),
    ({"org_url": "http://example.okta.com", "fetch_groups": False}, "", HTTPS),
    ({"org_url": "example.okta.com"}, "", HTTPS),
    ({"org_url": "https://"}, "", HTTPS),
    ({"org_url": "https:///a"}, "", HTTPS),
    ({"org_url": "https://user:hush@example.okta.com"}, "", HTTPS),
    ({"org_url": "https://example.okta.com:x"}, "", HTTPS),
    ({"org_url": "https://[example"}, "", HTTPS),
    ({}, "http://issuer.example", HTTPS + "; it is left out, and oidc_discovery_url is none"),
    ({"fetch_groups": True}, "", NEEDS_URL),
    ({"fetch_groups": True, "api_token": "x"}, "", NEEDS_URL),
    (
        {"fetch_groups": True},
        "https://example.okta.com",
        "'api_token' is required when fetch_groups=true",
    ),
    ({"api_token": "a b"}, "", "'api_token' must be visible ASCII characters"),
    ({"api_token": "a\nb"}, "", "'api_token' must be visible ASCII characters"),
    ({"api_token": "é"}, "", "'api_token' must be visible ASCII characters"),
    ({"groups_cap": -1}, "", "'groups_cap' must be >= 0"),
    (
        {"groups_filter": "("},
        "",
        "'groups_filter' can't be used: missing ): (",
    ),
    (
        {"groups_filter": "(?=a)"},
        "",
        "'groups_filter' can't be used: invalid perl operator: (?=",
    ),
]


@pytest.mark.parametrize(
    ("settings", "discovery_url", "problem"),
    REFUSED,
    ids=[str(at) for at in range(len(REFUSED))],
)
def test_settings_that_are_refused(settings, discovery_url, problem):
    text = build_error({"provider": "okta"} | settings, oidc_discovery_url=discovery_url)
    assert text == INIT + problem
    assert "hush" not in text


@pytest.mark.parametrize(
    ("org_url", "discovery_url", "origin"),
    [
        ("https://example.okta.com", "", "https://example.okta.com"),
        ("https://example.okta.com/", "", "https://example.okta.com"),
        ("https://Example.okta.com:443/a/b?c", "", "https://example.okta.com"),
        ("https://example.okta.com:8443", "", "https://example.okta.com:8443"),
        ("", "https://example.okta.com/oauth2/default", "https://example.okta.com"),
        ("https://a.okta.com", "http://b.okta.com", "https://a.okta.com"),
        ("https://[::1]:1/", "", "https://[::1]:1"),
        ("", "", ""),
    ],
)
def test_where_the_organisation_is(org_url, discovery_url, origin):
    provider = build({"provider": "okta", "org_url": org_url}, oidc_discovery_url=discovery_url)
    assert provider._origin == origin


CLAIMED = [
    # Without fetch_groups the claim counts, whatever its length.
    ({"groups": ["a", "b"]}, {}, ["a", "b"]),
    ({"groups": ["a"] * 500}, {"groups_cap": 2}, ["a"] * 500),
    ({"groups": "a"}, {}, "a"),
    ({"groups": []}, {}, []),
    ({"groups": None}, {}, None),
    ({}, {}, None),
    ({"groups": {"a": 1}}, {}, {"a": 1}),
    ({"groups": 5}, {}, 5),
    ({"groups": ["x-a", "b", 5, None]}, {"groups_filter": "^x-"}, ["x-a"]),
    ({"groups": "x-a"}, {"groups_filter": "^x-"}, ["x-a"]),
    ({"groups": "a"}, {"groups_filter": "^x-"}, []),
    ({"groups": 5}, {"groups_filter": "^x-"}, []),
    ({"groups": {"a": 1}}, {"groups_filter": "^x-"}, {"a": 1}),
    ({}, {"groups_filter": "^x-"}, None),
    # With it, a list that is not cut.
    ({"groups": ["a"] * 99}, {"fetch_groups": True}, ["a"] * 99),
    ({"groups": ["a", "b"]}, {"fetch_groups": True, "groups_cap": 3}, ["a", "b"]),
    ({"groups": []}, {"fetch_groups": True}, []),
    ({"groups": "a"}, {"fetch_groups": True}, "a"),
    (
        {"groups": ["a", "xa", 1]},
        {"fetch_groups": True, "groups_filter": "x"},
        ["xa"],
    ),
    # Long enough for a thread.
    (
        {"groups": ["b" * 500, "xa"] * 40},
        {"groups_filter": "x"},
        ["xa"] * 40,
    ),
]


@pytest.mark.parametrize(
    ("claims", "options", "groups"), CLAIMED, ids=[str(at) for at in range(len(CLAIMED))]
)
def test_what_needs_no_call(claims, options, groups):
    assert without_calls(claims, **options) == groups


def test_a_name_too_long_for_the_filter():
    with pytest.raises(LoginDenied) as caught:
        without_calls({"groups": ["a", "b" * 1025]}, groups_filter="x")
    assert caught.value.code == "provider_group_name"
    assert caught.value.message == "okta: a group's name is longer than 1024 characters"


FETCHED = [
    ({}, {}),
    ({"groups": None}, {}),
    ({"groups": ["a"] * 100}, {}),
    ({"groups": ["a"] * 100}, {"groups_cap": 0}),
    ({"groups": ["a", "b"]}, {"groups_cap": 2}),
    ({"groups": "a"}, {"groups_cap": 1}),
    ({"groups": {"a": 1}}, {}),
]


@pytest.mark.parametrize(
    ("claims", "options"), FETCHED, ids=[str(at) for at in range(len(FETCHED))]
)
def test_what_is_sent(claims, options):
    with StandIn(profile("a", "b"), certificate=CERTIFICATE) as api:
        assert groups_of(made(api, **options), login(USER | claims)) == ["a", "b"]
    (asked,) = api.asked
    assert (asked.method, asked.target, asked.body) == ("GET", "/api/v1/users/00u1/groups", b"")
    assert asked.headers["authorization"] == f"SSWS {TOKEN}"
    assert asked.headers["accept"] == "application/json"


def test_pages_are_followed_over_one_connection():
    def script(asked):
        after = int(asked.query.get("after", 0))
        links = [("Link", f'<{api.origin}{asked.target}>; rel="self"')]
        if after < 5:
            following = f"{api.origin}{asked.path}?after={after + 1}&limit=2"
            links.append(("Link", f'<{following}>; rel="next"'))
        return Answer(body=profile(f"g{after}"), headers=links)

    with StandIn(script, certificate=CERTIFICATE) as api:
        groups = groups_of(made(api, groups_filter="[0-4]"), login(USER))
    assert groups == [f"g{at}" for at in range(5)]
    assert len(api.asked) == 6
    assert {asked.headers["authorization"] for asked in api.asked} == {f"SSWS {TOKEN}"}
    assert len({asked.connection for asked in api.asked}) == 1


def test_a_relative_next_page():
    def script(asked):
        links = [] if "after" in asked.query else [("Link", '</api/v1/x?after=1>; rel="next"')]
        return Answer(body=profile("g"), headers=links)

    with StandIn(script, certificate=CERTIFICATE) as api:
        assert groups_of(made(api), login(USER)) == ["g", "g"]
    assert [asked.target for asked in api.asked][1:] == ["/api/v1/x?after=1"]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/api/v1/users/00u1/groups?after=1",
        "http://127.0.0.1:{port}/api",
        "https://127.0.0.1/api",
        "https://localhost:{port}/api",
        "//evil.example/api",
        "https://x@127.0.0.1:{port}/api",
        "https://127.0.0.1:{port}@evil.example/",
        "https://[",
        "https://127.0.0.1:x/",
        "ftp://127.0.0.1:{port}/",
    ],
)
def test_the_token_is_sent_to_the_organisation_only(target):
    def script(_asked):
        link = f'<{target.format(port=api.port)}>; rel="next"'
        return Answer(body=profile("g"), headers=[("Link", link)])

    with StandIn(script, certificate=CERTIFICATE) as api:
        code, message = denial(made(api), login(USER))
    assert code == "provider_next_page"
    assert message == (
        f'okta: the Okta user groups API names a next page that is not on "{api.origin}"; the '
        "API token is not sent there"
    )
    assert len(api.asked) == 1


def test_urls_that_grow_from_page_to_page():
    fetcher = Canned([], f"<{'x' * 1000}/a>; rel=next")
    provider = Okta(settings_of("okta", **BASE, fetch_groups=True), Trust(), "", fetcher)
    with pytest.raises(LoginDenied) as denied:
        asyncio.run(provider.fetch_groups(login(USER)))
    assert denied.value.code == "provider_next_page"
    assert denied.value.message == (
        "okta: the Okta user groups API names a next page whose URL is longer than 8192 characters"
    )
    # Each page's URL was 1,002 characters longer than the last.
    assert [len(url) // 1000 for url in fetcher.urls] == list(range(9))


def test_pages_without_end(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.providers.okta.MAX_PAGES", 3)

    def script(_asked):
        return Answer(body=profile("g"), headers=[("Link", '</again>; rel="next"')])

    with StandIn(script, certificate=CERTIFICATE) as api:
        code, message = denial(made(api), login(USER))
    assert code == "provider_too_many_pages"
    assert message == "okta: the Okta user groups API answers in more than 3 pages"
    assert len(api.asked) == 3


def test_the_last_page_allowed(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.providers.okta.MAX_PAGES", 2)

    def script(_asked):
        links = [("Link", '</again>; rel="next"')] if len(api.asked) == 1 else []
        return Answer(body=profile("g"), headers=links)

    with StandIn(script, certificate=CERTIFICATE) as api:
        assert groups_of(made(api), login(USER)) == ["g", "g"]


def test_too_many_groups(monkeypatch):
    monkeypatch.setattr(_calls, "MAX_GROUPS", 2)

    def script(_asked):
        return Answer(body=profile("g"), headers=[("Link", '</again>; rel="next"')])

    with StandIn(script, certificate=CERTIFICATE) as api:
        code, message = denial(made(api), login(USER))
    assert code == "provider_too_many_groups"
    assert message == "okta: the bearer is in more than 2 groups"
    assert len(api.asked) == 3


def test_the_limit_of_pages():
    assert _calls.MAX_PAGES == 200


IDS = [
    ({"sub": "user@example.com"}, {}, "user@example.com"),
    ({"sub": "a/b?c#d%2e é"}, {}, "a/b?c#d%2e é"),
    ({"sub": "../../x"}, {}, "../../x"),
    ({"sub": "..."}, {}, "..."),
    ({"sub": "s", "uid": "u"}, {"user_id_claim": "uid"}, "u"),
    ({"sub": "s", "a": {"b": "u"}}, {"user_id_claim": "/a/b"}, "u"),
]


@pytest.mark.parametrize(("claims", "options", "user"), IDS, ids=[row[2] for row in IDS])
def test_the_user_that_is_asked_for(claims, options, user):
    with StandIn(profile("g"), certificate=CERTIFICATE) as api:
        assert groups_of(made(api, **options), login(claims)) == ["g"]
    prefix, segment, suffix = api.asked[0].target.rsplit("/", 2)
    assert (prefix, unquote(segment), suffix) == ("/api/v1/users", user, "groups")


@pytest.mark.parametrize(
    ("claims", "options", "name", "found"),
    [
        ({}, {}, "sub", "missing"),
        ({"sub": None}, {}, "sub", "missing"),
        ({"sub": ""}, {}, "sub", "an empty string"),
        ({"sub": 5}, {}, "sub", "a number"),
        ({"sub": ["a"]}, {}, "sub", "a list"),
        # It would be a step of the path: "/api/v1/users/../groups" are all groups there are.
        ({"sub": ".."}, {}, "sub", "a step of a path"),
        ({"sub": "."}, {}, "sub", "a step of a path"),
        ({"sub": "a"}, {"user_id_claim": "/a/b"}, "/a/b", "missing"),
        ({"sub": "a", "uid": True}, {"user_id_claim": "uid"}, "uid", "a boolean"),
    ],
)
def test_users_that_can_not_be_asked_for(claims, options, name, found):
    provider = Okta(
        settings_of("okta", **BASE, fetch_groups=True, **options), Trust(), "", NoFetcher()
    )
    with pytest.raises(LoginDenied) as caught:
        asyncio.run(provider.fetch_groups(login(claims)))
    assert (caught.value.code, caught.value.claim) == ("provider_user_id", name)
    assert caught.value.message == (
        f'okta: claim "{name}" must be a string that names the user, is {found}'
    )


def test_names():
    groups = [
        {"profile": {"name": "a"}},
        {"profile": {"name": ""}},
        {"profile": {"name": None}},
        {"profile": {}},
        {"profile": None},
        {},
        None,
        {"profile": {"name": "b"}, "more": 1},
    ]
    with StandIn(groups, certificate=CERTIFICATE) as api:
        assert groups_of(made(api), login(USER)) == ["a", "b"]


CALLING = "okta: calling the Okta user groups API failed: "
ANSWER = "okta: the answer of the Okta user groups API is not usable: "

BAD = [
    (Answer(status=401), "provider_http_status", CALLING + "it answered with HTTP status 401"),
    (Answer(status=404), "provider_http_status", CALLING + "it answered with HTTP status 404"),
    (Answer(status=429), "provider_http_status", CALLING + "it answered with HTTP status 429"),
    (
        Answer(status=308, headers=[("Location", "https://evil.example/")]),
        "provider_redirect_refused",
        CALLING + "it redirects, which is not followed with credentials",
    ),
    (Answer(body=b"hush"), "provider_not_json", CALLING + "its answer is not JSON: "),
    (Answer(body=b'[{"a":NaN}]'), "provider_not_json", CALLING + "its answer is not JSON: "),
    (
        Answer(body=b" " * 5_000_000),
        "provider_too_large",
        CALLING + "its answer is larger than 4096 KiB",
    ),
    (Answer(body={}), "provider_answer", ANSWER + "it must be a list, is an object"),
    (Answer(body=None), "provider_answer", ANSWER + "it must be a list, is null"),
    (Answer(body=["a"]), "provider_answer", ANSWER + "a group must be an object, is a string"),
    (Answer(body=[[]]), "provider_answer", ANSWER + "a group must be an object, is a list"),
    (
        Answer(body=[{"profile": {"name": 5}}]),
        "provider_answer",
        ANSWER + "a group's 'profile.name' must be a string, is a number",
    ),
    (
        Answer(body=[{"profile": {"name": ["a"]}}]),
        "provider_answer",
        ANSWER + "a group's 'profile.name' must be a string, is a list",
    ),
]


@pytest.mark.parametrize(("answer", "code", "text"), BAD, ids=[str(at) for at in range(len(BAD))])
def test_bad_answers(answer, code, text):
    with StandIn(answer, certificate=CERTIFICATE) as api:
        got = denial(made(api), login(USER | {"groups": ["a"] * 100}))
    assert got[0] == code
    assert got[1].startswith(text)
    assert "00u1" not in got[1]


def test_a_server_that_hangs(monkeypatch):
    monkeypatch.setattr(_calls, "LOGIN_DEADLINE_S", 0.5)
    with StandIn(Answer(hang=True), certificate=CERTIFICATE) as api:
        code, message = denial(made(api), login(USER))
    assert code == "provider_timeout"
    assert message.startswith(CALLING + "it did not answer completely within 0.")


def test_a_server_that_is_not_trusted_is_sent_nothing():
    with StandIn(profile("g"), certificate=CERTIFICATE) as api:
        assert denial(made(api, ca_pem=""), login(USER))[0] == "provider_tls_untrusted"
    with StandIn(profile("g"), certificate=CA.issue("other.example")) as wrong:
        assert denial(made(wrong), login(USER))[0] == "provider_tls_name"
    assert api.asked == wrong.asked == []


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ('<https://a/1>; rel="next"', "https://a/1"),
        ("<https://a/1>; rel=next", "https://a/1"),
        ('<https://a/1>;rel = "next"', "https://a/1"),
        ('<https://a/1>; REL="NEXT"', "https://a/1"),
        ('<https://a/1>; rel="self", <https://a/2>; rel="next"', "https://a/2"),
        ('<https://a/1>; rel="self",<https://a/2>;rel="next"', "https://a/2"),
        ('<https://a/1>; rel="next", <https://a/2>; rel="next"', "https://a/1"),
        ('<https://a/?x=1,2>; title="x"; rel="next"', "https://a/?x=1,2"),
        ('<https://a/1>; rel="prev next"', "https://a/1"),
        ('<https://a/1>; rel="self"', None),
        ('<https://a/1>; rel="nextish"', None),
        ('<https://a/1>; title="next"', None),
        ('<https://a/1>; rel="self", https://a/2; rel="x"', None),
        ('https://a/1; rel="next"', None),
        ("<https://a/1", None),
        ("<https://a/1>", None),
        (">; rel=next <", None),
        ('<>; rel="next"', ""),
    ],
)
def test_links(header, target):
    assert next_link(header) == target


@given(st.text(alphabet="<>;,=\"' relnxt/", max_size=40))
def test_any_link_is_a_target_or_none(header):
    target = next_link(header)
    assert target is None or target in header


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["profile", "name"]), inner, max_size=2)
    ),
    max_leaves=8,
)


class Canned(FakeAPI):
    def __init__(self, answer, link):
        super().__init__()
        self.answer = answer
        self.link = link
        self.urls = []

    async def send(self, request, *, deadline_s, max_bytes):
        assert request.url.startswith("https://example.okta.com/")
        self.urls.append(request.url)
        return Document(json=self.answer, digest=b"", max_age_s=None, link=self.link)


@given(JSON | st.lists(JSON), st.sampled_from(["", "<a>;rel=next", "<https://b>;rel=next"]))
@settings(deadline=None)
def test_any_answer_is_groups_or_a_denial(answer, link):
    provider = Okta(
        settings_of("okta", **BASE, fetch_groups=True), Trust(), "", Canned(answer, link)
    )
    outcome = outcome_of(provider, login(USER))
    if isinstance(outcome, str):
        assert outcome in {"provider_answer", "provider_next_page", "provider_too_many_pages"}
    else:
        assert all(isinstance(group, str) and group for group in outcome)
