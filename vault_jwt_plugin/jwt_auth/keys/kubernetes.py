"""The keys of the Kubernetes cluster that the server itself runs in.

Mirrors `provider_kubernetes.go` of OpenBao's method; Vault's has none. The API
server is found as every pod finds it, asked as the pod's service account, and
its answer is not compared with any issuer: the address it is reached at is none.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import (
    DEADLINE_S,
    DISCOVERY_MAX_BYTES,
    KEY_SET_MAX_BYTES,
    Fetcher,
)
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error
from vault_jwt_plugin.jwt_auth.keys.documents import (
    WELL_KNOWN_PATH,
    FetchedKeys,
    Prober,
    discovery_members,
    fetch_key_set,
    named_jwks_uri,
    read_key_set,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vault_jwt_plugin.jwt_auth.fetching.messages import Document
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token and its cluster's CA."""

JWKS_PATH = "/openid/v1/jwks"
"""Where every API server serves its keys (Kubernetes `openidmetadata.JWKSPath`)."""

MAX_FILE_BYTES = 1024 * 1024
"""Largest file of a service account that is read, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the API server is, and whom to trust there.

    Attributes:
        url: without a path: `https://host:port`.
        ca_pem: the cluster's CA certificates.
    """

    url: str
    ca_pem: str


class Pod:
    """What a pod is told of its cluster. Kubernetes replaces the files: they are read each time.

    Args:
        environment: of the process.
        folder: with the service account's files.
    """

    def __init__(
        self, *, environment: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT
    ) -> None:
        self._environment = environment
        self._folder = folder

    def cluster(self) -> Cluster:
        """The cluster; all that is needed to ask it is there.

        Raises:
            FetchError: `not_in_cluster`: something is missing.
        """
        self.token()
        return Cluster(ca_pem=self._read("ca.crt", "the cluster's CA certificate"), url=self._url())

    def token(self) -> str:
        """The service account's token.

        Raises:
            FetchError: `not_in_cluster`: it can't be read, or can't be sent.
        """
        token = self._read("token", "the service account's token").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise _not_in_cluster("the service account's token file holds no token")
        return token

    def _url(self) -> str:
        host = self._environment.get("KUBERNETES_SERVICE_HOST", "")
        port = self._environment.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port:
            raise _not_in_cluster(
                "the environment variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
                "must both be set"
            )
        # Differs from OpenBao, which makes no URL of an IPv6 address.
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        check_url(url)
        return url

    def _read(self, name: str, what: str) -> str:
        path = self._folder / name
        try:
            with path.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode()
        except OSError as error:
            reason = (error.strerror or "it can't be opened").lower()
        except UnicodeDecodeError:
            reason = "it is no text"
        raise _not_in_cluster(f"{what} can't be read from {path}: {reason}")


def _not_in_cluster(problem: str) -> FetchError:
    return FetchError(
        "not_in_cluster",
        f"the kubernetes provider works in a pod with a service account only: {problem}",
        url="",
    )


async def fetch_cluster_keys(
    fetcher: Fetcher,
    pod: Pod,
    *,
    trust: Callable[[str], Trust],
    deadline_s: float = DEADLINE_S,
) -> FetchedKeys:
    """Fetch the keys that the cluster signs its service accounts' tokens with.

    Args:
        fetcher: for the requests.
        pod: that the server runs in.
        trust: what servers must show, given the cluster's CA PEM.
        deadline_s: for all of it.

    Raises:
        FetchError: they can't be had; `not_in_cluster`: nobody can be asked.
    """
    ends_at = time.monotonic() + deadline_s
    cluster = await asyncio.to_thread(pod.cluster)
    trusted = trust(cluster.ca_pem)

    def left_s() -> float:
        return max(ends_at - time.monotonic(), 0.001)

    async def ask(url: str, max_bytes: int) -> Document:
        # One session for each: Kubernetes renews tokens, and two requests share little.
        session = fetcher.open(trust=trusted)
        try:
            token = await asyncio.to_thread(pod.token)
            request = APIRequest(url=url, headers={"Authorization": f"Bearer {token}"})
            return await session.send(request, deadline_s=left_s(), max_bytes=max_bytes)
        finally:
            session.close()

    discovery_url = cluster.url + WELL_KNOWN_PATH
    discovery = await ask(discovery_url, DISCOVERY_MAX_BYTES)
    url, is_the_api = where_keys_are(_jwks_uri(discovery, discovery_url), cluster)
    if not is_the_api:
        return await fetch_key_set(fetcher, url, trust=trusted, deadline_s=left_s())
    return await read_key_set(await ask(url, KEY_SET_MAX_BYTES), url)


def where_keys_are(jwks_uri: str, cluster: Cluster) -> tuple[str, bool]:
    """Which URL to fetch the keys from, and whether that is the API server.

    The pod's token goes to the API server alone. Differs from OpenBao, which sends it
    to whatever address the discovery document names. API servers mostly name one of
    their own that is not the one they were asked at; with the path that all of them
    have, the keys are fetched where the document came from. Anything else (an issuer
    that the cluster publishes elsewhere) is fetched without the token.

    Args:
        jwks_uri: https.
        cluster: that named it.
    """
    named, api = urlsplit(jwks_uri), urlsplit(cluster.url)
    if (named.hostname, named.port or 443) == (api.hostname, api.port or 443):
        return jwks_uri, True
    if named.path == JWKS_PATH:
        return cluster.url + JWKS_PATH, True
    return jwks_uri, False


def _jwks_uri(discovery: Document, url: str) -> str:
    jwks_uri = named_jwks_uri(discovery_members(discovery, url), url)
    try:
        scheme = check_url(jwks_uri).scheme
    except FetchError:
        scheme = ""
    if scheme != "https":
        raise fetch_error("bad_url", url, "its 'jwks_uri' is not an https URL with a host")
    return jwks_uri


class ClusterProber(Prober):
    """Fetches once what a configuration names; also the keys of the server's own cluster.

    Args:
        fetcher: for the requests.
        pod: that the server runs in; None = as the environment says.
    """

    def __init__(self, fetcher: Fetcher, pod: Pod | None = None) -> None:
        super().__init__(fetcher)
        self._cluster_fetcher = fetcher
        self._pod = pod or Pod()

    async def cluster(self, *, trust: Callable[[str], Trust]) -> None:
        """See that the cluster's keys can be fetched.

        Raises:
            FetchError: as `fetch_cluster_keys`.
        """
        await fetch_cluster_keys(self._cluster_fetcher, self._pod, trust=trust)
