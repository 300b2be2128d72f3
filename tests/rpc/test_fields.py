import pytest

from tests.rpc.helpers import REQUEST
from vault_jwt_plugin.rpc._fields import Fields, Section


def test_request():
    fields = Fields((*REQUEST, (b"x", b"1"), (b"x", b"2")))
    assert fields.section is Section.REQUEST
    assert fields.pseudo[":method"] == "POST"
    assert dict(fields.metadata) == {
        "te": "trailers",
        "content-type": "application/grpc",
        "x": "1,2",
    }
    assert fields.content_length is None


def test_response_and_trailers():
    assert Fields([(b":status", b"200"), (b"content-length", b"7")]).content_length == 7
    assert Fields([(b":status", b"200")]).section is Section.RESPONSE
    assert Fields([(b"grpc-status", b"0")]).section is Section.TRAILERS
    assert Fields([]).section is Section.TRAILERS


def test_spaces_at_the_ends_of_a_value_are_let_through():
    assert Fields([(b"grpc-message", b" text ")]).metadata["grpc-message"] == " text "


def without(name):
    return [pair for pair in REQUEST if pair[0] != name]


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([*REQUEST, (b"Upper", b"")], "field name with a character that is not allowed"),
        ([*REQUEST, (b"", b"")], "field name with a character that is not allowed"),
        ([*REQUEST, (b"a b", b"")], "field name with a character that is not allowed"),
        ([*REQUEST, (b"a:b", b"")], "field name with a character that is not allowed"),
        ([*REQUEST, (b"\xff", b"")], "field name with a character that is not allowed"),
        ([*REQUEST, (b"a", b"b\n")], "field value with a NUL, CR or LF"),
        ([*REQUEST, (b"a", b"\0")], "field value with a NUL, CR or LF"),
        ([*REQUEST, (b"connection", b"x")], "connection-specific field"),
        ([*REQUEST, (b"transfer-encoding", b"x")], "connection-specific field"),
        ([*REQUEST, (b"te", b"gzip")], "connection-specific field"),
        ([*REQUEST, (b":scheme", b"x")], "pseudo-header field after a regular one"),
        ([(b":path", b"/"), *REQUEST], "pseudo-header field unknown or repeated"),
        ([(b":new", b"/"), *REQUEST], "pseudo-header field unknown or repeated"),
        (without(b":path"), "pseudo-header fields of neither a request nor a response"),
        (without(b":method"), "pseudo-header fields of neither a request nor a response"),
        (without(b":scheme"), "pseudo-header fields of neither a request nor a response"),
        (
            [(b":status", b"200"), *REQUEST],
            "pseudo-header fields of neither a request nor a response",
        ),
        ([(b":path", b""), *without(b":path")], ":path is empty"),
        ([(b":status", b"20")], ":status is not three digits"),
        ([(b":status", b"2x0")], ":status is not three digits"),
        ([*REQUEST, (b"content-length", b"-1")], "content-length is not a number"),
        (
            [*REQUEST, (b"content-length", b"1"), (b"content-length", b"1")],
            "content-length is not a number",
        ),
    ],
)
def test_malformed(pairs, problem):
    fields = Fields(pairs)
    assert fields.section is Section.MALFORMED
    assert fields.problem == problem
