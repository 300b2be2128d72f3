"""A small HTTP client for a host's API. Standard library only."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

TIMEOUT_S = 60.0
"""Longest wait for one answer: registering a plugin starts it, and a host allows that a minute."""


class UnexpectedStatusError(AssertionError):
    """A request that a test relies on was refused. The text holds the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `body` is the decoded JSON, None when empty or not JSON; `raw` its bytes."""

    status: int
    body: Any
    raw: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        """The answer's `data` member, None when it has none."""
        return self.body.get("data") if isinstance(self.body, dict) else None

    @property
    def auth(self) -> Any:
        """The answer's `auth` member, None when it has none."""
        return self.body.get("auth") if isinstance(self.body, dict) else None

    @property
    def errors(self) -> list[str]:
        """The texts of `errors`, [] when there are none."""
        return (self.body.get("errors") or []) if isinstance(self.body, dict) else []

    @property
    def warnings(self) -> list[str]:
        """The texts of `warnings`, [] when there are none."""
        return (self.body.get("warnings") or []) if isinstance(self.body, dict) else []


class Client:
    """Requests to one host as one token. Every call is one fresh connection: no state is kept."""

    def __init__(self, host: str, port: int, token: str | None, namespace: str = "") -> None:
        self.host = host
        self.port = port
        self.token = token
        self.namespace = namespace

    @property
    def address(self) -> str:
        """What VAULT_ADDR and BAO_ADDR are set to."""
        return f"http://{self.host}:{self.port}"

    def with_token(self, token: str | None) -> Client:
        """The same host as somebody else; None = nobody."""
        return Client(self.host, self.port, token, self.namespace)

    def in_namespace(self, namespace: str) -> Client:
        """The same token in a namespace, `team` or `team/sub`; "" = the root."""
        return Client(self.host, self.port, self.token, namespace)

    def request(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """Send one request to /v1/`path`.

        Args:
            data: What the body says as JSON; None = no body, unless `body` is given.
            query: Query parameters.
            headers: Headers beside the token's.
            body: The body's bytes as they are, instead of `data`.
            timeout_s: Longest wait for the answer.

        Raises:
            OSError: The host cannot be reached, or does not answer in time.
        """
        if data is not None:
            body = json.dumps(data).encode()
        sent = {"X-Vault-Request": "true"}
        if self.token is not None:
            sent["X-Vault-Token"] = self.token
        if self.namespace:
            sent["X-Vault-Namespace"] = self.namespace
        target = "/v1/" + quote(path, safe="/-._~") + (f"?{urlencode(query)}" if query else "")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, target, body=body, headers=sent | (headers or {}))
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        try:
            decoded = json.loads(raw) if raw else None
        except ValueError:
            decoded = None
        return Reply(status=answer.status, body=decoded, raw=raw, headers=dict(answer.getheaders()))

    def get(self, path: str, **query: str) -> Reply:
        """Read `path`."""
        return self.request("GET", path, query=query or None)

    def list(self, path: str, **query: str) -> Reply:
        """List below `path`."""
        return self.request("LIST", path, query=query or None)

    def post(self, path: str, data: Any = None) -> Reply:
        """Write `data` to `path`; None = no body."""
        return self.request("POST", path, data)

    def delete(self, path: str) -> Reply:
        """Delete `path`."""
        return self.request("DELETE", path)

    def must(self, method: str, path: str, data: Any = None) -> Reply:
        """A request that has to succeed.

        Raises:
            UnexpectedStatusError: It did not.
        """
        reply = self.request(method, path, data)
        if reply.status not in {200, 204}:
            raise UnexpectedStatusError(
                f"{method} {path}: {reply.status} {reply.raw.decode(errors='replace')}"
            )
        return reply
