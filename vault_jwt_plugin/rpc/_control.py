"""The frames that concern the whole connection or end a stream: all but HEADERS and DATA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc._frames import Flag, FrameType, Setting
from vault_jwt_plugin.rpc._guards import FloodGuard
from vault_jwt_plugin.rpc._sending import SendingHalf
from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.rpc._listener import Listener
    from vault_jwt_plugin.rpc._stream import Stream
    from vault_jwt_plugin.rpc.limits import Limits

GOAWAY_PING: Final = b"goodbye!"
"""The payload of the PING after a first GOAWAY. Its acknowledgement proves that both were read."""

_MAX_HELD_ACKS: Final = 16


class ControlFrames(SendingHalf):
    """How both roles handle SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM and PRIORITY.

    Attributes:
        peer_max_streams: how many streams the peer lets us open; None means no limit.
        held_acks: PING acknowledgements that wait for `release_ping_acks`.
    """

    def __init__(
        self, listener: Listener, *, client: bool, limits: Limits, clock: Callable[[], float]
    ) -> None:
        super().__init__(listener, client=client, clock=clock)
        self._listener = listener
        self._limits = limits
        self._floods = FloodGuard(limits.flood_interval_s, clock)
        self._settings_seen = False
        self._last_remote_id = 0
        self._next_id = 1
        self.peer_max_streams: int | None = None
        self.held_acks: list[bytes] = []
        self._frame_handlers: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.PRIORITY: self._on_priority,
            FrameType.RST_STREAM: self._on_reset,
            FrameType.SETTINGS: self._on_settings,
            FrameType.PUSH_PROMISE: self._on_push_promise,
            FrameType.PING: self._on_ping,
            FrameType.GOAWAY: self._on_goaway,
            FrameType.WINDOW_UPDATE: self._on_window_update,
        }

    @property
    def open_streams(self) -> list[Stream]:
        """Return the streams that are not yet closed on both sides."""
        return list(self._streams.values())

    def release_ping_acks(self) -> None:
        """Send the PING acknowledgements that are held back."""
        self._out += self.held_acks
        self.held_acks = []

    def _is_idle(self, stream_id: int) -> bool:
        if not stream_id & 1:
            return True
        return stream_id >= self._next_id if self._client else stream_id > self._last_remote_id

    def _stream_error(self, stream_id: int, code: ErrorCode) -> None:
        """Reset a stream on which the peer broke the protocol (RFC 9113 5.4.2)."""
        self._floods.count("stream errors", self._limits.max_resets_per_interval)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._out.append(_frames.reset(stream_id, code))
            self._ignore(stream_id)
        else:
            self.reset_stream(stream, code)
            self._listener.stream_reset(stream, None)

    def _on_reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        code = _frames.parse_number(payload, "RST_STREAM")
        if self._is_idle(stream_id):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        # Count while the stream still exists, so that its user learns if the connection ends.
        self._floods.count("RST_STREAM frames", self._limits.max_resets_per_interval)
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._discard(stream)
            self._listener.stream_reset(stream, code)

    def _on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._floods.count("PRIORITY frames", self._limits.max_settings_per_interval)
        if not stream_id:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes")
        if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == stream_id:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        # Our clients send ENABLE_PUSH 0, and nobody may push to a server.
        raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE")

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        increment = _frames.parse_number(payload, "WINDOW_UPDATE") & 0x7FFFFFFF
        if not stream_id:
            if not increment:
                raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._grow_connection_window(increment)
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                raise RemoteProtocolError(
                    ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream"
                )
        elif not increment:
            self._stream_error(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif stream.send_window + increment > _frames.MAX_WINDOW:
            self._stream_error(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            self._grow_window(stream, increment)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & Flag.ACK.value:
            if payload:
                raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK with content")
            return
        self._floods.count("SETTINGS frames", self._limits.max_settings_per_interval)
        values = _frames.parse_settings(payload)
        # Acknowledge before sending the data that a larger window may release: a peer may apply the
        # new
        # window only once it has the acknowledgement.
        self._out.append(_frames.frame(FrameType.SETTINGS, Flag.ACK.value, 0))
        for name, value in values:
            if name == Setting.INITIAL_WINDOW_SIZE:
                self._set_initial_window(value)
            elif name == Setting.MAX_FRAME_SIZE:
                self._max_frame_out = value
            elif name == Setting.HEADER_TABLE_SIZE:
                self._encoder.resize_table(value)
            elif name == Setting.MAX_CONCURRENT_STREAMS:
                self.peer_max_streams = value
        self._settings_seen = True
        self._listener.settings_received()

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "PING not of 8 bytes")
        if flags & Flag.ACK.value:
            if payload == GOAWAY_PING:
                self._listener.shutdown_acknowledged()
            return
        self._floods.count("PINGs", self._limits.max_pings_per_interval)
        ack = _frames.frame(FrameType.PING, Flag.ACK.value, 0, payload)
        if self._limits.ping_ack_delay_s and len(self.held_acks) < _MAX_HELD_ACKS:
            self.held_acks.append(ack)
        else:
            self._out.append(ack)

    def _on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        last, code, debug = _frames.parse_goaway(payload)
        if self._client:
            for stream in self.open_streams:
                if stream.id > last:
                    del self._streams[stream.id]
                    self._discard(stream)
                    self._listener.stream_reset(stream, ErrorCode.REFUSED_STREAM)
        self._listener.goaway_received(code, debug)
