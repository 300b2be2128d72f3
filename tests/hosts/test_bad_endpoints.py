"""A key source that is down, slow, huge or wrong: what is said of it, and who is not held up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.hosts.plugin import Mount, Plugin, enable
from tests.hosts.tokens import jwk, make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.client import Reply
    from tests.hosts.issuer import Issuers
    from tests.hosts.server import DevServer

AUDIENCE = "https://vault.example"
LONGEST_S = 10.0
"""A write to the config is answered by then, whatever the endpoint does."""


@pytest.fixture
def mount(server: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """A mount of ours that logs in with static keys."""
    if plugin.kind == "builtin":
        pytest.skip("about our messages and our deadlines")
    found = enable(server, "endpoints", version=plugin.version)
    client = server.client
    client.must("POST", "auth/endpoints/config", {"jwt_validation_pubkeys": public_pem("rsa")})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
    client.must("POST", "auth/endpoints/role/demo", role)
    yield found
    found.disable()


def login(mount: Mount, key: str = "rsa", kid: str | None = None) -> Reply:
    """A login with a good token."""
    now = int(time.time())
    claims = {"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 300}
    return mount.login(make_jwt(claims, key=key, header={"kid": kid}), "demo")


# What is wrong -> the config, and what the message must name.
WRONG = {
    "jwks-down": ({"jwks_url": "$dead/jwks"}, "can't be reached (connection refused)"),
    "jwks-huge": ({"jwks_url": "$http/huge"}, "larger than"),
    "jwks-status": ({"jwks_url": "$http/error"}, "HTTP status 500"),
    "jwks-not-json": ({"jwks_url": "$http/html"}, "not JSON"),
    "jwks-no-keys": ({"jwks_url": "$http/jwks-no-member"}, "'keys'"),
    "jwks-wrong-ca": (
        {"jwks_url": "$https/jwks", "jwks_ca_pem": "$other-ca"},
        "its certificate is not trusted",
    ),
    "jwks-no-ca": ({"jwks_url": "$https/jwks"}, "its certificate is not trusted"),
    "jwks-bad-ca": ({"jwks_url": "$https/jwks", "jwks_ca_pem": "garbage"}, "jwks_ca_pem"),
    "jwks-plain-http-as-https": ({"jwks_url": "$http-as-https/jwks"}, "no TLS connection"),
    "discovery-down": ({"oidc_discovery_url": "$dead"}, "can't be reached (connection refused)"),
    "discovery-slow": (
        {"oidc_discovery_url": "$http/slow-issuer"},
        "did not answer completely within",
    ),
    "discovery-not-json": ({"oidc_discovery_url": "$http/html-issuer"}, "not JSON"),
    "discovery-wrong-issuer": ({"oidc_discovery_url": "$http/wrong-issuer"}, "another issuer"),
    "discovery-slash": ({"oidc_discovery_url": "$http/slash"}, "ends in a slash"),
    "discovery-wrong-ca": (
        {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$other-ca"},
        "its certificate is not trusted",
    ),
}


@pytest.mark.parametrize(("config", "named"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_endpoint_is_named_in_time_and_nothing_is_stored(
    config: dict[str, str], named: str, mount: Mount, issuers: Issuers
):
    before = mount.read("config").data
    sent = {name: resolved(text, issuers) for name, text in config.items()}
    began = time.monotonic()
    reply = mount.write("config", sent)
    assert time.monotonic() - began < LONGEST_S
    assert reply.status == 400
    assert len(reply.errors) == 1
    assert named in reply.errors[0]
    assert "CERTIFICATE-----" not in reply.errors[0]
    assert mount.read("config").data == before
    assert login(mount).status == 200


def resolved(text: str, issuers: Issuers) -> str:
    """A config value with the addresses and certificates of this run."""
    texts = {
        "$http-as-https": issuers.http.url.replace("http:", "https:"),
        "$https": issuers.https.url,
        "$http": issuers.http.url,
        "$dead": issuers.dead,
        "$other-ca": issuers.stranger.pem,
    }
    for name, meaning in texts.items():
        text = text.replace(name, meaning)
    return text


def test_logins_go_on_while_an_endpoint_hangs(mount: Mount, issuers: Issuers):
    replies: list[Reply] = []
    config = {"jwks_url": f"{issuers.http.url}/slow"}
    issuers.http.hits.clear()
    writer = threading.Thread(target=lambda: replies.append(mount.write("config", config)))
    writer.start()
    issuers.http.wait_asked("/slow")
    began = time.monotonic()
    answers = [login(mount).status for _ in range(20)]
    took = time.monotonic() - began
    assert writer.is_alive(), "the endpoint did not hang: this test shows nothing"
    writer.join()
    assert answers == [200] * 20
    assert took < 3
    assert [reply.status for reply in replies] == [400]
    assert "did not answer completely within" in replies[0].errors[0]


def test_keys_stay_in_use_while_their_source_is_down(mount: Mount, issuers: Issuers):
    issuers.http.put_json("/moving", {"keys": [jwk("rsa")]})
    mount.client.must("POST", "auth/endpoints/config", {"jwks_url": f"{issuers.http.url}/moving"})
    assert login(mount, kid="rsa").status == 200
    issuers.http.put_text("/moving", "maintenance", status=503)
    assert login(mount, kid="rsa").status == 200
    refused = login(mount, key="rsa-other", kid="rsa-other")
    assert refused.status == 400
    assert login(mount, kid="rsa").status == 200


def test_a_new_key_is_fetched_when_a_token_names_it(mount: Mount, issuers: Issuers):
    issuers.http.put_json("/rotating", {"keys": [jwk("rsa")]})
    mount.client.must("POST", "auth/endpoints/config", {"jwks_url": f"{issuers.http.url}/rotating"})
    assert login(mount, kid="rsa").status == 200
    issuers.http.put_json("/rotating", {"keys": [jwk("rsa-other")]})
    assert login(mount, key="rsa-other", kid="rsa-other").status == 200
    assert login(mount, kid="rsa").status == 400


def test_bad_tokens_do_not_flood_the_source(mount: Mount, issuers: Issuers):
    issuers.http.put_json("/flooded", {"keys": [jwk("rsa")]})
    mount.client.must("POST", "auth/endpoints/config", {"jwks_url": f"{issuers.http.url}/flooded"})
    assert login(mount, kid="rsa").status == 200
    issuers.http.hits.clear()
    answers = {login(mount, key="rsa-other", kid=f"made-up-{n}").status for n in range(30)}
    assert answers == {400}
    assert issuers.http.hits["/flooded"] <= 2
    assert login(mount, kid="rsa").status == 200
