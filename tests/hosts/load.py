"""Load on one URL for the bench: `wrk` where it is installed, else our own Go program.

Standard library only. A generator in Python would take the processor from the server it measures.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.hosts import tools

if TYPE_CHECKING:
    from pathlib import Path

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: requests answered with 200 and all others, the rate of the former, latencies."""

    answered: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float


class Generator:
    """A load generator.

    Attributes:
        name: What makes the load, for the reader of the figures.
    """

    def __init__(self, folder: Path, body: bytes) -> None:
        """Prepare to POST `body`; its files go to `folder`.

        Raises:
            ToolUnavailableError: Neither wrk nor a Go toolchain is here.
        """
        self._wrk = shutil.which("wrk")
        self._body = folder / "body.json"
        self._body.write_bytes(body)
        self._script = folder / "post.lua"
        self._loadgen: Path | None = None
        if self._wrk is not None:
            self.name = "wrk"
            headers = 'wrk.headers["Content-Type"] = "application/json"'
            text = body.decode().replace("\\", "\\\\").replace('"', '\\"')
            self._script.write_text(f'wrk.method = "POST"\nwrk.body = "{text}"\n{headers}\n')
            return
        self.name = "loadgen"
        try:
            self._loadgen = tools.build("loadgen")
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
            return parse_wrk(_output(command))
        answer = json.loads(
            _output(
                [
                    str(self._loadgen),
                    f"-url={url}",
                    f"-body={self._body}",
                    f"-connections={connections}",
                    f"-duration={seconds}s",
                ]
            )
        )
        return Sample(
            answered=answer["answered"],
            failed=answer["failed"],
            per_second=answer["answered"] / answer["seconds"],
            p50_ms=answer["p50_ms"],
            p99_ms=answer["p99_ms"],
        )


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
