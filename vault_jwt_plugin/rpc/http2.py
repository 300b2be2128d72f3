"""HTTP/2 without I/O: it takes and returns bytes, and calls a `Listener` (RFC 9113).

`Connection` implements what both roles of gRPC need of HTTP/2 and no more: no push, no
priorities. It imports no asyncio, socket or ssl. Pass what the socket delivers to `receive_data`,
which calls the listener for each event; then send what `data_to_send` returns. The listener may
call any sending method during these calls, so that a whole answer leaves in the same batch. It is
called directly, without event objects: at 100 us per login each object shows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc._control import GOAWAY_PING, ControlFrames
from vault_jwt_plugin.rpc._fields import Section
from vault_jwt_plugin.rpc._frames import Flag, FrameType, Setting
from vault_jwt_plugin.rpc._guards import HeaderBlock
from vault_jwt_plugin.rpc._hpack import Decoder
from vault_jwt_plugin.rpc._listener import Listener
from vault_jwt_plugin.rpc._stream import Stream
from vault_jwt_plugin.rpc.errors import ErrorCode, LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc.limits import Limits

__all__ = ["Connection", "Listener", "Stream"]

_DATA: Final = FrameType.DATA.value
_HEADERS: Final = FrameType.HEADERS.value
_SETTINGS: Final = FrameType.SETTINGS.value
_CONTINUATION: Final = FrameType.CONTINUATION.value
_END_STREAM: Final = Flag.END_STREAM.value
_END_HEADERS: Final = Flag.END_HEADERS.value
_PADDED: Final = Flag.PADDED.value
_PRIORITY: Final = Flag.PRIORITY.value
_unpack: Final = _frames.HEADER.unpack_from
_MAX_GAPS: Final = 64


class Connection(ControlFrames):
    """One HTTP/2 connection in either role.

    Attributes:
        closed: the connection has failed or ended; nothing more is read.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        client: bool,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(listener, client=client, limits=limits, clock=clock)
        self._decoder = Decoder(limits.max_header_list_bytes)
        self._buffer = b""
        self._preface_left = b"" if client else _frames.PREFACE
        self._block: HeaderBlock | None = None
        self._recv_window = limits.connection_window_bytes
        self._goaway_last: int | None = None
        # Ids that the peer skipped, as (first, last): using one later is a different error from
        # using one
        # of a closed stream.
        self._gaps: list[tuple[int, int]] = []
        self.closed = False
        self._frame_handlers[_CONTINUATION] = self._on_continuation

    @property
    def stream_count(self) -> int:
        """Return how many streams are open."""
        return len(self._streams)

    @property
    def idle(self) -> bool:
        """Return whether no stream is open."""
        return not self._streams

    @property
    def shutdown_complete(self) -> bool:
        """Return whether the second GOAWAY has been sent, so that no stream will be added."""
        return self._goaway_last is not None

    def start(self) -> None:
        """Send our preface. Call this once, before anything else."""
        limits = self._limits
        values: dict[int, int] = {
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            Setting.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
        }
        if self._client:
            self._out.append(_frames.PREFACE)
            values[Setting.ENABLE_PUSH] = 0
        else:
            values[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
        self._out.append(_frames.settings(values))
        extra = limits.connection_window_bytes - _frames.DEFAULT_WINDOW
        if extra > 0:
            self._out.append(_frames.window_update(0, extra))

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer and call the listener for each event.

        Raises:
            RemoteProtocolError: the peer broke the protocol. `data_to_send()` returns a GOAWAY that
                says
                so; send it and close.
        """
        if self.closed:
            return
        if self._buffer:
            data = self._buffer + data
        try:
            position = self._receive(data)
        except RemoteProtocolError as error:
            self.close(error.error_code, error.reason)
            raise
        self._buffer = data[position:] if position < len(data) else b""

    def _receive(self, data: bytes) -> int:
        """Handle every whole frame; return how many bytes they took."""
        position = 0
        size = len(data)
        if self._preface_left:
            position = min(size, len(self._preface_left))
            if data[:position] != self._preface_left[:position]:
                raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 preface")
            self._preface_left = self._preface_left[position:]
        while size - position >= 9 and not self.closed:
            word, flags, stream_id = _unpack(data, position)
            length = word >> 8
            if length > _frames.DEFAULT_FRAME_BYTES:
                raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "frame over 16384 bytes")
            kind = word & 0xFF
            start = position + 9
            stop = start + length
            if stop > size:
                break
            position = stop
            stream_id &= 0x7FFFFFFF
            if self._block is not None or not self._settings_seen:
                self._check_order(kind, flags, stream_id)
            if kind == _DATA:
                self._on_data(flags, stream_id, data[start:stop])
            elif kind == _HEADERS:
                self._on_headers(flags, stream_id, data[start:stop])
            else:
                handler = self._frame_handlers.get(kind)
                # Frames of unknown types are ignored (RFC 9113 5.5).
                if handler is not None:
                    handler(flags, stream_id, data[start:stop])
        return position

    def _check_order(self, kind: int, flags: int, stream_id: int) -> None:
        block = self._block
        if block is not None and (kind != _CONTINUATION or stream_id != block.stream_id):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "frame inside a header block")
        if not self._settings_seen and (kind != _SETTINGS or flags & Flag.ACK.value):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "first frame is not SETTINGS")

    # For the layer above

    def open_stream(self) -> Stream:
        """Open a stream, as a client; `send_headers` must follow at once.

        Raises:
            LocalProtocolError: we are the server, or no more streams may be opened.
        """
        if not self._client or self.closed or self._next_id > _frames.MAX_STREAM_ID:
            raise LocalProtocolError("this connection can open no stream")
        stream = Stream(self._next_id, self._initial_send_window, self._limits.stream_window_bytes)
        self._next_id += 2
        self._streams[stream.id] = stream
        return stream

    def return_window(self, stream: Stream, size: int) -> bool:
        """Let the peer send `size` more bytes on the stream: the layer above has consumed as many.

        Returns whether there is now something to send.
        """
        if stream.remote_closed or stream.id not in self._streams:
            return False
        stream.recv_unreturned += size
        if stream.recv_unreturned * 2 >= self._limits.stream_window_bytes:
            self._out.append(_frames.window_update(stream.id, stream.recv_unreturned))
            stream.recv_window += stream.recv_unreturned
            stream.recv_unreturned = 0
            return True
        return False

    def begin_shutdown(self) -> None:
        """Send GOAWAY and a PING, but still take requests under way (RFC 9113 6.8)."""
        if not self.closed and self._goaway_last is None:
            self._out.append(_frames.goaway(_frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
            self._out.append(_frames.frame(FrameType.PING, 0, 0, GOAWAY_PING))

    def finish_shutdown(self) -> None:
        """Send the second GOAWAY: streams above the last one seen are not processed."""
        if not self.closed and self._goaway_last is None:
            self._goaway_last = self._last_remote_id
            self._out.append(_frames.goaway(self._last_remote_id, ErrorCode.NO_ERROR))

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """End the connection with a last GOAWAY; nothing more is read."""
        if not self.closed:
            self.closed = True
            self._buffer = b""
            debug = reason.encode("utf-8")
            self._out.append(_frames.goaway(self._last_remote_id, code, debug))

    # Frames of a stream

    def _on_data(self, flags: int, stream_id: int, data: bytes) -> None:
        length = len(data)
        window = self._recv_window - length
        if window * 2 < self._limits.connection_window_bytes:
            window = self._return_connection_window(window)
        self._recv_window = window
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_closed:
            self._on_closed_stream(stream_id, "DATA")
            return
        stream.recv_window -= length
        if stream.recv_window < 0:
            self._stream_error(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
            return
        if not stream.headers_received:
            self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        if flags & _PADDED:
            data = _frames.strip_padding(data, flags)
            self.return_window(stream, length - len(data))
        if stream.body_left is not None:
            stream.body_left -= len(data)
            if stream.body_left < 0 or (flags & _END_STREAM and stream.body_left):
                self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
                return
        if flags & _END_STREAM:
            stream.remote_closed = True
            if stream.local_closed:
                del self._streams[stream_id]
            self._listener.content_received(stream, data, ended=True)
        elif data:
            self._listener.content_received(stream, data, ended=False)
        else:
            self._floods.count("empty DATA frames", self._limits.max_empty_frames_per_interval)

    def _return_connection_window(self, window: int) -> int:
        """Return the connection's window to the peer, and return the new window.

        This happens on receipt, not on consumption: otherwise a few incomplete messages could fill
        the
        window, and none could end. Each stream's window and `max_buffered_bytes` bound the memory.
        """
        if window < 0:
            raise RemoteProtocolError(
                ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection window"
            )
        full = self._limits.connection_window_bytes
        self._out.append(_frames.window_update(0, full - window))
        return full

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & (_PADDED | _PRIORITY):
            payload = _frames.strip_padding(payload, flags)
            if flags & _PRIORITY:
                if len(payload) < 5:
                    raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short")
                if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == stream_id:
                    raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
                payload = payload[5:]
        if flags & _END_HEADERS:
            self._on_header_block(stream_id, flags, payload)
        else:
            if not stream_id:
                raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
            self._block = HeaderBlock(stream_id, flags, payload)

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.add(payload, self._limits)
        if flags & _END_HEADERS:
            self._block = None
            self._on_header_block(stream_id, block.flags, block.joined())

    def _on_header_block(self, stream_id: int, flags: int, block: bytes) -> None:
        fields = self._decoder.decode(block)
        ended = bool(flags & _END_STREAM)
        stream = self._streams.get(stream_id)
        if stream is None:
            if self._client or stream_id <= self._last_remote_id:
                self._on_closed_stream(stream_id, "HEADERS")
            else:
                self._on_request(stream_id, fields, ended=ended)
            return
        if stream.remote_closed:
            self._on_closed_stream(stream_id, "HEADERS")
        elif stream.headers_received:
            if not ended or fields.section is not Section.TRAILERS or stream.body_left:
                self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
                return
            self._remote_end(stream)
            self._listener.trailers_received(stream, fields)
        elif fields.section is not Section.RESPONSE:
            self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif fields.pseudo[":status"][0] == "1":
            if ended:
                self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
        else:
            self._begin_body(stream, fields, ended=ended)

    def _on_request(self, stream_id: int, fields: Fields, *, ended: bool) -> None:
        if not stream_id & 1:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "request on an even stream")
        expected = self._last_remote_id + 2 if self._last_remote_id else 1
        if stream_id != expected and len(self._gaps) < _MAX_GAPS:
            self._gaps.append((expected, stream_id - 2))
        self._last_remote_id = stream_id
        if self._goaway_last is not None:
            self._ignore(stream_id)
            return
        if len(self._streams) >= self._limits.max_concurrent_streams:
            self._stream_error(stream_id, ErrorCode.REFUSED_STREAM)
            return
        if fields.section is not Section.REQUEST:
            self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        stream = Stream(stream_id, self._initial_send_window, self._limits.stream_window_bytes)
        self._streams[stream_id] = stream
        self._begin_body(stream, fields, ended=ended)

    def _begin_body(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        stream.headers_received = True
        length = fields.content_length
        if length is not None:
            stream.body_left = length
            # A response to HEAD may declare a length and have no body, but gRPC never sends HEAD.
            if ended and length:
                self._stream_error(stream.id, ErrorCode.PROTOCOL_ERROR)
                return
        if ended:
            self._remote_end(stream)
        self._listener.headers_received(stream, fields, ended=ended)

    def _remote_end(self, stream: Stream) -> None:
        stream.remote_closed = True
        if stream.local_closed:
            self._streams.pop(stream.id, None)

    def _on_closed_stream(self, stream_id: int, what: str) -> None:
        """Handle DATA or HEADERS on a stream that is idle, closed or half-closed (5.1)."""
        if stream_id in self._ignored:
            return
        if self._is_idle(stream_id) or any(a <= stream_id <= b for a, b in self._gaps):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, f"{what} on an idle stream")
        if what == "DATA":
            self._stream_error(stream_id, ErrorCode.STREAM_CLOSED)
        else:
            raise RemoteProtocolError(ErrorCode.STREAM_CLOSED, f"{what} on a closed stream")
