"""The paths of the built files, and the processes that one start makes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

REPO = Path(__file__).resolve().parents[2]
BINARY = REPO / "build" / "out" / "vault-jwt-plugin"
CHECK = REPO / "build" / "work" / "check"
NOBODY = 65534


def load(name: str) -> ModuleType:
    """Load a module of build/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, REPO / "build" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as a person would, without a host's variables in its environment."""
    inherited = {name: value for name, value in os.environ.items() if "PLUGIN" not in name}
    return subprocess.run(
        command,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def family(pid: int) -> list[int]:
    """Return the process and its descendants, parents first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in family(int(child)))]


def resident_kib(pid: int) -> int:
    """Return the resident memory of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(value)


def is_running(pid: int) -> bool:
    """Return whether the process exists and is not merely waiting to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def is_empty(folder: Path) -> bool:
    """Return whether the folder is empty."""
    return next(folder.iterdir(), None) is None


def seconds_until(condition: Callable[[], bool], within_s: float) -> float:
    """Return how long it takes until `condition` is true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.002)
    return time.monotonic() - began


@contextlib.contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system at `folder` while the body runs."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
