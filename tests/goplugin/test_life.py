"""Which ancestors are watched, and what is removed at the end. test_process.py tests the deaths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.goplugin.host_stand_in import REPOSITORY, HostIdentity, host_environment
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


def test_a_missing_launcher_means_that_it_was_killed(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "bundle_dir", lambda: Path("/unpacked"))
    assert life.watched_ancestors(pipe_fd) is None


def test_where_proc_tells_nothing_the_build_decides(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "_has_stdout", lambda pid, fd: None)
    monkeypatch.setattr(life, "bundle_dir", lambda: Path("/unpacked"))
    parent = os.getppid()
    assert pids_of(life.watched_ancestors(pipe_fd)) == [parent, life._parent_of(parent)]


def test_where_proc_tells_nothing_another_group_means_init(pipe_fd, monkeypatch):
    monkeypatch.setattr(life, "_has_stdout", lambda pid, fd: None)
    monkeypatch.setattr(life, "bundle_dir", lambda: Path("/unpacked"))
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


END = """
import os, sys
from pathlib import Path
from vault_jwt_plugin.goplugin.life import Life
life = Life(1)
for path in sys.argv[1:]:
    life.leaves(Path(path))
life.end(7)
"""


def test_the_end_removes_files_and_folders_despite_errors(tmp_path):
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


WRAPPED = """
import os, sys
from pathlib import Path
sys.frozen, sys.executable = True, os.environ["STATICX_BUNDLE_DIR"] + "/toy"
from vault_jwt_plugin.goplugin.life import Life
life = Life(1)
if sys.argv[1] == "killed":
    life._parent = -1
life.end(7)
"""


@pytest.mark.parametrize(("launcher", "left"), [("alive", True), ("killed", False)])
def test_what_was_unpacked_is_the_launchers_to_remove_while_it_lives(tmp_path, launcher, left):
    unpacked = tmp_path / "staticx-a"
    (unpacked / "lib").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", WRAPPED, launcher],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "STATICX_BUNDLE_DIR": str(unpacked),
        },
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 7
    assert unpacked.exists() is left


VANISHING = """
import os, signal, sys, threading, time
from pathlib import Path
sys.frozen, sys.executable = True, os.environ["STATICX_BUNDLE_DIR"] + "/toy"
from vault_jwt_plugin.goplugin import entry, life
from tests.goplugin.toy_process import PROGRAM

begun = threading.Event()
remove = life._remove

def remove_slowly(path):
    begun.set()
    time.sleep(0.2)
    remove(path)

def make_plugin():
    os.getppid = lambda: -1
    os.kill(os.getpid(), signal.SIGTERM)
    begun.wait(5)
    sys.exit("the program appears to have been moved or deleted")

life._remove = remove_slowly
life.watched_ancestors = lambda fd: []
entry.serve(make_plugin, program=PROGRAM)
"""


def test_an_import_that_fails_meanwhile_does_not_stop_the_removal(tmp_path):
    unpacked = tmp_path / "staticx-a"
    unpacked.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", VANISHING],
        env=host_environment(HostIdentity.generate(), STATICX_BUNDLE_DIR=str(unpacked)),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert not unpacked.exists()
    assert b"the program appears to have been moved or deleted" in done.stderr


MAKING = """
import sys, threading, time
from pathlib import Path
from vault_jwt_plugin.goplugin import life

removing = threading.Event()
remove = life._remove

def remove_slowly(path):
    removing.set()
    time.sleep(0.2)
    remove(path)

life._remove = remove_slowly
ours = life.Life(1)
folder = Path(sys.argv[1])
ours.leaves(folder.with_name("made-before"))
with ours.making:
    threading.Thread(target=ours.end, args=(7,), daemon=True).start()
    removing.wait(0.05)
    folder.mkdir()
    ours.leaves(folder)
removing.wait(5)
with ours.making:
    folder.with_name("made-too-late").mkdir()
"""


def test_what_is_being_made_is_removed_and_nothing_more_is_made(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MAKING, tmp_path / "folder"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 7
    assert list(tmp_path.iterdir()) == []


FAILING = """
import os, sys, threading, time
from vault_jwt_plugin.goplugin import life

def refuse(path):
    raise MemoryError

ours = life.Life(1)
ours.leaves("something")
life._remove = refuse
if sys.argv[1] == "watching":
    ours._timeout_ms = lambda: refuse(None)
    ours.watch()
    time.sleep(60)
if sys.argv[1] == "stuck":
    life._remove = lambda path: time.sleep(60)
    threading.Thread(target=ours.end, args=(0,), daemon=True).start()
    time.sleep(0.05)
ours.end(1)
"""


@pytest.mark.parametrize("where", ["watching", "ending", "stuck"])
def test_a_fault_while_watching_or_ending_is_the_end_too(where):
    done = subprocess.run(
        [sys.executable, "-c", FAILING, where],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
