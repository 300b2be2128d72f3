"""The core alone: bytes in, events and bytes out. Numbers are sections of RFC 9113."""

from itertools import pairwise

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clock import Clock
from tests.rpc.helpers import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    REQUEST,
    RESPONSE,
    RST,
    SETTINGS,
    TRAILERS,
    WINDOW,
    WITH_PRIORITY,
    block,
    core,
    frame,
    frames,
    number,
    request,
    resets,
)
from vault_jwt_plugin.rpc import _frames, http2
from vault_jwt_plugin.rpc.errors import ErrorCode, LocalProtocolError, RemoteProtocolError

COMPRESSION = ErrorCode.COMPRESSION_ERROR
PROTOCOL = ErrorCode.PROTOCOL_ERROR
SIZE = ErrorCode.FRAME_SIZE_ERROR
FLOW = ErrorCode.FLOW_CONTROL_ERROR


def settings_frame(**values):
    return _frames.settings({_frames.Setting[name]: value for name, value in values.items()})


def fails(connection, data, code, reason):
    """Check that the bytes end the connection: GOAWAY says why, and nothing more is read."""
    with pytest.raises(RemoteProtocolError) as caught:
        connection.receive_data(data)
    assert caught.value.error_code is code
    assert caught.value.reason == reason
    kind, _, stream_id, payload = frames(connection.data_to_send())[-1]
    assert (kind, stream_id) == (GOAWAY, 0)
    assert payload[4:] == number(code) + reason.encode()
    assert connection.closed
    connection.receive_data(request())


def test_it_imports_no_io():
    source = http2.__dict__
    assert not {"asyncio", "socket", "ssl"} & source.keys()


def test_preface_of_both_roles_3_4():
    server, _ = core(started=False)
    kinds = [found[0] for found in frames(server.data_to_send())]
    assert kinds == [SETTINGS, WINDOW]
    client, _ = core(client=True, started=False)
    sent = client.data_to_send()
    assert sent.startswith(_frames.PREFACE)
    values = dict(_frames.parse_settings(frames(sent[24:])[0][3]))
    assert values[_frames.Setting.ENABLE_PUSH] == 0


def test_settings_are_acknowledged_6_5_3():
    server, seen = core(started=False)
    server.data_to_send()
    server.receive_data(PREFACE)
    assert frames(server.data_to_send()) == [(SETTINGS, ACK, 0, b"")]
    assert seen.events == [("settings",)]


def test_a_request_and_its_answer():
    server, seen = core()
    server.receive_data(request() + frame(DATA, END_STREAM, 1, b"hello"))
    pairs = tuple((name.decode(), value.decode()) for name, value in REQUEST)
    assert seen.events == [("headers", 1, pairs, False), ("content", 1, b"hello", True)]
    server.send_response(seen.streams[1], RESPONSE, b"bye", TRAILERS)
    found = frames(server.data_to_send())
    assert [part[:3] for part in found] == [
        (HEADERS, END_HEADERS, 1),
        (DATA, 0, 1),
        (HEADERS, END_HEADERS | END_STREAM, 1),
    ]
    peer = hpack.Decoder()
    assert [tuple(pair) for pair in peer.decode(found[0][3], raw=True)] == list(RESPONSE)
    assert found[1][3] == b"bye"
    assert [tuple(pair) for pair in peer.decode(found[2][3], raw=True)] == list(TRAILERS)
    assert server.idle


def conversation():
    encoder = hpack.Encoder()
    second = encoder.encode(REQUEST)
    third = encoder.encode((*REQUEST, (b"x", b"y" * 300)))
    return b"".join(
        (
            PREFACE,
            frame(HEADERS, END_HEADERS, 1, second),
            frame(DATA, 0, 1, b"some"),
            frame(PING, 0, 0, b"12345678"),
            frame(HEADERS, END_STREAM, 3, third[:7]),
            frame(CONTINUATION, 0, 3, third[7:20]),
            frame(CONTINUATION, END_HEADERS, 3, third[20:]),
            settings_frame(INITIAL_WINDOW_SIZE=10, MAX_FRAME_SIZE=20000),
            frame(0xBE, 0xFF, 77, b"unknown"),
            frame(DATA, PADDED | END_STREAM, 1, b"\2more\0\0"),
            frame(RST, 0, 3, number(8)),
            frame(WINDOW, 0, 0, number(100)),
            frame(GOAWAY, 0, 0, number(0) + number(0) + b"bye"),
        )
    )


