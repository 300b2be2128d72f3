"""What our requests say, against servers that choose by it and beside what Go's requests say."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess

import pytest

from tests.hosts import tools
from tests.jwt_auth import tokens
from tests.jwt_auth.certs import Authority
from tests.jwt_auth.loopback import Server, answering, fetched, response
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.fetching.fetcher import KEY_SET_MAX_BYTES, HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.keys.documents import fetch_discovered_keys, fetch_key_set
from vault_jwt_plugin.jwt_auth.keys.kubernetes import JWKS_PATH, fetch_cluster_keys
from vault_jwt_plugin.jwt_auth.keys.pod import Pod

DISCOVERY_PATH = "/.well-known/openid-configuration"
CA = Authority()
CERTIFICATE = CA.issue("127.0.0.1")


def headers_of(request: str) -> dict[str, str]:
    """The headers of a raw request, by their names in lower case."""
    lines = request.split("\r\n\r\n", 1)[0].split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


class APIServer(Server):
    """Serves both documents and chooses their types as Kubernetes' `openidmetadata` does."""

    def __init__(self) -> None:
        super().__init__(self._negotiated, certificate=CERTIFICATE)
        key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
        self._documents = {
            JWKS_PATH: ("application/jwk-set+json", {"keys": [key]}),
            DISCOVERY_PATH: (
                "application/json",
                {"issuer": self.url(""), "jwks_uri": self.url(JWKS_PATH)},
            ),
        }

    def _negotiated(self, connection, target):
        kind, document = self._documents[target]
        accept = headers_of(self.requests[-1]).get("accept", "*/*")
        if accept in {"*/*", kind}:
            headers = {"Content-Type": kind}
            connection.sendall(response(json.dumps(document).encode(), headers=headers))
        else:
            connection.sendall(response(b"", status="406 Not Acceptable"))


async def by_jwks_url(server, fetcher, _folder):
    return await fetch_key_set(fetcher, server.url(JWKS_PATH), trust=Trust(ca_pem=CA.pem))


async def by_discovery(server, fetcher, _folder):
    return await fetch_discovered_keys(fetcher, server.url(""), trust=Trust(ca_pem=CA.pem))


async def by_the_provider(server, fetcher, folder):
    (folder / "token").write_text("pod-token\n")
    (folder / "ca.crt").write_text(CA.pem)
    environment = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(server.port),
    }
    pod = Pod(environment=environment, folder=folder)
    return await fetch_cluster_keys(fetcher, pod, trust=Config().trust)


@pytest.mark.parametrize("fetch", [by_jwks_url, by_discovery, by_the_provider])
def test_a_kubernetes_api_server(fetch, tmp_path):
    async def scenario(server):
        fetcher = HTTPFetcher()
        try:
            return await fetch(server, fetcher, tmp_path)
        finally:
            fetcher.close()

    with APIServer() as server:
        found = asyncio.run(scenario(server))
    assert [key.kid for key in found.key_set.keys] == ["a"]


# Header -> what we send, what Go sends, why they differ. Whatever is not here is equal.
DIFFERENCES = {
    "user-agent": (
        "vault-jwt-plugin",
        "Go-http-client/1.1",
        "An issuer's operator can tell who asks.",
    ),
}


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["http", "https"])
def test_our_request_beside_gos(certificate, tmp_path):
    """The listener offers no HTTP/2, which Go would choose over TLS; we speak HTTP/1.1 only."""
    if not tools.path("httpget").exists() and shutil.which("go") is None:
        pytest.skip("PATH has no Go toolchain")
    program = tools.build("httpget")
    roots = tmp_path / "ca.pem"
    roots.write_text(CA.pem)
    with Server(answering({}), certificate=certificate) as server:
        url = server.url("/keys?a=b")
        fetched(url, ca_pem=CA.pem, deadline_s=5.0, max_bytes=KEY_SET_MAX_BYTES)
        subprocess.run([program, url, roots], check=True, timeout=30)
        ours, gos = server.requests
    assert ours.split("\r\n")[0] == gos.split("\r\n")[0] == "GET /keys?a=b HTTP/1.1"
    sent, expected = headers_of(ours), headers_of(gos)
    assert {
        name: (sent.get(name), expected.get(name))
        for name in sent.keys() | expected.keys()
        if sent.get(name) != expected.get(name)
    } == {name: (mine, go) for name, (mine, go, _) in DIFFERENCES.items()}
