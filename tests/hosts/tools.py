"""The Go programs that tests need, built once per machine from the pinned modules beside this file.

Standard library only. Each is keyed by its version: `hosts/vault-1.21.0`, `hosts/h2spec-2.2.1` in
the cache folder; another version in go.mod makes another file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hosts.discover import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent


class ToolUnavailableError(Exception):
    """A program cannot be built. The text says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A Go program.

    Attributes:
        module: Its module in go.mod, whose version is the program's; "" = our own, without one.
        package: What is built.
        cost: What the first build takes, for the person who waits for it.
    """

    module: str
    package: str
    cost: str


TOOLS = {
    "vault": Tool(
        module="github.com/hashicorp/vault",
        package="github.com/hashicorp/vault",
        cost="~10 minutes and ~5 GB of caches on 2 cores",
    ),
    "h2spec": Tool(
        module="github.com/summerwind/h2spec",
        package="github.com/summerwind/h2spec/cmd/h2spec",
        cost="some seconds",
    ),
    "httpget": Tool(module="", package=".", cost="some seconds"),
    "loadgen": Tool(module="", package=".", cost="some seconds"),
}


def version(name: str) -> str:
    """The version that is built: go.mod's, or a digest of our own program's source."""
    if not TOOLS[name].module:
        source = b"".join(path.read_bytes() for path in sorted((HERE / name).glob("*.go")))
        return hashlib.sha256(source).hexdigest()[:12]
    pattern = rf"^\s*{re.escape(TOOLS[name].module)} v([^\s+]+)"
    match = re.search(pattern, (HERE / name / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise ToolUnavailableError(f"tests/hosts/{name}/go.mod does not name {TOOLS[name].module}")
    return match.group(1)


def path(name: str) -> Path:
    """Where the program lies once built."""
    return cache_folder() / "hosts" / f"{name}-{version(name)}"


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"tool-{name}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(name: str) -> Path:
    """The program's path; built now if this machine does not have this version of it.

    Raises:
        ToolUnavailableError: There is no Go toolchain, or the build failed.
    """
    target = path(name)
    with _lock(name):
        if target.exists():
            return target
        go = shutil.which("go")
        if go is None:
            raise ToolUnavailableError(f"{name} has to be built, and PATH has no Go toolchain")
        print(f"building {target.name} ({TOOLS[name].cost})", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        done = subprocess.run(
            [go, "build", "-o", unfinished, TOOLS[name].package],
            cwd=HERE / name,
            env=os.environ | {"CGO_ENABLED": "0"},
            check=False,
        )
        if done.returncode != 0:
            raise ToolUnavailableError(f"go build of {name} failed; its message is above")
        # At once and whole: an interrupted build leaves no half program under the name.
        unfinished.rename(target)
    return target
