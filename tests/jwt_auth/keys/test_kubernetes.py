"""The cluster's keys: where they are fetched, what is sent there, what is said on failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clock import Clock
from tests.jwt_auth import tokens
from tests.jwt_auth.certs import Authority
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.loopback import Server, answering, response
from tests.jwt_auth.mounted import CLAIMS, Mounted
from tests.jwt_auth.tokens import private_key, public_jwk
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources
from vault_jwt_plugin.jwt_auth.keys.kubernetes import (
    fetch_cluster_keys,
    where_keys_are,
)
from vault_jwt_plugin.jwt_auth.keys.pod import MAX_FILE_BYTES, Cluster, Pod
from vault_jwt_plugin.sdk import InternalError, Operation, UserError

API = "https://10.96.0.1:443"
DISCOVERY = f"{API}/.well-known/openid-configuration"
ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
KEYS = {"keys": [public_jwk(private_key("ES256"), kid="a")]}
CONFIG = Config(provider_config={"provider": "kubernetes"}, override_allowed_server_names=("api",))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "token").write_text("pod-token\n")
    (tmp_path / "ca.crt").write_text("CA")
    return tmp_path


def pod_of(folder, **environment):
    return Pod(environment={**ENVIRONMENT, **environment}, folder=folder)


def sources(folder, fetcher=None):
    return KeySources(fetcher or FakeFetcher(), Clock(), pod=pod_of(folder))


def fetch(documents, pod):
    """The keys' ids, and the fetcher; raises FetchError."""
    fetcher = FakeFetcher(documents)
    fetched = asyncio.run(fetch_cluster_keys(fetcher, pod, trust=CONFIG.trust, deadline_s=5))
    return [key.kid for key in fetched.key_set.keys], fetcher


def test_the_api_server_is_asked_with_the_pods_token(folder):
    jwks_uri = f"{API}/openid/v1/jwks"
    found, fetcher = fetch(
        {DISCOVERY: {"issuer": "https://kubernetes.default.svc", "jwks_uri": jwks_uri}}
        | {jwks_uri: KEYS},
        pod_of(folder),
    )
    assert found == ["a"]
    assert fetcher.urls == [DISCOVERY, jwks_uri]
    assert [request.headers for request in fetcher.sent] == [
        {"Authorization": "Bearer pod-token"}
    ] * 2
    assert [kwargs["trust"] for _, kwargs in fetcher.asked] == [
        Trust(ca_pem="CA", server_names=("api",))
    ] * 2
    assert [kwargs["max_bytes"] for _, kwargs in fetcher.asked] == [262144, 1048576]
    assert all(kwargs["deadline_s"] <= 5 for _, kwargs in fetcher.asked)


def test_the_token_is_read_anew_for_each_request(folder, monkeypatch):
    jwks_uri = f"{API}/openid/v1/jwks"
    fetcher = FakeFetcher({DISCOVERY: {"jwks_uri": jwks_uri}, jwks_uri: KEYS})
    get_json = fetcher.get_json

    async def renewing(url, **kwargs):
        (folder / "token").write_text("renewed")
        return await get_json(url, **kwargs)

    monkeypatch.setattr(fetcher, "get_json", renewing)
    asyncio.run(fetch_cluster_keys(fetcher, pod_of(folder), trust=CONFIG.trust))
    assert [request.headers["Authorization"] for request in fetcher.sent] == [
        "Bearer pod-token",
        "Bearer renewed",
    ]


def test_the_token_is_not_in_what_is_printed(folder):
    _, fetcher = fetch(
        {DISCOVERY: {"jwks_uri": f"{API}/k"}, f"{API}/k": KEYS},
        pod_of(folder),
    )
    assert "pod-token" not in repr(fetcher.sent)


CLUSTER = Cluster(url=API, ca_pem="CA")


