"""A host's command line, as an operator types it. Standard library only."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.server import DevServer

TIMEOUT_S = 90.0


class CommandFailedError(AssertionError):
    """A command that a test relies on failed. The text holds all that it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a command answered."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The output of a command that was asked for JSON."""
        return json.loads(self.stdout)


class Cli:
    """Commands to one running host. A command line's first word, `vault` or `bao`, is left out."""

    def __init__(self, server: DevServer, token: str | None = None) -> None:
        """None = as root."""
        self.server = server
        self.token = token

    @property
    def name(self) -> str:
        """What the operator types first: `vault` or `bao`."""
        return self.server.host.family

    def run(self, command: str, *, stdin: str = "", token: str | None = None) -> Printed:
        """Run one command line, split as a shell would; its files are in the server's folder.

        Args:
            command: `write auth/jwt/config jwt_validation_pubkeys=@rsa.pem`.
            stdin: What it reads.
            token: Whose token it uses instead of this object's; "" = none.
        """
        environment = self.server.cli_environment(self.token if token is None else token)
        done = subprocess.run(
            [*self._program(environment), *shlex.split(command)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=self.server.folder,
            env=environment,
            check=False,
        )
        return Printed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    @contextlib.contextmanager
    def start(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on for the length of a `with` block, as nobody, unheard."""
        environment = self.server.cli_environment("")
        process = subprocess.Popen(
            [*self._program(environment), *shlex.split(command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.server.folder,
            env=environment,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)

    def must(self, command: str, *, stdin: str = "", token: str | None = None) -> Printed:
        """A command that has to succeed.

        Raises:
            CommandFailedError: It did not.
        """
        printed = self.run(command, stdin=stdin, token=token)
        if printed.status != 0:
            raise CommandFailedError(
                f"{self.name} {command}: status {printed.status}\n{printed.stdout}{printed.stderr}"
            )
        return printed

    def _program(self, environment: dict[str, str]) -> list[str]:
        host = self.server.host
        if host.engine is None:
            return [str(host.binary)]
        names = [f"--env={name}" for name in environment]
        folder = self.server.folder
        return [
            *(host.engine, "exec", "--interactive", f"--workdir={folder}", *names),
            *(folder.name, "vault"),
        ]
