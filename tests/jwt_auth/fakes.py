"""A fetcher that tests hold in their hands."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any, Self

from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest, Document
from vault_jwt_plugin.jwt_auth.fetching.urls import fetch_error

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust


class FakeFetcher:
    """Answers from a dict of URL to JSON, or to the error to raise.

    Attributes:
        documents: what there is to fetch.
        max_age_s: what every answer says.
        asked: every call: URL, and the keyword arguments.
        sent: every request of a session.
        called: set by every call.
        asking: set by every call that has to wait at the gate.
        gate: answers wait until it is set; None lets all pass.
        closed: whether its mount has ended.
    """

    def __init__(self, documents: dict[str, Any] | None = None) -> None:
        self.documents = documents or {}
        self.max_age_s: int | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[APIRequest] = []
        self.called = asyncio.Event()
        self.asking = asyncio.Event()
        self.gate: Any = asyncio.Event()
        self.gate.set()
        self.closed = False

    @property
    def urls(self) -> list[str]:
        return [url for url, _ in self.asked]

    @property
    def asked_trusting(self) -> list[tuple[str, str]]:
        """Every call: URL, and the CA PEM that alone is trusted."""
        return [(url, kwargs["trust"].ca_pem) for url, kwargs in self.asked]

    async def get_json(
        self, url: str, *, trust: Trust, deadline_s: float, max_bytes: int
    ) -> Document:
        self.asked.append((url, {"trust": trust, "deadline_s": deadline_s, "max_bytes": max_bytes}))
        self.called.set()
        if self.gate is not None and not self.gate.is_set():
            self.asking.set()
            await self.gate.wait()
        missing = fetch_error("unreachable", url, "nobody listens there")
        document = self.documents.get(url, missing)
        if isinstance(document, BaseException):
            raise document
        raw = json.dumps(document).encode()
        return Document(
            json=document, digest=hashlib.sha256(raw).digest(), max_age_s=self.max_age_s
        )

    def open(self, *, trust: Trust) -> FakeSession:
        return FakeSession(self, trust)

    def close(self) -> None:
        self.closed = True


class FakeSession:
    """Sends requests to the documents of a fake fetcher, and notes them in its `sent`."""

    def __init__(self, fetcher: Any, trust: Trust) -> None:
        self._fetcher = fetcher
        self._trust = trust
        self.closed = False

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Document:
        assert not self.closed
        self._fetcher.sent.append(request)
        document: Document = await self._fetcher.get_json(
            request.url, trust=self._trust, deadline_s=deadline_s, max_bytes=max_bytes
        )
        return document

    def close(self) -> None:
        self.closed = True


class FakeAPI:
    """A fetcher that is its own session; a subclass says what a request is answered.

    Attributes:
        trusts: of every session that was opened.
        closed: whether a session was closed.
    """

    def __init__(self) -> None:
        self.trusts: list[Trust] = []
        self.closed = False

    async def get_json(
        self, url: str, *, trust: Trust, deadline_s: float, max_bytes: int
    ) -> Document:
        raise AssertionError(url)

    def open(self, *, trust: Trust) -> Self:
        self.trusts.append(trust)
        return self

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Any:
        raise AssertionError(request.url)

    def close(self) -> None:
        self.closed = True