def events_of(pieces):
    server, seen = core(started=False)
    for piece in pieces:
        server.receive_data(piece)
    return seen.events, server.data_to_send()


def test_split_at_every_offset():
    data = conversation()
    whole = events_of([data])
    assert len(whole[0]) == 8
    for cut in range(1, len(data)):
        assert events_of([data[:cut], data[cut:]]) == whole
    assert events_of([data[at : at + 1] for at in range(len(data))]) == whole


@settings(deadline=None)
@given(st.lists(st.integers(0, 600), max_size=20))
def test_any_split_gives_the_same(cuts):
    data = conversation()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert events_of(pieces) == events_of([data])


# Frames that end the connection when they arrive.
@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (frame(DATA, 0, 1, b"x"), PROTOCOL, "DATA on an idle stream"),
        (frame(DATA, 0, 0, b"x"), PROTOCOL, "DATA on an idle stream"),
        (frame(HEADERS, END_HEADERS, 0, block()), PROTOCOL, "HEADERS on an idle stream"),
        (frame(HEADERS, 0, 0, b""), PROTOCOL, "HEADERS on stream 0"),
        (request(2), PROTOCOL, "request on an even stream"),
        (request(5) + request(3), PROTOCOL, "HEADERS on an idle stream"),
        (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION, "Invalid table index 0"),
        (frame(HEADERS, END_HEADERS | PADDED, 1), SIZE, "padded frame without a length"),
        (frame(HEADERS, END_HEADERS | PADDED, 1, b"\1"), PROTOCOL, "padding longer than the frame"),
        (frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"\0\0"), SIZE, "HEADERS too short"),
        (
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\1\0" + block()),
            ErrorCode.PROTOCOL_ERROR,
            "stream depends on itself",
        ),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL, "PRIORITY on stream 0"),
        (frame(PRIORITY, 0, 1, bytes(4)), SIZE, "PRIORITY not of 5 bytes"),
        (frame(PRIORITY, 0, 1, b"\x80\0\0\1\0"), PROTOCOL, "stream depends on itself"),
        (frame(RST, 0, 1, number(8)), PROTOCOL, "RST_STREAM on an idle stream"),
        (frame(RST, 0, 0, number(8)), PROTOCOL, "RST_STREAM on an idle stream"),
        (frame(RST, 0, 1, b"\0"), SIZE, "RST_STREAM not of 4 bytes"),
        (frame(SETTINGS, 0, 1), PROTOCOL, "SETTINGS on a stream"),
        (frame(SETTINGS, ACK, 0, bytes(6)), SIZE, "SETTINGS ACK with content"),
        (frame(SETTINGS, 0, 0, bytes(5)), SIZE, "SETTINGS length not divisible by 6"),
        (settings_frame(ENABLE_PUSH=2), PROTOCOL, "ENABLE_PUSH is neither 0 nor 1"),
        (settings_frame(INITIAL_WINDOW_SIZE=2**31), FLOW, "INITIAL_WINDOW_SIZE over 2^31-1"),
        (settings_frame(MAX_FRAME_SIZE=16383), PROTOCOL, "MAX_FRAME_SIZE out of range"),
        (settings_frame(MAX_FRAME_SIZE=2**24), PROTOCOL, "MAX_FRAME_SIZE out of range"),
        (frame(PUSH, END_HEADERS, 1, number(2) + block()), PROTOCOL, "PUSH_PROMISE"),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL, "PING on a stream"),
        (frame(PING, 0, 0, bytes(7)), SIZE, "PING not of 8 bytes"),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL, "GOAWAY on a stream"),
        (frame(GOAWAY, 0, 0, bytes(7)), SIZE, "GOAWAY of fewer than 8 bytes"),
        (frame(WINDOW, 0, 0, number(0)), PROTOCOL, "WINDOW_UPDATE of 0"),
        (frame(WINDOW, 0, 0, b""), SIZE, "WINDOW_UPDATE not of 4 bytes"),
        (frame(WINDOW, 0, 1, number(1)), PROTOCOL, "WINDOW_UPDATE on an idle stream"),
        (frame(WINDOW, 0, 0, number(2**31 - 1)), FLOW, "connection window over 2^31-1"),
        (frame(CONTINUATION, END_HEADERS, 1), PROTOCOL, "CONTINUATION without HEADERS"),
        (
            frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, END_HEADERS, 3),
            ErrorCode.PROTOCOL_ERROR,
            "frame inside a header block",
        ),
        (
            frame(HEADERS, 0, 1, block()) + frame(0xBE, 0, 1),
            ErrorCode.PROTOCOL_ERROR,
            "frame inside a header block",
        ),
        (
            request(1, end=True) + request(1),
            ErrorCode.STREAM_CLOSED,
            "HEADERS on a closed stream",
        ),
        (
            request(1) + frame(RST, 0, 1, number(8)) + request(1),
            ErrorCode.STREAM_CLOSED,
            "HEADERS on a closed stream",
        ),
        (b"\0\x40\1\0\0\0\0\0\1", SIZE, "frame over 16384 bytes"),
    ],
)  # fmt: skip
def test_what_ends_the_connection(data, code, reason):
    fails(core()[0], data, code, reason)


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not an HTTP/2 preface"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", "not an HTTP/2 preface"),
        (_frames.PREFACE + frame(PING, 0, 0, bytes(8)), "first frame is not SETTINGS"),
        (_frames.PREFACE + frame(SETTINGS, ACK, 0), "first frame is not SETTINGS"),
    ],
    ids=["HTTP/1", "one byte off", "PING first", "ACK first"],
)
def test_a_wrong_preface_3_4(hello, reason):
    fails(core(started=False)[0], hello, ErrorCode.PROTOCOL_ERROR, reason)