@pytest.mark.parametrize(
    ("jwks_uri", "url", "with_token"),
    [
        (f"{API}/openid/v1/jwks", f"{API}/openid/v1/jwks", True),
        ("https://10.96.0.1/openid/v1/jwks", "https://10.96.0.1/openid/v1/jwks", True),
        ("https://10.96.0.1/keys?v=1", "https://10.96.0.1/keys?v=1", True),
        ("https://172.18.0.2:6443/openid/v1/jwks", f"{API}/openid/v1/jwks", True),
        ("https://node/openid/v1/jwks?x", f"{API}/openid/v1/jwks", True),
        ("https://10.96.0.1:6443/keys", "https://10.96.0.1:6443/keys", False),
        ("https://oidc.example/cluster/keys", "https://oidc.example/cluster/keys", False),
        ("https://10.96.0.1.evil.example/keys", "https://10.96.0.1.evil.example/keys", False),
        ("https://10.96.0.1@evil.example/keys", "https://10.96.0.1@evil.example/keys", False),
    ],
)
def test_the_token_goes_to_the_api_server_alone(jwks_uri, url, with_token):
    assert where_keys_are(jwks_uri, CLUSTER) == (url, with_token)


def test_keys_elsewhere_are_fetched_without_the_token(folder):
    jwks_uri = "https://oidc.example/keys"
    found, fetcher = fetch({DISCOVERY: {"jwks_uri": jwks_uri}, jwks_uri: KEYS}, pod_of(folder))
    assert found == ["a"]
    assert fetcher.urls == [DISCOVERY, jwks_uri]
    assert [request.url for request in fetcher.sent] == [DISCOVERY]
    assert fetcher.asked[1][1]["trust"].ca_pem == "CA"


def test_an_ipv6_address(folder):
    pod = pod_of(folder, KUBERNETES_SERVICE_HOST="fd00::1", KUBERNETES_SERVICE_PORT="6443")
    assert pod.cluster() == Cluster(url="https://[fd00::1]:6443", ca_pem="CA")
    named = "https://[fd00::1]:6443/keys"
    assert where_keys_are(named, pod.cluster()) == (named, True)


@pytest.mark.parametrize(
    ("documents", "code", "problem"),
    [
        ({DISCOVERY: []}, "not_discovery", "its answer must be a JSON object, is a list"),
        ({DISCOVERY: {}}, "not_discovery", "its 'jwks_uri' must be a string, is missing"),
        (
            {DISCOVERY: {"jwks_uri": 1}},
            "not_discovery",
            "its 'jwks_uri' must be a string, is a number",
        ),
        (
            {DISCOVERY: {"jwks_uri": "http://10.96.0.1:443/keys"}},
            "bad_url",
            "its 'jwks_uri' is not an https URL with a host",
        ),
        (
            {DISCOVERY: {"jwks_uri": "file:///keys"}},
            "bad_url",
            "its 'jwks_uri' is not an https URL with a host",
        ),
        (
            {DISCOVERY: {"jwks_uri": f"{API}/keys"}, f"{API}/keys": {}},
            "not_a_key_set",
            "its answer is not a key set: its member 'keys' must be a list, is missing",
        ),
        ({}, "unreachable", "nobody listens there"),
    ],
    ids=["list", "no uri", "number", "http", "file", "no set", "down"],
)
def test_answers_that_are_not_usable(documents, code, problem, folder):
    with pytest.raises(FetchError) as refused:
        fetch(documents, pod_of(folder))
    assert (refused.value.code, refused.value.problem) == (code, problem)


MISSING = {
    "no token": ("token", None, "the service account's token can't be read from {}/token: "),
    "no ca": ("ca.crt", None, "the cluster's CA certificate can't be read from {}/ca.crt: "),
    "empty token": ("token", b" \n", "the service account's token file holds no token"),
    "two headers": ("token", b"a\r\nX: y", "the service account's token file holds no token"),
    "no ascii": ("token", "ä".encode(), "the service account's token file holds no token"),
    "no text": ("ca.crt", b"\xff", "the cluster's CA certificate can't be read from {}/ca.crt: "),
}


