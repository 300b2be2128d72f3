"""How long and how large: ours beside the builtin method on the same server, at the same time.

The limits are ratios and growths, so that they hold on any machine. `-s` prints the figures.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts import plugin as plugins
from tests.hosts.plugin import enable
from tests.hosts.server import DevServer
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.discover import Host
    from tests.hosts.plugin import Mount, Plugin

pytestmark = [pytest.mark.serial, pytest.mark.slow, pytest.mark.timeout(600)]

AUDIENCE = "https://vault.example"
ROLES = 1_000
ROLES_FULL = 10_000
"""With --full-faults."""

LOGIN_RATIO = 3.0
"""Ours to the builtin method's, for a login with a large role and a large token."""

LIST_RATIO = 2.0
"""Likewise for a list of all roles."""

GROWTH_KB = 8 * 1024
GROWTH_FULL_KB = 40 * 1024
"""Of our process, for roles that were all used."""


@pytest.fixture
def own(host: Host, plugin: Plugin) -> Iterator[DevServer]:
    """A server of the test's own, that logs little and stores as in production."""
    if plugin.kind == "builtin":
        pytest.skip("nothing to compare with")
    with DevServer(host, storage="raft", log_level="warn") as server:
        plugins.register(server, plugin)
        yield server


@contextmanager
def connection(server: DevServer) -> Iterator[Callable[..., tuple[int, bytes]]]:
    """A function that makes requests as root over one connection, as fast as they go."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def request(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"X-Vault-Token": server.root_token, "Content-Type": "application/json"}
        link.request(method, f"/v1/{path}", body=body, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read()

    try:
        yield request
    finally:
        link.close()


def both(server: DevServer, plugin: Plugin) -> tuple[Mount, Mount]:
    """The builtin method's mount and ours, with one key."""
    builtin = enable(server, "builtin", version=plugins.builtin_version(server))
    ours = enable(server, "ours", version=plugin.version)
    for mount in (builtin, ours):
        config = {"jwt_validation_pubkeys": public_pem("rsa")}
        mount.client.must("POST", f"auth/{mount.path}/config", config)
    return builtin, ours


def medians_ms(attempts: tuple[Callable[[], Any], Callable[[], Any]], rounds: int) -> list[float]:
    """The median time of each, in ms: in turns, so that what else the machine does hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for attempt, taken in zip(attempts, times, strict=True):
            began = time.perf_counter()
            attempt()
            taken.append((time.perf_counter() - began) * 1000)
    return [statistics.median(taken) for taken in times]


def calmest_ms(attempts: tuple[Callable[[], Any], Callable[[], Any]], rounds: int) -> list[float]:
    """The medians with the smallest ratio of three tries: other work on the machine only adds."""
    tries = [medians_ms(attempts, rounds) for _ in range(3)]
    return min(tries, key=lambda pair: pair[1] / pair[0])


def test_a_large_role_and_a_large_token(own: DevServer, plugin: Plugin, host: Host):
    builtin, ours = both(own, plugin)
    now = int(time.time())
    claims: dict[str, Any] = {"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 3600}
    for number in range(200):
        claims[f"claim{number}"] = [f"value {number}", f"other {number}"]
    claims["bulk"] = {f"member{number}": "x" * 80 for number in range(410)}
    jwt = make_jwt(claims)
    assert 58_000 < len(jwt) < 66_000
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": AUDIENCE,
        "bound_claims": {f"claim{number}": [f"value {number}", "x"] for number in range(200)},
        "token_type": "batch",
    }
    body = json.dumps({"role": "large", "jwt": jwt}).encode()
    for mount in (builtin, ours):
        mount.client.must("POST", f"auth/{mount.path}/role/large", role)
    with connection(own) as request:

        def login(mount: Mount) -> None:
            status, raw = request("POST", f"auth/{mount.path}/login", body)
            assert status == 200, raw

        attempts = (lambda: login(builtin), lambda: login(ours))
        medians_ms(attempts, 20)
        theirs_ms, ours_ms = calmest_ms(attempts, 60)
    print(
        f"\n{host.name}, {plugin.kind}: login with 200 bound claims, {len(jwt) // 1000} KB: "
        f"builtin {theirs_ms:.2f} ms, ours {ours_ms:.2f} ms ({ours_ms / theirs_ms:.2f}x)"
    )
    assert ours_ms < theirs_ms * LOGIN_RATIO


def resident_kb(server: DevServer) -> int:
    """What our process holds in memory; of the one-file program's three it is the largest."""
    sizes = []
    for pid in server.plugin_processes():
        status = (Path("/proc") / str(pid) / "status").read_text()
        sizes += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    return max(sizes)


