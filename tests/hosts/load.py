"""Load on a host: for the bench `wrk` where it is installed, else, and for the tests, `loadgen`.

Standard library only. A generator in Python would take the processor from the server it measures;
loadgen is our own Go program, built when it is first used.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.hosts import tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

GIVE_UP_S = 90.0
"""How long after its end a load may wait for its last answers, in seconds."""

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: requests answered with 200 and all others, the rate of the former, latencies."""

    answered: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One sort of request in a mixed load.

    Attributes:
        name: for the reader of the figures.
        weight: its share of all requests, relative to the others' weights.
        path: below the host, with `/v1/`.
        bodies: take turns.
        token: of who sends it; "" = nobody.
        expected: every other status is a failure.
    """

    name: str
    weight: int
    path: str
    bodies: Sequence[str]
    method: str = "POST"
    token: str = ""
    expected: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one kind: how many were answered as expected, how many not, latencies.

    Attributes:
        failures: status and text of the first few that failed.
    """

    answered: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    failures: Sequence[str]


class Loadgen:
    """Requests of several kinds over so many connections for so long, by the Go program.

    They begin with the `with` block; leaving it before their end ends them.
    """

    def __init__(
        self, address: str, kinds: Sequence[Kind], *, connections: int, seconds: float
    ) -> None:
        """Prepare.

        Args:
            address: host and port.
            kinds: what is sent, mixed by weight.
            connections: each sends its next request when the last is answered.
            seconds: when no more are sent.

        Raises:
            ToolUnavailableError: The program cannot be built here.
        """
        self._program = tools.build("loadgen")
        self._job = json.dumps(
            {
                "address": address,
                "connections": connections,
                "seconds": seconds,
                "kinds": [asdict(kind) for kind in kinds],
            }
        )
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._job)
        self._process.stdin.close()
        self._process.stdin = None
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def outcomes(self, within_s: float) -> tuple[float, Mapping[str, Outcome]]:
        """Wait for the end; the seconds that it took, and what became of each kind, by name.

        Raises:
            subprocess.TimeoutExpired: It has not ended in time.
            subprocess.CalledProcessError: The program itself failed.
        """
        process = self._process
        assert process is not None
        printed, _ = process.communicate(timeout=within_s)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        answer = json.loads(printed)
        return answer["seconds"], {
            name: Outcome(**outcome) for name, outcome in answer["kinds"].items()
        }


class Generator:
    """A load generator for one login, sent over and over.

    Attributes:
        name: What makes the load, for the reader of the figures.
    """

    def __init__(self, folder: Path, body: bytes) -> None:
        """Prepare to POST `body`; its files go to `folder`.

        Raises:
            ToolUnavailableError: Neither wrk nor a Go toolchain is here.
        """
        self._wrk = shutil.which("wrk")
        self._body = body.decode()
        self._script = folder / "post.lua"
        if self._wrk is not None:
            self.name = "wrk"
            headers = 'wrk.headers["Content-Type"] = "application/json"'
            text = self._body.replace("\\", "\\\\").replace('"', '\\"')
            self._script.write_text(f'wrk.method = "POST"\nwrk.body = "{text}"\n{headers}\n')
            return
        self.name = "loadgen"
        try:
            tools.build("loadgen")
        except tools.ToolUnavailableError as error:
            raise tools.ToolUnavailableError(
                f"the bench needs wrk (Debian, Ubuntu: apt install wrk); {error}"
            ) from error

    def run(self, url: str, *, connections: int, seconds: int) -> Sample:
        """POST over so many connections for so long.

        Raises:
            subprocess.CalledProcessError: The generator itself failed.
        """
        if self._wrk is not None:
            options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout=30s"]
            command = [self._wrk, *options, f"--script={self._script}", url]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return parse_wrk(printed)
        target = urlsplit(url)
        login = Kind(name="login", weight=1, path=target.path, bodies=[self._body])
        with Loadgen(target.netloc, [login], connections=connections, seconds=seconds) as load:
            took_s, outcomes = load.outcomes(seconds + GIVE_UP_S)
        outcome = outcomes[login.name]
        return Sample(
            answered=outcome.answered,
            failed=outcome.failed,
            per_second=outcome.answered / took_s,
            p50_ms=outcome.p50_ms,
            p99_ms=outcome.p99_ms,
        )


def parse_wrk(printed: str) -> Sample:
    """What `wrk --latency` printed, as figures.

    Raises:
        ValueError: It is not that.
    """
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", printed)
    median = re.search(r"\b50%\s+([\d.]+)(us|ms|s|m)\b", printed)
    tail = re.search(r"\b99%\s+([\d.]+)(us|ms|s|m)\b", printed)
    if total is None or median is None or tail is None:
        raise ValueError(f"not the output of wrk --latency:\n{printed}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    bad = int(refused.group(1)) if refused else 0
    lost = sum(map(int, errors.groups())) if errors else 0
    answered = int(total.group(1)) - bad
    seconds = float(total.group(2)) * _UNITS_MS[total.group(3)] / 1000
    return Sample(
        answered=answered,
        failed=bad + lost,
        per_second=answered / seconds,
        p50_ms=float(median.group(1)) * _UNITS_MS[median.group(2)],
        p99_ms=float(tail.group(1)) * _UNITS_MS[tail.group(2)],
    )
