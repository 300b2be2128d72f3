"""An HTTP(S) server on 127.0.0.1 that does what a test scripts, down to the byte."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.fetching.messages import Document

Script = Callable[[socket.socket, str], None]
"""Answers one connection: the socket (TLS already made) and the request line's target."""


def response(
    body: bytes, *, status: str = "200 OK", headers: dict[str, str] | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(body: Any, **kwargs: Any) -> Script:
    """Answer every request with this body: bytes, or JSON of anything else."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda connection, _target: connection.sendall(response(raw, **kwargs))


def fetched(url: str, *, ca_pem: str, deadline_s: float, max_bytes: int) -> Document:
    """What a key source's fetcher makes of a URL."""

    async def fetch() -> Document:
        fetcher = HTTPFetcher()
        try:
            return await fetcher.get_json(
                url, trust=Trust(ca_pem=ca_pem), deadline_s=deadline_s, max_bytes=max_bytes
            )
        finally:
            fetcher.close()

    return asyncio.run(fetch())


class Server:
    """One server; connections are served in threads, requests are recorded.

    Args:
        script: what to do with each connection.
        certificate: PEM of certificate and key; None = plain HTTP.
    """

    def __init__(self, script: Script, *, certificate: str | None = None) -> None:
        self.script = script
        self.targets: list[str] = []
        self.requests: list[str] = []
        self.asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._scheme = "https" if certificate else "http"
        self._tls: ssl.SSLContext | None = None
        self._open: list[socket.socket] = []
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "server.pem"
                path.write_text(certificate)
                self._tls.load_cert_chain(path)

    def url(self, path: str = "/keys", *, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes accept(), which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.append(connection)
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            # Whatever the client does, and though the server may have ended meanwhile.
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            received = connection.recv(65536)
            if not received:
                return
            request += received
            if request.startswith(b"\x16"):  # a TLS handshake where there is no TLS
                connection.sendall(response(b"", status="400 Bad Request"))
                return
        text = request.decode("latin-1")
        target = text.split(" ", 2)[1]
        self.targets.append(target)
        self.requests.append(text)
        self.asked.set()
        self.script(connection, target)
