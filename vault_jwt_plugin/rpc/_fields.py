"""A decoded header block, checked once and shared by all messages that repeat it."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Section(Enum):
    """What kind of section the pseudo-header fields allow (RFC 9113 8.3)."""

    REQUEST = "request"
    RESPONSE = "response"
    TRAILERS = "trailers"
    MALFORMED = "malformed"


# RFC 9113 8.2.2; `te` may be "trailers" and nothing else.
_CONNECTION_SPECIFIC: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_REQUEST: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_REQUIRED: Final = frozenset({":method", ":scheme", ":path"})
_BAD_NAME: Final = bytes(range(0x21)) + bytes(range(0x41, 0x5B)) + bytes(range(0x7F, 0x100))
_BAD_VALUE: Final = b"\0\r\n"


class Fields:
    """One field section. Never change it: calls share it.

    Attributes:
        section: the kind of section; `MALFORMED` is valid nowhere.
        problem: why it is malformed; "" if it is not.
        pseudo: the pseudo-header fields, names with their colon.
        metadata: the other fields; the values of a repeated name are joined with ",".
        content_length: the declared length in bytes; None if absent.
        derived: whatever the layer above computed from the section; shared as well.
    """

    __slots__ = ("content_length", "derived", "metadata", "problem", "pseudo", "section")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        pseudo: dict[str, str] = {}
        metadata: dict[str, str] = {}
        self.derived: object = None
        self.content_length: int | None = None
        self.problem = _collect(pairs, pseudo, metadata)
        self.pseudo = pseudo
        self.metadata: Mapping[str, str] = MappingProxyType(metadata)
        self.section = Section.MALFORMED
        if not self.problem:
            self.problem = self._classify()

    def _classify(self) -> str:
        """Set the section and the content length; return the problem, or ""."""
        length = self.metadata.get("content-length")
        if length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                return "content-length is not a number"
            self.content_length = int(length)
        names = self.pseudo.keys()
        if not names:
            self.section = Section.TRAILERS
        elif names == {":status"}:
            status = self.pseudo[":status"]
            if not (len(status) == 3 and status.isascii() and status.isdigit()):
                return ":status is not three digits"
            self.section = Section.RESPONSE
        elif names >= _REQUIRED and names <= _REQUEST:
            if not self.pseudo[":path"]:
                return ":path is empty"
            self.section = Section.REQUEST
        else:
            return "pseudo-header fields of neither a request nor a response"
        return ""


def _collect(
    pairs: Iterable[tuple[bytes, bytes]], pseudo: dict[str, str], metadata: dict[str, str]
) -> str:
    """Sort the fields into the two dicts; return the problem, or "" (RFC 9113 8.2, 8.3)."""
    for raw_name, raw_value in pairs:
        # Latin-1 never fails and keeps every byte; gRPC allows only printable ASCII.
        value = raw_value.decode("latin-1")
        # RFC 9113 8.2.1 forbids spaces at either end, but they are let through: grpc-go does not
        # trim a
        # status text that ends in one.
        if any(byte in raw_value for byte in _BAD_VALUE):
            return "field value with a NUL, CR or LF"
        if raw_name[:1] == b":":
            name = raw_name.decode("latin-1")
            if metadata:
                return "pseudo-header field after a regular one"
            if name in pseudo or (name not in _REQUEST and name != ":status"):
                return "pseudo-header field unknown or repeated"
            pseudo[name] = value
            continue
        if not raw_name or raw_name.translate(None, _BAD_NAME) != raw_name or b":" in raw_name:
            return "field name with a character that is not allowed"
        name = raw_name.decode("ascii")
        if name in _CONNECTION_SPECIFIC or (name == "te" and value.lower() != "trailers"):
            return "connection-specific field"
        metadata[name] = f"{metadata[name]},{value}" if name in metadata else value
    return ""
