"""Peers that break the protocol, stall or flood, on real sockets: each limit and its effects."""

import asyncio
import contextlib
import logging
import socket
import tempfile

import hpack
import pytest

from tests.rpc.helpers import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    REQUEST,
    RESPONSE,
    RST,
    SETTINGS,
    TRAILERS,
    RawPeer,
    all_lost,
    connect,
    frame,
    number,
    request,
    serving,
)
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import StatusCode, _frames, framing
from vault_jwt_plugin.rpc import server as server_module

ECHO = {"/t.T/M": rpc.unary(lambda _call, message: message)}
CALL = request(end=False) + frame(DATA, END_STREAM, 1, framing.encode_message(b"hello"))


def run(scenario, methods=ECHO, **limits):
    async def main():
        async with (
            asyncio.timeout(30),
            serving(methods, limits=rpc.Limits(**limits)) as (path, server),
        ):
            await scenario(path, server)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def still_serves(path):
    """Check that another client is still served."""
    channel = await connect(path)
    assert await channel.unary("/t.T/M", b"x", timeout_s=5) == b"x"
    await channel.close()


def fields_of(payload):
    """Return the fields of a connection's first header block as text."""
    return {
        name.decode(): value.decode() for name, value in hpack.Decoder().decode(payload, raw=True)
    }


async def goaway_of(peer):
    """Return error code and text of the GOAWAY before the connection closes."""
    _, _, _, payload = await peer.next(GOAWAY)
    await peer.until_closed()
    await peer.close()
    return int.from_bytes(payload[4:8], "big"), payload[8:].decode()


def test_a_raw_call_for_reference():
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(CALL)
        assert (await peer.next(DATA))[3] == framing.encode_message(b"hello")
        await peer.close()

    run(scenario)


def test_a_protocol_error_is_reported_and_closes_the_connection(caplog):
    caplog.set_level(logging.WARNING)

    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(frame(DATA, 0, 1, b"x"))
        assert await goaway_of(peer) == (1, "DATA on an idle stream")
        await still_serves(path)

    run(scenario)
    assert "HTTP/2 connection closed: PROTOCOL_ERROR: DATA on an idle stream" in caplog.text


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        ({"max_pings_per_interval": 50}, frame(PING, 0, 0, bytes(8)) * 51, "too many PINGs"),
        ({"max_settings_per_interval": 50}, frame(SETTINGS, 0, 0) * 51, "too many SETTINGS frames"),
        (
            {"max_resets_per_interval": 50},
            b"".join(
                request(1 + 2 * count) + frame(RST, 0, 1 + 2 * count, number(8))
                for count in range(51)
            ),
            "too many RST_STREAM frames",
        ),
        (
            {"max_empty_frames_per_interval": 50},
            request() + frame(DATA, 0, 1) * 51,
            "too many empty DATA frames",
        ),
        (
            {},
            frame(HEADERS, 0, 1) + frame(9, 0, 1) * 65,
            "header block too large",
        ),
    ],
    ids=["PING", "SETTINGS", "rapid reset", "empty DATA", "CONTINUATION"],
)
def test_floods(limits, data, reason):
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(data)
        assert await goaway_of(peer) == (0xB, reason)
        await still_serves(path)

    run(scenario, **limits)


def test_headers_over_the_limit():
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        headers = (*REQUEST, (b"x", b"y" * 8000))
        await peer.send(request(1, headers))
        assert await goaway_of(peer) == (0xB, "header list larger than allowed")

    run(scenario, max_header_list_bytes=4000)


@pytest.mark.parametrize("prefix", [b"\0\0\0\3\xe9", b"\0\xff\xff\xff\xff"], ids=["just", "huge"])
def test_a_message_over_the_limit(prefix):
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(request() + frame(DATA, 0, 1, prefix + b"abc"))
        _, flags, _, payload = await peer.next(HEADERS)
        assert flags & END_STREAM
        fields = fields_of(payload)
        assert fields["grpc-status"] == "8"
        size = int.from_bytes(prefix[1:], "big")
        assert fields["grpc-message"] == f"received message larger than max ({size} vs. 1000)"
        # The rest of the request is not wanted.
        assert (await peer.next(RST))[3] == number(0)
        await peer.send(frame(DATA, END_STREAM, 1, b"late"))
        await peer.send(request(3) + frame(DATA, END_STREAM, 3, framing.encode_message(b"x")))
        assert (await peer.next(DATA))[2] == 3
        await peer.close()

    run(scenario, max_message_bytes=1000)