# Errors that concern one stream: it is reset, and the connection goes on.
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request(1, [(b":method", b"GET")]), ErrorCode.PROTOCOL_ERROR),
        (request(1, RESPONSE), ErrorCode.PROTOCOL_ERROR),
        (request(1, TRAILERS), ErrorCode.PROTOCOL_ERROR),
        (request() + request(1, TRAILERS), ErrorCode.PROTOCOL_ERROR),
        (request() + request(1, REQUEST, end=True), ErrorCode.PROTOCOL_ERROR),
        (request() + frame(WINDOW, 0, 1, number(0)), ErrorCode.PROTOCOL_ERROR),
        (request() + frame(WINDOW, 0, 1, number(2**31 - 1)), ErrorCode.FLOW_CONTROL_ERROR),
        (request(1, (*REQUEST, (b"content-length", b"1")), end=True), ErrorCode.PROTOCOL_ERROR),
        (
            request(1, (*REQUEST, (b"content-length", b"1"))) + frame(DATA, END_STREAM, 1),
            ErrorCode.PROTOCOL_ERROR,
        ),
        (
            request(1, (*REQUEST, (b"content-length", b"1"))) + frame(DATA, 0, 1, b"ab"),
            ErrorCode.PROTOCOL_ERROR,
        ),
        (
            request(1, (*REQUEST, (b"content-length", b"1"))) + request(1, TRAILERS, end=True),
            ErrorCode.PROTOCOL_ERROR,
        ),
        (request(1, end=True) + frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
    ],
    ids=[
        "no path",
        "a response",
        "trailers first",
        "trailers that do not end",
        "two requests",
        "no increment",
        "window too large",
        "content-length and no content",
        "content too short",
        "content too long",
        "trailers too soon",
        "DATA after the end",
    ],
)
def test_what_ends_the_stream(data, code):
    server, _ = core()
    server.receive_data(data)
    assert resets(server.data_to_send()) == [(1, code)]
    assert server.idle
    # Whatever was under way is ignored.
    server.receive_data(frame(DATA, 0, 1, b"late") + frame(WINDOW, 0, 1, number(1)))
    server.receive_data(request(3, end=True))
    assert resets(server.data_to_send()) == []
    assert server.stream_count == 1


