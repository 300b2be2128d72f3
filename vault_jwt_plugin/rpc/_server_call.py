"""One call on the server: the meaning of its header section, and its life."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from vault_jwt_plugin.rpc import framing
from vault_jwt_plugin.rpc._calls import Call
from vault_jwt_plugin.rpc.errors import RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from vault_jwt_plugin.rpc._calls import Methods, StreamHandler, UnaryHandler
    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc._hpack import Headers
    from vault_jwt_plugin.rpc._inbox import Inbox
    from vault_jwt_plugin.rpc.http2 import Connection, Stream

_log = logging.getLogger(__name__)

GENERIC_ERROR: Final = "internal error"
"""The text that a caller gets when a handler raises an exception other than RPCError."""

_EMPTY_RESPONSE: Final = framing.RESPONSE_HEADERS + framing.OK_TRAILERS


class CallHost(Protocol):
    """What a call needs of its connection."""

    core: Connection

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that ends with the connection."""

    def time(self) -> float:
        """Return the event loop's time."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Schedule a callback on the event loop."""

    def flush_soon(self) -> None:
        """Schedule a write of what the core has to send."""

    async def drained(self, stream: Stream) -> None:
        """Wait until everything sent on the stream has left."""

    def call_unary(
        self, stream: Stream, head: Head, message: bytes, *, running: ServerCall | None
    ) -> None:
        """Run a unary handler."""

    def answer(self, stream: Stream, message: bytes) -> None:
        """Send a unary answer."""


class Head:
    """The meaning of a request's header section, computed once per distinct section.

    Attributes:
        unary, streaming: the handler; both are None if the request is refused.
        call: shared by all calls without a deadline.
        timeout_s: from grpc-timeout; None means no deadline.
        refusal: the whole answer if gRPC refuses the call.
        http_refusal: HTTP status and text if the request is not gRPC at all.
    """

    __slots__ = ("call", "http_refusal", "refusal", "streaming", "timeout_s", "unary")

    def __init__(self, fields: Fields, methods: Methods) -> None:
        path = fields.pseudo[":path"]
        self.call = Call(path, fields.metadata, None)
        self.unary: UnaryHandler | None = None
        self.streaming: StreamHandler | None = None
        self.timeout_s: float | None = None
        self.refusal: Headers | None = None
        self.http_refusal: tuple[bytes, bytes] | None = None
        kind = fields.metadata.get("content-type", "")
        if not kind.startswith("application/grpc"):
            self.http_refusal = (b"415", b"this server speaks gRPC: content-type application/grpc")
        elif fields.pseudo[":method"] != "POST":
            self.http_refusal = (b"405", b"this server speaks gRPC: method POST")
        else:
            self._examine(fields, methods, path)

    def _examine(self, fields: Fields, methods: Methods, path: str) -> None:
        if fields.metadata.get("grpc-encoding", "identity") != "identity":
            text = "no compression is supported"
            self.refusal = (
                *framing.trailers_only(StatusCode.UNIMPLEMENTED, text),
                (b"grpc-accept-encoding", b"identity"),
            )
            return
        timeout = fields.metadata.get("grpc-timeout")
        if timeout is not None:
            try:
                self.timeout_s = framing.parse_timeout(timeout)
            except ValueError:
                self.refusal = framing.trailers_only(StatusCode.INTERNAL, "malformed grpc-timeout")
                return
        method = methods.get(path)
        if method is not None:
            self.unary, self.streaming = method.unary, method.streaming
        else:
            service, _, name = path.removeprefix("/").rpartition("/")
            text = f"unknown method {name} for service {service}"
            self.refusal = framing.trailers_only(StatusCode.UNIMPLEMENTED, text)

    def start(self, now: float) -> Call:
        """Return the call that the handler sees."""
        if self.timeout_s is None:
            return self.call
        return Call(self.call.path, self.call.metadata, now + self.timeout_s)


