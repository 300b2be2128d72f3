"""Real servers at their finest log level: hostile tokens are denied, and no secret appears in logs
or answers.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.hosts import plugin as plugins
from tests.hosts.server import DevServer
from tests.jwt_auth.tokens import key_for, public_pem, token
from tests.security.issuing import CLAIMS, MARK, PATHS, STATIC_KEYS, WINDOW, fragments
from tests.security.test_hostile_documents import CLAIM_SETS, EMBEDDED, FORMS, HEADERS
from tests.security.test_hostile_signatures import NO_ALGORITHM, header_of, odd_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.hosts.client import Reply
    from tests.hosts.discover import Host
    from tests.hosts.issuer import Issuers
    from tests.hosts.plugin import Mount, Plugin

ROLE: dict[str, Any] = {"bound_audiences": "vault"}
_VAULT_LIMITS = (
    "JSON string value exceeds allowed length",
    "malformed JSON, unterminated surrogate pair in string",
)
"""Vault's own answers, with status 500: such bodies do not reach any method."""

_READ_BACK = {"jwks_url", "oidc_discovery_url", "jwks_pairs"}
_READ_BACK |= {"jwks_ca_pem", "oidc_discovery_ca_pem"}
"""Read back whole by who may read the config, as in Go."""


@dataclass(kw_only=True)
class Watched:
    """A mount of ours on a server whose log is read at the end.

    Attributes:
        secrets: what must appear nowhere.
    """

    server: DevServer
    mount: Mount
    secrets: set[str] = field(default_factory=set)

    def login(self, path: str, jwt: Any, **more: Any) -> Reply:
        """Log in without a token; neither the answer nor, later, the log reveals the JWT."""
        secrets = fragments(jwt)
        self.secrets |= set(secrets)
        data = {"role": "demo", "jwt": jwt} | more
        nobody = self.server.client.with_token(None)
        reply = nobody.post(f"auth/{self.mount.path}/{path}", data)
        self.check(reply, secrets)
        return reply

    def write(self, path: str, data: Any, **options: Any) -> Reply:
        """Write; the answer reveals nothing."""
        reply = self.mount.request("POST", path, data, **options)
        self.check(reply)
        return reply

    def check(self, reply: Reply, secrets: Iterable[str] | None = None) -> None:
        """Check that an answer contains none of these secrets; None means all known ones."""
        text = reply.raw.decode(errors="replace")
        for secret in secrets if secrets is not None else self.secrets:
            assert secret not in text, text[:1000]

    def check_log(self) -> None:
        """Check that the log contains none of them, but does contain the logins."""
        log = self.server.log()
        assert "login denied" in log
        assert "[TRACE]" in log
        # Searching the log for each of the ten thousand secrets would take too long.
        windows = {secret for secret in self.secrets if len(secret) == WINDOW}
        for secret in self.secrets - windows:
            at = log.find(secret)
            assert at < 0, log[max(0, at - 500) : at + 200]
        for run in re.finditer(r"[A-Za-z0-9_-]{16,}", log):
            for at in range(len(run.group()) - WINDOW + 1):
                found = run.group()[at : at + WINDOW]
                assert found not in windows, log[max(0, run.start() - 500) : run.end() + 200]


@pytest.fixture(scope="module")
def watched(host: Host, plugin: Plugin) -> Iterator[Watched]:
    """Start a server, and write a role on each path that issues tokens."""
    if plugin.kind == "builtin":
        pytest.skip("about our answers and our log")
    with DevServer(host, log_level="trace") as server:
        plugins.register(server, plugin)
        headers = {"passthrough_request_headers": ["Authorization", "X-Custom"]}
        mount = plugins.enable(server, "watched", version=plugin.version, config=headers)
        found = Watched(server=server, mount=mount, secrets={MARK})
        assert found.write("config", {"jwt_validation_pubkeys": STATIC_KEYS}).status == 204
        for path in PATHS:
            reply = found.write(path.role, {**path.parameters, **ROLE})
            assert reply.status in {200, 204}, reply.raw
        yield found


def hostile() -> dict[str, str]:
    """Return the rows of the tables, and those that are generated from them."""
    rows = {
        f"{kind}: {name}": jwt
        for kind, table in (("form", FORMS), ("header", HEADERS), ("claims", CLAIM_SETS))
        for name, (jwt, _) in table.items()
    }
    rows |= {f"signature: {name}": jwt for name, jwt in odd_signatures().items()}
    rows |= {f"algorithm: {name}": header_of(alg) for name, alg in NO_ALGORITHM.items()}
    stranger = key_for("RS256", "stranger")
    rows |= {
        f"embedded: {name}": token(dict(CLAIMS), key=stranger, header=extra)
        for name, extra in EMBEDDED.items()
    }
    return rows


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_hostile_tokens_are_denied_and_leave_no_trace(path: Any, watched: Watched):
    rows = hostile()
    assert len(rows) >= 300
    for name, jwt in rows.items():
        began = time.monotonic()
        reply = watched.login(path.login, jwt)
        took_s = time.monotonic() - began
        if reply.errors and reply.errors[0] in _VAULT_LIMITS:
            continue
        assert reply.status in {400, 403}, f"{name}: {reply.status} {reply.raw[:300]!r}"
        assert len(reply.errors) == 1, name
        assert 0 < len(reply.errors[0]) <= 320, name
        assert took_s < 5, name
    watched.check_log()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_good_tokens_leave_no_trace_either(path: Any, watched: Watched):
    now = int(time.time())
    good = {**CLAIMS, "iat": now, "exp": now + 300, "mark": f"{MARK}-good"}
    for alg in ("RS256", "PS512", "ES256", "ES512", "EdDSA"):
        reply = watched.login(path.login, token(good, alg=alg))
        assert reply.status == 200, reply.raw
        secret = reply.auth["client_token"]
        if reply.auth["renewable"]:
            renewed = watched.server.client.with_token(secret).post("auth/token/renew-self", {})
            assert renewed.status == 200
        # The host's own token either: its first characters tell that it is one.
        watched.secrets.add(secret)
    watched.check_log()


