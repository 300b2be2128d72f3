import contextlib

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rpc.helpers import REQUEST, RESPONSE, TRAILERS
from vault_jwt_plugin.rpc._fields import Section
from vault_jwt_plugin.rpc._hpack import Decoder, Encoder
from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError


def with_extra(*extra):
    return (*REQUEST, *extra)


def test_repeated_headers_are_decoded_once_and_shared():
    peer, decoder = hpack.Encoder(), Decoder(65536)
    decoder.decode(peer.encode(REQUEST))
    first = decoder.decode(peer.encode(REQUEST))
    assert decoder.decode(peer.encode(REQUEST)) is first
    assert first.section is Section.REQUEST
    assert first.pseudo[":path"] == "/t.T/M"


def test_an_insertion_clears_the_cache():
    peer, decoder = hpack.Encoder(), Decoder(65536)
    for _ in range(3):
        decoder.decode(peer.encode(REQUEST))
    shifted = decoder.decode(peer.encode(with_extra((b"x-new", b"1"))))
    assert shifted.metadata["x-new"] == "1"
    # The same fields now have other indices; the same bytes would mean other fields.
    assert decoder.decode(peer.encode(REQUEST)).pseudo[":path"] == "/t.T/M"


def test_a_smaller_table_clears_the_cache():
    peer, decoder = hpack.Encoder(), Decoder(65536)
    peer.encode(REQUEST)
    decoder = Decoder(65536)
    peer = hpack.Encoder()
    decoder.decode(peer.encode(REQUEST))
    remembered = peer.encode(REQUEST)
    decoder.decode(remembered)
    peer.header_table_size = 0
    decoder.decode(peer.encode(TRAILERS))
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.decode(remembered)
    assert caught.value.error_code is ErrorCode.COMPRESSION_ERROR


def test_a_smaller_table_that_keeps_its_newest_entry():
    peer, decoder = hpack.Encoder(), Decoder(65536)
    headers = ((b"x-old", b"1"), (b"x-new", b"2"))
    decoder.decode(peer.encode(headers))
    remembered = peer.encode(headers)
    decoder.decode(remembered)
    peer.header_table_size = 50
    decoder.decode(peer.encode(((b"x-new", b"2"),)))
    with pytest.raises(RemoteProtocolError):
        decoder.decode(remembered)


def test_an_entry_larger_than_the_table_clears_the_cache():
    peer, decoder = hpack.Encoder(), Decoder(65536)
    decoder.decode(peer.encode(REQUEST))
    remembered = peer.encode(REQUEST)
    decoder.decode(remembered)
    decoder.decode(peer.encode(((b"x", b"y" * 5000),)))
    with pytest.raises(RemoteProtocolError):
        decoder.decode(remembered)


def test_header_list_over_the_limit():
    with pytest.raises(RemoteProtocolError) as caught:
        Decoder(1000).decode(hpack.Encoder().encode([(b"a", b"b" * 2000)]))
    assert str(caught.value) == "ENHANCE_YOUR_CALM: header list larger than allowed"


def test_encoder_repeats_a_block_and_a_peer_understands_it():
    encoder, peer = Encoder(), hpack.Decoder()
    for _ in range(3):
        for headers in (RESPONSE, TRAILERS, REQUEST):
            block = encoder.encode(headers)
            assert [tuple(pair) for pair in peer.decode(block, raw=True)] == list(headers)
    assert len(encoder.encode(RESPONSE)) == 2
    assert encoder.encode(TRAILERS) is encoder.encode(TRAILERS)


def test_status_texts_do_not_enter_the_table():
    encoder = Encoder()
    encoder.encode(((b"grpc-status", b"5"), (b"grpc-message", b"secret")))
    kept = encoder.encode(TRAILERS)
    kept = encoder.encode(TRAILERS)
    block = encoder.encode(((b"grpc-status", b"5"), (b"grpc-message", b"secret")))
    assert b"\x10" in block
    assert encoder.encode(TRAILERS) is kept


@pytest.mark.parametrize("sizes", [[0], [100, 100], [0, 4096], [64, 0, 200]], ids=str)
def test_the_peer_changes_the_table_size(sizes):
    encoder, peer = Encoder(), hpack.Decoder()
    peer.decode(encoder.encode(REQUEST))
    peer.decode(encoder.encode(REQUEST))
    for size in sizes:
        encoder.resize_table(size)
        peer.max_allowed_table_size = size
    peer.max_allowed_table_size = max(sizes)
    for _ in range(2):
        decoded = peer.decode(encoder.encode(REQUEST), raw=True)
        assert [tuple(pair) for pair in decoded] == list(REQUEST)


def test_a_larger_table_than_the_default_is_not_used():
    encoder, peer = Encoder(), hpack.Decoder()
    encoder.resize_table(1 << 20)
    assert peer.decode(encoder.encode(TRAILERS), raw=True)


NAMES = st.sampled_from([b":path", b"x-a", b"x-b", b"te", b"grpc-status"])
VALUES = st.sampled_from([b"", b"1", b"v" * 300, b"w" * 900])


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple), max_size=30))
def test_the_cache_changes_nothing(sections):
    """Encode and decode the same sections with our coders and with plain hpack."""
    ours, plain = Decoder(65536), hpack.Decoder()
    peer = hpack.Encoder()
    encoder, reader = Encoder(), hpack.Decoder()
    for section in sections:
        for _ in range(2):
            block = peer.encode(section)
            fields = ours.decode(block)
            expected = [tuple(pair) for pair in plain.decode(block, raw=True)]
            if fields.section is not Section.MALFORMED:
                values = {name.decode(): value.decode() for name, value in expected}
                assert {**fields.pseudo, **fields.metadata}.keys() == values.keys()
            decoded = reader.decode(encoder.encode(section), raw=True)
            assert [tuple(pair) for pair in decoded] == list(section)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_break_the_protocol(data):
    decoder = Decoder(65536)
    with contextlib.suppress(RemoteProtocolError):
        decoder.decode(data)
        decoder.decode(data)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"\xff" * 8, "Variable integer representation is too long"),
        (b"\xff", "Unable to decode HPACK integer representation"),
        (b"\xff\x00", "Invalid table index 127"),
    ],
    ids=["long", "cut", "index"],
)
def test_no_address_of_ours_is_in_the_reason(block, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        Decoder(65536).decode(block)
    assert caught.value.error_code is ErrorCode.COMPRESSION_ERROR
    assert caught.value.reason == reason
