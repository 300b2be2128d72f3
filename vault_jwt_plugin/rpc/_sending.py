"""The sending half of a connection: frames within the peer's windows (RFC 9113 5.2, 6.9)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc._frames import Flag, FrameType
from vault_jwt_plugin.rpc._hpack import Encoder
from vault_jwt_plugin.rpc.errors import ErrorCode, LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.rpc._hpack import Headers
    from vault_jwt_plugin.rpc._listener import StreamSink
    from vault_jwt_plugin.rpc._stream import Stream

# Plain numbers, because enum arithmetic costs more than packing the frame.
_DATA: Final = FrameType.DATA.value
_HEADERS: Final = FrameType.HEADERS.value
_END_STREAM: Final = Flag.END_STREAM.value
_END_HEADERS: Final = Flag.END_HEADERS.value
_WHOLE_TRAILERS: Final = _END_HEADERS | _END_STREAM
_pack: Final = _frames.HEADER.pack


class SendingHalf:
    """The sending methods of `Connection`. `data_to_send()` returns everything in order.

    Attributes:
        blocked: streams with data that waits for a window, by id, the longest waiting first.
    """

    def __init__(self, sink: StreamSink, *, client: bool, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._client = client
        self._clock = clock
        self._out: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        # Ids of streams that we ended while the peer may still send on them; its frames are
        # ignored.
        self._ignored: dict[int, None] = {}
        self._encoder = Encoder()
        self._send_window = _frames.DEFAULT_WINDOW
        self._initial_send_window = _frames.DEFAULT_WINDOW
        self._max_frame_out = _frames.DEFAULT_FRAME_BYTES
        self.blocked: dict[int, Stream] = {}

    def data_to_send(self) -> bytes:
        """Return all bytes produced since the last call; write them to the socket in this order."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def send_headers(self, stream: Stream, headers: Headers, *, end_stream: bool = False) -> None:
        """Send HEADERS and CONTINUATION: the first field section of a request or response.

        Raises:
            LocalProtocolError: our side of the stream has ended, or data waits.
        """
        if stream.local_closed or stream.pending is not None:
            raise LocalProtocolError("headers after the end of the stream, or while data waits")
        self._emit_headers(stream, headers, end_stream=end_stream)

    def send_data(self, stream: Stream, data: bytes, *, end_stream: bool = False) -> None:
        """Send DATA; what the windows do not allow yet waits in `stream.pending`.

        Raises:
            LocalProtocolError: our side of the stream has ended.
        """
        if stream.local_closed or stream.pending_end is not False:
            raise LocalProtocolError("data after the end of the stream")
        size = len(data)
        if stream.pending is None and (
            size <= stream.send_window and size <= self._send_window and size <= self._max_frame_out
        ):
            stream.send_window -= size
            self._send_window -= size
            flags = _END_STREAM if end_stream else 0
            self._out.append(_pack(size << 8 | _DATA, flags, stream.id) + data)
            if end_stream:
                self._local_end(stream)
            return
        stream.pending_end = end_stream
        self._enqueue(stream, data)

    def send_trailers(self, stream: Stream, trailers: Headers) -> None:
        """Send the trailer section after all data and end our side.

        Raises:
            LocalProtocolError: our side of the stream has ended.
        """
        if stream.local_closed or stream.pending_end is not False:
            raise LocalProtocolError("trailers after the end of the stream")
        if stream.pending is None:
            self._emit_headers(stream, trailers, end_stream=True)
        else:
            stream.pending_end = trailers

    def send_response(
        self, stream: Stream, headers: Headers, data: bytes, trailers: Headers
    ) -> None:
        """Send HEADERS, DATA and trailers: in one piece if the windows allow it.

        Raises:
            LocalProtocolError: our side of the stream has ended.
        """
        size = len(data)
        if (
            size > stream.send_window
            or size > self._send_window
            or size > self._max_frame_out
            or stream.local_closed
        ):
            self.send_headers(stream, headers)
            self.send_data(stream, data)
            self.send_trailers(stream, trailers)
            return
        stream.send_window -= size
        self._send_window -= size
        stream_id = stream.id
        first = self._encoder.encode(headers)
        last = self._encoder.encode(trailers)
        frame_bytes = self._max_frame_out
        if len(first) > frame_bytes or len(last) > frame_bytes:
            first_frames = _frames.header_frames(
                stream_id, first, end_stream=False, max_bytes=frame_bytes
            )
            last_frames = _frames.header_frames(
                stream_id, last, end_stream=True, max_bytes=frame_bytes
            )
        else:
            first_frames = _pack(len(first) << 8 | _HEADERS, _END_HEADERS, stream_id) + first
            last_frames = _pack(len(last) << 8 | _HEADERS, _WHOLE_TRAILERS, stream_id) + last
        self._out += (first_frames, _pack(size << 8 | _DATA, 0, stream_id), data, last_frames)
        self._local_end(stream)

    def reset_stream(self, stream: Stream, code: ErrorCode) -> None:
        """Send RST_STREAM and ignore whatever the peer still sends on the stream."""
        if self._streams.pop(stream.id, None) is None:
            return
        self._out.append(_frames.reset(stream.id, code))
        self._ignore(stream.id)
        self._discard(stream)

    def stalled_since(self, before: float) -> list[Stream]:
        """Return the streams whose waiting data has not moved since `before`."""
        return [stream for stream in self.blocked.values() if stream.blocked_at <= before]

    def _emit_headers(self, stream: Stream, headers: Headers, *, end_stream: bool) -> None:
        block = self._encoder.encode(headers)
        self._out.append(
            _frames.header_frames(
                stream.id, block, end_stream=end_stream, max_bytes=self._max_frame_out
            )
        )
        if end_stream:
            self._local_end(stream)

    def _enqueue(self, stream: Stream, data: bytes) -> None:
        if stream.pending is None:
            stream.pending = deque()
            stream.blocked_at = self._clock()
            self.blocked[stream.id] = stream
        stream.pending.append(memoryview(data))
        while self._send_pending(stream):
            pass

    def _send_pending(self, stream: Stream) -> bool:
        """Send one DATA frame, and the end after the last; return False if blocked or done."""
        pending = stream.pending
        if pending is None:
            return False
        chunk = pending[0]
        room = min(stream.send_window, self._send_window, self._max_frame_out)
        if room <= 0 and chunk:
            return False
        size = min(len(chunk), max(room, 0))
        part, rest = chunk[:size], chunk[size:]
        if rest:
            pending[0] = rest
        else:
            pending.popleft()
        last = not pending
        flags = _END_STREAM if last and stream.pending_end is True else 0
        stream.send_window -= size
        self._send_window -= size
        stream.blocked_at = self._clock()
        self._out += (_pack(size << 8 | _DATA, flags, stream.id), bytes(part))
        if last:
            self._drained(stream)
        return not last

    def _drained(self, stream: Stream) -> None:
        end = stream.pending_end
        self._discard(stream)
        if end is True:
            self._local_end(stream)
        elif end is not False:
            self._emit_headers(stream, end, end_stream=True)
        self._sink.stream_drained(stream)

    def _discard(self, stream: Stream) -> None:
        stream.pending = None
        stream.pending_end = False
        self.blocked.pop(stream.id, None)

    def _local_end(self, stream: Stream) -> None:
        stream.local_closed = True
        if stream.remote_closed:
            self._streams.pop(stream.id, None)
        elif not self._client:
            # The answer is complete before the request is, and the rest of the request is not
            # wanted
            # (RFC 9113 8.1). Without this a client could keep the stream open for ever.
            self.reset_stream(stream, ErrorCode.NO_ERROR)

    def _ignore(self, stream_id: int) -> None:
        self._ignored[stream_id] = None
        if len(self._ignored) > 4096:
            del self._ignored[next(iter(self._ignored))]

    def _grow_window(self, stream: Stream, increment: int) -> None:
        """Apply a WINDOW_UPDATE for one stream; the caller has checked the sum."""
        stream.send_window += increment
        while self._send_pending(stream):
            pass

    def _grow_connection_window(self, increment: int) -> None:
        """Apply a WINDOW_UPDATE for the connection; blocked streams take turns, a frame each.

        Raises:
            RemoteProtocolError: the window exceeds 2^31-1.
        """
        self._send_window += increment
        if self._send_window > _frames.MAX_WINDOW:
            raise RemoteProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "connection window over 2^31-1")
        ready = list(self.blocked.values())
        while ready and self._send_window > 0:
            ready = [stream for stream in ready if self._send_pending(stream)]

    def _set_initial_window(self, value: int) -> None:
        """Apply SETTINGS_INITIAL_WINDOW_SIZE to every open stream, if need be below zero (6.9.2).

        Raises:
            RemoteProtocolError: a window exceeds 2^31-1.
        """
        delta = value - self._initial_send_window
        self._initial_send_window = value
        for stream in list(self._streams.values()):
            if stream.send_window + delta > _frames.MAX_WINDOW:
                raise RemoteProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "stream window over 2^31-1")
            self._grow_window(stream, delta)
