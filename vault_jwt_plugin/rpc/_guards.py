"""Two guards against peers that make us do useless work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.rpc.limits import Limits


class FloodGuard:
    """Count frames that cost us more than the peer, per kind and interval."""

    __slots__ = ("_clock", "_counts", "_interval_s")

    def __init__(self, interval_s: float, clock: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, what: str, allowed: int) -> None:
        """Count one more of these frames.

        Raises:
            RemoteProtocolError: ENHANCE_YOUR_CALM if more than `allowed` came within the interval.
        """
        count, since = self._counts.get(what, (0, 0.0))
        count += 1
        # Read the clock only for the first frame and for the one that exceeds the limit.
        if count > allowed or count == 1:
            now = self._clock()
            if count > 1 and now - since < self._interval_s:
                raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")
            count, since = 1, now
        self._counts[what] = (count, since)


class HeaderBlock:
    """A header block that lacks some of its CONTINUATION frames (RFC 9113 6.10)."""

    __slots__ = ("_count", "_parts", "_size", "flags", "stream_id")

    def __init__(self, stream_id: int, flags: int, first: bytes) -> None:
        self.stream_id = stream_id
        self.flags = flags
        self._parts = [first]
        self._size = len(first)
        self._count = 0

    def add(self, part: bytes, limits: Limits) -> None:
        """Add the content of one CONTINUATION frame.

        Raises:
            RemoteProtocolError: ENHANCE_YOUR_CALM if the block is too large. It is raised before
                the
                block is whole, because a flood never ends its block.
        """
        self._parts.append(part)
        self._size += len(part)
        self._count += 1
        if self._size > limits.max_header_list_bytes or self._count > limits.max_continuations:
            raise RemoteProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")

    def joined(self) -> bytes:
        """Return the whole block."""
        return b"".join(self._parts)