def test_a_request_that_ended_with_its_trailers():
    server, seen = core()
    encoder = hpack.Encoder()
    server.receive_data(
        request(encoder=encoder)
        + frame(DATA, 0, 1, b"x")
        + request(1, ((b"checksum", b"1"),), end=True, encoder=encoder)
    )
    assert seen.events[1:] == [
        ("content", 1, b"x", False),
        ("trailers", 1, (("checksum", "1"),)),
    ]


def test_more_streams_than_allowed_are_refused_5_1_2():
    server, _ = core(max_concurrent_streams=2)
    server.receive_data(request(1) + request(3) + request(5))
    assert resets(server.data_to_send()) == [(5, ErrorCode.REFUSED_STREAM)]
    server.receive_data(frame(RST, 0, 1, number(8)) + request(7))
    assert resets(server.data_to_send()) == []


def test_an_answer_before_the_request_has_ended_8_1():
    server, seen = core()
    server.receive_data(request())
    server.send_response(seen.streams[1], RESPONSE, b"no", TRAILERS)
    found = frames(server.data_to_send())
    assert found[-1] == (RST, 0, 1, number(ErrorCode.NO_ERROR))
    server.receive_data(frame(DATA, END_STREAM, 1, b"late") + request(3))
    assert resets(server.data_to_send()) == []


# Flow control of what we send: 5.2, 6.9


def opened(**peer):
    """Make a server with an open, fully received request; the peer's settings are in force."""
    server, seen = core()
    server.receive_data(settings_frame(**peer) + request(1, end=True))
    server.data_to_send()
    return server, seen, seen.streams[1]


def sent_data(server):
    found = [part for part in frames(server.data_to_send()) if part[0] == DATA]
    return [len(part[3]) for part in found]


def test_data_waits_for_the_stream_window():
    server, seen, stream = opened(INITIAL_WINDOW_SIZE=3)
    server.send_headers(stream, RESPONSE)
    server.send_data(stream, b"12345678")
    server.send_trailers(stream, TRAILERS)
    assert sent_data(server) == [3]
    server.receive_data(frame(WINDOW, 0, 1, number(4)))
    assert sent_data(server) == [4]
    server.receive_data(frame(WINDOW, 0, 1, number(4)))
    found = frames(server.data_to_send())
    assert [part[:2] for part in found] == [(DATA, 0), (HEADERS, END_HEADERS | END_STREAM)]
    assert seen.events[-1] == ("drained", 1)
    assert server.idle


def test_a_whole_response_waits_too():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=0)
    server.send_response(stream, RESPONSE, b"12345", TRAILERS)
    assert [part[0] for part in frames(server.data_to_send())] == [HEADERS]
    server.receive_data(settings_frame(INITIAL_WINDOW_SIZE=5))
    found = frames(server.data_to_send())
    # The acknowledgement comes first: from then on a peer may use the new window.
    assert [part[0] for part in found] == [SETTINGS, DATA, HEADERS]


def test_a_smaller_initial_window_goes_below_zero_6_9_2():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=10)
    server.send_headers(stream, RESPONSE)
    server.send_data(stream, bytes(8))
    server.send_data(stream, bytes(8))
    assert sent_data(server) == [8, 2]
    server.receive_data(settings_frame(INITIAL_WINDOW_SIZE=4))
    assert stream.send_window == -6
    server.receive_data(frame(WINDOW, 0, 1, number(6)))
    assert sent_data(server) == []
    server.receive_data(frame(WINDOW, 0, 1, number(2)))
    assert sent_data(server) == [2]


def test_a_larger_initial_window_may_not_pass_the_limit_6_9_2():
    server, _, _stream = opened()
    server.receive_data(frame(WINDOW, 0, 1, number(2**31 - 1 - 65535)))
    fails(
        server,
        settings_frame(INITIAL_WINDOW_SIZE=65536),
        ErrorCode.FLOW_CONTROL_ERROR,
        "stream window over 2^31-1",
    )


