"""The state of one HTTP/2 stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque

    from vault_jwt_plugin.rpc._hpack import Headers


class Stream:
    """One HTTP/2 stream: its windows, the data that waits for them, and which sides have ended.

    Attributes:
        id: the stream's number.
        app: whatever the layer above keeps with the stream.
        local_closed, remote_closed: END_STREAM was sent, was received.
    """

    __slots__ = (
        "app",
        "blocked_at",
        "body_left",
        "headers_received",
        "id",
        "local_closed",
        "pending",
        "pending_end",
        "recv_unreturned",
        "recv_window",
        "remote_closed",
        "send_window",
    )

    def __init__(self, stream_id: int, send_window: int, recv_window: int) -> None:
        self.id = stream_id
        self.app: object = None
        self.send_window = send_window
        self.recv_window = recv_window
        self.recv_unreturned = 0
        self.local_closed = False
        self.remote_closed = False
        self.headers_received = False
        self.body_left: int | None = None
        self.pending: deque[memoryview] | None = None
        self.pending_end: Headers | bool = False
        self.blocked_at = 0.0
