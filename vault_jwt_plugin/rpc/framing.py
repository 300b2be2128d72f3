"""gRPC on top of HTTP/2: message frames, status, timeouts, metadata (gRPC PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import base64
import binascii
import re
from struct import Struct
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from vault_jwt_plugin.rpc.errors import ErrorCode, RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vault_jwt_plugin.rpc._hpack import Headers

CONTENT_TYPE: Final = b"application/grpc"
RESPONSE_HEADERS: Final[Headers] = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
OK_TRAILERS: Final[Headers] = ((b"grpc-status", b"0"),)

PREFIX: Final = Struct(">BL")
PREFIX_BYTES: Final = PREFIX.size

_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_METADATA_NAME: Final = re.compile(r"[0-9a-z_.-]+")
_METADATA_VALUE: Final = re.compile(r"[\x20-\x7e]*")
# The characters that grpc-message carries unescaped: printable ASCII without "%".
_MESSAGE_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}
# A status text is a sentence; longer ones would exceed the peer's header limit.
_MAX_STATUS_TEXT: Final = 8192

# grpc/doc/http-grpc-status-mapping.md
_FROM_HTTP_STATUS: Final = {
    "400": StatusCode.INTERNAL,
    "401": StatusCode.UNAUTHENTICATED,
    "403": StatusCode.PERMISSION_DENIED,
    "404": StatusCode.UNIMPLEMENTED,
    "429": StatusCode.UNAVAILABLE,
    "502": StatusCode.UNAVAILABLE,
    "503": StatusCode.UNAVAILABLE,
    "504": StatusCode.UNAVAILABLE,
}
# gRPC PROTOCOL-HTTP2.md, "Errors"; all others are INTERNAL.
_FROM_RESET: Final = {
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


def encode_message(message: bytes) -> bytes:
    """Prefix a message with its flag (not compressed) and its 32-bit length."""
    return PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Split a stream's content into messages.

    Attributes:
        buffered: how many bytes of the incomplete message are held.
    """

    __slots__ = ("_max_bytes", "_parts", "_wanted", "buffered")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._wanted = PREFIX_BYTES
        self.buffered = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that this piece of content completes.

        Raises:
            RPCError: RESOURCE_EXHAUSTED as soon as a length exceeds the limit; INTERNAL for a
                compressed
                message, because no encoding was negotiated.
        """
        self._parts.append(data)
        self.buffered += len(data)
        messages: list[bytes] = []
        # Join only when there is enough: otherwise a message in small pieces would take quadratic
        # time.
        while self.buffered >= self._wanted:
            joined = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            size = self._length(joined)
            whole = PREFIX_BYTES + size
            if len(joined) >= whole:
                messages.append(joined[PREFIX_BYTES:whole])
                joined = joined[whole:]
                whole = PREFIX_BYTES
            self._parts = [joined]
            self.buffered = len(joined)
            self._wanted = whole
        return messages

    def _length(self, joined: bytes) -> int:
        compressed, size = PREFIX.unpack_from(joined)
        if size > self._max_bytes:
            raise RPCError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"received message larger than max ({size} vs. {self._max_bytes})",
            )
        if compressed:
            raise RPCError(StatusCode.INTERNAL, "compressed message without grpc-encoding")
        return int(size)


def status_trailers(code: StatusCode, message: str) -> Headers:
    """Build a status's trailer section; the text is percent-encoded, or left out if empty."""
    status = (b"grpc-status", b"%d" % code)
    if not message:
        return (status,)
    return (status, (b"grpc-message", encode_status_text(message)))


def trailers_only(code: StatusCode, message: str) -> Headers:
    """Build the single header section that answers a call without any message."""
    return RESPONSE_HEADERS + status_trailers(code, message)


def status_of(metadata: Mapping[str, str]) -> RPCError | None:
    """Return the status in the trailers; None means OK."""
    text = metadata.get("grpc-status")
    if text == "0":
        return None
    message = decode_status_text(metadata.get("grpc-message", ""))
    if text is None:
        return RPCError(StatusCode.UNKNOWN, "the peer ended the call without grpc-status")
    try:
        return RPCError(StatusCode(int(text)), message)
    except ValueError:
        return RPCError(StatusCode.UNKNOWN, f"unknown grpc-status {text[:16]!r}: {message}")


def status_of_http(status: str) -> RPCError:
    """Return the call's error for an HTTP status other than 200."""
    code = _FROM_HTTP_STATUS.get(status, StatusCode.UNKNOWN)
    return RPCError(code, f"the peer answered with HTTP status {status}")


def status_of_reset(code: int) -> RPCError:
    """Return the call's error for an RST_STREAM."""
    try:
        name = ErrorCode(code).name
        status = _FROM_RESET.get(ErrorCode(code), StatusCode.INTERNAL)
    except ValueError:
        name, status = hex(code), StatusCode.INTERNAL
    return RPCError(status, f"the stream was reset with {name}")


def encode_status_text(text: str) -> bytes:
    """Percent-encode a grpc-message. Lone surrogates become "?"."""
    raw = text.encode("utf-8", "replace")[:_MAX_STATUS_TEXT]
    if all(byte in _MESSAGE_PLAIN for byte in raw):
        return raw
    return b"".join(bytes((byte,)) if byte in _MESSAGE_PLAIN else b"%%%02X" % byte for byte in raw)


def decode_status_text(text: str) -> str:
    """Decode a grpc-message. Never fails: wrong escapes stay, and invalid UTF-8 becomes U+FFFD."""
    if "%" not in text and text.isascii():
        return text
    return unquote_to_bytes(text.encode("latin-1", "replace")).decode("utf-8", "replace")


def parse_timeout(text: str) -> float:
    """Return the seconds of a grpc-timeout.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS_S[match[2]]


def format_timeout(seconds: float) -> bytes:
    """Format a grpc-timeout, rounded up, in the finest unit that needs at most eight digits."""
    for unit, size in (("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("S", 1.0)):
        count = max(0, -int(-seconds / size // 1))
        if count < 100_000_000:
            return b"%d%s" % (count, unit.encode())
    return b"99999999S"


def encode_metadata(metadata: Sequence[tuple[str, str]]) -> Headers:
    """Turn a caller's metadata into header fields.

    Raises:
        ValueError: gRPC does not allow a name or value, or a name is reserved.
    """
    for name, value in metadata:
        if not _METADATA_NAME.fullmatch(name) or name.startswith("grpc-"):
            raise ValueError(f"invalid metadata name: {name!r}")
        if not _METADATA_VALUE.fullmatch(value):
            raise ValueError(f"invalid metadata value for {name!r}")
    return tuple((name.encode(), value.encode()) for name, value in metadata)


def encode_binary(value: bytes) -> str:
    """Encode the value of a `-bin` name: base64 without padding."""
    return base64.b64encode(value).rstrip(b"=").decode()


def decode_binary(value: str) -> bytes:
    """Decode the value of a `-bin` name, with or without padding.

    Raises:
        ValueError: the value is not base64.
    """
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
