"""Messages of a start that cannot unpack: docs/install.md quotes them, hosts log them as errors."""

import errno
import os
import re

import pytest

from tests.build.world import is_empty, load, run, tmpfs

pytestmark = [pytest.mark.build, pytest.mark.usefixtures("root")]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("size=16m", 2, "[ERROR] TMPDIR is full?: Invalid argument"),
        ("nr_inodes=10", 2, "[ERROR] TMPDIR is full?: No space left on device"),
        ("ro", 2, "[ERROR] cannot make a folder in TMPDIR TMPDIR: Read-only file system"),
        (
            "noexec",
            3,
            "[ERROR] can't run TMPDIR/staticx-XXXXXX/vault-jwt-plugin: Permission denied",
        ),
    ],
    ids=["no-space", "no-inodes", "read-only", "noexec"],
)
def test_a_file_system_that_will_not_do(binary, tmp_path, options, status, message):
    with tmpfs(tmp_path / "tmp", options) as folder:
        done = run([binary], TMPDIR=str(folder))
        assert done.returncode == status
        assert done.stdout == ""
        said = re.sub("staticx-[A-Za-z0-9]{6}", "staticx-XXXXXX", done.stderr)
        assert said.replace(str(folder), "TMPDIR") == f"{message}\n"


def test_a_folder_that_is_missing(binary, tmp_path):
    done = run([binary], TMPDIR=str(tmp_path / "missing"))
    assert done.returncode == 2
    assert done.stderr == (
        f"[ERROR] cannot make a folder in TMPDIR {tmp_path}/missing: {os.strerror(errno.ENOENT)}\n"
    )


def test_the_disk_that_a_start_needs(binary, tmp_path):
    """docs/install.md says 48 MB."""
    with tmpfs(tmp_path / "tmp", "size=48000000") as folder:
        assert run([binary, "--version"], TMPDIR=str(folder)).returncode == 0
        assert is_empty(folder)


def test_what_a_failed_start_left_the_next_one_removes(binary, tmp_path):
    with tmpfs(tmp_path / "tmp", "size=16m") as folder:
        run([binary], TMPDIR=str(folder))
        [left] = folder.iterdir()
        assert left.name.startswith("staticx-")
        assert (left / ".vault-jwt-plugin").exists()


def test_another_launcher_is_refused(tmp_path):
    launcher = load("launcher")
    file = tmp_path / "launcher"
    file.write_bytes(b"\0".join([*launcher.TEXTS, b""]).replace(b"execv()", b"execve()"))
    with pytest.raises(ValueError, match=r"look for the successor of b'Failed to execv\(\) %s"):
        launcher.speak_up(file)


def test_texts_are_replaced_in_place(tmp_path):
    launcher = load("launcher")
    file = tmp_path / "launcher"
    before = b"\0".join([b"code", *launcher.TEXTS, b"code"])
    file.write_bytes(before)
    launcher.speak_up(file)
    after = file.read_bytes()
    assert len(after) == len(before)
    assert [text for text in after.split(b"\0") if text] == [
        b"code",
        *launcher.TEXTS.values(),
        b"code",
    ]
