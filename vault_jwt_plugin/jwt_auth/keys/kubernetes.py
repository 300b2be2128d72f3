"""The keys of the Kubernetes cluster that the server itself runs in.

Mirrors `provider_kubernetes.go` of OpenBao's method; Vault's has none. The API server is
found as every pod finds it, and asked as the pod's service account. Its answer is not compared
with an issuer, because the address of the API server is not one.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import (
    DEADLINE_S,
    DISCOVERY_MAX_BYTES,
    KEY_SET_MAX_BYTES,
)
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error
from vault_jwt_plugin.jwt_auth.keys.documents import (
    WELL_KNOWN_PATH,
    FetchedKeys,
    discovery_members,
    fetch_key_set,
    named_jwks_uri,
    read_key_set,
)
from vault_jwt_plugin.jwt_auth.keys.kind import FetchedKind
from vault_jwt_plugin.jwt_auth.keys.stored import Origin
from vault_jwt_plugin.sdk import InternalError, UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.messages import Document
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
    from vault_jwt_plugin.jwt_auth.keys.pod import Cluster, Pod

JWKS_PATH = "/openid/v1/jwks"
"""Where every API server serves its keys (Kubernetes `openidmetadata.JWKSPath`)."""


class KubernetesKind(FetchedKind):
    """`provider_config` with the provider "kubernetes"."""

    name = "kubernetes"
    parameter = "provider_config"
    choice = "the provider 'kubernetes'"

    @classmethod
    def is_selected(cls, config: Config) -> bool:
        """See `KeySourceKind.is_selected`."""
        return (config.provider_config or {}).get("provider") == "kubernetes"

    def origins(self) -> tuple[Origin, ...]:
        """See `KeySourceKind.origins`.

        Raises:
            FetchError: `not_in_cluster`.
        """
        # The files are small and in memory: they are not worth a thread.
        cluster = self.pod.cluster()
        trust = self.config.trust(cluster.ca_pem)
        return (Origin(kind="kubernetes", url=cluster.url, trust=trust),)

    def load(self, origin: Origin, deadline_s: float) -> Awaitable[FetchedKeys]:
        """See `FetchedKind.load`; the pod is asked anew where its cluster is."""
        del origin
        return fetch_cluster_keys(
            self.fetcher, self.pod, trust=self.config.trust, deadline_s=deadline_s
        )

    async def probe(self) -> None:
        """Check that the server runs in a cluster whose keys can be fetched.

        Differs from OpenBao, which answers 500 when the API server can't be reached.

        Raises:
            UserError: it does not, or they can't; never only a warning, as in OpenBao.
            InternalError: a CA PEM is set, which is not the cluster's (500, as in OpenBao).
        """
        for name in ("oidc_discovery_ca_pem", "jwks_ca_pem"):
            if getattr(self.config, name):
                raise InternalError(f"{name} must not be set when using the kubernetes provider")
        try:
            await fetch_cluster_keys(self.fetcher, self.pod, trust=self.config.trust)
        except FetchError as error:
            raise UserError(
                f"error checking the kubernetes provider: {error.message}", code=error.code
            ) from error


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
        deadline_s: for all requests together.

    Raises:
        FetchError: they can't be fetched; `not_in_cluster`: the server does not run in a pod.
    """
    ends_at = time.monotonic() + deadline_s
    cluster = await asyncio.to_thread(pod.cluster)
    trusted = trust(cluster.ca_pem)

    def left_s() -> float:
        return max(ends_at - time.monotonic(), 0.001)

    async def ask(url: str, max_bytes: int) -> Document:
        # Each request has its own session: Kubernetes renews tokens, and little is shared.
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
    """Return which URL to fetch the keys from, and whether that is the API server.

    The pod's token goes to the API server alone. Differs from OpenBao, which sends it to
    whatever address the discovery document names. API servers mostly name another of their
    addresses than the one they were asked at; if its path is the one that all of them have, the
    keys are fetched where the document came from. Anything else (an issuer that the cluster
    publishes elsewhere) is fetched without the token.

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