def test_an_empty_end_needs_no_window():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=0)
    server.send_headers(stream, RESPONSE)
    server.send_data(stream, b"", end_stream=True)
    assert [part[0] for part in frames(server.data_to_send())] == [HEADERS, DATA]


def test_an_empty_end_behind_waiting_data():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=1)
    server.send_headers(stream, RESPONSE)
    server.send_data(stream, b"ab")
    server.send_data(stream, b"", end_stream=True)
    assert sent_data(server) == [1]
    server.receive_data(settings_frame(INITIAL_WINDOW_SIZE=0))
    server.receive_data(frame(WINDOW, 0, 1, number(2)))
    assert sent_data(server) == [1, 0]
    assert server.idle


def test_frames_keep_to_the_peers_size_and_headers_continue():
    server, _, stream = opened(MAX_FRAME_SIZE=16384)
    server.send_headers(stream, (*RESPONSE, (b"x", b"y" * 40000)))
    server.send_data(stream, bytes(40000), end_stream=True)
    found = frames(server.data_to_send())
    assert max(len(part[3]) for part in found) == 16384
    kinds = [part[:2] for part in found]
    assert kinds[:2] == [(HEADERS, 0), (CONTINUATION, 0)][: len(kinds[:2])]
    blocks = [part for part in found if part[0] in (HEADERS, CONTINUATION)]
    assert blocks[-1][1] == END_HEADERS
    fields = list(hpack.Decoder().decode(b"".join(part[3] for part in blocks), raw=True))
    assert fields[-1][1] == b"y" * 40000


def test_the_connection_window_is_shared_in_turns():
    server, seen = core()
    server.receive_data(settings_frame(INITIAL_WINDOW_SIZE=10**6))
    server.receive_data(b"".join(request(stream_id, end=True) for stream_id in (1, 3, 5)))
    for stream_id in (1, 3, 5):
        stream = seen.streams[stream_id]
        server.send_response(stream, RESPONSE, bytes(65536), TRAILERS)
    server.data_to_send()
    server.receive_data(frame(WINDOW, 0, 0, number(16384 * 2 + 1)))
    found = [part[2] for part in frames(server.data_to_send()) if part[0] == DATA]
    assert sorted(set(found)) == [1, 3, 5]
    server.receive_data(frame(WINDOW, 0, 0, number(10**6)))
    assert server.idle
    assert not server.blocked


def test_a_reset_drops_what_waits():
    server, seen, stream = opened(INITIAL_WINDOW_SIZE=1)
    server.send_response(stream, RESPONSE, bytes(100), TRAILERS)
    server.receive_data(frame(RST, 0, 1, number(8)))
    assert not server.blocked
    assert seen.events[-1] == ("reset", 1, 8)


def test_giving_a_stream_up_drops_what_waits():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=1)
    server.send_response(stream, RESPONSE, bytes(100), TRAILERS)
    server.reset_stream(stream, ErrorCode.CANCEL)
    assert not server.blocked
    assert server.idle


def test_stalled_streams_are_found():
    clock = Clock()
    server, seen = core(clock=clock)
    server.receive_data(settings_frame(INITIAL_WINDOW_SIZE=1) + request(1, end=True))
    server.send_response(seen.streams[1], RESPONSE, bytes(100), TRAILERS)
    assert server.stalled_since(clock.now - 1) == []
    clock.now += 5
    server.receive_data(frame(WINDOW, 0, 1, number(1)))
    assert server.stalled_since(clock.now - 1) == []
    clock.now += 5
    assert server.stalled_since(clock.now - 1) == [seen.streams[1]]


# Flow control of what we receive


def test_windows_are_given_back_as_content_is_consumed():
    server, _ = core(stream_window_bytes=65535, connection_window_bytes=100_000)
    server.receive_data(request())
    updates = []
    for _ in range(40):
        server.receive_data(frame(DATA, 0, 1, bytes(10_000)))
        updates += [part[2:] for part in frames(server.data_to_send()) if part[0] == WINDOW]
    given = {stream_id: 0 for stream_id, _ in updates}
    for stream_id, payload in updates:
        given[stream_id] += int.from_bytes(payload, "big")
    assert 400_000 - 65535 < given[1] <= 400_000
    assert 400_000 - 100_000 < given[0] <= 400_000
    # One for each half of the window, not for every frame.
    assert len(updates) <= 20