def test_many_roles(own: DevServer, plugin: Plugin, host: Host, pytestconfig: pytest.Config):
    full = pytestconfig.getoption("--full-faults")
    count, growth_kb = (ROLES_FULL, GROWTH_FULL_KB) if full else (ROLES, GROWTH_KB)
    builtin, ours = both(own, plugin)
    names = [f"team-{number:05}-deploy" for number in range(count)]
    role = json.dumps(
        {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": AUDIENCE,
            "bound_claims": {"project_path": "group/project", "ref_protected": "true"},
            "claim_mappings": {"user_login": "user"},
            "token_policies": ["deploy", "read"],
            "token_ttl": 600,
        }
    ).encode()

    def each(make: Callable[[Any, str], None], these: list[str]) -> None:
        """Two connections, as many as the machine has processors to spare."""

        def some(part: list[str]) -> None:
            with connection(own) as request:
                for name in part:
                    make(request, name)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(some, [these[::2], these[1::2]]))

    def write(mount: Mount) -> Callable[[Any, str], None]:
        def make(request: Any, name: str) -> None:
            status, raw = request("POST", f"auth/{mount.path}/role/{name}", role)
            assert status == 204, f"{raw!r}\n{own.log()[-3000:]}"

        return make

    def refused(request: Any, name: str) -> None:
        # Reads the role and goes no further: what is measured is the memory of a role in use.
        body = json.dumps({"role": name, "jwt": "a.b.c"}).encode()
        status, raw = request("POST", f"auth/{ours.path}/login", body)
        assert status == 400, raw

    # What the first requests load once, whatever the number of roles.
    each(write(ours), names[:50])
    each(refused, names[:50])
    before_kb = resident_kb(own)
    each(write(ours), names[50:])
    each(write(builtin), names)
    written_kb = resident_kb(own)
    each(refused, names)
    used_kb = resident_kb(own)

    with connection(own) as request:
        answers: dict[str, list[str]] = {}

        def listing(mount: Mount) -> None:
            status, raw = request("LIST", f"auth/{mount.path}/role")
            assert status == 200, raw
            answers[mount.path] = json.loads(raw)["data"]["keys"]

        attempts = (lambda: listing(builtin), lambda: listing(ours))
        medians_ms(attempts, 3)
        theirs_ms, ours_ms = calmest_ms(attempts, 21)
    listed_kb = resident_kb(own)
    assert answers["ours"] == answers["builtin"] == names
    growths = [(kb - before_kb) / 1024 for kb in (written_kb, used_kb, listed_kb)]
    print(
        f"\n{host.name}, {plugin.kind}: list of {count} roles: builtin {theirs_ms:.1f} ms, ours "
        f"{ours_ms:.1f} ms ({ours_ms / theirs_ms:.2f}x); memory {before_kb / 1024:.1f} MB, "
        "+{:.1f} MB written, +{:.1f} MB used, +{:.1f} MB listed".format(*growths)
    )
    assert ours_ms < theirs_ms * LIST_RATIO
    assert max(written_kb, used_kb, listed_kb) - before_kb < growth_kb


def test_the_median_is_of_each_by_itself():
    counter = itertools.count()
    slow = lambda: time.sleep(0.01)  # noqa: E731 - two that differ
    fast = lambda: next(counter)  # noqa: E731
    slow_ms, fast_ms = medians_ms((slow, fast), 5)
    assert slow_ms >= 10 > fast_ms
