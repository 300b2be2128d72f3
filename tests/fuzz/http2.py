"""HTTP/2 without its sockets: frames of both roles, and header blocks."""

from __future__ import annotations

import zlib
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import hpack

from tests.fuzz import mutation
from tests.fuzz.target import Target, check
from tests.rpc import helpers
from tests.rpc.helpers import PREFACE, REQUEST, RESPONSE, TRAILERS, Recorder, block, frame, number
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc._fields import Fields
from vault_jwt_plugin.rpc._hpack import Decoder, Encoder
from vault_jwt_plugin.rpc.errors import RemoteProtocolError
from vault_jwt_plugin.rpc.http2 import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Selector bits of the HTTP/2 targets.
ANSWER, LARGE_ANSWER, BARE, SMALL, ENDING = 1, 2, 4, 8, 16

_SMALL_LIMITS: dict[str, Any] = {
    "max_concurrent_streams": 4,
    "max_header_list_bytes": 512,
    "max_continuations": 3,
    "max_pings_per_interval": 20,
    "max_settings_per_interval": 10,
    "max_resets_per_interval": 10,
    "max_empty_frames_per_interval": 10,
    "max_message_bytes": 1000,
    "max_buffered_bytes": 4000,
    "stream_window_bytes": 65_535,
    "connection_window_bytes": 65_535,
}
_LARGE = b"x" * 70_000


class Answering(Recorder):
    """Answers requests as they end, as a layer above would: from within the core's call."""

    def __init__(self, selector: int) -> None:
        super().__init__()
        self._body = (
            (_LARGE if selector & LARGE_ANSWER else b"answer") if selector & ANSWER else b""
        )

    def headers_received(self, stream, fields, *, ended):
        super().headers_received(stream, fields, ended=ended)
        self._answer(stream, ended)

    def content_received(self, stream, data, *, ended):
        super().content_received(stream, data, ended=ended)
        self._answer(stream, ended)

    def trailers_received(self, stream, fields):
        super().trailers_received(stream, fields)
        self._answer(stream, ended=True)

    def shutdown_acknowledged(self):
        super().shutdown_acknowledged()
        self.core.finish_shutdown()

    def _answer(self, stream, ended):
        if ended and self._body:
            self.core.send_response(stream, RESPONSE, self._body, TRAILERS)


def limits_of(selector: int) -> rpc.Limits:
    given = _SMALL_LIMITS if selector & SMALL else {}
    return rpc.Limits(ping_ack_delay_s=0, **given)


def pieces(data: bytes, whole: bool) -> list[bytes]:
    """The input at once, or cut at places that the input itself decides."""
    if whole or not data:
        return [data]
    random = Random(zlib.crc32(data))
    cuts = sorted({0, len(data), *(random.randrange(len(data)) for _ in range(8))})
    return [data[start:stop] for start, stop in pairwise(cuts)]


