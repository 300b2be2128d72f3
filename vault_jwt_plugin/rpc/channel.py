"""A gRPC channel: the client's side of one connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final, Self

from vault_jwt_plugin.rpc import framing
from vault_jwt_plugin.rpc._client_link import ClientCall, ClientLink
from vault_jwt_plugin.rpc.errors import RPCError, StatusCode
from vault_jwt_plugin.rpc.limits import Limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from vault_jwt_plugin.rpc._hpack import Headers

_DEFAULT_LIMITS: Final = Limits()


class Channel:
    """A client that calls methods over one connection and never reconnects.

    Create it with `connect`. It never sends a PING: grpc-go answers more than one in five minutes
    with GOAWAY ENHANCE_YOUR_CALM.
    """

    def __init__(self, link: ClientLink, authority: str) -> None:
        self._link = link
        scheme = b"https" if link.secure else b"http"
        self._request_head: Headers = ((b":method", b"POST"), (b":scheme", scheme))
        self._request_tail: Headers = (
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", framing.CONTENT_TYPE),
            (b"user-agent", b"vault-jwt-plugin"),
        )
        # A request's header section by path, kept so that the encoder's cache finds it again.
        self._headers: dict[str, Headers] = {}

    @classmethod
    async def connect(
        cls,
        address: str | tuple[str, int],
        *,
        tls: ssl.SSLContext | None,
        server_hostname: str,
        authority: str = "localhost",
        limits: Limits = _DEFAULT_LIMITS,
        timeout_s: float,
    ) -> Channel:
        """Connect and wait for the server's SETTINGS.

        Args:
            address: a unix socket's path, or a host and port.
            tls: client-side context with ALPN protocols ["h2"]; None means plaintext.
            server_hostname: the name that the server's certificate must have.
            authority: the `:authority` of each call.
            limits: what the peer may cost.
            timeout_s: for connecting, the TLS handshake and the SETTINGS together.

        Raises:
            RPCError: UNAVAILABLE if there is no such connection in time.
        """
        link: ClientLink | None = None
        try:
            async with asyncio.timeout(timeout_s):
                sock = await _connect_socket(address)
                link = ClientLink(sock, tls=tls, server_hostname=server_hostname, limits=limits)
                link.start()
                await link.ready
        except (OSError, ValueError) as error:
            if link is not None:
                link.abort(error)
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise RPCError(StatusCode.UNAVAILABLE, f"cannot connect: {reason}") from error
        except BaseException:
            if link is not None:
                link.abort(ConnectionAbortedError("the connection attempt was cancelled"))
            raise
        return cls(link, authority)

    @property
    def closed(self) -> bool:
        """Return whether calls are no longer possible."""
        return self._link.refusing

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._link.gone)

    async def unary(
        self,
        path: str,
        message: bytes,
        *,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Make a call with one message in each direction.

        Args:
            path: "/package.Service/Method".
            message: the serialized request.
            timeout_s: the call's deadline, which the server also learns; None means none.
            metadata: names in lower case; the value of a `-bin` name in base64 (see
                `encode_binary`).

        Raises:
            RPCError: the status that the server gave, or our own DEADLINE_EXCEEDED, UNAVAILABLE
                (the connection is lost or closing) or RESOURCE_EXHAUSTED (the answer is too large).
            ValueError: gRPC does not allow this metadata.
        """
        headers = self._head(path, timeout_s, metadata)
        call = ClientCall(self._link, timeout_s, unary=True)
        try:
            await call.start(headers)
            return await call.single(message)
        finally:
            call.close()

    def stream(
        self,
        path: str,
        *,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> ClientStream:
        """Make a call with any number of messages in either direction; use it in `async with`.

        The arguments are those of `unary`.
        """
        headers = self._head(path, timeout_s, metadata)
        return ClientStream(ClientCall(self._link, timeout_s, unary=False), headers)

    async def close(self, grace_s: float = 0.1) -> None:
        """Give running calls `grace_s` seconds, then send GOAWAY and close.

        Meanwhile the peer's PINGs are acknowledged, so that a grpc-go server that stops gracefully
        need
        not wait for its own timeout.
        """
        await self._link.shut_down(grace_s)

    def _head(
        self, path: str, timeout_s: float | None, metadata: Sequence[tuple[str, str]]
    ) -> Headers:
        headers = self._headers.get(path)
        if headers is None:
            tail = self._request_tail
            headers = (*self._request_head, (b":path", path.encode()), *tail)
            if len(self._headers) < 256:
                self._headers[path] = headers
        if timeout_s is not None:
            headers = (*headers, (b"grpc-timeout", framing.format_timeout(timeout_s)))
        if metadata:
            headers = headers + framing.encode_metadata(metadata)
        return headers


class ClientStream:
    """A streaming call, as its caller sees it. Leaving the `async with` early cancels the call."""

    def __init__(self, call: ClientCall, headers: Headers) -> None:
        self._call = call
        self._headers = headers

    async def __aenter__(self) -> Self:
        await self._call.start(self._headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call.close()

    async def send(self, message: bytes) -> None:
        """Send a message. Returns when it has been sent, so a slow reader slows the caller.

        Raises:
            RPCError: the call is over; this is the status that ended it.
        """
        await self._call.send(message)

    async def end(self) -> None:
        """End our side: no more messages will be sent.

        Raises:
            RPCError: the call is over; this is the status that ended it.
        """
        self._call.end()

    async def receive(self) -> bytes | None:
        """Return the next message, or None once the server has ended the call with OK.

        Raises:
            RPCError: the status that ended the call.
        """
        return await self._call.receive()


async def _connect_socket(address: str | tuple[str, int]) -> socket.socket:
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _closing_on_error(sock):
            sock.setblocking(False)  # noqa: FBT003 - the socket API
            await loop.sock_connect(sock, address)
        return sock
    host, port = address
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    errors: list[OSError] = []
    for family, kind, protocol, _name, target in found:
        sock = socket.socket(family, kind, protocol)
        try:
            with _closing_on_error(sock):
                sock.setblocking(False)  # noqa: FBT003 - the socket API
                await loop.sock_connect(sock, target)
        except OSError as error:
            errors.append(error)
        else:
            return sock
    raise errors[0] if errors else OSError(f"{host} has no address")


@contextlib.contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
