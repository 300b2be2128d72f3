"""The folder that the launcher unpacked: locked while the program runs, swept after its death."""

import fcntl
import os
import subprocess
import time
import zlib

import pytest

from tests.build.world import load, tmpfs

bundle = load("bundle")
LATER = 61.0


@pytest.fixture
def dead(tmp_path):
    """Make a folder that a launcher of ours left behind."""
    folder = tmp_path / "staticx-aAbBcC"
    folder.mkdir()
    (folder / bundle.MARKER).touch()
    (folder / "lib").mkdir()
    (folder / "lib" / "file").touch()
    return folder


def test_a_dead_folder_is_removed(dead):
    bundle.sweep(dead.parent, time.time() + LATER)
    assert not dead.exists()


def test_a_folder_that_may_not_have_been_locked_yet_stays(dead):
    bundle.sweep(dead.parent, time.time())
    assert dead.exists()


def test_a_held_folder_stays(dead):
    descriptor = bundle.hold(dead)
    try:
        bundle.sweep(dead.parent, time.time() + LATER)
        assert (dead / "lib" / "file").exists()
    finally:
        os.close(descriptor)


def test_cleaners_of_tmp_see_the_lock(dead):
    descriptor = bundle.hold(dead)
    try:
        # systemd-tmpfiles tries this before it looks into a folder.
        busy = subprocess.run(["flock", "--nonblock", "--exclusive", dead, "true"], check=False)
        assert busy.returncode == 1
    finally:
        os.close(descriptor)


def test_another_program_s_folder_stays(dead):
    (dead / bundle.MARKER).unlink()
    bundle.sweep(dead.parent, time.time() + LATER)
    assert dead.exists()


def test_a_link_is_not_followed(dead, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    dead.rename(elsewhere)
    dead.symlink_to(elsewhere)
    bundle.sweep(tmp_path, time.time() + LATER)
    assert (elsewhere / "lib" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_user_s_folder_stays(dead):
    os.chown(dead, 65534, 65534)
    bundle.sweep(dead.parent, time.time() + LATER)
    assert dead.exists()


def test_a_parent_that_is_missing(tmp_path):
    bundle.sweep(tmp_path / "missing", time.time())


def test_settling(dead, monkeypatch):
    current = dead.with_name("staticx-current")
    current.mkdir()
    (current / "library").write_bytes(b"code")
    bundle.pack(current / "library")
    monkeypatch.setattr(bundle, "SWEEP_AFTER_S", -1)
    bundle.settle(current)
    assert (current / "library").read_bytes() == b"code"
    assert not dead.exists()
    probe = os.open(current, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(probe)


def test_settling_in_a_folder_that_no_launcher_made(dead, monkeypatch):
    folder = dead.with_name("dist")
    folder.mkdir()
    (folder / "library.z").touch()
    monkeypatch.setattr(bundle, "SWEEP_AFTER_S", -1)
    bundle.settle(folder)
    assert dead.exists()
    assert (folder / "library.z").exists()


def test_packed_and_completed(tmp_path):
    file = tmp_path / "library.so.3"
    file.write_bytes(b"code" * 1000)
    bundle.pack(file)
    [packed] = tmp_path.iterdir()
    assert packed.name == "library.so.3.z"
    assert packed.stat().st_size < 1000
    bundle.complete(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == b"code" * 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_no_space_to_complete(tmp_path):
    with tmpfs(tmp_path / "tmp", "size=100k") as parent:
        folder = parent / "staticx-aAbBcC"
        folder.mkdir()
        (folder / "library.z").write_bytes(zlib.compress(bytes(200_000)))
        with pytest.raises(SystemExit) as caught:
            bundle.settle(folder)
    assert caught.value.code == (
        f"[ERROR] vault-jwt-plugin: cannot unpack into {folder}: No space left on device"
    )
