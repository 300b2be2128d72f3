"""Issuers' servers that lie, stall, flood or send elsewhere: each fetch fails by its own code, in
bounded time and memory."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.loopback import Server, answering, fetched, response
from tests.jwt_auth.tokens import key_for, public_jwk
from vault_jwt_plugin.jwt_auth.errors import FetchError

if TYPE_CHECKING:
    import socket

    from tests.jwt_auth.loopback import Script

DEADLINE_S = 1.0
"""The deadline of a fetch in these tests; a mount's is DEADLINE_S of `fetch`."""

MAX_BYTES = 256 * 1024
MOST_BYTES = 16 * 1024 * 1024

CA = Authority()
CERTIFICATE = CA.issue("127.0.0.1")
KEY_SET = json.dumps({"keys": [public_jwk(key_for("ES256"), kid="a")]}).encode()
SECRET = "sEcReT-of-the-url"

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def fetch(url: str, *, ca_pem: str = CA.pem) -> Any:
    """Fetch as a key source does."""
    return fetched(url, ca_pem=ca_pem, deadline_s=DEADLINE_S, max_bytes=MAX_BYTES)


def check_fails(script: Script, code: str, *, tls: bool = False, path: str = "/keys") -> FetchError:
    """Check that the fetch fails with this code, in time, with little memory, naming no secret."""
    with Server(script, certificate=CERTIFICATE if tls else None) as server:
        tracemalloc.start()
        started_at = time.monotonic()
        try:
            with pytest.raises(FetchError) as failed:
                fetch(server.url(path))
            took_s = time.monotonic() - started_at
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert failed.value.code == code, failed.value.message
    assert took_s < DEADLINE_S + 2
    assert peak < MOST_BYTES
    assert SECRET not in failed.value.message
    return failed.value


def raw(*pieces: bytes) -> Script:
    """Send exactly this and close the connection."""

    def script(connection: socket.socket, _target: str) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return script


def dripping(start: bytes, piece: bytes = b" ", pause_s: float = 0.05) -> Script:
    """Send `start`, then a piece at intervals, for ever."""

    def script(connection: socket.socket, _target: str) -> None:
        connection.sendall(start)
        while True:
            time.sleep(pause_s)
            connection.sendall(piece)

    return script


def flooding(start: bytes, piece: bytes) -> Script:
    """Send `start`, then pieces as fast as they are read, for ever."""

    def script(connection: socket.socket, _target: str) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return script


def stalling(start: bytes = b"") -> Script:
    """Send `start`, then nothing, and keep the connection open."""

    def script(connection: socket.socket, _target: str) -> None:
        connection.sendall(start)
        connection.settimeout(30)
        with suppress(OSError):
            connection.recv(1)

    return script


def bomb(*, layers: int = 1, megabytes: int = 100) -> bytes:
    """Return compressed zeros; compressed twice they are a kilobyte."""
    body = zlib.compress(bytes(megabytes << 20), 9, wbits=31)
    for _ in range(layers - 1):
        body = gzip.compress(body)
    return body


GZIP = {"Content-Encoding": "gzip"}

