"""What a service's author sees of a call: handlers, their kinds, and a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


class Call:
    """The server's view of one call. Shared between calls that look alike: never mutate.

    Attributes:
        path: "/package.Service/Method".
        metadata: names in lower case, pseudo-header fields left out, repeated values joined
            with ","; a `-bin` value is still base64 (`decode_binary`).
        deadline: in the event loop's time, None = no deadline.
    """

    __slots__ = ("deadline", "metadata", "path")

    def __init__(self, path: str, metadata: Mapping[str, str], deadline: float | None) -> None:
        self.path = path
        self.metadata = metadata
        self.deadline = deadline


class ServerStream(Protocol):
    """A server-streaming or bidirectional call, as its handler sees it.

    The call ends with OK when the handler returns, and with its status when it raises RPCError.
    """

    @property
    def call(self) -> Call:
        """Path, metadata, deadline."""

    async def receive(self) -> bytes | None:
        """The next message; None once the peer has ended its side."""

    async def send(self, message: bytes) -> None:
        """Send a message; returns when it has left, so a slow reader slows the handler."""


UnaryHandler = Callable[[Call, bytes], bytes | Awaitable[bytes]]
"""Answers one message with one.

Bytes at once are sent within the same read event, without a task. An awaitable runs in a task that
is cancelled when the peer resets the call, the deadline passes, or the connection is lost. RPCError
becomes that status; any other exception is logged and leaves as UNKNOWN with a generic text.
"""

StreamHandler = Callable[[ServerStream], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A handler and its kind: exactly one of the two is set. Made by `unary` or `streaming`."""

    unary: UnaryHandler | None = None
    streaming: StreamHandler | None = None


Methods = Mapping[str, Method]
"""What a server serves, by full path: "/package.Service/Method"."""


def unary(handler: UnaryHandler) -> Method:
    """A method with one request message and one response message."""
    return Method(unary=handler)


def streaming(handler: StreamHandler) -> Method:
    """A method with any number of messages, either way."""
    return Method(streaming=handler)
