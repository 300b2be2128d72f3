"""An issuer's documents: judged, and refused with a text that says what to do."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.loopback import Server, answering
from tests.jwt_auth.tokens import private_key, public_jwk
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.keys.documents import fetch_discovery, fetch_key_set
from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources
from vault_jwt_plugin.sdk import UserError

TRUST = Trust(ca_pem="CA")

KEY = public_jwk(private_key("ES256"), kid="a")
WELL_KNOWN = "/.well-known/openid-configuration"


def discovery(issuer, document, *, at=None):
    fetcher = FakeFetcher({at or issuer.removesuffix("/") + WELL_KNOWN: document})
    return asyncio.run(fetch_discovery(fetcher, issuer, trust=TRUST, deadline_s=3)), fetcher


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://a", "https://a" + WELL_KNOWN),
        ("https://a/", "https://a" + WELL_KNOWN),
        ("https://a//", "https://a/" + WELL_KNOWN),
        ("https://a/b/", "https://a/b" + WELL_KNOWN),
    ],
)
def test_one_trailing_slash_is_left_out_of_the_url_alone(issuer, url):
    found, fetcher = discovery(issuer, {"issuer": issuer, "jwks_uri": "https://k/"}, at=url)
    assert (found.issuer, found.jwks_uri) == (issuer, "https://k/")
    assert fetcher.asked == [(url, {"trust": TRUST, "deadline_s": 3, "max_bytes": 262144})]


SLASH = "; they must be equal to the byte"


@pytest.mark.parametrize(
    ("document", "code", "problem"),
    [
        ([], "not_discovery", "its answer must be a JSON object, is a list"),
        ({}, "issuer_mismatch", "its 'issuer' must be a string, is missing"),
        ({"issuer": 3}, "issuer_mismatch", "its 'issuer' must be a string, is a number"),
        (
            {"issuer": "https://a/"},
            "issuer_mismatch",
            f"the issuer that it names ends in a slash, unlike oidc_discovery_url{SLASH}",
        ),
        (
            {"issuer": "https://A"},
            "issuer_mismatch",
            (
                'it names another issuer, "https://A", than oidc_discovery_url, "https://a"'
                f"{SLASH}; if both must stay, use jwks_url and bound_issuer"
            ),
        ),
        ({"issuer": "https://a"}, "not_discovery", "its 'jwks_uri' must be a string, is missing"),
        (
            {"issuer": "https://a", "jwks_uri": None},
            "not_discovery",
            "its 'jwks_uri' must be a string, is null",
        ),
        (
            {"issuer": "https://a", "jwks_uri": "file:///etc/passwd"},
            "bad_url",
            "its 'jwks_uri' is not an http or https URL with a host",
        ),
        (
            {"issuer": "https://a", "jwks_uri": "http://a/keys"},
            "bad_url",
            "its 'jwks_uri' is an http URL, but its own URL is https",
        ),
    ],
    ids=str,
)
def test_discovery_refused(document, code, problem):
    with pytest.raises(FetchError) as refused:
        discovery("https://a", document)
    assert refused.value.code == code
    assert refused.value.message == f'can\'t use "https://a{WELL_KNOWN}": {problem}'


def test_the_slash_that_is_missing():
    with pytest.raises(FetchError) as refused:
        discovery("https://a/", {"issuer": "https://a"})
    assert "does not end in a slash" in refused.value.message


def test_plain_http_all_the_way_is_the_operators_choice():
    found, _ = discovery("http://a", {"issuer": "http://a", "jwks_uri": "http://a/keys"})
    assert found.jwks_uri == "http://a/keys"


def test_a_key_set():
    fetcher = FakeFetcher({"https://k": {"keys": [KEY, {}]}})
    fetcher.max_age_s = 5
    fetched = asyncio.run(fetch_key_set(fetcher, "https://k", trust=TRUST))
    assert [key.kid for key in fetched.key_set.keys] == ["a"]
    assert len(fetched.key_set.unusable) == 1
    assert fetched.max_age_s == 5
    assert fetcher.asked == [
        ("https://k", {"trust": TRUST, "deadline_s": 9.5, "max_bytes": 1048576})
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "it must be a JSON object, is a list"),
        ({}, "its member 'keys' must be a list, is missing"),
        ({"issuer": "https://a"}, "its member 'keys' must be a list, is missing"),
    ],
    ids=str,
)
def test_no_key_set(document, problem):
    with pytest.raises(FetchError) as refused:
        asyncio.run(fetch_key_set(FakeFetcher({"https://k": document}), "https://k", trust=Trust()))
    assert (refused.value.code, refused.value.message) == (
        "not_a_key_set",
        f'can\'t use "https://k": its answer is not a key set: {problem}',
    )


def test_probes_over_real_sockets():
    authority = Authority()
    with Server(answering({"keys": [KEY]}), certificate=authority.issue("127.0.0.1")) as server:

        async def probe(kind: str, url: str, ca_pem: str) -> str:
            fetcher = HTTPFetcher()
            config = (
                Config(jwks_url=url, jwks_ca_pem=ca_pem)
                if kind == "jwks"
                else Config(oidc_discovery_url=url, oidc_discovery_ca_pem=ca_pem)
            )
            try:
                await KeySources(fetcher, time.time).probe(config)
            except UserError as error:
                return error.code
            finally:
                fetcher.close()
            return "fine"

        issuer = server.url("/")
        assert asyncio.run(probe("jwks", server.url(), authority.pem)) == "fine"
        assert asyncio.run(probe("jwks", server.url(), Authority().pem)) == "tls_untrusted"
        assert asyncio.run(probe("jwks", server.url(), "x")) == "bad_ca_pem"
        assert asyncio.run(probe("discovery", issuer, authority.pem)) == "issuer_mismatch"
        server.script = answering({"issuer": issuer, "jwks_uri": server.url()})
        assert asyncio.run(probe("discovery", issuer, authority.pem)) == "fine"
        assert asyncio.run(probe("jwks", server.url(), authority.pem)) == "not_a_key_set"
        assert server.targets[-2] == WELL_KNOWN
