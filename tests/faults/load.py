"""Logins without a pause over many connections, each one timed: a process beside the tests.

A process of its own, since its timing must not wait for what a test does meanwhile. Times are of
CLOCK_MONOTONIC, which all processes of a machine share, so a test can compare them with its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

REPO = Path(__file__).resolve().parents[2]
GIVE_UP_S = 60.0
"""Longest wait for one answer: hosts give a request 90 s."""

RETRY_S = 0.01
"""Pause of a connection that was lost: a host that is gone must not be flooded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One login.

    Attributes:
        began, ended: by `time.monotonic`.
        status: of the answer; 0 = no answer.
        text: what an answer other than 200 said.
    """

    began: float
    ended: float
    status: int
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether it got a token."""
        return self.status == 200


class Load:
    """Logins in a closed loop for the length of a `with` block.

    Attributes:
        logins: all of them, in the order of their ends, once the block is left.
    """

    def __init__(self, port: int, bodies: Iterable[tuple[str, bytes]], *, connections: int) -> None:
        """Prepare.

        Args:
            port: of the host, on the loopback.
            bodies: path below /v1/ and body of each kind of login; connections take turns.
            connections: how many log in at the same time.
        """
        self._job = {
            "port": port,
            "connections": connections,
            "requests": [[path, body.decode()] for path, body in bodies],
        }
        self._process: subprocess.Popen[str] | None = None
        self.logins: list[Login] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.load"],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._job) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "flowing\n"
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        try:
            answer, _none = process.communicate(timeout=2 * GIVE_UP_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        logins = [
            Login(began=began, ended=ended, status=status, text=text)
            for began, ended, status, text in json.loads(answer)
        ]
        self.logins = sorted(logins, key=lambda login: login.ended)

    @property
    def failed(self) -> list[Login]:
        """Those that got no token."""
        return [login for login in self.logins if not login.ok]

    def longest_s(self) -> float:
        """The longest wait for a token."""
        return max(login.ended - login.began for login in self.logins if login.ok)


def failed_after(moment: float, logins: Iterable[Login]) -> list[Login]:
    """The failed logins that began later."""
    return [login for login in logins if not login.ok and login.began > moment]


class _Client:
    def __init__(self, port: int, requests: list[tuple[str, str]]) -> None:
        self.port = port
        self.requests = [
            (
                f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: application/json\r\n\r\n{body}"
            ).encode()
            for path, body in requests
        ]
        self.records: list[tuple[float, float, int, str]] = []
        self.flowing = asyncio.Event()
        self.ending = False
        self.turn = 0

    async def connection(self) -> None:
        """Log in until it is over."""
        writer: asyncio.StreamWriter | None = None
        while not self.ending:
            self.turn += 1
            request = self.requests[self.turn % len(self.requests)]
            began = time.monotonic()
            status, text = 0, ""
            try:
                async with asyncio.timeout(GIVE_UP_S):
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.write(request)
                    status, body = await self.answer(reader)
                if status == 200:
                    self.flowing.set()
                else:
                    text = body.decode(errors="replace")
            except (OSError, EOFError, TimeoutError) as error:
                text = repr(error)
                if writer is not None:
                    writer.close()
                writer = None
            self.records.append((began, time.monotonic(), status, text))
            if status == 0:
                await asyncio.sleep(RETRY_S)
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        """Read one answer: hosts send a length with short ones (RFC 9112 6.2)."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                return status, await reader.readexactly(int(value))
        return status, b""


async def _main() -> None:
    job = json.loads(sys.stdin.readline())
    client = _Client(job["port"], job["requests"])
    tasks = [asyncio.create_task(client.connection()) for _ in range(job["connections"])]
    await client.flowing.wait()
    os.write(1, b"flowing\n")
    await asyncio.to_thread(sys.stdin.read)
    client.ending = True
    await asyncio.gather(*tasks)
    sys.stdout.write(json.dumps(client.records))


if __name__ == "__main__":
    asyncio.run(_main())
