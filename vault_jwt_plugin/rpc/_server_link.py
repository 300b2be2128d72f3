"""A server's connection: it reads requests, calls handlers and sends answers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from vault_jwt_plugin.rpc import framing
from vault_jwt_plugin.rpc._inbox import Inbox
from vault_jwt_plugin.rpc._link import Link
from vault_jwt_plugin.rpc._server_call import GENERIC_ERROR, Head, ServerCall
from vault_jwt_plugin.rpc.errors import ErrorCode, RPCError, StatusCode

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine

    from vault_jwt_plugin.rpc._calls import Methods
    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc.http2 import Stream
    from vault_jwt_plugin.rpc.limits import Limits

_log = logging.getLogger(__name__)

_RESPONSE: Final = framing.RESPONSE_HEADERS
_OK: Final = framing.OK_TRAILERS
_PREFIX_BYTES: Final = framing.PREFIX_BYTES
_prefix: Final = framing.PREFIX.pack
_unprefix: Final = framing.PREFIX.unpack_from


class ServerLink(Link):
    """A `Link` in the server's role."""

    def __init__(
        self,
        sock: socket.socket,
        methods: Methods,
        *,
        tls: ssl.SSLContext | None,
        limits: Limits,
        on_lost: Callable[[ServerLink], None],
    ) -> None:
        super().__init__(sock, client=False, tls=tls, server_hostname=None, limits=limits)
        self._methods = methods
        self._on_lost = on_lost
        self._tasks: set[asyncio.Task[None]] = set()
        self._shutting_down = False
        self.established = False
        self.time = self._loop.time
        self.call_later = self._loop.call_later

    # `Listener`

    def settings_received(self) -> None:
        """Note that the peer speaks HTTP/2."""
        super().settings_received()
        self.established = True

    def headers_received(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """Refuse a request, or prepare for its content."""
        head = fields.derived
        if type(head) is not Head:
            head = fields.derived = Head(fields, self._methods)
        stream.app = head
        if head.refusal is not None:
            stream.app = None
            self.core.send_headers(stream, head.refusal, end_stream=True)
        elif head.streaming is not None:
            call = self._begin(stream, head)
            call.run_streaming(head.streaming)
            if ended:
                call.input_ended()
        elif ended:
            self._input_ended(stream, head)

    def content_received(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        """Take content of a request. A whole unary request in one frame runs at once."""
        app = stream.app
        if type(app) is Head:
            if app.unary is None:
                # The request is not gRPC at all: read it to its end, then answer.
                self.core.return_window(stream, len(data))
                if ended:
                    self._refuse_http(stream, app)
                return
            if ended and len(data) >= _PREFIX_BYTES and app.timeout_s is None:
                compressed, size = _unprefix(data)
                if size == len(data) - _PREFIX_BYTES and not compressed:
                    self.call_unary(stream, app, data[_PREFIX_BYTES:], running=None)
                    return
            app = self._begin(stream, app)
        if type(app) is ServerCall:
            app.content(data, ended=ended)

    def trailers_received(self, stream: Stream, _fields: Fields, /) -> None:
        """End a request's content; the trailers of a gRPC request have no meaning."""
        app = stream.app
        if type(app) is Head:
            self._input_ended(stream, app)
        elif type(app) is ServerCall:
            app.input_ended()

    def stream_reset(self, stream: Stream, _code: int | None, /) -> None:
        """Cancel the call."""
        app, stream.app = stream.app, None
        if type(app) is ServerCall:
            app.cancel()
        self._wake(stream)

    def goaway_received(self, code: int, debug: bytes) -> None:
        """Do nothing: the client opens no more streams, and closes when it is done."""

    def shutdown_acknowledged(self) -> None:
        """Send the second GOAWAY: all requests sent before the first one have arrived."""
        if self._shutting_down:
            self.core.finish_shutdown()
            self._close_when_idle()

    # `TransportUser`

    def connection_lost(self, error: Exception | None) -> None:
        """End every call."""
        super().connection_lost(error)
        for stream in self.core.open_streams:
            self.stream_reset(stream, ErrorCode.CANCEL)
        self._on_lost(self)

    def data_to_send(self) -> bytes:
        """Return what the core produced, and close if a graceful shutdown is complete."""
        if self._shutting_down:
            self._close_when_idle()
        return super().data_to_send()

    # Calls

    def call_unary(
        self, stream: Stream, head: Head, message: bytes, *, running: ServerCall | None
    ) -> None:
        """Call a unary handler; if it answers at once, send the answer at once.

        `running` is the call's state if the call needed one before its message was complete.
        """
        handler = head.unary
        assert handler is not None  # noqa: S101 - for mypy; refused otherwise
        try:
            result = handler(head.call if running is None else running.call, message)
        except RPCError as error:
            (running or self._begin(stream, head)).fail(error)
            return
        except Exception:  # noqa: BLE001 - the boundary: a handler may raise anything
            _log.exception(
                "handler of %s failed", head.call.path, extra={"fields": {"event": "call_fault"}}
            )
            generic = RPCError(StatusCode.UNKNOWN, GENERIC_ERROR)
            (running or self._begin(stream, head)).fail(generic)
            return
        if isinstance(result, bytes):
            if running is not None:
                running.finish()
            self.answer(stream, result)
            return
        if running is None:
            running = self._begin(stream, head)
        running.run_unary(result)

    def answer(self, stream: Stream, message: bytes) -> None:
        """Send a unary answer."""
        stream.app = None
        self.core.send_response(stream, _RESPONSE, _prefix(0, len(message)) + message, _OK)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that the connection owns."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Shutdown

    def shut_down(self) -> None:
        """Send GOAWAY, and a second one once the client has seen it, then close."""
        if self.lost or self._shutting_down:
            return
        self._shutting_down = True
        self.core.begin_shutdown()
        self.flush()

    def stop_waiting(self) -> None:
        """End the grace period: send the second GOAWAY if needed, cancel the calls, close."""
        if not self.lost:
            self.core.finish_shutdown()
            for stream in self.core.open_streams:
                if type(stream.app) is ServerCall:
                    stream.app.fail(RPCError(StatusCode.UNAVAILABLE, "the server is shutting down"))
            self.close()

    @property
    def has_tasks(self) -> bool:
        """Return whether handlers still run, including those that are being cancelled."""
        return bool(self._tasks)

    async def tasks_done(self) -> None:
        """Wait until every handler has ended, except one that calls this."""
        me = asyncio.current_task()
        while others := [task for task in self._tasks if task is not me]:
            await asyncio.wait(others)

    def _close_when_idle(self) -> None:
        if self.core.idle and self.core.shutdown_complete and not self.core.closed:
            self._loop.call_soon(self.close)

    def _begin(self, stream: Stream, head: Head) -> ServerCall:
        inbox = Inbox(self, stream)
        stream.app = call = ServerCall(self, stream, head, inbox)
        return call

    def _input_ended(self, stream: Stream, head: Head) -> None:
        """Handle a request that ended before any of its content was read."""
        if head.unary is None:
            self._refuse_http(stream, head)
        else:
            self._begin(stream, head).input_ended()

    def _refuse_http(self, stream: Stream, head: Head) -> None:
        assert head.http_refusal is not None  # noqa: S101 - for mypy; no other case is left
        status, text = head.http_refusal
        headers = (
            (b":status", status),
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(text)),
        )
        stream.app = None
        self.core.send_headers(stream, headers)
        self.core.send_data(stream, text, end_stream=True)