@pytest.mark.parametrize(("name", "content", "problem"), MISSING.values(), ids=MISSING.keys())
def test_files_that_are_missing(name, content, problem, folder):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(FetchError) as refused:
        fetch({}, pod_of(folder))
    assert refused.value.code == "not_in_cluster"
    assert refused.value.message.startswith(
        "the kubernetes provider works in a pod with a service account only: "
        + problem.format(folder)
    )


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_an_environment_without_a_cluster(name, value, folder):
    environment = {**ENVIRONMENT, name: value}
    if value is None:
        del environment[name]
    with pytest.raises(FetchError) as refused:
        Pod(environment=environment, folder=folder).cluster()
    assert refused.value.message == (
        "the kubernetes provider works in a pod with a service account only: the environment "
        "variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must both be set"
    )


def test_an_environment_that_makes_no_url(folder):
    with pytest.raises(FetchError) as refused:
        pod_of(folder, KUBERNETES_SERVICE_PORT="https").cluster()
    assert refused.value.code == "bad_url"


def test_huge_files_are_not_read_to_their_end(folder):
    (folder / "ca.crt").write_bytes(b"a" * (MAX_FILE_BYTES + 10))
    assert len(pod_of(folder).cluster().ca_pem) == MAX_FILE_BYTES


def test_the_source(folder):
    async def scenario():
        jwks_uri = "https://172.18.0.2:6443/openid/v1/jwks"
        fetcher = FakeFetcher({DISCOVERY: {"jwks_uri": jwks_uri}, f"{API}/openid/v1/jwks": KEYS})
        source: Any = sources(folder, fetcher).build(CONFIG)
        assert [k.kid for k in await source.candidates(JoseHeader(alg="ES256", kid="a"))] == ["a"]
        assert source.status().url == f'"{API}"'

    asyncio.run(scenario())


def test_keys_of_another_cluster_are_others(folder):
    (one,) = sources(folder).origins(CONFIG)
    (folder / "ca.crt").write_text("another CA")
    (other,) = sources(folder).origins(CONFIG)
    assert (one.url, one.trust.ca_pem, other.trust.ca_pem) == (API, "CA", "another CA")
    assert one.storage_key != other.storage_key


def test_the_probe(folder):
    with pytest.raises(UserError):
        asyncio.run(sources(folder).probe(CONFIG))
    documents = {DISCOVERY: {"jwks_uri": f"{API}/k"}, f"{API}/k": KEYS}
    asyncio.run(sources(folder, FakeFetcher(documents)).probe(CONFIG))


# On a mount.


PROVIDER = {"provider_config": {"provider": "kubernetes"}}
DOWN = f'error checking the kubernetes provider: can\'t use "{DISCOVERY}": nobody listens there'


class InPod(Mounted):
    """A mount in a pod; `serve` has the API server answer."""

    def __init__(self, folder, fetcher=None):
        super().__init__()
        self.fetcher = fetcher or self.fetcher
        self.backend = JWTBackend(
            self.context, fetcher=self.fetcher, pod=pod_of(folder), monotonic=lambda: self.now
        )

    def serve(self):
        key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
        self.fetcher.documents = {
            DISCOVERY: {"jwks_uri": f"{API}/keys"},
            f"{API}/keys": {"keys": [key]},
        }


JWT = tokens.token(CLAIMS, header={"kid": "a"})