class ServerCall:
    """The input, task and deadline of a call that takes time; handlers see it as `ServerStream`."""

    __slots__ = ("_inbox", "_link", "_stream", "_task", "_timer", "call", "head", "over", "started")

    def __init__(self, link: CallHost, stream: Stream, head: Head, inbox: Inbox) -> None:
        self._link = link
        self._stream = stream
        self._inbox = inbox
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.head = head
        self.call = head.start(link.time())
        self.started = False
        self.over = False
        if head.timeout_s is not None:
            self._timer = link.call_later(head.timeout_s, self._expire)

    async def receive(self) -> bytes | None:
        """See `ServerStream`.

        Raises:
            RPCError: the peer's messages cannot be read.
        """
        return await self._inbox.receive()

    async def send(self, message: bytes) -> None:
        """See `ServerStream`.

        Raises:
            RPCError: CANCELLED if the call is over.
        """
        if self.over:
            raise RPCError(StatusCode.CANCELLED, "the call is over")
        core = self._link.core
        if not self.started:
            self.started = True
            core.send_headers(self._stream, framing.RESPONSE_HEADERS)
        core.send_data(self._stream, framing.encode_message(message))
        self._link.flush_soon()
        await self._link.drained(self._stream)

    # For the connection

    def content(self, data: bytes, *, ended: bool) -> None:
        """Take content of the request."""
        try:
            if data:
                self._inbox.feed(data)
        except RPCError as error:
            self.fail(error)
            return
        if ended:
            self.input_ended()
        elif self.head.unary is not None and self._inbox.surplus:
            self.fail(
                RPCError(StatusCode.INTERNAL, "a unary call takes one message, but more came")
            )

    def input_ended(self) -> None:
        """Note that the peer has ended its side; a unary call runs now."""
        self._inbox.end()
        handler = self.head.unary
        if handler is None or self.over:
            return
        messages = self._inbox.take_all()
        if len(messages) != 1:
            text = f"a unary call takes one message, but {len(messages)} came"
            self.fail(RPCError(StatusCode.INTERNAL, text))
            return
        self._link.call_unary(self._stream, self.head, messages[0], running=self)

    def run_unary(self, result: Awaitable[bytes]) -> None:
        """Wait for a unary handler's result in a task that this call owns."""
        self._task = self._link.spawn(self._guard(lambda: self._answer(result)))
        # A task that is cancelled before its first step never starts the handler's coroutine.
        self._task.add_done_callback(lambda _task: _let_go(result))

    def run_streaming(self, handler: StreamHandler) -> None:
        """Run a streaming handler in a task that this call owns."""
        self._task = self._link.spawn(self._guard(lambda: self._serve(handler)))

    async def _answer(self, result: Awaitable[bytes]) -> None:
        message = await result
        if not self.over:
            self.finish()
            self._link.answer(self._stream, message)

    async def _serve(self, handler: StreamHandler) -> None:
        await handler(self)
        if not self.over:
            self.finish()
            core = self._link.core
            if self.started:
                core.send_trailers(self._stream, framing.OK_TRAILERS)
            else:
                core.send_headers(self._stream, _EMPTY_RESPONSE, end_stream=True)

    def fail(self, error: RPCError) -> None:
        """End the call with this status."""
        if self.over:
            return
        self.finish()
        self._cancel_task()
        core = self._link.core
        if self.started:
            core.send_trailers(self._stream, framing.status_trailers(error.code, error.message))
        else:
            core.send_headers(
                self._stream, framing.trailers_only(error.code, error.message), end_stream=True
            )

    def cancel(self) -> None:
        """End the call without an answer: it was reset, or the connection is gone."""
        self.finish()
        self._cancel_task()
        self._inbox.end(RPCError(StatusCode.CANCELLED, "the call is over"))

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            self.fail(RPCError(StatusCode.CANCELLED, "the handler was cancelled"))
            raise
        except RPCError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - the boundary: a handler may raise anything
            _log.exception(
                "handler of %s failed", self.call.path, extra={"fields": {"event": "call_fault"}}
            )
            self.fail(RPCError(StatusCode.UNKNOWN, GENERIC_ERROR))
        self._link.flush_soon()

    def _expire(self) -> None:
        self._timer = None
        self.fail(RPCError(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"))
        self._link.flush_soon()

    def finish(self) -> None:
        """Stop the input and the deadline; only the end remains to be sent."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inbox.discard()

    def _cancel_task(self) -> None:
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()


def _let_go(result: Awaitable[bytes]) -> None:
    """Cancel an awaitable that nobody will await any more, unless it has ended."""
    if isinstance(result, asyncio.Future):
        result.cancel()
    elif asyncio.iscoroutine(result):
        result.close()
