"""Every command in the documents runs, from the top of a page to its end.

A block that begins with ```` ```sh ```` runs unless the line before it is a comment
`<!-- not run: REASON -->`. Each page has a server of its own and a folder like a checkout: `docs`,
`scripts`, and `build/out` with the plugin.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.hosts.plugin import REPO, Plugin, enable, install, register
from tests.hosts.server import DevServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts.discover import Host

TIMEOUT_S = 100
BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- not run: (?P<reason>[^\n]+) -->\n(?P=indent))?"
    r"```sh\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
UNPREPARED = {"README.md": "nothing runs", "docs/install.md": "nothing is registered"}
"""Pages that begin without a mount of ours at jwt/, and what they begin with."""


def blocks(text: str) -> list[tuple[str | None, str]]:
    """Return the reason not to run it (None = it runs) and the commands of each block."""
    return [(found["reason"], textwrap.dedent(found["text"])) for found in BLOCK.finditer(text)]


def runnable(text: str) -> list[str]:
    return [commands for reason, commands in blocks(text) if reason is None]


def pages() -> list[str]:
    found = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
    return [str(path.relative_to(REPO)) for path in found if runnable(path.read_text())]


def checkout(folder: Path, server: DevServer, plugin: Plugin) -> Path:
    """Make a folder in which the commands find what they name."""
    output = folder / "build" / "out"
    output.mkdir(parents=True)
    installed = install(server, plugin)
    program = server.plugins / installed.command
    program.rename(output / "vault-jwt-plugin")
    (output / "vault-jwt-plugin.sha256").write_text(f"{installed.sha256}  vault-jwt-plugin\n")
    for name in ("docs", "scripts"):
        (folder / name).symlink_to(REPO / name)
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "vault").write_text(f'#!/bin/sh\nexec {server.host.binary} "$@"\n')
    (binaries / "vault").chmod(0o755)
    return binaries


def run(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a page's commands with bash; end what they leave running."""
    with (folder / "stdout").open("w") as stdout:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = process.wait(TIMEOUT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    printed = (folder / "stdout").read_text()
    return subprocess.CompletedProcess(script, status, printed)


@pytest.mark.parametrize("page", pages())
def test_the_commands_of_a_page(page: str, host: Host, plugin: Plugin, tmp_path: Path):
    if plugin.kind == "builtin" or host.binary is None:
        pytest.skip("the commands are about our plugin and a server's own command line")
    with contextlib.ExitStack() as stack:
        server = DevServer(host)
        stack.callback(server.stop)
        address = f"127.0.0.1:{free_port()}"
        token = "root"
        binaries = checkout(tmp_path, server, plugin)
        if UNPREPARED.get(page) != "nothing runs":
            server.start()
            address, token = f"127.0.0.1:{server.port}", server.root_token
        if page not in UNPREPARED:
            register(server, plugin)
            enable(server, "jwt", version=plugin.version)
        environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TMPDIR": str(server.temporary),
            "PLUGINS": str(server.plugins),
            "VAULT_ADDR": f"http://{address}",
            "VAULT_TOKEN": token,
            "VAULT_DEV_LISTEN_ADDRESS": address,
            "BAO_DEV_LISTEN_ADDRESS": address,
        }
        commands = "\n".join(runnable((REPO / page).read_text()))
        script = "set -x\n" + commands.replace("127.0.0.1:8200", address)
        done = run(script, tmp_path, environment)
        assert done.returncode == 0, done.stdout[-4000:]


def test_blocks_are_found():
    text = """
```sh
one
```

   <!-- not run: it takes a production server -->
   ```sh
   two
   ```

   ```sh
   three <<'EOF'
   EOF
   ```

```json
{}
```
"""
    assert blocks(text) == [
        (None, "one\n"),
        ("it takes a production server", "two\n"),
        (None, "three <<'EOF'\nEOF\n"),
    ]
