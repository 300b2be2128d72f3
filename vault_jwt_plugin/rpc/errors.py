"""gRPC status codes and the errors of this package.

The tree::

    RPCError                    a call ended with a status other than OK
    HTTP2Error
      LocalProtocolError        our code tried to send what the protocol forbids: a bug
      RemoteProtocolError       the peer broke the protocol: its connection ends
"""

from __future__ import annotations

from enum import IntEnum


class StatusCode(IntEnum):
    """gRPC status codes (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(Exception):
    """A call ended with a status other than OK, on either side.

    Attributes:
        code: the gRPC status.
        message: the status text, decoded.
    """

    def __init__(self, code: StatusCode, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class ErrorCode(IntEnum):
    """HTTP/2 error codes (RFC 9113 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class HTTP2Error(Exception):
    """The root of the HTTP/2 core's errors."""


class LocalProtocolError(HTTP2Error):
    """Our code tried to send what the protocol forbids in this state: a bug."""


class RemoteProtocolError(HTTP2Error):
    """The peer broke the protocol; the connection has to end (RFC 9113 5.4.1).

    Attributes:
        error_code: the code in the GOAWAY frame.
        reason: one sentence for the log and for GOAWAY's debug data.
    """

    def __init__(self, error_code: ErrorCode, reason: str) -> None:
        super().__init__(error_code, reason)
        self.error_code = error_code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.error_code.name}: {self.reason}"
