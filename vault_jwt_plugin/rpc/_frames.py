"""HTTP/2 frames: their numbers, parsers and serializers (RFC 9113 4 and 6)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
MAX_FRAME_BYTES: Final = 2**24 - 1
MAX_WINDOW: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1

# The length (24 bits) and type (8 bits) are read as one number: `word >> 8`, `word & 0xFF`.
HEADER: Final = Struct(">LBL")
_PAIR: Final = Struct(">LL")
_SETTING: Final = Struct(">HL")


class FrameType(IntEnum):
    """Frame types (RFC 9113 6)."""

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


class Flag(IntFlag):
    """Frame flags (RFC 9113 6). ACK and END_STREAM share a bit."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(IntEnum):
    """SETTINGS parameters (RFC 9113 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Build one whole frame."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """Build a SETTINGS frame with these values in this order."""
    payload = b"".join([_SETTING.pack(name, value) for name, value in values.items()])
    return frame(FrameType.SETTINGS, 0, 0, payload)


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the values of a SETTINGS frame, checked (RFC 9113 6.5.2); unknown ones are kept.

    Raises:
        RemoteProtocolError: the length or a value is not allowed.
    """
    if len(payload) % _SETTING.size:
        raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS length not divisible by 6")
    values = list(_SETTING.iter_unpack(payload))
    for name, value in values:
        if name == Setting.ENABLE_PUSH and value > 1:
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise RemoteProtocolError(
                ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE over 2^31-1"
            )
        if name == Setting.MAX_FRAME_SIZE and not (DEFAULT_FRAME_BYTES <= value <= MAX_FRAME_BYTES):
            raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
    return values


def goaway(last_stream_id: int, code: ErrorCode, debug: bytes = b"") -> bytes:
    """Build a GOAWAY frame (RFC 9113 6.8)."""
    return frame(FrameType.GOAWAY, 0, 0, _PAIR.pack(last_stream_id, code) + debug)


def parse_goaway(payload: bytes) -> tuple[int, int, bytes]:
    """Return the last stream id, the error code and the debug data.

    Raises:
        RemoteProtocolError: the payload is shorter than its two numbers.
    """
    if len(payload) < _PAIR.size:
        raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of fewer than 8 bytes")
    last, code = _PAIR.unpack_from(payload)
    return last & MAX_STREAM_ID, code, payload[_PAIR.size :]


def reset(stream_id: int, code: ErrorCode) -> bytes:
    """Build an RST_STREAM frame (RFC 9113 6.4)."""
    return frame(FrameType.RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: int, increment: int) -> bytes:
    """Build a WINDOW_UPDATE frame (RFC 9113 6.9); stream 0 means the connection."""
    return frame(FrameType.WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def parse_number(payload: bytes, what: str) -> int:
    """Return the 32-bit number that an RST_STREAM or WINDOW_UPDATE frame consists of.

    Raises:
        RemoteProtocolError: the payload has another length.
    """
    if len(payload) != 4:
        raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"{what} not of 4 bytes")
    return int.from_bytes(payload, "big")


def header_frames(stream_id: int, block: bytes, *, end_stream: bool, max_bytes: int) -> bytes:
    """Build HEADERS and as many CONTINUATION frames as the block needs (RFC 9113 4.3)."""
    flags = Flag.END_STREAM.value if end_stream else 0
    if len(block) <= max_bytes:
        return frame(FrameType.HEADERS, flags | Flag.END_HEADERS.value, stream_id, block)
    out = [frame(FrameType.HEADERS, flags, stream_id, block[:max_bytes])]
    for start in range(max_bytes, len(block), max_bytes):
        last = Flag.END_HEADERS.value if start + max_bytes >= len(block) else 0
        part = block[start : start + max_bytes]
        out.append(frame(FrameType.CONTINUATION, last, stream_id, part))
    return b"".join(out)


def strip_padding(payload: bytes, flags: int) -> bytes:
    """Return the content of a DATA or HEADERS payload without its padding (RFC 9113 6.1).

    Raises:
        RemoteProtocolError: the padding is as long as the payload, or longer.
    """
    if not flags & Flag.PADDED.value:
        return payload
    if not payload:
        raise RemoteProtocolError(ErrorCode.FRAME_SIZE_ERROR, "padded frame without a length")
    padding = payload[0]
    if padding >= len(payload):
        raise RemoteProtocolError(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[1 : len(payload) - padding]
