"""The types that a service's author uses: calls, handlers, methods and streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


class Call:
    """The server's view of one call. Similar calls share one instance, so never change it.

    Attributes:
        path: "/package.Service/Method".
        metadata: names in lower case, without the pseudo-header fields; the values of a repeated
            name are joined with ","; a `-bin` value is still base64 (see `decode_binary`).
        deadline: in the event loop's time; None means no deadline.
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
        """Return the call's path, metadata and deadline."""

    async def receive(self) -> bytes | None:
        """Return the next message, or None once the peer has ended its side."""

    async def send(self, message: bytes) -> None:
        """Send a message. Returns when it has been sent, so a slow reader slows the handler."""


UnaryHandler = Callable[[Call, bytes], bytes | Awaitable[bytes]]
"""A function that answers one message with one message.

If it returns bytes, they are sent within the same read event, without a task. If it returns an
awaitable, a task awaits it; the task is cancelled when the peer resets the call, the deadline
passes, or the connection is lost. An RPCError becomes the call's status; any other exception is
logged, and the caller gets UNKNOWN with a generic text.
"""

StreamHandler = Callable[[ServerStream], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A handler and its kind: exactly one is set. Create it with `unary` or `streaming`."""

    unary: UnaryHandler | None = None
    streaming: StreamHandler | None = None


Methods = Mapping[str, Method]
"""The methods that a server serves, by full path: "/package.Service/Method"."""


def unary(handler: UnaryHandler) -> Method:
    """Make a method with one request message and one response message."""
    return Method(unary=handler)


def streaming(handler: StreamHandler) -> Method:
    """Make a method with any number of messages in either direction."""
    return Method(streaming=handler)
