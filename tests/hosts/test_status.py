"""`status` as an operator and a monitoring system read it: through the host's own API."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.plugin import Mount, Plugin, enable
from tests.hosts.tokens import jwk, make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.issuer import Issuers
    from tests.hosts.server import DevServer

AUDIENCE = "https://vault.example"
SUBJECT = "the-subject-of-a-token"
POLICY = 'path "auth/watched/status" { capabilities = ["read"] }'


@pytest.fixture
def mount(server: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """A mount of ours that logs in with static keys, and two roles."""
    if plugin.kind == "builtin":
        pytest.skip("the Go methods have no status")
    found = enable(server, "watched", version=plugin.version)
    client = server.client
    client.must("POST", "auth/watched/config", {"jwt_validation_pubkeys": public_pem("rsa")})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
    for name in ("demo", "other"):
        client.must("POST", f"auth/watched/role/{name}", role)
    yield found
    found.disable()


def token(**more: Any) -> str:
    now = int(time.time())
    claims = {"aud": AUDIENCE, "sub": SUBJECT, "iat": now, "exp": now + 300}
    return make_jwt(claims | more)


def status(mount: Mount) -> Any:
    reply = mount.read("status")
    assert reply.status == 200, reply.raw
    return reply.data


def test_nobody_reads_it(mount: Mount):
    reply = mount.client.with_token(None).request("GET", "auth/watched/status")
    assert reply.status == 403
    assert reply.data is None


def test_a_token_with_a_policy_for_it_alone_reads_it(mount: Mount):
    client = mount.client
    client.must("PUT", "sys/policies/acl/watcher", {"policy": POLICY})
    made = client.must("POST", "auth/token/create", {"policies": ["watcher"]})
    watcher = client.with_token(made.auth["client_token"])
    assert watcher.request("GET", "auth/watched/status").status == 200
    assert watcher.request("GET", "auth/watched/config").status == 403
    made = client.must("POST", "auth/token/create", {"policies": ["default"]})
    nobody = client.with_token(made.auth["client_token"])
    assert nobody.request("GET", "auth/watched/status").status == 403


def test_monitoring_reads_it_with_a_bearer_token(mount: Mount):
    headers = {"Authorization": f"Bearer {mount.client.token}"}
    reply = mount.client.with_token(None).request("GET", "auth/watched/status", headers=headers)
    assert reply.status == 200
    assert reply.data["logins"]["granted"] == 0


def test_logins_and_denials_are_counted(mount: Mount, plugin: Plugin):
    for _ in range(5):
        assert mount.login(token(), "demo").status == 200
    assert mount.login(token(), "other").status == 200
    for _ in range(3):
        assert mount.login(token(exp=1), "demo").status == 400
    assert mount.login("garbage", "other").status == 400
    assert mount.login(token(), "nobody-made-this").status == 400

    said = status(mount)
    assert said["version"] == plugin.version
    assert said["protocol_version"] == 5
    assert said["can_write"] is True
    assert 0 <= said["uptime_seconds"] < 120
    started = datetime.fromisoformat(said["started_at"])
    assert timedelta(0) <= datetime.now(started.tzinfo) - started < timedelta(minutes=2)
    assert said["logins"] == {"granted": 6, "denied": 5, "failed": 0}
    assert said["denials"] == [
        {"reason": "expired", "count": 3},
        {"reason": "role_unknown", "count": 1},
        {"reason": "token_malformed", "count": 1},
    ]
    demo, other = said["roles"]
    assert (demo["role"], demo["granted"], demo["denied"]) == ("demo", 5, 3)
    assert demo["last_denied_reason"] == "expired"
    assert (other["role"], other["granted"], other["denied"]) == ("other", 1, 1)
    requests = {each["operation"]: each["count"] for each in said["requests"]}
    # Two creates, the config, and every login that the host passed on.
    assert requests["create"] == 2
    assert requests["update"] == 12
    assert requests["read"] == 1
    assert said["cached_roles"] == 2

    shown = json.dumps(said)
    for secret in (SUBJECT, AUDIENCE, "eyJ", "BEGIN", "nobody-made-this"):
        assert secret not in shown


def test_how_late_the_event_loop_is(mount: Mount):
    until = time.monotonic() + 30
    # The first quarter of a second of a process says nothing.
    while (lag := status(mount)["event_loop_lag_ms"]) is None:
        assert time.monotonic() < until
    assert 0 <= lag["p50"] <= lag["p99"] <= lag["max"]
    assert 0 <= lag["over_seconds"] <= 600


def test_an_issuer_that_fails(mount: Mount, issuers: Issuers):
    issuers.http.put_json("/watched", {"keys": [jwk("rsa"), {"kty": "oct", "k": "c2VjcmV0"}]})
    url = f"{issuers.http.url}/watched"
    mount.client.must("POST", "auth/watched/config", {"jwks_url": url})
    assert mount.login(token(), "demo").status == 200
    (source,) = status(mount)["key_sources"]
    assert (source["kind"], source["url"]) == ("jwks", url)
    assert (source["keys"], source["unusable_keys"]) == (1, 1)
    assert (source["fetches"], source["failures"], source["last_error"]) == (1, 0, None)
    assert 0 <= source["age_seconds"] < 60
    assert 3500 < source["refresh_in_seconds"] <= 3600
    assert source["expires_in_seconds"] > 86_000

    issuers.http.put_json("/watched", {"kyes": []})
    assert mount.login(make_jwt({"sub": "x"}, key="rsa-other"), "demo").status == 400
    (source,) = status(mount)["key_sources"]
    assert (source["fetches"], source["failures"], source["keys"]) == (1, 1, 1)
    assert source["last_error"]["code"] == "not_a_key_set"
    assert "'keys'" in source["last_error"]["message"]
    assert source["last_failure_at"] is not None
    assert mount.login(token(), "demo").status == 200


def test_a_restart_of_the_method_begins_at_zero(mount: Mount, server: DevServer):
    assert mount.login(token(), "demo").status == 200
    server.client.must("PUT", "sys/plugins/reload/backend", {"mounts": ["auth/watched/"]})
    assert status(mount)["logins"] == {"granted": 0, "denied": 0, "failed": 0}


def test_help_and_openapi(mount: Mount):
    helped = mount.client.request("GET", "auth/watched/status", query={"help": "1"})
    assert "denials by reason" in helped.body["help"]
    spec = mount.client.must("GET", "sys/internal/specs/openapi").body
    assert "get" in spec["paths"]["/auth/watched/status"]
    assert not spec["paths"]["/auth/watched/status"].get("x-vault-unauthenticated", False)
