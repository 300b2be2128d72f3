"""Two cores joined in memory: each understands what the other sends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rpc.helpers import REQUEST, RESPONSE, TRAILERS, exchange, pair
from vault_jwt_plugin.rpc.errors import ErrorCode


def test_a_unary_round_trip():
    client, client_seen, server, server_seen = pair()
    for turn in range(3):
        stream = client.open_stream()
        client.send_headers(stream, REQUEST)
        client.send_data(stream, b"question", end_stream=True)
        exchange(client, server)
        assert server_seen.content(stream.id) == b"question"
        server.send_response(server_seen.streams[stream.id], RESPONSE, b"answer", TRAILERS)
        exchange(client, server)
        assert client_seen.content(stream.id) == b"answer"
        assert client_seen.events[-1] == ("trailers", 1 + 2 * turn, (("grpc-status", "0"),))
        assert client.idle
        assert server.idle


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 65535, 65536, 3_000_000], ids=str)
def test_content_of_any_size_both_ways(size):
    client, client_seen, server, server_seen = pair(
        stream_window_bytes=65535, connection_window_bytes=65535
    )
    stream = client.open_stream()
    content = bytes(range(256)) * (size // 256 + 1)
    client.send_headers(stream, REQUEST)
    client.send_data(stream, content[:size], end_stream=True)
    exchange(client, server)
    assert server_seen.content(1) == content[:size]
    server.send_response(server_seen.streams[1], RESPONSE, content[:size], TRAILERS)
    exchange(client, server)
    assert client_seen.content(1) == content[:size]
    assert client.idle
    assert server.idle


def test_a_stalled_reader_stalls_its_stream_and_no_other():
    client, _, server, server_seen = pair(stream_window_bytes=65535)
    server_seen.take = False
    slow, quick = client.open_stream(), client.open_stream()
    for stream in (slow, quick):
        client.send_headers(stream, REQUEST)
    client.send_data(slow, bytes(200_000), end_stream=True)
    exchange(client, server)
    assert len(server_seen.content(1)) == 65535
    client.send_data(quick, b"quick", end_stream=True)
    exchange(client, server)
    assert server_seen.content(3) == b"quick"
    server_seen.take = True
    while len(server_seen.content(1)) < 200_000:
        server.return_window(server_seen.streams[1], 65535)
        exchange(client, server)
    assert list(client.blocked) == []


def test_a_closed_connection_window_opens_for_all_streams():
    client, _, server, server_seen = pair(connection_window_bytes=65535)
    streams = [client.open_stream() for _ in range(10)]
    for stream in streams:
        client.send_headers(stream, REQUEST)
        client.send_data(stream, bytes(50_000), end_stream=True)
    exchange(client, server)
    assert [len(server_seen.content(stream.id)) for stream in streams] == [50_000] * 10


def test_cancellation_reaches_the_server():
    client, _, server, server_seen = pair()
    stream = client.open_stream()
    client.send_headers(stream, REQUEST)
    exchange(client, server)
    client.reset_stream(stream, ErrorCode.CANCEL)
    exchange(client, server)
    assert server_seen.events[-1] == ("reset", 1, ErrorCode.CANCEL)
    assert server.idle


def test_graceful_shutdown_lets_calls_finish():
    client, client_seen, server, server_seen = pair()
    stream = client.open_stream()
    client.send_headers(stream, REQUEST, end_stream=True)
    exchange(client, server)
    server.begin_shutdown()
    exchange(client, server)
    assert server_seen.events[-1] == ("shutdown acknowledged",)
    server.finish_shutdown()
    exchange(client, server)
    assert [event[0] for event in client_seen.events] == ["goaway", "goaway"]
    server.send_response(server_seen.streams[1], RESPONSE, b"done", TRAILERS)
    exchange(client, server)
    assert client_seen.content(1) == b"done"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "data", "end", "reset", "answer"]), st.integers(0, 5)),
        max_size=60,
    ),
    st.integers(1, 40_000),
)
def test_any_sequence_of_sendings_is_understood(steps, size):
    """Check that neither side sees a protocol error, whatever both do within their rules."""
    client, _, server, server_seen = pair(stream_window_bytes=65535, connection_window_bytes=65535)
    opened = []
    for what, which in steps:
        if what == "open":
            stream = client.open_stream()
            client.send_headers(stream, REQUEST)
            opened.append(stream)
        elif opened:
            stream = opened[which % len(opened)]
            here = stream in client.open_streams and not stream.local_closed
            if what in ("data", "end") and here and stream.pending_end is False:
                client.send_data(stream, bytes(size), end_stream=what == "end")
            elif what == "reset":
                client.reset_stream(stream, ErrorCode.CANCEL)
            elif what == "answer":
                theirs = server_seen.streams.get(stream.id)
                if theirs in server.open_streams and theirs.pending_end is False:
                    server.send_response(theirs, RESPONSE, bytes(size), TRAILERS)
        if which % 2:
            exchange(client, server)
    exchange(client, server)
    assert not client.closed
    assert not server.closed