SERVERS: dict[str, tuple[Script, str]] = {
    # Slow
    "says nothing": (stalling(), "timeout"),
    "status line, byte by byte": (dripping(b"HTTP/1.1 200 O", b"K"), "timeout"),
    "headers for ever, slowly": (dripping(_OK, b"X: y\r\n", 0.2), "timeout"),
    "body, byte by byte": (dripping(_OK + b"\r\n", b" "), "timeout"),
    "body stalls": (stalling(_OK + b"Content-Length: 100\r\n\r\n{"), "timeout"),
    "chunks, byte by byte": (
        dripping(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        "timeout",
    ),
    "chunk size stalls": (stalling(_OK + b"Transfer-Encoding: chunked\r\n\r\nFF"), "timeout"),
    "compressed, byte by byte": (
        dripping(_OK + b"Content-Encoding: gzip\r\n\r\n" + bomb()[:20], b"\0"),
        "timeout",
    ),
    "provisional answers, slowly": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    "early hints for ever": (dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), "http_status"),
    # Large
    "body for ever": (flooding(_OK + b"\r\n", b" " * 65536), "too_large"),
    "chunks for ever": (
        flooding(
            _OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
        ),
        "too_large",
    ),
    "tiny chunks for ever": (
        flooding(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 4096),
        "timeout",
    ),
    "says 10 GB": (
        flooding(_OK + b"Content-Length: 10737418240\r\n\r\n", b" " * 65536),
        "too_large",
    ),
    "one byte too many": (answering(b" " * (MAX_BYTES + 1)), "too_large"),
    "gzip bomb": (answering(bomb(), headers=GZIP), "too_large"),
    "gzip bomb, chunked": (
        raw(
            _OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(bomb()), bomb()),
        ),
        "too_large",
    ),
    "gzip in gzip": (answering(bomb(layers=2), headers=GZIP), "not_json"),
    "gzip twice, as said": (
        answering(bomb(layers=2), headers={"Content-Encoding": "gzip, gzip"}),
        "not_json",
    ),
    "deflate, not asked for": (
        answering(zlib.compress(KEY_SET), headers={"Content-Encoding": "deflate"}),
        "not_json",
    ),
    "zstd, not asked for": (answering(KEY_SET, headers={"Content-Encoding": "zstd"}), "not_json"),
    "headers for ever": (flooding(_OK, b"X-Header: yyyyyyyyyyyyyyy\r\n" * 1000), "unreachable"),
    "one header for ever": (flooding(_OK + b"X: ", b"y" * 65536), "unreachable"),
    "status line for ever": (flooding(b"HTTP/1.1 200 ", b"O" * 65536), "unreachable"),
    # Broken
    "hangs up": (raw(), "unreachable"),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "unreachable"),
    "HTTP/0.9": (raw(KEY_SET), "unreachable"),
    "status of letters": (raw(b"HTTP/1.1 OK\r\n\r\n", KEY_SET), "unreachable"),
    "body cut": (raw(_OK + b"Content-Length: 9999\r\n\r\n" + KEY_SET), "unreachable"),
    "chunk cut": (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n{"), "unreachable"),
    "chunk size no number": (
        raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        "unreachable",
    ),
    "gzip that is none": (answering(KEY_SET, headers=GZIP), "unreachable"),
    "status 204": (answering(b"", status="204 No Content"), "http_status"),
    "status 206": (answering(KEY_SET, status="206 Partial Content"), "http_status"),
    "status 300": (answering(KEY_SET, status="300 Multiple Choices"), "http_status"),
    "status 401": (answering(KEY_SET, status="401 Unauthorized"), "http_status"),
    "status 404 with keys": (answering(KEY_SET, status="404 Not Found"), "http_status"),
    "status 500 with keys": (answering(KEY_SET, status="500 Oops"), "http_status"),
    "status 999": (answering(KEY_SET, status="999 Odd"), "http_status"),
    # Not the expected document
    "nothing": (answering(b""), "not_json"),
    "HTML": (answering(b"<html>sign in</html>"), "not_json"),
    "JSON with a byte order mark": (answering(b"\xef\xbb\xbf" + KEY_SET), "not_json"),
    "UTF-16": (answering(KEY_SET.decode().encode("utf-16")), "not_json"),
    "Latin-1": (answering(b'{"keys":["\xe9"]}'), "not_json"),
    "NUL behind": (answering(KEY_SET + b"\0"), "not_json"),
    "two documents": (answering(KEY_SET * 2), "not_json"),
    "keys twice": (answering(KEY_SET[:-1] + b',"keys":[]}'), "not_json"),
    "kid twice": (answering(b'{"keys":[{"kid":"a","kid":"b"}]}'), "not_json"),
    "100,000 levels": (answering(b"[" * 100_000 + b"]" * 100_000), "not_json"),
    "NaN": (answering(b'{"keys":[NaN]}'), "not_json"),
    "1e9999": (answering(b'{"keys":[1e9999]}'), "not_json"),
    "200,000 digits": (answering(b'{"keys":[' + b"1" * 200_000 + b"]}"), "not_json"),
    "half a surrogate pair": (answering(b'{"keys":["\\ud800"]}'), "not_json"),
}


@pytest.mark.parametrize(("script", "code"), SERVERS.values(), ids=SERVERS.keys())
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_hostile_server(script: Script, code: str, tls: bool):
    error = check_fails(script, code, tls=tls)
    assert error.url.startswith('"https://' if tls else '"http://')


def sending_to(target: str, *, status: str = "302 Found") -> Script:
    return answering(b"", status=status, headers={"Location": target})


ELSEWHERE = {
    "file": "file:///etc/passwd",
    "file with a host": "file://localhost/etc/passwd",
    "ftp": "ftp://127.0.0.1/keys",
    "gopher": "gopher://127.0.0.1:70/_GET",
    "data": "data:application/json,{}",
    "javascript": "javascript:alert(1)",
    "ldap": "ldap://127.0.0.1/",
    "unix socket": "http+unix://%2Frun%2Fdocker.sock/info",
    "unix": "unix:///run/docker.sock",
    "jar": "jar:http://127.0.0.1/x!/y",
    "ws": "ws://127.0.0.1/",
    "upper case file": "FILE:///etc/passwd",
    "nothing": "",
    "no host": "http:///keys",
    "port too large": "http://127.0.0.1:99999/",
    "port of letters": "http://127.0.0.1:http/",
    "brackets": "http://[::1/",
    "user and password": f"http://me:{SECRET}@127.0.0.1:1/",
}


@pytest.mark.parametrize("target", ELSEWHERE.values(), ids=ELSEWHERE.keys())
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_redirect_to_elsewhere(target: str, tls: bool):
    code = "redirect_refused"
    if target == "" or (SECRET in target and not tls):
        # It redirects to itself again and again, or to where nobody listens, whose name is not
        # shown.
        code = "redirect_refused" if target == "" else "unreachable"
    check_fails(sending_to(target), code, tls=tls)


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_from_https_to_http(status: str):
    with Server(answering(KEY_SET)) as plain:
        check_fails(sending_to(plain.url(), status=status), "redirect_refused", tls=True)
        assert plain.targets == []


def test_a_redirect_loop():
    check_fails(lambda c, target: sending_to(target + "x")(c, target), "redirect_refused")


def test_a_redirect_after_the_deadline_is_not_followed():
    def script(connection: socket.socket, target: str) -> None:
        time.sleep(0.5)
        sending_to(target + "x")(connection, target)

    check_fails(script, "timeout")


def test_a_redirect_whose_body_never_ends():
    with Server(answering(KEY_SET)) as good:
        start = f"HTTP/1.1 302 Found\r\nLocation: {good.url()}\r\n\r\n".encode()
        with Server(flooding(start, b" " * 65536)) as server:
            assert fetch(server.url()).json["keys"]


def test_a_split_header_is_no_second_answer():
    smuggled = response(KEY_SET)
    script = raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + smuggled)
    check_fails(script, "http_status")


def test_credentials_and_query_of_a_url_are_not_told():
    with Server(answering(b"", status="500 Oops")) as server:
        url = server.url(f"/keys?api_key={SECRET}").replace("http://", f"http://me:{SECRET}@")
        with pytest.raises(FetchError) as failed:
            fetch(url)
    assert SECRET not in failed.value.message
    assert SECRET not in failed.value.url
    assert SECRET not in repr(failed.value)


def test_the_good_server():
    with Server(answering(KEY_SET), certificate=CERTIFICATE) as server:
        assert fetch(server.url()).json == json.loads(KEY_SET)