def private_pem(alg: str) -> str:
    raw: bytes = key_for(alg, "secret").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return raw.decode()


def body_of(pem: str) -> str:
    """Return a line of a PEM's base64, which appears nowhere else."""
    return pem.splitlines()[2][:40]


def providers_with_secrets(private: str) -> dict[str, dict[str, Any]]:
    """Return options that are refused for one reason or another."""
    return {
        "okta": {"api_token": MARK, "org_url": "https://x.example", "fetch_groups": 5},
        "gsuite": {"gsuite_service_account": json.dumps({"private_key": private})},
        "azure": {"api_token": MARK, "fetch_groups": MARK},
        MARK: {"password": MARK},
    }


def test_secrets_of_writes_leave_no_trace(watched: Watched, issuers: Issuers):
    private = private_pem("RS256")
    marked = "-----BEGIN PUBLIC KEY-----\n" + f"{MARK}A" * 12 + "\n-----END PUBLIC KEY-----"
    watched.secrets |= {body_of(private), f"{MARK}A"}
    client = {"oidc_client_id": "an-id", "oidc_client_secret": f"{MARK}-client"}
    plain = f"{issuers.http.url}/plain"
    writes: list[dict[str, Any]] = [
        {"jwt_validation_pubkeys": private},
        {"jwt_validation_pubkeys": [public_pem(key_for("RS256")), marked]},
        {"jwt_validation_pubkeys": {"key": private}},
        {"jwks_url": f"{issuers.https.url}/jwks", "jwks_ca_pem": private},
        {"jwks_url": f"http://me:{MARK}@127.0.0.1:1/keys?api_key={MARK}"},
        {"jwks_url": f"{issuers.dead}/keys?key={MARK}"},
        {"oidc_discovery_url": plain, "oidc_discovery_ca_pem": marked},
        {"oidc_discovery_url": f"{issuers.dead}/?key={MARK}"},
        {"oidc_discovery_url": plain, **client},
        {"oidc_discovery_url": plain, **client, "oidc_response_mode": "odd"},
        {"oidc_client_secret": {"a": f"{MARK}-client"}},
        {"oidc_client_secret": [f"{MARK}-client"]},
        {"jwks_pairs": [{"jwks_url": f"http://me:{MARK}@127.0.0.1:1/", "jwks_ca_pem": private}]},
        *(
            {"oidc_discovery_url": plain, "provider_config": {"provider": provider, **options}}
            for provider, options in providers_with_secrets(private).items()
        ),
    ]
    for data in writes:
        for sent in (data, data | {"skip_jwks_validation": True}):
            reply = watched.mount.request("POST", "config", sent)
            text = reply.raw.decode()
            # The name of a provider that does not exist is the caller's own word.
            if data.get("provider_config", {}).get("provider") != MARK:
                assert MARK not in text, text
            assert body_of(private) not in text, text
        read = watched.mount.read("config")
        shown = {name: read.data[name] for name in read.data if name not in _READ_BACK}
        assert MARK not in json.dumps([shown, read.warnings, read.errors])
    watched.mount.client.must(
        "POST", f"auth/{watched.mount.path}/config", {"jwt_validation_pubkeys": STATIC_KEYS}
    )
    watched.check_log()


def test_other_secrets_of_logins_leave_no_trace(watched: Watched):
    watched.secrets |= {f"{MARK}-graph", f"{MARK}-header"}
    headers = {"Authorization": f"Bearer {MARK}-header", "X-Custom": f"{MARK}-header"}
    nobody = watched.server.client.with_token(None)
    for path in PATHS:
        for jwt in ("x.y.z", "", 5, {"a": MARK}, [MARK], f"{MARK}.{MARK}.{MARK}"):
            data = {"role": "demo", "jwt": jwt, "distributed_claim_access_token": f"{MARK}-graph"}
            for where in (path.login, f"{path.login}/"):
                target = f"auth/{watched.mount.path}/{where}"
                watched.check(nobody.request("POST", target, data, headers=headers))
        body = json.dumps({"role": "demo", "jwt": MARK}).encode()[:-1]
        watched.check(nobody.request("PUT", f"auth/{watched.mount.path}/{path.login}", body=body))
    watched.check_log()
