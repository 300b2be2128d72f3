from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.hosts import tools
from tests.hosts.load import Kind, Loadgen, parse_wrk

PRINTED = """Running 3s test @ http://127.0.0.1:8200/v1/auth/jwt/login
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.30ms   10.01ms  90.12ms   80.00%
    Req/Sec     1.29k   120.00     1.50k    70.00%
  Latency Distribution
     50%  950.00us
     75%   15.00ms
     90%   30.00ms
     99%    1.20s
  4000 requests in 3.10s, 2.50MB read
"""


def test_wrk_without_failures():
    sample = parse_wrk(PRINTED)
    assert (sample.answered, sample.failed) == (4000, 0)
    assert sample.per_second == pytest.approx(4000 / 3.1)
    assert [sample.p50_ms, sample.p99_ms] == pytest.approx([0.95, 1200])


def test_wrk_counts_refusals_and_lost_connections():
    refused = "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
    refused += "  Non-2xx or 3xx responses: 500\n"
    sample = parse_wrk(PRINTED + refused)
    assert (sample.answered, sample.failed) == (3500, 510)
    assert sample.per_second == pytest.approx(3500 / 3.1)


def test_anything_else_is_refused():
    with pytest.raises(ValueError, match="not the output of wrk"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.fixture
def answering():
    """A server that does as the path says, and the requests that it got, counted."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # Else head and body go apart, and the second waits for a late ACK.

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with lock:
                seen[self.command, self.path, self.headers.get("X-Vault-Token", ""), body] += 1
            if self.path == "/hang-up":
                self.close_connection = True
                return
            status = int(self.path.removeprefix("/"))
            text = b"" if status == 204 else json.dumps({"errors": [body]}).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_PUT(self):
            self.do_POST()

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mixed_load(answering):
    address, seen = answering
    kinds = [
        Kind(name="good", weight=6, path="/200", bodies=["a", "b"]),
        Kind(name="written", weight=1, path="/204", bodies=["c"], token="t", expected=(200, 204)),
        Kind(name="put", weight=1, path="/200", bodies=[""], method="PUT"),
        Kind(name="bad", weight=1, path="/500", bodies=["d"], expected=(400,)),
        Kind(name="lost", weight=1, path="/hang-up", bodies=["e"]),
    ]
    try:
        load = Loadgen(address, kinds, connections=3, seconds=0.5)
    except tools.ToolUnavailableError as error:
        pytest.skip(str(error))
    with load:
        took_s, outcomes = load.outcomes(30)
    assert took_s >= 0.5
    assert list(outcomes) == sorted(each.name for each in kinds)
    good, written, put = outcomes["good"], outcomes["written"], outcomes["put"]
    # Whole decks, but for the last one, whatever order is dealt.
    assert good.answered == pytest.approx(6 * written.answered, abs=6)
    assert put.answered == pytest.approx(written.answered, abs=1)
    assert 0 < good.p50_ms <= good.p99_ms <= good.max_ms
    assert (good.failed, written.failed, put.failed) == (0, 0, 0)
    bad, lost = outcomes["bad"], outcomes["lost"]
    assert (bad.answered, lost.answered) == (0, 0)
    assert bad.failures == ['500 {"errors": ["d"]}'] * min(5, bad.failed)
    assert "EOF" in lost.failures[0]
    assert seen["POST", "/200", "", "a"] == pytest.approx(seen["POST", "/200", "", "b"], abs=1)
    assert seen["POST", "/204", "t", "c"] == written.answered
    assert seen["PUT", "/200", "", ""] == put.answered
    assert seen["POST", "/500", "", "d"] == bad.failed > 0
    assert seen["POST", "/hang-up", "", "e"] == lost.failed > 0


def test_a_load_that_is_broken_off_ends(answering):
    address, _ = answering
    kind = Kind(name="good", weight=1, path="/200", bodies=["a"])
    try:
        load = Loadgen(address, [kind], connections=1, seconds=3600)
    except tools.ToolUnavailableError as error:
        pytest.skip(str(error))
    with load:
        pass
    assert load._process is not None
    assert load._process.returncode == -9