def test_content_beyond_the_stream_window():
    server, _ = core(stream_window_bytes=65535, take=False)
    server.receive_data(request() + frame(DATA, 0, 1, bytes(16384)) * 3)
    server.receive_data(frame(DATA, 0, 1, bytes(16383)))
    assert resets(server.data_to_send()) == []
    server.receive_data(frame(DATA, 0, 1, b"x"))
    assert resets(server.data_to_send()) == [(1, ErrorCode.FLOW_CONTROL_ERROR)]


def test_content_on_closed_streams_counts_for_the_connection():
    server, _ = core(connection_window_bytes=65535)
    server.receive_data(request() + frame(RST, 0, 1, number(8)) + frame(DATA, 0, 1, bytes(16384)))
    server.receive_data(frame(DATA, 0, 1, bytes(16384)) + frame(DATA, 0, 1, bytes(16384)))
    updates = [part for part in frames(server.data_to_send()) if part[0] == WINDOW]
    assert [part[2] for part in updates] == [0]


def test_padding_is_given_back_at_once():
    server, seen = core(stream_window_bytes=65535, take=False)
    server.receive_data(request())
    for _ in range(600):
        server.receive_data(frame(DATA, PADDED, 1, b"\xff" + bytes(255)))
    assert resets(server.data_to_send()) == []
    assert seen.content(1) == b""


# PING


def test_ping_is_answered_6_7():
    server, _ = core()
    server.receive_data(frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, b"87654321"))
    assert frames(server.data_to_send()) == [(PING, ACK, 0, b"12345678")]


def test_acknowledgements_are_held_in_order_and_not_without_end():
    server, _ = core(ping_ack_delay_s=0.005)
    pings = [bytes([count]) * 8 for count in range(20)]
    server.receive_data(b"".join(frame(PING, 0, 0, ping) for ping in pings[:3]))
    assert server.data_to_send() == b""
    server.release_ping_acks()
    assert [part[3] for part in frames(server.data_to_send())] == pings[:3]
    server.receive_data(b"".join(frame(PING, 0, 0, ping) for ping in pings))
    assert len(server.held_acks) <= 16


# GOAWAY


def test_graceful_shutdown_of_a_server_6_8():
    server, seen = core()
    server.receive_data(request(1, end=True))
    server.begin_shutdown()
    found = frames(server.data_to_send())
    assert found[0] == (GOAWAY, 0, 0, number(2**31 - 1) + number(0))
    assert found[1][0] == PING
    server.receive_data(request(3, end=True) + frame(PING, ACK, 0, found[1][3]))
    assert seen.events[-1] == ("shutdown acknowledged",)
    assert not server.shutdown_complete
    server.finish_shutdown()
    assert frames(server.data_to_send()) == [(GOAWAY, 0, 0, number(3) + number(0))]
    # Too late, so it is ignored, but its header block must still be decoded.
    server.receive_data(request(5, end=True) + frame(DATA, 0, 5, b"x"))
    assert server.data_to_send() == b""
    assert server.stream_count == 2


def test_goaway_to_a_client_fails_what_is_not_processed():
    client, seen = core(client=True)
    for _ in range(3):
        client.send_headers(client.open_stream(), REQUEST)
    client.receive_data(frame(GOAWAY, 0, 0, number(3) + number(2) + b"why"))
    assert seen.events == [("reset", 5, ErrorCode.REFUSED_STREAM), ("goaway", 2, b"why")]
    assert client.stream_count == 2


# The client's role


def response(stream_id=1, headers=RESPONSE, *, end=False, encoder=None):
    return request(stream_id, headers, end=end, encoder=encoder)


def asked():
    client, seen = core(client=True)
    stream = client.open_stream()
    client.send_headers(stream, REQUEST)
    client.send_data(stream, b"x", end_stream=True)
    client.data_to_send()
    return client, seen, stream


