"""Fetching from issuers that are down, slow, huge, wrong or hostile, over loopback sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
import zlib

import pytest

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.loopback import Server, answering, fetched, response
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import (
    DEADLINE_S,
    DISCOVERY_MAX_BYTES,
    KEY_SET_MAX_BYTES,
    HTTPFetcher,
    max_age_s,
)
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

CA = Authority()
STRANGER = Authority("another CA")
CERTIFICATE = CA.issue("127.0.0.1", "localhost")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def get(url, *, ca_pem=CA.pem, deadline_s=5.0, max_bytes=KEY_SET_MAX_BYTES):
    return fetched(url, ca_pem=ca_pem, deadline_s=deadline_s, max_bytes=max_bytes)


def failure(url, **kwargs) -> FetchError:
    with pytest.raises(FetchError) as caught:
        get(url, **kwargs)
    return caught.value


def text(server: Server, problem: str, path: str = "/keys", host: str = "127.0.0.1") -> str:
    return f'can\'t use "{server.url(path, host=host)}": {problem}'


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["http", "https"])
def test_a_document(certificate):
    headers = {"Cache-Control": "public, max-age=120"}
    with Server(answering({"keys": [1.5]}, headers=headers), certificate=certificate) as server:
        document = get(server.url("/keys?tenant=a"))
        again = get(server.url())
    assert json.dumps(document.json, default=str) == '{"keys": ["1.5"]}'
    assert document.max_age_s == 120
    assert document.digest == again.digest
    assert server.targets == ["/keys?tenant=a", "/keys"]


def test_what_is_sent():
    with Server(answering({})) as server:
        get(server.url())
    assert sorted(server.requests[0].split("\r\n")[1:-2]) == [
        "Accept-Encoding: gzip",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: vault-jwt-plugin",
    ]


def test_netrc_is_not_read(tmp_path, monkeypatch):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(answering({})) as server:
        get(server.url())
    assert "uthorization" not in server.requests[0]


def test_credentials_of_a_url_are_sent_and_never_shown():
    with Server(answering(b"", status="500 No")) as server:
        url = server.url("/keys?token=s3cret#x").replace("://", "://me:s3cret@")
        error = failure(url)
    assert "Authorization: Basic bWU6czNjcmV0" in server.requests[0]
    assert error.message == text(server, "it answered with HTTP status 500, 200 is needed")
    assert error.url == f'"{server.url()}"'


def test_credentials_do_not_follow_a_redirect():
    with Server(answering({})) as target:
        headers = {"Location": target.url("/there")}
        with Server(answering(b"", status="302 Found", headers=headers)) as server:
            get(server.url().replace("://", "://me:s3cret@"))
    assert "uthorization" not in target.requests[0]


@pytest.mark.parametrize("status", [204, 400, 401, 404, 500, 503])
def test_other_statuses(status):
    with Server(answering(b"{}", status=f"{status} X")) as server:
        error = failure(server.url())
    assert error.code == "http_status"
    assert error.message == text(server, f"it answered with HTTP status {status}, 200 is needed")


def test_down():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(f"https://127.0.0.1:{port}/keys")
    assert error.code == "unreachable"
    assert error.message == (
        f"can't use \"https://127.0.0.1:{port}/keys\": it can't be reached (connection refused); "
        "check address and port"
    )


def test_no_such_name():
    error = failure("https://no-such-name.invalid/keys")
    assert error.code == "dns"
    assert error.message == (
        "can't use \"https://no-such-name.invalid/keys\": its host name can't be resolved; check "
        "the name and the resolver"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys",
        "/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "https:///keys",
        "https://a b/",
        "https://a/\n",
        "https://a\0/",
        "https://[::1/",
        "https://a:99999/",
        "https://a:0/",
        "https://a:x/",
        "http://" + "a" * 3000,
    ],
    ids=ascii,
)
def test_urls_refused(url):
    error = failure(url)
    assert error.code == "bad_url"
    assert error.message.endswith(": it is not an http or https URL with a host")


def drip(piece: bytes, start: bytes = b""):
    def script(connection, _target):
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.02)

    return script


def silent(connection, _target):
    # Until the client hangs up.
    connection.recv(1)


@pytest.mark.parametrize(
    "script",
    [
        silent,
        drip(b"H", b"HTTP/1.1 200 OK\r\n"),
        drip(b"X-A: b\r\n", b"HTTP/1.1 200 OK\r\n"),
        drip(b" ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        drip(b"1\r\n \r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        drip(b"\0", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"")),
    ],
    ids=["silent", "header", "headers", "body", "chunks", "gzip"],
)
@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["http", "https"])
def test_slow(script, certificate):
    with Server(script, certificate=certificate) as server:
        started_at = time.perf_counter()
        error = failure(server.url(), deadline_s=0.4)
        took = time.perf_counter() - started_at
    assert error.code == "timeout"
    assert error.message == text(server, "it did not answer completely within 0.4 s")
    assert took < 5.0


def test_a_tls_handshake_that_never_ends():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started_at = time.perf_counter()
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}/", deadline_s=0.4)
        assert time.perf_counter() - started_at < 5.0
    assert error.code == "timeout"


def test_late_threads_end_with_their_fetch():
    """The connection is cut from outside: the thread is free again at once."""

    async def run():
        fetcher = HTTPFetcher(max_threads=1)
        try:
            with (
                Server(drip(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n")) as slow,
                Server(answering({})) as quick,
            ):
                with pytest.raises(FetchError):
                    await fetcher.get_json(slow.url(), trust=Trust(), deadline_s=0.3, max_bytes=99)
                await fetcher.get_json(quick.url(), trust=Trust(), deadline_s=2, max_bytes=99)
        finally:
            fetcher.close()

    asyncio.run(run())


def test_late_threads_end_through_a_proxy_too(monkeypatch):
    async def run():
        fetcher = HTTPFetcher(max_threads=1)
        try:
            with (
                Server(drip(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n")) as proxy,
                Server(answering({})) as quick,
            ):
                monkeypatch.setenv("http_proxy", proxy.url(""))
                with pytest.raises(FetchError):
                    await fetcher.get_json(
                        "http://issuer.invalid/", trust=Trust(), deadline_s=0.3, max_bytes=99
                    )
                await fetcher.get_json(quick.url(), trust=Trust(), deadline_s=2, max_bytes=99)
        finally:
            fetcher.close()

    asyncio.run(run())


def test_a_cancelled_fetch_is_cut_off():
    async def run():
        fetcher = HTTPFetcher(max_threads=1)
        try:
            with Server(silent) as slow, Server(answering({})) as quick:
                task = asyncio.create_task(
                    fetcher.get_json(slow.url(), trust=Trust(), deadline_s=60, max_bytes=99)
                )
                assert await asyncio.to_thread(slow.asked.wait, 5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await fetcher.get_json(quick.url(), trust=Trust(), deadline_s=2, max_bytes=99)
        finally:
            fetcher.close()

    asyncio.run(run())


def test_a_server_whose_name_hangs_leaves_threads_for_the_others(monkeypatch):
    """Nothing interrupts the resolver: its threads are lost until it answers."""
    resolver = threading.Event()
    asked = threading.Semaphore(0)
    resolve = socket.getaddrinfo

    def stuck(host, *args, **kwargs):
        if host == "stuck.invalid":
            asked.release()
            resolver.wait()
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    async def fetch(fetcher, url, deadline_s):
        # Not the system's roots: reading them takes longer than the deadlines here.
        trust = Trust(ca_pem=CA.pem)
        await fetcher.get_json(url, trust=trust, deadline_s=deadline_s, max_bytes=99)

    async def run():
        fetcher = HTTPFetcher(max_threads=3, max_per_server=2)
        try:
            with Server(answering({})) as quick:
                late = [fetch(fetcher, "http://stuck.invalid/keys", 0.5) for _ in range(5)]
                for error in await asyncio.gather(*late, return_exceptions=True):
                    assert isinstance(error, FetchError)
                    assert error.code == "timeout"
                assert asked.acquire(timeout=5)
                assert asked.acquire(timeout=5)
                assert not asked.acquire(blocking=False)
                await fetch(fetcher, quick.url(), 5)
                resolver.set()
                with pytest.raises(FetchError) as failed:
                    await fetch(fetcher, "http://stuck.invalid/keys", 5)
                assert failed.value.code == "dns"
        finally:
            resolver.set()
            fetcher.close()

    asyncio.run(run())


def test_closing_cuts_off_what_is_under_way():
    async def run():
        fetcher = HTTPFetcher()
        with Server(silent) as slow:
            task = asyncio.create_task(
                fetcher.get_json(slow.url(), trust=Trust(), deadline_s=60, max_bytes=99)
            )
            assert await asyncio.to_thread(slow.asked.wait, 5)
            fetcher.close()
            with pytest.raises(FetchError):
                await task

    asyncio.run(run())


def unending(piece: bytes, start: bytes):
    def script(connection, _target):
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return script


BOMB = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB_BYTES = BOMB.compress(b"\0" * 50_000_000) + BOMB.flush()


@pytest.mark.parametrize(
    "script",
    [
        answering(b" " * (100 * 1024 + 1)),
        unending(b" " * 65536, b"HTTP/1.1 200 OK\r\n\r\n"),
        unending(
            b"10000\r\n" + b" " * 65536 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        answering(BOMB_BYTES, headers={"Content-Encoding": "gzip"}),
        answering(gzip.compress(b" " * 200_000), headers={"Content-Encoding": "x-GZip"}),
    ],
    ids=["one more than allowed", "unending", "unending chunks", "gzip bomb", "gzip"],
)
def test_huge(script):
    with Server(script) as server:
        error = failure(server.url(), max_bytes=100 * 1024)
    assert error.code == "too_large"
    assert error.message == text(server, "its answer is larger than 100 KiB")


def test_as_much_as_allowed():
    body = b'"' + b"x" * 1000 + b'"'
    with Server(answering(body)) as server:
        assert len(get(server.url(), max_bytes=1002).json) == 1000
        headers = {"Content-Encoding": "gzip"}
        server.script = answering(gzip.compress(body), headers=headers)
        assert len(get(server.url(), max_bytes=1002).json) == 1000


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            answering(b"\n<html>"),
            "its answer is not JSON: it begins with '<' like HTML; is it a login or error page?",
        ),
        (answering(b"{"), "its answer is not JSON: it can't be parsed"),
        (answering(b""), "its answer is not JSON: it is empty"),
        (answering(b"\r\n"), "its answer is not JSON: it is empty"),
        (answering(b"\xff"), "its answer is not JSON: it is not UTF-8"),
        (answering(b"[" * 9999), "its answer is not JSON: it is nested deeper than 64 levels"),
        (answering(b'{"a":1,"a":2}'), 'its answer is not JSON: it holds the member "a" twice'),
        (
            answering(b"{}", headers={"Content-Encoding": "br"}),
            "its answer is compressed in a way not asked for",
        ),
    ],
    ids=["html", "cut", "empty", "blank", "not utf-8", "deep", "duplicate", "brotli"],
)
def test_not_json(script, problem):
    with Server(script) as server:
        error = failure(server.url())
    assert (error.code, error.message) == ("not_json", text(server, problem))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
    ids=["hang-up", "no http", "cut", "bad chunk", "bad gzip", "many headers", "long header"],
)
def test_broken_answers(raw):
    def script(connection, _target):
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    with Server(script) as server:
        error = failure(server.url())
    assert error.code == "unreachable"
    assert "it can't be reached" in error.message


def redirecting(to, status="302 Found"):
    return answering(b"", status=status, headers={"Location": to})


def hopping(hops, status="302 X"):
    """Redirect from /0 that many times, then answer."""

    def script(connection, target):
        number = int(target[1:])
        if number == hops:
            connection.sendall(response(b"{}"))
        else:
            redirecting(f"/{number + 1}", status)(connection, target)

    return script


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
def test_five_redirects_are_followed(status):
    with Server(hopping(5, status), certificate=CERTIFICATE) as server:
        assert get(server.url("/0")).json == {}
        assert len(server.targets) == 6


def test_a_sixth_is_not():
    with Server(hopping(6)) as server:
        assert failure(server.url("/0")).code == "redirect_refused"
        assert len(server.targets) == 6


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("/keys", "it redirects more than 5 times; give the final URL"),
        ("", "it redirects more than 5 times; give the final URL"),
        ("ftp://127.0.0.1/", "it redirects to something that is not an http or https URL"),
        ("file:///etc/passwd", "it redirects to something that is not an http or https URL"),
        ("javascript:alert(1)", "it redirects to something that is not an http or https URL"),
        ("http://a:0/", "it redirects to something that is not an http or https URL"),
        ("http://[", "it redirects to something that is not an http or https URL"),
        ("http://127.0.0.1/x?s3cret", 'it redirects from https to http ("http://127.0.0.1/x")'),
    ],
    ids=["loop", "itself", "ftp", "file", "javascript", "no port", "broken", "to http"],
)
def test_redirects_refused(to, problem):
    with Server(redirecting(to), certificate=CERTIFICATE) as server:
        error = failure(server.url())
    assert (error.code, error.message) == ("redirect_refused", text(server, problem))


def test_the_body_of_a_redirect_is_not_read():
    def script(connection, target):
        if target == "/keys":
            unending(b" " * 65536, b"HTTP/1.1 302 X\r\nLocation: /end\r\n\r\n")(connection, target)
        connection.sendall(response(b"{}"))

    with Server(script) as server:
        started_at = time.perf_counter()
        assert get(server.url(), max_bytes=10).json == {}
        assert time.perf_counter() - started_at < 5.0


UNTRUSTED = (
    "its certificate is not trusted ({}); give the certificate of the CA that issued it "
    "(jwks_ca_pem, oidc_discovery_ca_pem)"
)
OUT_OF_DATE = (
    "its certificate is not trusted ({}); it or one of its CAs has to be renewed, or this "
    "machine's clock is wrong"
)


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [
        (
            STRANGER.issue("127.0.0.1"),
            UNTRUSTED.format("unable to get local issuer certificate"),
        ),
        (
            CA.issue("127.0.0.1", expired=True),
            OUT_OF_DATE.format("certificate has expired"),
        ),
    ],
    ids=["another CA", "expired"],
)
def test_untrusted(certificate, problem):
    with Server(answering({}), certificate=certificate) as server:
        error = failure(server.url())
    assert (error.code, error.message) == ("tls_untrusted", text(server, problem))


def test_a_ca_given_is_the_only_one_trusted(monkeypatch, tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_text(CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    with Server(answering({}), certificate=CERTIFICATE) as server:
        assert get(server.url(), ca_pem="").json == {}
        assert failure(server.url(), ca_pem=STRANGER.pem).code == "tls_untrusted"


def test_the_roots_that_requests_brings_are_not_trusted(monkeypatch, tmp_path):
    (tmp_path / "bundle.pem").write_text(STRANGER.pem)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    with Server(answering({}), certificate=STRANGER.issue("127.0.0.1")) as server:
        assert failure(server.url()).code == "tls_untrusted"


def test_several_cas():
    with Server(answering({}), certificate=CERTIFICATE) as server:
        assert get(server.url(), ca_pem=STRANGER.pem + CA.pem).json == {}


@pytest.mark.parametrize(
    ("certificate", "named"),
    [(CA.issue("example.com"), "127.0.0.1"), (CA.issue("127.0.0.1"), "localhost")],
    ids=["address", "name"],
)
def test_a_certificate_for_another_name(certificate, named):
    with Server(answering({}), certificate=certificate) as server:
        error = failure(server.url(host=named))
    assert (error.code, error.message) == (
        "tls_name",
        text(
            server,
            "its certificate is for another name; check the URL's host, or give the certificate's "
            "name as override_allowed_server_names",
            host=named,
        ),
    )


def test_no_tls_there():
    with Server(answering({})) as server:
        url = server.url().replace("http:", "https:")
        error = failure(url)
    assert error.code == "tls_failed"
    assert error.message == (
        f'can\'t use "{url}": no TLS connection could be made; check that it serves https there'
    )


@pytest.mark.parametrize(
    "ca_pem",
    ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é", " "],
    ids=["text", "no certificate", "not ascii", "blank"],
)
def test_a_bad_ca_pem(ca_pem):
    error = failure("https://127.0.0.1:1/keys", ca_pem=ca_pem)
    assert (error.code, error.message) == (
        "bad_ca_pem",
        (
            "can't use \"https://127.0.0.1:1/keys\": the CA PEM configured for it can't be "
            "read; give one or more certificates in PEM format"
        ),
    )


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with Server(answering({"via": "proxy"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert get("http://issuer.invalid/keys").json == {"via": "proxy"}
        assert proxy.targets == ["http://issuer.invalid/keys"]
        monkeypatch.setenv("no_proxy", "issuer.invalid")
        assert failure("http://issuer.invalid/keys").code == "dns"


@pytest.mark.parametrize("named", ["127.0.0.1", "localhost"])
def test_no_proxy_is_asked_for_this_host(monkeypatch, named):
    """As in Go, whatever the environment says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Server(answering({"via": "nothing"})) as server:
        assert get(server.url(host=named)).json == {"via": "nothing"}


def test_a_proxy_that_is_down(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    error = failure("https://issuer.invalid/keys")
    assert (error.code, error.message) == (
        "unreachable",
        (
            "can't use \"https://issuer.invalid/keys\": it can't be reached through the "
            "proxy of the environment (connection refused); check address and port"
        ),
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=60", 60),
        ("public, Max-Age = 7", 7),
        ('max-age="9"', 9),
        ("s-maxage=5", None),
        ("max-age=x", None),
        ("max-age=-1", None),
        ("max-age=5, no-store", 0),
        ("no-cache", 0),
        ("max-age=99999999999999999999", None),
    ],
)
def test_cache_control(header, seconds):
    assert max_age_s(header) == seconds


def test_limits():
    assert (DEADLINE_S, KEY_SET_MAX_BYTES, DISCOVERY_MAX_BYTES) == (9.5, 1048576, 262144)
