"""A second checkout in another folder with other settings gives the same bytes."""

from __future__ import annotations

import platform
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.build.world import REPO, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.build,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="tried on x86-64 only"),
]

OUTPUTS = (
    "vault-jwt-plugin",
    "vault-jwt-plugin.sha256",
    "vault-jwt-plugin.cdx.json",
    "THIRD-PARTY-LICENSES.txt",
)


def copy_checkout(target: Path) -> None:
    """What git has or would take of this checkout, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPO,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    present = "\0".join(name for name in names if (REPO / name).is_file())
    target.mkdir(parents=True)
    packed = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"],
        cwd=REPO,
        input=present.encode(),
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "--extract"], cwd=target, input=packed.stdout, check=True)


def test_in_another_folder(tmp_path):
    here = run([REPO / "scripts" / "build"])
    assert here.returncode == 0, here.stderr
    other = tmp_path / "a path with spaces" / "and of another length"
    copy_checkout(other)
    (tmp_path / "tmp").mkdir()
    settings = {"TMPDIR": str(tmp_path / "tmp"), "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    built = run([other / "scripts" / "build"], **settings)
    assert built.returncode == 0, built.stderr
    for name in OUTPUTS:
        first = (REPO / "build" / "out" / name).read_bytes()
        assert (other / "build" / "out" / name).read_bytes() == first, name