def test_a_response_after_an_informational_one():
    client, seen, _ = asked()
    encoder = hpack.Encoder()
    client.receive_data(
        response(headers=((b":status", b"103"),), encoder=encoder)
        + response(encoder=encoder)
        + frame(DATA, 0, 1, b"y")
        + response(headers=TRAILERS, end=True, encoder=encoder)
    )
    assert [event[0] for event in seen.events] == ["headers", "content", "trailers"]
    assert client.idle


@pytest.mark.parametrize(
    "data",
    [
        frame(DATA, 0, 1, b"x"),
        response(headers=REQUEST),
        response(headers=TRAILERS),
        response(headers=((b":status", b"100"),), end=True),
        response() + response(headers=RESPONSE, end=True),
    ],
    ids=["DATA first", "a request", "trailers first", "100 ends", "two responses"],
)
def test_a_response_that_breaks_the_rules(data):
    client, seen, _ = asked()
    client.receive_data(data)
    assert resets(client.data_to_send()) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert seen.events[-1] == ("reset", 1, None)


def test_a_response_that_ends_with_its_content():
    client, seen, _ = asked()
    client.receive_data(response() + frame(DATA, END_STREAM, 1, b"y"))
    assert seen.events[-1] == ("content", 1, b"y", True)
    assert client.idle


@pytest.mark.parametrize("stream_id", [2, 3], ids=["even", "not opened"])
def test_a_response_nobody_asked_for(stream_id):
    client, _, _ = asked()
    fails(client, response(stream_id), PROTOCOL, "HEADERS on an idle stream")


def test_a_server_must_not_push_8_4():
    client, _, _ = asked()
    fails(
        client,
        frame(PUSH, END_HEADERS, 1, number(2) + block()),
        ErrorCode.PROTOCOL_ERROR,
        "PUSH_PROMISE",
    )


def test_what_comes_for_a_stream_that_we_reset_is_ignored():
    client, seen, stream = asked()
    client.reset_stream(stream, ErrorCode.CANCEL)
    client.reset_stream(stream, ErrorCode.CANCEL)
    assert resets(client.data_to_send()) == [(1, ErrorCode.CANCEL)]
    client.receive_data(response() + frame(DATA, END_STREAM, 1, b"x") + frame(RST, 0, 1, number(0)))
    assert seen.events == []


# Our own mistakes


def test_sending_what_the_state_forbids_is_our_fault():
    server, _, stream = opened(INITIAL_WINDOW_SIZE=1)
    with pytest.raises(LocalProtocolError, match="this connection can open no stream"):
        server.open_stream()
    server.send_response(stream, RESPONSE, b"ab", TRAILERS)
    with pytest.raises(LocalProtocolError, match="data after the end"):
        server.send_data(stream, b"x")
    with pytest.raises(LocalProtocolError, match="trailers after the end"):
        server.send_trailers(stream, TRAILERS)
    with pytest.raises(LocalProtocolError, match="headers after the end"):
        server.send_headers(stream, RESPONSE)
    client, _ = core(client=True)
    client.close()
    with pytest.raises(LocalProtocolError, match="this connection can open no stream"):
        client.open_stream()


def test_closing_twice_sends_one_goaway():
    server, _ = core()
    server.close()
    server.close()
    assert len(frames(server.data_to_send())) == 1
    server.begin_shutdown()
    server.finish_shutdown()
    assert server.data_to_send() == b""


# Floods: each limit is exact, and the count starts again after the interval


