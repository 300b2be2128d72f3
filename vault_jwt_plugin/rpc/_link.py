"""The part that server and client connections share: HTTP/2 on a transport, and the timers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vault_jwt_plugin.rpc._inbox import Budget
from vault_jwt_plugin.rpc._transport import Transport
from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError
from vault_jwt_plugin.rpc.http2 import Connection

if TYPE_CHECKING:
    import socket
    import ssl

    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc.http2 import Stream
    from vault_jwt_plugin.rpc.limits import Limits

_log = logging.getLogger(__name__)


class Link:
    """The pump between a `Transport` and a `Connection`; subclasses implement its `Listener`.

    Attributes:
        core: the HTTP/2 connection.
        lost: the transport is gone.
        error: why the connection was lost; None if it closed in order or is not lost.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        client: bool,
        tls: ssl.SSLContext | None,
        server_hostname: str | None,
        limits: Limits,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.limits = limits
        self.core = Connection(self, client=client, limits=limits, clock=self._loop.time)
        self._transport = Transport(
            sock,
            self,
            tls=tls,
            server_side=not client,
            server_hostname=server_hostname,
            limits=limits,
        )
        self.budget = Budget(limits.max_buffered_bytes)
        self._settings_timer: asyncio.TimerHandle | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._flush_handle: asyncio.Handle | None = None
        # Streams whose sender waits for the peer's windows or for the socket.
        self._waiting: dict[Stream, asyncio.Future[None]] = {}
        self.lost = False
        self.error: Exception | None = None

    def start(self) -> None:
        """Start the transport; its deadline runs first, then the one for the peer's SETTINGS."""
        self._transport.start()

    def flush(self) -> None:
        """Write what the core has to send now."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._transport.flush()

    def flush_soon(self) -> None:
        """Write after everything that is ready in this turn of the event loop has run."""
        if self._flush_handle is None and not self.lost:
            self._flush_handle = self._loop.call_soon(self._flush_now)

    def close(self) -> None:
        """Send a last GOAWAY and close in order."""
        self.core.close()
        self._transport.close()

    def abort(self, error: Exception) -> None:
        """Close at once."""
        self._transport.abort(error)

    async def drained(self, stream: Stream) -> None:
        """Wait until all data of the stream has been sent and the socket keeps up."""
        while (stream.pending is not None or self._transport.congested) and not self.lost:
            # All waiters of this stream share one future; one that gives up must not cancel it.
            waiter = self._waiting.get(stream)
            if waiter is None:
                waiter = self._waiting[stream] = self._loop.create_future()
            await asyncio.shield(waiter)

    # `TransportUser`

    def connection_made(self) -> None:
        """Send our preface: the transport is ready."""
        self.core.start()
        self._settings_timer = self._loop.call_later(
            self.limits.handshake_timeout_s,
            self.abort,
            TimeoutError("no HTTP/2 SETTINGS in time"),
        )

    def data_received(self, data: bytes) -> None:
        """Pass plaintext to the core."""
        try:
            self.core.receive_data(data)
        except RemoteProtocolError as error:
            _log.warning(
                "HTTP/2 connection closed: %s", error, extra={"fields": {"event": "http2_refused"}}
            )
            self.error = error
            self._loop.call_soon(self._transport.close)
        except Exception as error:  # noqa: BLE001 - the boundary: our bug must not hang the peer
            _log.exception(
                "HTTP/2 connection closed because of an internal fault",
                extra={"fields": {"event": "http2_fault"}},
            )
            self.error = error
            self.core.close(ErrorCode.INTERNAL_ERROR)
            self._loop.call_soon(self._transport.close)

    def data_to_send(self) -> bytes:
        """Return what the core produced, and start the timers that its state needs."""
        core = self.core
        if core.held_acks and self._ack_timer is None:
            self._ack_timer = self._loop.call_later(
                self.limits.ping_ack_delay_s, self._release_acks
            )
        data = core.data_to_send()
        if core.blocked and self._stall_timer is None:
            self._stall_timer = self._loop.call_later(
                self.limits.stall_timeout_s / 4, self._check_stalls
            )
        return data

    def writable(self) -> None:
        """Wake all waiting senders: the socket has caught up."""
        for stream in list(self._waiting):
            self._wake(stream)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the transport is gone and stop all timers."""
        self.lost = True
        self.error = self.error or error
        self.core.closed = True
        for timer in (
            self._settings_timer,
            self._ack_timer,
            self._stall_timer,
            self._flush_handle,
        ):
            if timer is not None:
                timer.cancel()
        self.writable()

    # `Listener`: what is the same in both roles

    def stream_drained(self, stream: Stream) -> None:
        """Wake the stream's sender: all its data has been sent."""
        self._wake(stream)

    def settings_received(self) -> None:
        """Note that the peer speaks HTTP/2."""
        if self._settings_timer is not None:
            self._settings_timer.cancel()
            self._settings_timer = None

    def headers_received(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def content_received(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def trailers_received(self, stream: Stream, fields: Fields, /) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def stream_reset(self, stream: Stream, code: int | None, /) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def goaway_received(self, code: int, debug: bytes) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def shutdown_acknowledged(self) -> None:
        """See `Listener`."""
        raise NotImplementedError

    def _wake(self, stream: Stream) -> None:
        waiter = self._waiting.pop(stream, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _flush_now(self) -> None:
        self._flush_handle = None
        self._transport.flush()

    def _release_acks(self) -> None:
        self._ack_timer = None
        self.core.release_ping_acks()
        self._transport.flush()

    def _check_stalls(self) -> None:
        self._stall_timer = None
        before = self._loop.time() - self.limits.stall_timeout_s
        for stream in self.core.stalled_since(before):
            _log.warning(
                "stream reset: the peer's flow-control window stays closed",
                extra={"fields": {"event": "http2_stalled"}},
            )
            self.core.reset_stream(stream, ErrorCode.CANCEL)
            self.stream_reset(stream, ErrorCode.CANCEL)
        self._transport.flush()
