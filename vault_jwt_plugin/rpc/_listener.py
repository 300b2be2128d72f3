"""The events that the HTTP/2 core reports to the layer above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vault_jwt_plugin.rpc._fields import Fields
    from vault_jwt_plugin.rpc._stream import Stream


class StreamSink(Protocol):
    """What the sending half reports to the layer above."""

    def stream_drained(self, stream: Stream) -> None:
        """Handle that all data that waited for the peer's windows has been sent."""


class Listener(StreamSink, Protocol):
    """What a `Connection` reports while `receive_data` runs."""

    def headers_received(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """Handle a request (as server) or the start of a final response (as client)."""

    def content_received(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        """Take content, without padding; call `Connection.return_window` as it is consumed."""

    def trailers_received(self, stream: Stream, fields: Fields, /) -> None:
        """Handle the trailer section, which ends the peer's side."""

    def stream_reset(self, stream: Stream, code: int | None, /) -> None:
        """Handle the end of the stream.

        `code` is that of the peer's RST_STREAM; None means that the peer broke the protocol on the
        stream
        and that we have sent one.
        """

    def settings_received(self) -> None:
        """Handle the peer's SETTINGS; the first ones prove that it speaks HTTP/2."""

    def goaway_received(self, code: int, debug: bytes) -> None:
        """Handle a GOAWAY. The streams that the peer will not process are already reset."""

    def shutdown_acknowledged(self) -> None:
        """Handle the answer to the PING after our first GOAWAY: the second GOAWAY is due."""
