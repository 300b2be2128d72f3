"""The built file, and a folder for what it unpacks that must be empty again at the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.build.world import BINARY, CHECK, is_empty, seconds_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def binary() -> Path:
    """Return the built plugin."""
    return _built(BINARY)


@pytest.fixture(scope="session")
def check() -> Path:
    """Return the bundle's check of itself, as one file like the plugin."""
    return _built(CHECK)


def _built(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not built: run scripts/build")
    return path


@pytest.fixture
def tmpdir() -> Iterator[Path]:
    """Make a TMPDIR that everybody may use; whatever is in it at the end was left behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)
        # The launcher removes its folder after the program has ended.
        seconds_until(lambda: is_empty(Path(folder)), within_s=2)


@pytest.fixture
def root() -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount, chroot and become somebody else")