def _fed(core: Connection, seen: Recorder, pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """What came of the bytes: events, output, and the error that ended it."""
    error = None
    for piece in pieces:
        try:
            core.receive_data(piece)
        except RemoteProtocolError as raised:
            check(core.closed, "an error of the peer leaves the connection open")
            error = (raised.error_code, raised.reason)
            break
    check(len(core._buffer) <= 9 + 16_384, "more than one frame is buffered")
    check(len(core._gaps) <= 64, "gaps are kept without limit")
    check(len(core._decoder._memo) <= 256, "header blocks are kept without limit")
    check(len(core._ignored) <= 4096, "ignored streams are kept without limit")
    output = core.data_to_send()
    helpers.frames(output.removeprefix(_frames.PREFACE))
    return seen.events, output, error


def _http2_server(data: bytes) -> None:
    selector, body = data[0] if data else 0, data[1:]
    if not selector & BARE:
        body = PREFACE + body
    results = []
    for whole in (True, False):
        seen = Answering(selector)
        core = Connection(seen, client=False, limits=limits_of(selector), clock=lambda: 0.0)
        seen.core = core
        core.start()
        if selector & ENDING:
            core.begin_shutdown()
        results.append(_fed(core, seen, pieces(body, whole)))
        most = core._limits.max_concurrent_streams
        check(core.stream_count <= most, "more streams are open than allowed")
    check(results[0] == results[1], "another split gives another result")
    if not selector & ANSWER:
        # Each frame of 9 bytes may be worth a reset, a setting or a window update.
        check(len(results[0][1]) <= 400 + 4 * len(body), "the answer is much longer than the input")


def _http2_client(data: bytes) -> None:
    selector, body = data[0] if data else 0, data[1:]
    if not selector & BARE:
        body = _frames.settings({}) + body
    results = []
    for whole in (True, False):
        seen = Recorder()
        core = Connection(seen, client=True, limits=limits_of(selector), clock=lambda: 0.0)
        seen.core = core
        core.start()
        for number_of in range(3):
            stream = core.open_stream()
            core.send_headers(stream, REQUEST)
            content = _LARGE if selector & LARGE_ANSWER else b"question"
            core.send_data(stream, content, end_stream=number_of != 1)
        results.append(_fed(core, seen, pieces(body, whole)))
        check(core.stream_count <= 3, "streams that nobody opened are open")
    check(results[0] == results[1], "another split gives another result")


def _same(fields: Fields, other: Fields) -> bool:
    names = ("section", "problem", "pseudo", "content_length")
    return all(getattr(fields, name) == getattr(other, name) for name in names) and dict(
        fields.metadata
    ) == dict(other.metadata)


def _hpack(data: bytes) -> None:
    """Blocks one after the other; the library without our memory is the referee."""
    ours, encoder = Decoder(4096), Encoder()
    theirs, peer = hpack.Decoder(4096), hpack.Decoder()
    for kind, encoded in mutation.split_records(data):
        try:
            pairs = [
                (bytes(name), bytes(value)) for name, value in theirs.decode(encoded, raw=True)
            ]
        except hpack.HPACKError:
            pairs = None
        try:
            fields = ours.decode(encoded)
        except RemoteProtocolError:
            check(pairs is None, "a block is refused that the library takes")
            return
        check(pairs is not None, "a block is taken that the library refuses")
        pairs = pairs or []
        check(_same(fields, Fields(pairs)), "the memory gives another result")
        check(len(ours._memo) <= 256, "blocks are kept without limit")
        if kind & 1:
            encoder.resize_table(kind * 64)
        if all(name for name, _ in pairs):
            again = [tuple(pair) for pair in peer.decode(encoder.encode(tuple(pairs)), raw=True)]
            check(again == pairs, "what is encoded is not what was given")


def message_of(content: bytes) -> bytes:
    return len(content).to_bytes(5, "big") + content


def headers_of(path: bytes = b"/t.T/M", *more: tuple[bytes, bytes]) -> bytes:
    pairs = [(name, path if name == b":path" else value) for name, value in REQUEST]
    return bytes(block((*pairs, *more)))


def requests() -> dict[str, bytes]:
    cut = headers_of(b"/t.T/Stream", (b"x", b"y" * 90))
    return {
        "unary": frame(1, 4, 1, headers_of()) + frame(0, 1, 1, message_of(b"hello")),
        "later": frame(1, 4, 1, headers_of(b"/t.T/Later"))
        + frame(0, 9, 1, b"\2" + message_of(b"a") + b"\0\0"),
        "fail": frame(1, 4, 1, headers_of(b"/t.T/Fail", (b"grpc-timeout", b"10S")))
        + frame(0, 1, 1, message_of(b"")),
        "stream": frame(1, 4, 1, headers_of(b"/t.T/Stream"))
        + frame(0, 0, 1, message_of(b"a") + message_of(b"b")[:3])
        + frame(0, 1, 1, message_of(b"b")[3:]),
        "refused": frame(1, 5, 1, headers_of(b"/t.T/Nobody")) + frame(1, 5, 3, block(REQUEST[:4])),
        "continued": frame(1, 0x21, 1, b"\0\0\0\3\7" + cut[:9])
        + frame(9, 0, 1, cut[9:20])
        + frame(9, 4, 1, cut[20:]),
        "trailers": frame(1, 4, 1, headers_of())
        + frame(0, 0, 1, message_of(b"x"))
        + frame(1, 5, 1, block(TRAILERS)),
        "control": b"".join(
            (
                _frames.settings(
                    {_frames.Setting.INITIAL_WINDOW_SIZE: 10, _frames.Setting.MAX_FRAME_SIZE: 20000}
                ),
                frame(4, 1, 0),
                frame(6, 0, 0, b"12345678"),
                frame(6, 1, 0, b"12345678"),
                frame(8, 0, 0, number(9)),
                frame(1, 4, 1, headers_of()),
                frame(8, 0, 1, number(9)),
                frame(3, 0, 1, number(8)),
                frame(0, 1, 1, b"late"),
                frame(2, 0, 5, number(3) + b"\1"),
                frame(0xBE, 0xFF, 7, b"unknown"),
                frame(7, 0, 0, number(0) * 2 + b"bye"),
            )
        ),
        "length": frame(1, 4, 1, headers_of(b"/t.T/M", (b"content-length", b"6")))
        + frame(0, 1, 1, message_of(b"a")),
        "many": b"".join(frame(1, 4, stream, headers_of()) for stream in range(1, 15, 2)),
    }


def answers() -> dict[str, bytes]:
    head, tail = block(RESPONSE), block(TRAILERS)
    return {
        "answer": frame(1, 4, 1, head) + frame(0, 0, 1, message_of(b"hi")) + frame(1, 5, 1, tail),
        "stream": frame(1, 4, 3, head)
        + frame(0, 0, 3, message_of(b"a") * 3)
        + frame(1, 5, 3, tail),
        "status": frame(
            1, 5, 1, block((*RESPONSE, (b"grpc-status", b"5"), (b"grpc-message", b"%41")))
        ),
        "http": frame(1, 4, 1, block(((b":status", b"503"),))) + frame(0, 1, 1, b"down"),
        "informed": frame(1, 4, 5, block(((b":status", b"100"),))) + frame(1, 4, 5, head),
        "reset": frame(3, 0, 1, number(7))
        + frame(3, 0, 3, number(8))
        + frame(7, 0, 0, number(1) + number(11)),
        "windows": frame(8, 0, 0, number(100_000))
        + frame(8, 0, 1, number(100_000))
        + frame(8, 0, 3, number(0)),
        "settings": _frames.settings(
            {_frames.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1, _frames.Setting.HEADER_TABLE_SIZE: 0}
        ),
        "pushed": frame(5, 4, 1, number(2) + head),
    }


def selected(inputs: Mapping[str, bytes], *selectors: int) -> dict[str, bytes]:
    return {
        f"{name}-{selector}": bytes((selector,)) + data
        for name, data in inputs.items()
        for selector in selectors
    }


def _blocks() -> dict[str, bytes]:
    encoder = hpack.Encoder()
    first, second = encoder.encode(REQUEST), encoder.encode(REQUEST)
    encoder.header_table_size = 100
    third = encoder.encode((*REQUEST, (b"cookie", b"a=b" * 30)))
    made = {
        "repeated": [first, second, second],
        "resized": [first, second, third, second],
        "evicted": [b"\x3f\x01" + first, second],
        "never-indexed": [b"\x10\x01a\x01b", b"\x1f\x00\x01c"],
        "huffman": [b"\x00\x83\x1c\x64\x5f\x84\xff\xff\xff\xff"],
        "huge-integer": [b"\xff" + b"\x80" * 12 + b"\x01"],
        "index-0": [b"\x80"],
    }
    return {
        name: b"".join(mutation.record(number, each) for number, each in enumerate(blocks))
        for name, blocks in made.items()
    }


TARGETS = (
    Target(
        name="http2_server",
        run=_http2_server,
        examples=lambda: selected(requests(), ANSWER, SMALL | ANSWER | LARGE_ANSWER | ENDING),
        mutate=mutation.frames,
        max_bytes=40_000,
    ),
    Target(
        name="http2_client",
        run=_http2_client,
        examples=lambda: selected(answers(), 0, SMALL | LARGE_ANSWER),
        mutate=mutation.frames,
        max_bytes=40_000,
    ),
    Target(name="hpack", run=_hpack, examples=_blocks, mutate=mutation.records),
)
