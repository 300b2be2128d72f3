"""What a server of somebody else answers, without one: a fetcher with a list of answers."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.target import check
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest, Document
from vault_jwt_plugin.jwt_auth.fetching.urls import fetch_error
from vault_jwt_plugin.jwt_auth.keys.pod import Pod
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

URL = "https://issuer.example/keys"
ISSUER = "https://issuer.example"
TOKEN_KEYS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
SECRET = "hush-hush"
WORDS = (
    *tuple(
        rb"""
    "keys" "kty" "RSA" "EC" "OKP" "crv" "P-256" "P-384" "P-521" "Ed25519" "Ed448" "oct" "n" "e"
    "x" "y" "d" "kid" "AQAB" "use" "x5c" "issuer" "jwks_uri" "https://issuer.example" "value"
    "groups" "profile" "name" "nextPageToken" "customSchemas" "access_token" "expires_in"
    "_claim_names" "_claim_sources" "endpoint" ?500 ?404 < "format" "fetched_at" "max_age"
    "unusable" "position" "reason"
    """.split()
    ),
    b'>; rel="next"\t',
    b"\n",
)
"""Of issuers' and of providers' documents, for mutations."""


def document_of(raw: bytes, *, link: str = "") -> Document:
    """As `HTTPFetcher` makes one of an answer's bytes.

    Raises:
        FetchError: not JSON.
    """
    try:
        document = jsonutil.loads_strict(raw)
    except jsonutil.StrictJSONError as error:
        raise fetch_error("not_json", URL, f"its answer is not JSON: {error}") from None
    return Document(json=document, digest=hashlib.sha256(raw).digest(), max_age_s=None, link=link)


class Answers:
    """A fetcher whose every answer is the next of a list; what is asked is kept.

    Args:
        answers: The bodies; the last repeats.
    """

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self.asked: list[APIRequest] = []

    def _next(self) -> Document:
        raw = self._answers[min(len(self.asked), len(self._answers)) - 1] if self._answers else b""
        # "?404 ..." is a failure, "<link> ..." has a Link header.
        if raw[:1] == b"?" and raw[1:4].isdigit():
            raise FetchError("http_status", "it answered", url=URL, status=int(raw[1:4]))
        link = ""
        if raw[:1] == b"<" and b"\t" in raw:
            head, raw = raw.split(b"\t", 1)
            link = head.decode("latin-1")
        return document_of(raw, link=link)

    async def get_json(
        self, url: str, *, trust: Trust, deadline_s: float, max_bytes: int
    ) -> Document:
        del trust, deadline_s, max_bytes
        self.asked.append(APIRequest(url=url))
        return self._next()

    def open(self, *, trust: Trust) -> Answers:
        del trust
        return self

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Document:
        del max_bytes
        check(0 < deadline_s <= 10, "a request without a deadline")
        check(len(self.asked) < 1000, "a login asks without end")
        self.asked.append(request)
        return self._next()

    def close(self) -> None:
        """Nothing is open."""


def lines_of(data: bytes) -> list[bytes]:
    return data.split(b"\n")


_ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
API = "https://10.96.0.1"
CLUSTER = f"{API}:443"


class Files:
    """The service account of a pod."""

    folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def pod(cls) -> Pod:
        if cls.folder is None:
            cls.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            (Path(cls.folder.name) / "token").write_text(SECRET)
            (Path(cls.folder.name) / "ca.crt").write_text("CA")
        return Pod(environment=_ENVIRONMENT, folder=Path(cls.folder.name))

    @classmethod
    def close(cls) -> None:
        folder, cls.folder = cls.folder, None
        if folder is not None:
            folder.cleanup()


pod = Files.pod
close_files = Files.close
