"""A second checkout in another folder with other settings gives the same bytes.

A build takes long, so the second one is made once per machine for the same inputs: the digests
that it gave are kept in the cache folder, and later builds are compared with them.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.build.world import REPO, run
from tests.hosts.discover import cache_folder

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


def digests(checkout: Path) -> dict[str, str]:
    """SHA-256 of each output of a checkout's build."""
    folder = checkout / "build" / "out"
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in OUTPUTS}


def record(cache: Path, checkout: Path) -> Path:
    """The file with the digests of what was built twice from a checkout's inputs."""
    inputs = (checkout / "build" / "work" / "inputs.sha256").read_text().split()[0]
    return cache / "reproduced" / f"{inputs}.json"


def is_recorded(path: Path, found: dict[str, str]) -> bool:
    """Whether these bytes were built twice before."""
    return path.exists() and json.loads(path.read_text()) == found


def test_in_another_folder(tmp_path: Path, pytestconfig: pytest.Config):
    here = run([REPO / "scripts" / "build"])
    assert here.returncode == 0, here.stderr
    first = digests(REPO)
    kept = record(cache_folder(), REPO)
    if is_recorded(kept, first) and not pytestconfig.getoption("--full-faults"):
        return
    other = tmp_path / "a path with spaces" / "and of another length"
    copy_checkout(other)
    (tmp_path / "tmp").mkdir()
    settings = {"TMPDIR": str(tmp_path / "tmp"), "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    built = run([other / "scripts" / "build"], **settings)
    assert built.returncode == 0, built.stderr
    assert digests(other) == first
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(first))


def test_only_the_same_bytes_of_the_same_inputs_are_on_record(tmp_path: Path):
    (tmp_path / "build" / "work").mkdir(parents=True)
    (tmp_path / "build" / "work" / "inputs.sha256").write_text("aa bb\n")
    path = record(tmp_path, tmp_path)
    assert path == tmp_path / "reproduced" / "aa.json"
    assert not is_recorded(path, {"x": "1"})
    path.parent.mkdir()
    path.write_text('{"x": "1"}')
    assert is_recorded(path, {"x": "1"})
    assert not is_recorded(path, {"x": "2"})
