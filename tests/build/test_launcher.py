"""What a start that cannot unpack says: README quotes these lines."""

import errno
import os
import re

import pytest

from tests.build.world import is_empty, run, tmpfs

pytestmark = [pytest.mark.build, pytest.mark.usefixtures("root")]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("size=16m", 2, "vault-jwt-plugin: tar_extract_all() failed: "),
        ("nr_inodes=10", 2, "vault-jwt-plugin: tar_extract_all() failed: "),
        ("ro", 2, "vault-jwt-plugin: Failed to create temporary directory in TMPDIR: "),
        ("noexec", 3, "Failed to execv() TMPDIR/staticx-XXXXXX/vault-jwt-plugin: "),
    ],
    ids=["no-space", "no-inodes", "read-only", "noexec"],
)
def test_a_file_system_that_will_not_do(binary, tmp_path, options, status, message):
    with tmpfs(tmp_path / "tmp", options) as folder:
        done = run([binary], TMPDIR=str(folder))
        assert done.returncode == status
        assert done.stdout == ""
        said = re.sub("staticx-[A-Za-z0-9]{6}", "staticx-XXXXXX", done.stderr)
        assert said.replace(str(folder), "TMPDIR").startswith(message)


def test_a_folder_that_is_missing(binary, tmp_path):
    done = run([binary], TMPDIR=str(tmp_path / "missing"))
    assert done.returncode == 2
    assert done.stderr == (
        f"vault-jwt-plugin: Failed to create temporary directory in {tmp_path}/missing: "
        f"{os.strerror(errno.ENOENT)}\n"
    )


def test_the_disk_that_a_start_needs(binary, tmp_path):
    """README says 40 MB."""
    with tmpfs(tmp_path / "tmp", "size=40000000") as folder:
        assert run([binary, "--version"], TMPDIR=str(folder)).returncode == 0
        assert is_empty(folder)


def test_what_a_failed_start_left_the_next_one_removes(binary, tmp_path):
    with tmpfs(tmp_path / "tmp", "size=16m") as folder:
        run([binary], TMPDIR=str(folder))
        [left] = folder.iterdir()
        assert left.name.startswith("staticx-")
        assert (left / ".vault-jwt-plugin").exists()
