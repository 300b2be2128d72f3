"""The folder that the launcher unpacked: held while we run, swept when its process is dead."""

import fcntl
import importlib.util
import os
import subprocess
import time

import pytest

from tests.build.world import REPO


def load_bundle():
    """The module that the binary starts with, which lies in no package."""
    path = REPO / "build" / "bundle.py"
    spec = importlib.util.spec_from_file_location("bundle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bundle = load_bundle()
LATER = 61.0


@pytest.fixture
def dead(tmp_path):
    """A folder that a launcher of ours left behind."""
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
        # What systemd-tmpfiles tries before it looks into a folder.
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
    monkeypatch.setenv("STATICX_BUNDLE_DIR", str(current))
    monkeypatch.setattr(bundle, "SWEEP_AFTER_S", -1)
    bundle.settle()
    assert not dead.exists()
    probe = os.open(current, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(probe)


@pytest.mark.parametrize("value", [None, "", "relative"], ids=["unset", "empty", "relative"])
def test_settling_when_not_unpacked(dead, monkeypatch, value):
    monkeypatch.chdir(dead.parent)
    monkeypatch.delenv("STATICX_BUNDLE_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("STATICX_BUNDLE_DIR", value)
    monkeypatch.setattr(bundle, "SWEEP_AFTER_S", -1)
    bundle.settle()
    assert dead.exists()
