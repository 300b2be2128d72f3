"""A client's connection, and a call on it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from vault_jwt_plugin.rpc import framing
from vault_jwt_plugin.rpc._inbox import Inbox
from vault_jwt_plugin.rpc._link import Link
from vault_jwt_plugin.rpc.errors import ErrorCode, HTTP2Error, RPCError, StatusCode

if TYPE_CHECKING:
    import socket
    import ssl

    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc._hpack import Headers
    from vault_jwt_plugin.rpc.http2 import Stream
    from vault_jwt_plugin.rpc.limits import Limits


class ClientLink(Link):
    """A `Link` in the client's role.

    Attributes:
        ready: done when the server's SETTINGS have arrived; fails with an OSError if they cannot.
        gone: done when the connection is lost.
        refusing: the connection takes no new call: it is lost or closing, or the server sent
            GOAWAY.
        secure: TLS is on.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        tls: ssl.SSLContext | None,
        server_hostname: str,
        limits: Limits,
    ) -> None:
        super().__init__(sock, client=True, tls=tls, server_hostname=server_hostname, limits=limits)
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.refusing = False
        self.secure = tls is not None
        self._refusal = "the channel is closed"
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle: asyncio.Future[None] | None = None

    async def open(self, call: ClientCall, headers: Headers) -> Stream:
        """Open a stream and send its header section; wait while the server allows no more streams.

        Raises:
            RPCError: UNAVAILABLE if the connection takes no call.
        """
        while True:
            if self.refusing or self.lost:
                raise self.unavailable()
            limit = self.core.peer_max_streams
            if limit is None or self.core.stream_count < limit:
                break
            turn = self._loop.create_future()
            self._queue.append(turn)
            try:
                await turn
            except BaseException:
                # We may just have been given the turn: pass it on.
                self._next_turn()
                raise
        try:
            stream = self.core.open_stream()
        except HTTP2Error:
            self.refusing = True
            raise self.unavailable() from None
        stream.app = call
        self.core.send_headers(stream, headers)
        return stream

    def unavailable(self) -> RPCError:
        """Return the error that says why no call is possible."""
        reason = str(self.error) if self.error is not None else self._refusal
        return RPCError(StatusCode.UNAVAILABLE, reason or repr(self.error))

    def stream_over(self) -> None:
        """Let the next waiting call open a stream, or note that all streams are closed."""
        self._next_turn()
        if self.core.idle:
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            elif self.refusing and not self.lost:
                # The server sent GOAWAY and the last call has ended.
                self._loop.call_soon(self.close)

    async def shut_down(self, grace_s: float) -> None:
        """Refuse new calls, give running ones `grace_s` seconds, then close."""
        self.refusing = True
        if self.lost:
            return
        if not self.core.idle and grace_s > 0:
            self._idle = self._loop.create_future()
            await asyncio.wait((self._idle,), timeout=grace_s)
        for stream in self.core.open_streams:
            self.core.reset_stream(stream, ErrorCode.CANCEL)
            self._fail(stream, self.unavailable())
        self.core.release_ping_acks()
        self.close()
        if not self.lost:
            await asyncio.wait((self.gone,), timeout=grace_s)
            self.abort(TimeoutError("the peer reads nothing"))

    # `Listener`

    def settings_received(self) -> None:
        """Note that the server speaks HTTP/2, and use the streams that it may now allow."""
        super().settings_received()
        if not self.ready.done():
            self.ready.set_result(None)
        for _ in range(len(self._queue)):
            self._next_turn()

    def headers_received(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """Check the start of a response. A response that ends with its headers is trailers-only."""
        call = stream.app
        if type(call) is not ClientCall:
            return
        status = fields.pseudo[":status"]
        kind = fields.metadata.get("content-type", "")
        if status != "200" and "grpc-status" not in fields.metadata:
            self._abandon(stream, framing.status_of_http(status))
        elif ended:
            call.finished(framing.status_of(fields.metadata))
            self._closed(stream)
        elif not kind.startswith("application/grpc"):
            error = RPCError(StatusCode.UNKNOWN, f"unexpected content-type {kind[:64]!r}")
            self._abandon(stream, error)
        elif fields.metadata.get("grpc-encoding", "identity") != "identity":
            error = RPCError(StatusCode.INTERNAL, "the server sent a compressed response")
            self._abandon(stream, error)

    def content_received(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        """Take content of a response."""
        call = stream.app
        if type(call) is not ClientCall:
            return
        try:
            call.inbox.feed(data)
        except RPCError as error:
            self._abandon(stream, error)
            return
        if ended:
            call.finished(framing.status_of({}))
            self._closed(stream)
        elif call.unary and call.inbox.surplus:
            text = "a unary call got more than one message"
            self._abandon(stream, RPCError(StatusCode.INTERNAL, text))

    def trailers_received(self, stream: Stream, fields: Fields, /) -> None:
        """End the call with the status in the trailers."""
        call = stream.app
        if type(call) is ClientCall:
            call.finished(framing.status_of(fields.metadata))
        self._closed(stream)

    def stream_reset(self, stream: Stream, code: int | None, /) -> None:
        """Fail the call."""
        if code is None:
            text = "the server broke the protocol on this stream"
            self._fail(stream, RPCError(StatusCode.INTERNAL, text))
        else:
            self._fail(stream, framing.status_of_reset(code))

    def goaway_received(self, code: int, debug: bytes) -> None:
        """Take no new calls; running ones may finish."""
        self.refusing = True
        text = debug[:128].decode("utf-8", "backslashreplace")
        self._refusal = f"the server said GOAWAY (code {code}, {text!r})"
        while self._queue:
            self._next_turn()
        if self.core.idle:
            self.stream_over()

    def shutdown_acknowledged(self) -> None:
        """Do nothing: a client never sends the GOAWAY that starts a graceful shutdown."""

    # `TransportUser`

    def connection_lost(self, error: Exception | None) -> None:
        """Fail every call."""
        super().connection_lost(error)
        self.refusing = True
        lost = "the connection was lost"
        reason = f"{lost}: {self.error}" if self.error is not None else lost
        if not self.ready.done():
            self.ready.set_exception(
                self.error if isinstance(self.error, OSError) else ConnectionError(reason)
            )
        for stream in self.core.open_streams:
            self._fail(stream, RPCError(StatusCode.UNAVAILABLE, reason))
        while self._queue:
            self._next_turn()
        if not self.gone.done():
            self.gone.set_result(None)

    def inbox(self, stream: Stream) -> Inbox:
        """Make an inbox for a stream that we opened."""
        return Inbox(self, stream)

    def give_up(self, stream: Stream) -> None:
        """Cancel a call that its caller no longer wants."""
        if not self.lost:
            self.core.reset_stream(stream, ErrorCode.CANCEL)
            self.flush_soon()
        stream.app = None
        self._wake(stream)
        self.stream_over()

    def _next_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _closed(self, stream: Stream) -> None:
        """Close our side too: the server has ended the stream."""
        stream.app = None
        if not stream.local_closed:
            self.core.reset_stream(stream, ErrorCode.NO_ERROR)
        self._wake(stream)
        self.stream_over()

    def _abandon(self, stream: Stream, error: RPCError) -> None:
        self.core.reset_stream(stream, ErrorCode.CANCEL)
        self._fail(stream, error)

    def _fail(self, stream: Stream, error: RPCError) -> None:
        call, stream.app = stream.app, None
        if type(call) is ClientCall:
            call.finished(error)
        self._wake(stream)
        self.stream_over()


class ClientCall:
    """One call of a client, from its header section to its status.

    Attributes:
        inbox: the messages received.
        unary: exactly one message is expected.
    """

    __slots__ = (
        "_done",
        "_error",
        "_link",
        "_over",
        "_stream",
        "_timeout_s",
        "_timer",
        "inbox",
        "unary",
    )

    def __init__(self, link: ClientLink, timeout_s: float | None, *, unary: bool) -> None:
        self._link = link
        self.unary = unary
        self._timeout_s = timeout_s
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: RPCError | None = None
        # The future's state does not tell: cancelling the caller cancels the future that it awaits.
        self._over = False

    async def start(self, headers: Headers) -> None:
        """Open the stream.

        Raises:
            RPCError: UNAVAILABLE, or DEADLINE_EXCEEDED if the server did not allow a stream in
                time.
        """
        link = self._link
        if self._timeout_s is None:
            self._stream = await link.open(self, headers)
        else:
            try:
                async with asyncio.timeout(self._timeout_s) as deadline:
                    self._stream = await link.open(self, headers)
            except TimeoutError:
                raise _deadline_exceeded() from None
            when = deadline.when()
            if when is not None:
                self._timer = asyncio.get_running_loop().call_at(when, self._expire)
        self.inbox = link.inbox(self._stream)
        link.flush_soon()

    async def single(self, message: bytes) -> bytes:
        """Make a unary call: send one message and return the answer.

        Raises:
            RPCError: the call's status, or INTERNAL if OK came without exactly one message.
        """
        stream = self._opened()
        self._link.core.send_data(stream, framing.encode_message(message), end_stream=True)
        await self._done
        if self._error is not None:
            raise self._error
        messages = self.inbox.take_all()
        if len(messages) != 1:
            text = f"a unary call got {len(messages)} messages instead of one"
            raise RPCError(StatusCode.INTERNAL, text)
        return messages[0]

    async def send(self, message: bytes) -> None:
        """Send a message and wait until it has been sent.

        Raises:
            RPCError: the call is over.
        """
        stream = self._opened()
        self._check_running()
        self._link.core.send_data(stream, framing.encode_message(message))
        self._link.flush_soon()
        await self._link.drained(stream)
        self._check_running()

    def end(self) -> None:
        """End our side, unless the call is over."""
        stream = self._opened()
        if not self._over and not stream.local_closed:
            self._link.core.send_data(stream, b"", end_stream=True)
            self._link.flush_soon()

    async def receive(self) -> bytes | None:
        """Return the next message, or None after the last.

        Raises:
            RPCError: the call's status, if it is not OK.
        """
        self._opened()
        return await self.inbox.receive()

    def finished(self, error: RPCError | None) -> None:
        """Store the call's status; None means OK."""
        if self._over:
            return
        self._over = True
        self._error = error
        self.inbox.end(error)
        if not self._done.done():
            self._done.set_result(None)

    def close(self) -> None:
        """Release the call, and cancel it if it is not finished."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stream is not None:
            if not self._over:
                self._link.give_up(self._stream)
                self.finished(RPCError(StatusCode.CANCELLED, "the caller cancelled the call"))
            self.inbox.discard()

    def _expire(self) -> None:
        if self._stream is not None and not self._over:
            self._link.give_up(self._stream)
            self.finished(_deadline_exceeded())

    def _opened(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("the call has not been started: use `async with`")
        return self._stream

    def _check_running(self) -> None:
        if self._over:
            raise self._error or RPCError(StatusCode.CANCELLED, "the server has ended the call")


def _deadline_exceeded() -> RPCError:
    return RPCError(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
