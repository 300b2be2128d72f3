"""Which ancestors are watched, and what is removed in the end. The deaths: test_process.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.goplugin.host_stand_in import REPOSITORY
from vault_jwt_plugin.goplugin import life


@pytest.fixture
def pipe_fd():
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def pids_of(pidfds):
    assert pidfds is not None
    pids = []
    for fd in pidfds:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
        pids += [int(line.split()[1]) for line in info if line.startswith("Pid:")]
        os.close(fd)
    return pids


def test_a_parent_with_another_stdout_is_the_host(pipe_fd):
    assert pids_of(life.watched_ancestors(pipe_fd)) == [os.getppid()]


@pytest.mark.parametrize("launchers", [1, 2])
def test_a_missing_launcher_means_that_it_was_killed(pipe_fd, monkeypatch, launchers):
    monkeypatch.setattr(life, "unpacked_folders", lambda: [None] * launchers)
    assert life.watched_ancestors(pipe_fd) is None


def test_where_proc_tells_nothing_the_build_decides(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "_has_stdout", lambda pid, fd: None)
    monkeypatch.setattr(life, "unpacked_folders", lambda: [None])
    parent = os.getppid()
    assert pids_of(life.watched_ancestors(pipe_fd)) == [parent, life._parent_of(parent)]


def test_where_proc_tells_nothing_another_group_means_init(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "_has_stdout", lambda pid, fd: None)
    monkeypatch.setattr(life, "unpacked_folders", lambda: [None])
    monkeypatch.setattr(os, "getpgrp", lambda: 0)
    assert life.watched_ancestors(pipe_fd) is None


def test_init_is_no_launcher(monkeypatch):
    monkeypatch.setattr(os, "getpgid", lambda pid: os.getpgrp())
    assert not life._is_of_our_group(1)
    assert life._is_of_our_group(2)


@pytest.mark.parametrize("kind", [PermissionError, AttributeError])
def test_without_pidfds_nothing_is_watched_that_way(pipe_fd, monkeypatch, kind):
    def refuse(pid):
        raise kind

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert life.watched_ancestors(pipe_fd) == []


def test_a_parent_that_changed_means_orphaned(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "_parent_of", lambda pid: 1)
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert life.watched_ancestors(pipe_fd) is None


def test_the_unpacked_folders(monkeypatch, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    unpacked = tmp_path / "_MEIa1b2c3"
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(bundle / "toy"))
    monkeypatch.setattr(sys, "_MEIPASS", str(unpacked), raising=False)
    monkeypatch.setenv("STATICX_BUNDLE_DIR", str(bundle))
    assert life.unpacked_folders() == [unpacked, bundle]
    monkeypatch.delenv("STATICX_BUNDLE_DIR")
    assert life.unpacked_folders() == [unpacked]


def test_an_installation_is_never_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "_internal"), raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "toy"))
    monkeypatch.setenv("STATICX_BUNDLE_DIR", "/")
    assert life.unpacked_folders() == []


END = """
import os, sys
from pathlib import Path
from vault_jwt_plugin.goplugin.life import Life
life = Life(1)
for path in sys.argv[1:]:
    life.leaves(Path(path))
life.end(7)
"""


def test_the_end_removes_files_and_folders_and_minds_nothing(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"x")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "link"
    link.symlink_to(outside)
    gone = tmp_path / "gone"
    done = subprocess.run(
        [sys.executable, "-c", END, folder, file, link, gone],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 7
    assert sorted(tmp_path.iterdir()) == [outside]
