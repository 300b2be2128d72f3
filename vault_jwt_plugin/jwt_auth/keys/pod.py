"""The pod that the server runs in: what Kubernetes tells it of its cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token and its cluster's CA."""

MAX_FILE_BYTES = 1024 * 1024
"""Largest file of a service account that is read, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The address of the API server, and whom to trust there.

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
        folder: of the service account's files.
    """

    def __init__(
        self, *, environment: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT
    ) -> None:
        self._environment = environment
        self._folder = folder

    def cluster(self) -> Cluster:
        """Return the cluster, after checking that the pod has all that a request needs.

        Raises:
            FetchError: `not_in_cluster`: something is missing.
        """
        self.token()
        return Cluster(ca_pem=self._read("ca.crt", "the cluster's CA certificate"), url=self._url())

    def token(self) -> str:
        """Return the service account's token.

        Raises:
            FetchError: `not_in_cluster`: it can't be read, or can't be sent in a header.
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
            reason = "it is not UTF-8"
        raise _not_in_cluster(f"{what} can't be read from {path}: {reason}")


def _not_in_cluster(problem: str) -> FetchError:
    return FetchError(
        "not_in_cluster",
        f"the kubernetes provider works in a pod with a service account only: {problem}",
        url="",
    )
