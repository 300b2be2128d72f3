import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_jwt_plugin.rpc import RPCError, StatusCode, framing
from vault_jwt_plugin.rpc.errors import ErrorCode

MESSAGES = [b"", b"a", b"x" * 1000, b"last"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100, 10_000])
def test_messages_cut_from_pieces_of_any_size(size):
    data = b"".join(framing.encode_message(message) for message in MESSAGES)
    reader = framing.MessageReader(1000)
    found = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    assert found == MESSAGES
    assert reader.buffered == 0


def test_message_over_the_limit_is_refused_at_its_prefix():
    reader = framing.MessageReader(10)
    with pytest.raises(RPCError) as caught:
        reader.feed(b"\0\0\0\0\x0b")
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.message == "received message larger than max (11 vs. 10)"


def test_compressed_message_that_nobody_announced():
    with pytest.raises(RPCError) as caught:
        framing.MessageReader(10).feed(b"\1\0\0\0\0")
    assert caught.value.code is StatusCode.INTERNAL
    assert caught.value.message == "compressed message without grpc-encoding"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("plain text", b"plain text"),
        ("ends in a space ", b"ends in a space "),
        ("100%", b"100%25"),
        ("line\nbreak", b"line%0Abreak"),
        ("Grüße", b"Gr%C3%BC%C3%9Fe"),
        ("\N{SNOWMAN}\0", b"%E2%98%83%00"),
    ],
    ids=["plain", "space", "percent", "newline", "umlaut", "nul"],
)
def test_status_text_on_the_wire_and_back(text, wire):
    assert framing.encode_status_text(text) == wire
    assert framing.decode_status_text(wire.decode()) == text


@settings(deadline=None)
@given(st.text())
def test_any_status_text_comes_back(text):
    wire = framing.encode_status_text(text)
    assert all(0x20 <= byte <= 0x7E for byte in wire)
    assert framing.decode_status_text(wire.decode()) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("wire", "text"),
    [("50% off", "50% off"), ("%zz", "%zz"), ("%ff", "\N{REPLACEMENT CHARACTER}"), ("%", "%")],
)
def test_wrong_escapes_are_kept_or_replaced(wire, text):
    assert framing.decode_status_text(wire) == text


@settings(deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_status_text_fails_to_decode(wire):
    assert isinstance(framing.decode_status_text(wire), str)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9)],
)
def test_timeout_units(text, seconds):
    assert framing.parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1S ", "\N{ARABIC-INDIC DIGIT ONE}S"]
)
def test_malformed_timeouts(text):
    with pytest.raises(ValueError):
        framing.parse_timeout(text)


@pytest.mark.parametrize(
    ("seconds", "wire"),
    [
        (0, b"0n"),
        (-1, b"0n"),
        (0.05, b"50000000n"),
        (1, b"1000000u"),
        (90, b"90000000u"),
        (3600, b"3600000m"),
        (1e6, b"1000000S"),
        (1e12, b"99999999S"),
    ],
)
def test_timeout_written(seconds, wire):
    assert framing.format_timeout(seconds) == wire


@settings(deadline=None)
@given(st.floats(min_value=1e-9, max_value=9e7))
def test_a_written_timeout_is_never_shorter(seconds):
    again = framing.parse_timeout(framing.format_timeout(seconds).decode())
    assert again >= seconds * (1 - 1e-12)
    assert again <= seconds * 1.001 + 1e-9


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        ({"grpc-status": "5", "grpc-message": "no%20such"}, StatusCode.NOT_FOUND, "no such"),
        ({"grpc-status": "16"}, StatusCode.UNAUTHENTICATED, ""),
        (
            {"grpc-status": "17", "grpc-message": "new"},
            StatusCode.UNKNOWN,
            "unknown grpc-status '17': new",
        ),
        ({"grpc-status": "x"}, StatusCode.UNKNOWN, "unknown grpc-status 'x': "),
        ({}, StatusCode.UNKNOWN, "the peer ended the call without grpc-status"),
    ],
    ids=["with text", "without", "newer code", "no number", "missing"],
)
def test_status_of_trailers(metadata, code, message):
    error = framing.status_of(metadata)
    assert error is not None
    assert (error.code, error.message) == (code, message)


def test_status_ok_is_no_error():
    assert framing.status_of({"grpc-status": "0"}) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400", StatusCode.INTERNAL),
        ("401", StatusCode.UNAUTHENTICATED),
        ("403", StatusCode.PERMISSION_DENIED),
        ("404", StatusCode.UNIMPLEMENTED),
        ("415", StatusCode.UNKNOWN),
        ("503", StatusCode.UNAVAILABLE),
    ],
)
def test_http_status(status, code):
    error = framing.status_of_http(status)
    assert error.code is code
    assert error.message == f"the peer answered with HTTP status {status}"


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (ErrorCode.REFUSED_STREAM, StatusCode.UNAVAILABLE, "REFUSED_STREAM"),
        (ErrorCode.CANCEL, StatusCode.CANCELLED, "CANCEL"),
        (ErrorCode.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED, "ENHANCE_YOUR_CALM"),
        (ErrorCode.INADEQUATE_SECURITY, StatusCode.PERMISSION_DENIED, "INADEQUATE_SECURITY"),
        (ErrorCode.PROTOCOL_ERROR, StatusCode.INTERNAL, "PROTOCOL_ERROR"),
        (0xFFFF, StatusCode.INTERNAL, "0xffff"),
    ],
)
def test_reset_code(code, status, name):
    error = framing.status_of_reset(code)
    assert (error.code, error.message) == (status, f"the stream was reset with {name}")


def test_status_trailers():
    assert framing.status_trailers(StatusCode.OK, "") == ((b"grpc-status", b"0"),)
    assert framing.status_trailers(StatusCode.INTERNAL, "a%b") == (
        (b"grpc-status", b"13"),
        (b"grpc-message", b"a%25b"),
    )


def test_a_long_status_text_is_cut():
    assert len(framing.encode_status_text("ü" * 100_000)) == 3 * 8192


@settings(deadline=None)
@given(st.binary())
def test_binary_metadata_comes_back(value):
    text = framing.encode_binary(value)
    assert "=" not in text
    assert framing.decode_binary(text) == value


def test_binary_metadata_padded_or_wrong():
    assert framing.decode_binary("AQ==") == b"\1"
    with pytest.raises(ValueError, match="not base64"):
        framing.decode_binary("A*")


@pytest.mark.parametrize(
    "metadata",
    [[("Upper", "x")], [("grpc-x", "x")], [("", "x")], [("a b", "x")], [(":path", "x")]],
    ids=["upper", "reserved", "empty", "space", "pseudo"],
)
def test_metadata_names_that_are_refused(metadata):
    with pytest.raises(ValueError, match="invalid metadata name"):
        framing.encode_metadata(metadata)


@pytest.mark.parametrize("value", ["a\nb", "ü", "\0"])
def test_metadata_values_that_are_refused(value):
    with pytest.raises(ValueError, match="invalid metadata value for 'name'"):
        framing.encode_metadata([("name", value)])
