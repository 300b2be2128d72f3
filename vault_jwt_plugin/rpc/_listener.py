"""What the HTTP/2 core reports to the layer above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc._sending import Stream


class StreamSink(Protocol):
    """What the sending half tells the layer above."""

    def stream_drained(self, stream: Stream) -> None:
        """All data that waited for the peer's windows has left."""


class Listener(StreamSink, Protocol):
    """What a `Connection` reports, while `receive_data` runs."""

    def headers_received(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """Server: a request opened the stream. Client: a final response began."""

    def content_received(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        """Content, padding removed; call `Connection.return_window` as it is consumed."""

    def trailers_received(self, stream: Stream, fields: Fields, /) -> None:
        """The trailer section: the peer's side has ended."""

    def stream_reset(self, stream: Stream, code: int | None, /) -> None:
        """The stream is over: RST_STREAM came.

        None = the peer broke a rule on the stream, and we have sent one.
        """

    def settings_received(self) -> None:
        """The peer's SETTINGS are in force; the first ones prove that it speaks HTTP/2."""

    def goaway_received(self, code: int, debug: bytes) -> None:
        """The peer takes no more streams. Those it will not process were reset before this."""

    def shutdown_acknowledged(self) -> None:
        """The PING after our first GOAWAY came back: send the second one."""
