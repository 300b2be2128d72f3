"""The received messages of one stream, waiting for a reader that may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.rpc.errors import RPCError, StatusCode
from vault_jwt_plugin.rpc.framing import PREFIX_BYTES, MessageReader

if TYPE_CHECKING:
    from vault_jwt_plugin.rpc.http2 import Connection, Stream
    from vault_jwt_plugin.rpc.limits import Limits


class Budget:
    """The received bytes that a connection holds in unfinished or unread messages."""

    __slots__ = ("_max_bytes", "held")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            RPCError: RESOURCE_EXHAUSTED if the connection would hold too many.
        """
        if self.held + size > self._max_bytes:
            raise RPCError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the connection holds over {self._max_bytes} bytes of unread messages",
            )
        self.held += size


class InboxHost(Protocol):
    """What an inbox needs of its connection."""

    core: Connection
    limits: Limits
    budget: Budget

    def flush_soon(self) -> None:
        """Schedule a write of what the core has to send."""


class Inbox:
    """The messages received on a stream, in order, then its end or its error.

    While no message waits, the flow-control window is returned as bytes arrive, because only a
    whole
    message can be read. Once a message waits, it and what follows keep their share of the window,
    so
    a reader that stalls stops the peer after about one window.
    """

    __slots__ = (
        "_budget",
        "_end",
        "_held",
        "_host",
        "_owed",
        "_queue",
        "_reader",
        "_stream",
        "_wake",
    )

    def __init__(self, host: InboxHost, stream: Stream) -> None:
        self._host = host
        self._stream = stream
        self._reader = MessageReader(host.limits.max_message_bytes)
        self._budget = host.budget
        # Each message with the number of window bytes that it still holds.
        self._queue: deque[tuple[bytes, int]] = deque()
        # The same number for the incomplete message.
        self._owed = 0
        self._held = 0
        self._end: RPCError | bool = False
        self._wake: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take content of the stream.

        Raises:
            RPCError: a limit is exceeded, or the framing is wrong.
        """
        size = len(data)
        self._budget.take(size)
        self._held += size
        self._owed += size
        messages = self._reader.feed(data)
        if messages:
            # All bytes so far belong to these messages, except the start of the next one. Only the
            # first
            # message's window can have been returned in part already.
            owed = self._owed - self._reader.buffered
            later = sum(PREFIX_BYTES + len(message) for message in messages[1:])
            self._queue.append((messages[0], owed - later))
            self._queue += [(message, PREFIX_BYTES + len(message)) for message in messages[1:]]
            self._owed = self._reader.buffered
            self._notify()
        if not self._queue:
            self._return(0)

    def end(self, error: RPCError | None = None) -> None:
        """Note that nothing more comes. Readers get the queued messages, then the end or error."""
        if self._end is False:
            if error is None and self._reader.buffered:
                error = RPCError(StatusCode.INTERNAL, "the stream ended inside a message")
            self._end = error or True
            self._notify()

    @property
    def surplus(self) -> bool:
        """Return whether more arrived than one message."""
        return len(self._queue) > 1 or (bool(self._queue) and self._reader.buffered > 0)

    def take_all(self) -> list[bytes]:
        """Return the queued messages without waiting."""
        messages = []
        while self._queue:
            messages.append(self._take())
        return messages

    async def receive(self) -> bytes | None:
        """Return the next message, or None at the end.

        Raises:
            RPCError: the stream failed.
        """
        while not self._queue:
            if isinstance(self._end, RPCError):
                raise self._end
            if self._end:
                return None
            if self._wake is not None:
                raise RuntimeError("two readers of one stream")
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self._take()

    def discard(self) -> None:
        """Release everything: the stream is over."""
        self._budget.held -= self._held
        self._held = 0
        self._queue.clear()

    def _take(self) -> bytes:
        message, keeps = self._queue.popleft()
        size = PREFIX_BYTES + len(message)
        self._budget.held -= size
        self._held -= size
        self._return(keeps)
        return message

    def _return(self, size: int) -> None:
        """Return window; if no message waits, also what the incomplete message holds."""
        if not self._queue:
            size += self._owed
            self._owed = 0
        # Not at once: the reader may be about to take more.
        if size and self._host.core.return_window(self._stream, size):
            self._host.flush_soon()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