def test_an_answer_over_the_clients_limit():
    async def scenario(path, _server):
        channel = await connect(path, limits=rpc.Limits(max_message_bytes=10))
        with pytest.raises(rpc.RPCError) as caught:
            await channel.unary("/t.T/M", bytes(11), timeout_s=None)
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.message == "received message larger than max (11 vs. 10)"
        assert await channel.unary("/t.T/M", bytes(10), timeout_s=None) == bytes(10)
        await channel.close()

    run(scenario)


def test_unread_bytes_of_a_connection_are_bounded():
    async def scenario(path, server):
        peer = await RawPeer.to(path)
        for stream_id in (1, 3, 5):
            part = framing.encode_message(bytes(40_000))[:16_000]
            await peer.send(request(stream_id) + frame(DATA, 0, stream_id, part))
            await peer.send(frame(DATA, 0, stream_id, bytes(16_000)))
        _, _, stream_id, payload = await peer.next(HEADERS)
        assert stream_id == 5
        fields = fields_of(payload)
        assert fields["grpc-status"] == "8"
        assert fields["grpc-message"] == (
            "the connection holds over 80000 bytes of unread messages"
        )
        (link,) = server._links
        assert link.budget.held == 64_000
        await peer.send(frame(RST, 0, 1, number(8)) + frame(PING, 0, 0, bytes(8)))
        await peer.next(PING)
        assert link.budget.held == 32_000
        await peer.close()

    run(scenario, max_buffered_bytes=80_000)


@pytest.mark.parametrize(
    "content",
    [b"", framing.encode_message(b"a") * 2, b"\0\0", b"\1" + framing.encode_message(b"a")[1:]],
    ids=["none", "two", "half", "compressed"],
)
@pytest.mark.parametrize("pieces", [1, 3], ids=["at once", "in pieces"])
def test_content_that_is_not_one_message(content, pieces):
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        size = len(content) // pieces + 1
        parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        await peer.send(request())
        for part in parts:
            await peer.send(frame(DATA, END_STREAM if part is parts[-1] else 0, 1, part))
        fields = fields_of((await peer.next(HEADERS))[3])
        assert fields["grpc-status"] == "13"
        await peer.close()

    run(scenario)


def test_a_request_that_ends_with_its_headers_or_with_trailers():
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        encoder = hpack.Encoder()
        await peer.send(request(1, end=True, encoder=encoder))
        fields = fields_of((await peer.next(HEADERS))[3])
        assert fields["grpc-message"] == "a unary call takes one message, but 0 came"
        await peer.send(
            request(3, encoder=encoder)
            + frame(DATA, 0, 3, framing.encode_message(b"x"))
            + request(3, ((b"x", b"y"),), end=True, encoder=encoder)
        )
        assert (await peer.next(DATA))[3] == framing.encode_message(b"x")
        await peer.close()

    run(scenario)


def test_a_shut_window_ends_the_stream_and_not_the_connection():
    async def scenario(path, _server):
        hello = _frames.PREFACE + _frames.settings({_frames.Setting.INITIAL_WINDOW_SIZE: 0})
        peer = await RawPeer.to(path, hello)
        await peer.send(CALL)
        _, _, stream_id, payload = await peer.next(RST)
        assert (stream_id, payload) == (1, number(8))
        await peer.send(frame(PING, 0, 0, b"anybody?"))
        assert (await peer.next(PING))[3] == b"anybody?"
        await peer.close()

    run(scenario, stall_timeout_s=0.1)