def test_a_mount_in_a_pod(folder):
    async def scenario():
        async with InPod(folder) as mounted:
            mounted.serve()
            await mounted.configure(**PROVIDER)
            assert (await mounted.login(JWT)).auth is not None
            read = await mounted.ask(Operation.READ, "config")
            assert (read.data["status"], read.warnings) == ("valid", ())
            assert read.data["provider_config"] == {"provider": "kubernetes"}
            await mounted.backend._mount.key_archive.settle()
            (copy,) = [key for key in mounted.storage.entries if key.startswith("key_source/")]
            assert mounted.storage.json(copy)["kind"] == "kubernetes"
            # Cached keys need no files: Kubernetes may be replacing them.
            (folder / "token").unlink()
            assert (await mounted.login(JWT)).auth is not None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("config", "status", "message"),
    [
        (
            PROVIDER,
            UserError,
            DOWN,
        ),
        (
            PROVIDER | {"skip_jwks_validation": True},
            UserError,
            DOWN,
        ),
        (
            PROVIDER | {"jwks_ca_pem": "x"},
            InternalError,
            "jwks_ca_pem must not be set when using the kubernetes provider",
        ),
        (
            PROVIDER | {"oidc_discovery_ca_pem": "x"},
            InternalError,
            "oidc_discovery_ca_pem must not be set when using the kubernetes provider",
        ),
        (
            PROVIDER | {"jwks_url": "https://issuer/keys"},
            UserError,
            (
                "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', "
                "'oidc_discovery_url' or the provider 'kubernetes' must be set, but 'jwks_url' "
                "and 'provider_config' are"
            ),
        ),
    ],
    ids=["down", "down, not skipped", "jwks ca", "discovery ca", "jwks url"],
)
def test_configurations_that_are_refused(config, status, message, folder):
    async def scenario():
        async with InPod(folder) as mounted:
            with pytest.raises(status) as refused:
                await mounted.write("config", config)
            assert refused.value.message == message
            assert mounted.storage.entries == {}

    asyncio.run(scenario())


def test_a_mount_that_left_its_cluster(folder):
    async def scenario():
        async with InPod(folder) as mounted:
            mounted.serve()
            await mounted.configure(**PROVIDER)
            entries = mounted.storage.entries
        (folder / "ca.crt").unlink()
        async with InPod(folder) as mounted:
            mounted.storage.entries = entries
            read = await mounted.ask(Operation.READ, "config")
            assert read.data["status"] == "invalid"
            assert read.warnings[0].startswith(
                "failed to construct JWK validator: error configuring token validator: the "
                "kubernetes provider works in a pod with a service account only: "
            )
            with pytest.raises(LoginDenied) as denied:
                await mounted.login(JWT)
            assert denied.value.code == "config_unusable"
            # Static keys end it; what was stored of the cluster goes too.
            keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
            await mounted.write("config", keys)
            await mounted.backend._mount.key_archive.settle()
            assert set(mounted.storage.entries) == {"config", "role/demo"}

    asyncio.run(scenario())


def test_over_tls_with_the_clusters_ca_and_the_pods_token(folder):
    """Real sockets: the token is sent, the CA is asked for, redirects get no token."""
    authority = Authority("cluster CA")
    key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
    documents: dict[str, Any] = {"/openid/v1/jwks": {"keys": [key]}}

    def script(connection, target):
        if target == "/moved":
            headers = {"Location": "/openid/v1/jwks"}
            connection.sendall(response(b"", status="302 Found", headers=headers))
        else:
            answering(documents[target])(connection, target)

    async def scenario(server):
        environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }
        pod = Pod(environment=environment, folder=folder)
        fetcher = HTTPFetcher()
        try:
            for jwks_uri in ("https://node:6443/openid/v1/jwks", server.url("/openid/v1/jwks")):
                documents["/.well-known/openid-configuration"] = {"jwks_uri": jwks_uri}
                found = await fetch_cluster_keys(fetcher, pod, trust=Config().trust)
                assert [each.kid for each in found.key_set.keys] == ["a"]
            documents["/.well-known/openid-configuration"] = {"jwks_uri": server.url("/moved")}
            with pytest.raises(FetchError) as refused:
                await fetch_cluster_keys(fetcher, pod, trust=Config().trust)
            assert refused.value.code == "redirect_refused"
            (folder / "ca.crt").write_text(Authority("another CA").pem)
            with pytest.raises(FetchError) as refused:
                await fetch_cluster_keys(fetcher, pod, trust=Config().trust)
            assert refused.value.code == "tls_untrusted"
        finally:
            fetcher.close()

    (folder / "ca.crt").write_text(authority.pem)
    with Server(script, certificate=authority.issue("127.0.0.1")) as server:
        asyncio.run(scenario(server))
        assert len(server.requests) == 6
        assert all("\r\nAuthorization: Bearer pod-token\r\n" in each for each in server.requests)
