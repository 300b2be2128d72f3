from __future__ import annotations

import pytest

from tests.hosts.load import parse_wrk

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