@pytest.mark.parametrize(
    ("limit", "data", "reason"),
    [
        ("max_pings_per_interval", frame(PING, 0, 0, bytes(8)), "too many PINGs"),
        ("max_settings_per_interval", frame(SETTINGS, 0, 0), "too many SETTINGS frames"),
        ("max_settings_per_interval", frame(PRIORITY, 0, 1, bytes(5)), "too many PRIORITY frames"),
        ("max_resets_per_interval", frame(RST, 0, 1, number(8)), "too many RST_STREAM frames"),
        ("max_empty_frames_per_interval", frame(DATA, 0, 3), "too many empty DATA frames"),
        ("max_resets_per_interval", frame(DATA, 0, 1, b"x"), "too many stream errors"),
    ],
)  # fmt: skip
def test_floods(limit, data, reason):
    clock = Clock()
    server, _ = core(clock=clock, **{limit: 5})
    server.receive_data(request(1, end=True) + request(3))
    if "stream errors" in reason:
        # Each on another stream: frames that come after our reset are ignored and cost nothing.
        data = b"".join(request(5 + 2 * count, TRAILERS) for count in range(20))
        server.receive_data(data[: len(data) // 20 * 5])
        clock.now += 11
        server.receive_data(data[len(data) // 20 * 5 : len(data) // 20 * 10])
        fails(server, data[len(data) // 2 :], ErrorCode.ENHANCE_YOUR_CALM, reason)
        return
    first = 4 if "SETTINGS" in reason else 5
    server.receive_data(data * first)
    clock.now += 11
    server.receive_data(data * 5)
    fails(server, data, ErrorCode.ENHANCE_YOUR_CALM, reason)


@pytest.mark.parametrize("client", [True, False])
def test_a_stream_whose_reset_is_one_too_many_is_there_to_be_failed(client):
    connection, recorder = core(client=client, max_resets_per_interval=1)
    if client:
        for _ in range(2):
            connection.send_headers(connection.open_stream(), REQUEST)
    else:
        connection.receive_data(request(1) + request(3))
    reset = b"".join(frame(RST, 0, stream_id, number(8)) for stream_id in (1, 3))
    fails(connection, reset, ErrorCode.ENHANCE_YOUR_CALM, "too many RST_STREAM frames")
    assert recorder.named("reset") == [("reset", 1, 8)]
    assert [stream.id for stream in connection.open_streams] == [3]


def test_continuation_floods():
    server, _ = core(max_continuations=3)
    head = frame(HEADERS, 0, 1, b"")
    server.receive_data(head + frame(CONTINUATION, 0, 1) * 3)
    fails(
        server,
        frame(CONTINUATION, 0, 1),
        ErrorCode.ENHANCE_YOUR_CALM,
        "header block too large",
    )
    server, _ = core(max_header_list_bytes=20_000)
    server.receive_data(frame(HEADERS, 0, 1, bytes(16_000)))
    fails(
        server,
        frame(CONTINUATION, 0, 1, bytes(16_000)),
        ErrorCode.ENHANCE_YOUR_CALM,
        "header block too large",
    )


def test_remembered_ids_are_bounded():
    server, _ = core(max_resets_per_interval=10**6)
    encoder = hpack.Encoder()
    for stream_id in range(1, 12_001, 2):
        server.receive_data(request(stream_id, TRAILERS, encoder=encoder))
    assert len(server._ignored) <= 4096
    for stream_id in range(12_101, 13_101, 4):
        server.receive_data(request(stream_id, TRAILERS, encoder=encoder))
    assert len(server._gaps) <= 64


# Any input either works or causes a protocol error


def survive(client, data):
    connection, seen = core(client=client)
    if client:
        for _ in range(3):
            connection.send_headers(connection.open_stream(), REQUEST)
    try:
        connection.receive_data(data)
    except RemoteProtocolError:
        assert connection.closed
    for part in frames(connection.data_to_send()):
        assert part[0] <= CONTINUATION
    return seen


FRAME = st.builds(
    frame,
    st.integers(0, 10),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([block(), block(RESPONSE), block(TRAILERS), number(1), bytes(8)]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.lists(FRAME, max_size=12))
def test_any_frames(client, parts):
    survive(client, b"".join(parts))


@settings(deadline=None)
@given(st.booleans(), st.binary(max_size=300))
def test_any_bytes(client, data):
    survive(client, data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_conversations(data):
    """Change, drop or double a few bytes of a valid conversation."""
    wire = bytearray(conversation()[len(PREFACE) :])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire) - 1))
        kind = data.draw(st.sampled_from(["change", "drop", "double"]))
        if kind == "change":
            wire[at] = data.draw(st.integers(0, 255))
        elif kind == "drop":
            del wire[at]
        else:
            wire[at:at] = wire[at : at + 20]
    survive(data.draw(st.booleans()), bytes(wire))