def test_a_window_that_opens_in_time_is_no_stall():
    async def scenario(path, _server):
        hello = _frames.PREFACE + _frames.settings({_frames.Setting.INITIAL_WINDOW_SIZE: 0})
        peer = await RawPeer.to(path, hello)
        await peer.send(CALL)
        found = b""
        while len(found) < 10:
            await asyncio.sleep(0.05)
            await peer.send(frame(8, 0, 1, number(1)))
            found += (await peer.next(DATA, RST))[3]
        assert found == framing.encode_message(b"hello")
        await peer.close()

    run(scenario, stall_timeout_s=0.2)


def test_a_handler_that_waits_for_a_shut_window_is_cancelled():
    ended = asyncio.Event()

    async def flood(stream):
        try:
            await stream.send(bytes(100_000))
        finally:
            ended.set()

    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(request(1, end=True))
        assert (await peer.next(RST))[3] == number(8)
        await asyncio.wait_for(ended.wait(), 5)
        await peer.close()

    run(scenario, {"/t.T/M": rpc.streaming(flood)}, stall_timeout_s=0.1)


def test_a_peer_that_reads_nothing_is_disconnected():
    async def scenario(path, server):
        hello = _frames.PREFACE + _frames.settings({_frames.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
        peer = await RawPeer.to(path, hello + frame(8, 0, 0, number(2**30)))
        # Four answers are many times what a socket buffers.
        encoder = hpack.Encoder()
        for stream_id in (1, 3, 5, 7):
            await peer.send(request(stream_id, encoder=encoder))
            await peer.send(frame(DATA, END_STREAM, stream_id, framing.encode_message(b"x")))
        assert server._links
        await all_lost(server)
        await peer.close()

    methods = {"/t.T/M": rpc.unary(lambda _call, _message: bytes(4_000_000))}

    async def main():
        limits = rpc.Limits(stall_timeout_s=0.2)
        async with serving(methods, limits=limits) as served:
            await scenario(*served)

    asyncio.run(main())


def test_backpressure_stops_the_reading():
    """Check that no more requests are read once unread answers reach the high-water mark."""
    calls: list[int] = []

    def large(_call, _message):
        calls.append(1)
        return bytes(400_000)

    async def scenario(path, _server):
        hello = _frames.PREFACE + _frames.settings({_frames.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
        peer = await RawPeer.to(path, hello + frame(8, 0, 0, number(2**30)))
        encoder = hpack.Encoder()
        for count in range(100):
            stream_id = 1 + 2 * count
            # Large, so that a single read does not contain many of them.
            peer.writer.write(request(stream_id, encoder=encoder))
            peer.writer.write(
                frame(DATA, END_STREAM, stream_id, framing.encode_message(bytes(16_000)))
            )
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(calls) < 20
        sizes = 0
        while sizes < 100 * 400_005:
            sizes += len((await peer.next(DATA))[3])
        assert len(calls) == 100
        await peer.close()

    run(scenario, {"/t.T/M": rpc.unary(large)})


def test_a_silent_peer_is_disconnected():
    async def scenario(path, server):
        peer = await RawPeer.to(path, b"")
        await peer.until_closed()
        await peer.close()
        half = await RawPeer.to(path, PREFACE[:20])
        await half.until_closed()
        await half.close()

    run(scenario, handshake_timeout_s=0.05)


def test_an_http_1_client_is_refused():
    async def scenario(path, _server):
        peer = await RawPeer.to(path, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await goaway_of(peer) == (1, "not an HTTP/2 preface")

    run(scenario)


def test_connections_over_the_limit_are_closed():
    async def scenario(path, server):
        first = await RawPeer.to(path)
        await first.next(SETTINGS)
        second = await RawPeer.to(path, b"")
        assert await second.until_closed() == b""
        await first.close()
        await second.close()
        with contextlib.suppress(rpc.RPCError):
            await still_serves(path)

    run(scenario, max_connections=1)


def test_who_is_refused_does_not_fill_the_log(caplog, monkeypatch):
    async def scenario(path, _server):
        async def refused():
            other = await RawPeer.to(path, b"")
            assert await other.until_closed() == b""
            await other.close()

        first = await RawPeer.to(path)
        await first.next(SETTINGS)
        for _ in range(5):
            await refused()
        monkeypatch.setattr(server_module, "_REFUSAL_LOGGED_EVERY_S", 0)
        await refused()
        await first.close()

    run(scenario, max_connections=1)
    lines = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [line.fields for line in lines] == [
        {"event": "connections_full", "refused": 1},
        {"event": "connections_full", "refused": 5},
    ]


def test_a_cancel_in_the_same_read_as_the_call():
    """Check that the handler's coroutine, already made, is not left unawaited."""

    async def later(_call, message):
        return message

    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(CALL + frame(RST, 0, 1, number(8)) + frame(PING, 0, 0, bytes(8)))
        await peer.next(PING)
        await peer.close()

    run(scenario, {"/t.T/M": rpc.unary(later)})


def test_an_internal_fault_ends_the_connection_and_is_logged(caplog):
    async def scenario(path, server):
        peer = await RawPeer.to(path)
        await peer.next(SETTINGS)
        (link,) = server._links
        link.headers_received = lambda *_args, **_kwargs: 1 // 0
        await peer.send(CALL)
        assert await goaway_of(peer) == (2, "")

    run(scenario)
    assert "closed because of an internal fault" in caplog.text


def test_acknowledgements_leave_a_little_later():
    async def scenario(path, _server):
        peer = await RawPeer.to(path)
        await peer.send(frame(PING, 0, 0, b"12345678"))
        assert (await peer.next(PING))[1:] == (ACK, 0, b"12345678")
        await peer.close()

    run(scenario)


# A faulty server, with our channel as its client


@contextlib.asynccontextmanager
async def raw_server(serve):
    """Listen on a socket whose first connection runs `serve(peer)`; yield its path."""
    with tempfile.TemporaryDirectory() as folder:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def accept(reader, writer):
            peer = RawPeer(reader, writer)
            try:
                await serve(peer)
            except Exception as error:  # noqa: BLE001 - told to the test, which awaits `done`
                done.set_exception(error)
            else:
                done.set_result(None)
            finally:
                await peer.close()

        server = await asyncio.start_unix_server(accept, f"{folder}/s")
        try:
            yield f"{folder}/s"
        finally:
            await asyncio.wait_for(done, 10)
            server.close()
            await server.wait_closed()


def ask(answer, *, hello=None):
    """Return the outcome of a unary call if the server answers its HEADERS with these bytes."""

    async def serve(peer):
        await peer.reader.readexactly(len(_frames.PREFACE))
        await peer.send(_frames.settings({}) if hello is None else hello)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.next(HEADERS)
            await peer.send(answer)
            await peer.until_closed()

    async def main():
        async with asyncio.timeout(20), raw_server(serve) as path:
            channel = await connect(path)
            try:
                return await channel.unary("/t.T/M", b"x", timeout_s=5)
            except rpc.RPCError as error:
                return error.code, error.message
            finally:
                await channel.close()

    return asyncio.run(main())


ANSWER = frame(DATA, 0, 1, framing.encode_message(b"y"))


def sections(*pieces):
    """Join header sections (tuples; a leading True ends the stream) and raw frames in order."""
    encoder = hpack.Encoder()
    return b"".join(
        piece
        if isinstance(piece, bytes)
        else request(1, piece[1:], end=True, encoder=encoder)
        if piece[0] is True
        else request(1, piece, encoder=encoder)
        for piece in pieces
    )


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            frame(RST, 0, 1, number(7)),
            StatusCode.UNAVAILABLE,
            "the stream was reset with REFUSED_STREAM",
        ),
        (
            frame(RST, 0, 1, number(0xB)),
            StatusCode.RESOURCE_EXHAUSTED,
            "the stream was reset with ENHANCE_YOUR_CALM",
        ),
        (
            sections((True, (b":status", b"503"))),
            StatusCode.UNAVAILABLE,
            "the peer answered with HTTP status 503",
        ),
        (
            sections(((b":status", b"404"),), frame(DATA, END_STREAM, 1, b"x")),
            StatusCode.UNIMPLEMENTED,
            "the peer answered with HTTP status 404",
        ),
        (
            sections(((b":status", b"200"), (b"content-type", b"text/html"))),
            StatusCode.UNKNOWN,
            "unexpected content-type 'text/html'",
        ),
        (
            sections((*RESPONSE, (b"grpc-encoding", b"gzip"))),
            StatusCode.INTERNAL,
            "the server sent a compressed response",
        ),
        (
            sections(RESPONSE, ANSWER, frame(DATA, END_STREAM, 1)),
            StatusCode.UNKNOWN,
            "the peer ended the call without grpc-status",
        ),
        (
            sections(RESPONSE, frame(DATA, 0, 1, b"\0\0\0\0\5ab"), (True, *TRAILERS)),
            StatusCode.INTERNAL,
            "a unary call got 0 messages instead of one",
        ),
        (
            sections(RESPONSE, ANSWER, (True, (b"grpc-status", b"7"), (b"grpc-message", b"n%6F"))),
            StatusCode.PERMISSION_DENIED,
            "no",
        ),
        (
            sections(((b":path", b"/"),)),
            StatusCode.INTERNAL,
            "the server broke the protocol on this stream",
        ),
        (
            frame(GOAWAY, 0, 0, number(0) + number(0xB) + b"too_many_pings"),
            StatusCode.UNAVAILABLE,
            "the stream was reset with REFUSED_STREAM",
        ),
        (
            frame(DATA, 0, 7, b"x"),
            StatusCode.UNAVAILABLE,
            "the connection was lost: PROTOCOL_ERROR: DATA on an idle stream",
        ),
    ],
    ids=[
        "refused",
        "calm",
        "503",
        "404 with content",
        "content-type",
        "encoding",
        "no trailers",
        "half a message",
        "status after a message",
        "no response",
        "GOAWAY",
        "broken protocol",
    ],
)
def test_what_a_server_may_answer(answer, code, message):
    assert ask(answer) == (code, message)


def test_a_good_answer_from_a_raw_server():
    assert ask(sections(RESPONSE, ANSWER, (True, *TRAILERS))) == b"y"


def test_a_server_that_does_not_speak_http_2():
    async def serve(peer):
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.until_closed()

    async def main():
        async with raw_server(serve) as path:
            with pytest.raises(rpc.RPCError) as caught:
                await connect(path)
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert "FRAME_SIZE_ERROR: frame over 16384 bytes" in caught.value.message

    asyncio.run(main())


def test_a_server_that_hangs_up_at_once(tmp_path):
    async def main():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{tmp_path}/s")
        listener.listen()
        listener.setblocking(False)
        connecting = asyncio.ensure_future(connect(f"{tmp_path}/s"))
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        sock.close()
        with pytest.raises(rpc.RPCError) as caught:
            await connecting
        assert str(caught.value).startswith("UNAVAILABLE: cannot connect: ")
        listener.close()

    asyncio.run(main())


def test_the_graceful_stop_of_grpc_go():
    """Check that only the PING's acknowledgement brings the second GOAWAY, as in grpc-go."""

    async def serve(peer):
        await peer.reader.readexactly(len(_frames.PREFACE))
        await peer.send(_frames.settings({}))
        await peer.next(HEADERS)
        ping = b"\1\6\1\x08\0\3\3\x09"
        await peer.send(frame(GOAWAY, 0, 0, number(2**31 - 1) + number(0)))
        await peer.send(frame(PING, 0, 0, ping))
        assert (await peer.next(PING))[1:] == (ACK, 0, ping)
        await peer.send(frame(GOAWAY, 0, 0, number(1) + number(0)))
        await peer.send(sections(RESPONSE, ANSWER, (True, *TRAILERS)))
        # After its last call our channel closes by itself.
        await peer.next(GOAWAY)
        await peer.until_closed()

    async def main():
        async with asyncio.timeout(20), raw_server(serve) as path:
            channel = await connect(path)
            assert await channel.unary("/t.T/M", b"x", timeout_s=5) == b"y"
            await channel.wait_closed()
            assert channel.closed

    asyncio.run(main())


@pytest.mark.parametrize("name", ["stream_window_bytes", "connection_window_bytes"])
@pytest.mark.parametrize("value", [65_534, 2**31])
def test_windows_that_a_peer_cannot_know(name, value):
    with pytest.raises(ValueError, match=f"{name} must be 65535 to 2147483647"):
        rpc.Limits(**{name: value})
