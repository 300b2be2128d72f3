"""Where the socket is, and who may use it."""

import errno
import os
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from vault_jwt_plugin.goplugin.errors import SocketError
from vault_jwt_plugin.goplugin.listener import MAX_PATH_BYTES, listen, sweep


@pytest.fixture
def short_dir():
    """Make a folder whose path leaves room for a socket, wherever pytest keeps its own folders."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def tmpdir_is(monkeypatch):
    def change(folder):
        monkeypatch.setattr(tempfile, "tempdir", os.fspath(folder))

    return change


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_folder_in_the_temporary_folder(short_dir, tmpdir_is):
    tmpdir_is(short_dir)
    made = listen(socket_dir=None, group=None, own_dir=None)
    with made.socket:
        assert made.path.parent == made.remains
        assert made.remains.parent == short_dir
        assert made.remark is None
        assert mode(made.remains) == 0o700
        assert mode(made.path) == 0o600
        assert not made.socket.getblocking()
        assert made.socket.getsockname() == str(made.path)


def test_inside_what_the_launcher_removes(short_dir):
    made = listen(socket_dir=None, group=None, own_dir=short_dir)
    with made.socket:
        assert made.path.parent == short_dir
        assert made.remains == made.path


def test_where_the_host_wants_it(short_dir):
    made = listen(socket_dir=str(short_dir), group=None, own_dir=Path("/nowhere"))
    with made.socket:
        assert made.path.parent == short_dir
        assert made.remains == made.path
        assert mode(made.path) == 0o600


@pytest.mark.parametrize("form", ["number", "name"])
def test_for_a_group(short_dir, tmpdir_is, form):
    import grp

    tmpdir_is(short_dir)
    gid = os.getgid()
    group = str(gid) if form == "number" else grp.getgrgid(gid).gr_name
    asked = listen(socket_dir=str(short_dir), group=group, own_dir=None)
    ours = listen(socket_dir=None, group=group, own_dir=Path("/nowhere"))
    with asked.socket, ours.socket:
        assert mode(asked.path) == mode(ours.path) == 0o660
        assert asked.path.stat().st_gid == ours.remains.stat().st_gid == gid
        assert mode(ours.remains) == 0o710


@pytest.mark.parametrize("name", ["d" * 120, "a|b", "a\nb"], ids=["long", "pipe", "newline"])
def test_a_temporary_folder_whose_path_cannot_be_sent(short_dir, tmpdir_is, name):
    folder = short_dir / name
    folder.mkdir()
    tmpdir_is(folder)
    made = listen(socket_dir=None, group=None, own_dir=None)
    with made.socket:
        assert made.remains.parent == Path("/tmp")
        assert list(folder.iterdir()) == []
        assert made.remark is not None
        assert made.remark.endswith("; the socket is in /tmp instead")
        made.path.unlink()
        made.remains.rmdir()


def test_the_launchers_folder_is_left_alone_when_its_name_is_too_long(short_dir):
    folder = short_dir / ("d" * 120)
    folder.mkdir()
    made = listen(socket_dir=None, group=None, own_dir=folder)
    with made.socket:
        assert made.remains.parent == Path("/tmp")
        assert folder.is_dir()
        made.path.unlink()
        made.remains.rmdir()


def test_the_longest_path(short_dir):
    folder = short_dir / ("d" * (MAX_PATH_BYTES - len(str(short_dir)) - 1 - 23))
    folder.mkdir()
    made = listen(socket_dir=str(folder), group=None, own_dir=None)
    with made.socket:
        assert len(os.fsencode(made.path)) == MAX_PATH_BYTES
    longer = folder.rename(f"{folder}d")
    with pytest.raises(SocketError, match="would have 108 bytes, of which 107 are allowed"):
        listen(socket_dir=str(longer), group=None, own_dir=None)


def test_no_such_folder():
    with pytest.raises(SocketError) as caught:
        listen(socket_dir="/nowhere", group=None, own_dir=None)
    assert caught.value.code == "socket"
    assert str(caught.value).startswith("cannot listen on the Unix socket /nowhere/plugin")
    assert str(caught.value).endswith(f": {os.strerror(errno.ENOENT)}")


def test_no_such_group(short_dir):
    with pytest.raises(SocketError) as caught:
        listen(socket_dir=str(short_dir), group="no-such-group", own_dir=None)
    assert str(caught.value) == "PLUGIN_UNIX_SOCKET_GROUP: there is no group 'no-such-group'"
    assert list(short_dir.iterdir()) == []


@pytest.fixture
def dead(short_dir, tmpdir_is):
    """Make the folder of a process that was killed: nobody holds it any more."""
    made = short_dir / "goplugin-dead"
    made.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made / "plugin00"))
    return made


def test_the_folder_of_a_killed_process_is_swept(short_dir, dead):
    sweep(short_dir)
    assert dead.exists()  # It may belong to a start that is a moment old.
    sweep(short_dir, now=time.time() + 61)
    assert list(short_dir.iterdir()) == []


def test_the_folder_of_a_living_process_is_not(short_dir, tmpdir_is):
    tmpdir_is(short_dir)
    made = listen(socket_dir=None, group=None, own_dir=None)
    with made.socket:
        sweep(short_dir, now=time.time() + 61)
        assert made.path.is_socket()


def test_what_is_not_ours_is_not_swept(short_dir, dead):
    (dead / "notes").touch()
    (short_dir / "goplugin-file").touch()
    (short_dir / "another").mkdir()
    target = short_dir / "target"
    target.mkdir()
    (target / "plugin").touch()
    (short_dir / "goplugin-link").symlink_to(target)
    sweep(short_dir, now=time.time() + 61)
    assert (dead / "notes").exists()
    assert (target / "plugin").exists()
    assert len(list(short_dir.iterdir())) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_not_swept(short_dir, dead):
    os.chown(dead, 65534, 65534)
    sweep(short_dir, now=time.time() + 61)
    assert (dead / "plugin00").is_socket()


def test_a_temporary_folder_that_is_not_there(tmpdir_is):
    tmpdir_is("/nowhere")
    with pytest.raises(SocketError) as caught:
        listen(socket_dir=None, group=None, own_dir=None)
    assert str(caught.value) == (
        "cannot make a folder for the Unix socket in the temporary folder: "
        f"{os.strerror(errno.ENOENT)} (TMPDIR chooses another one)"
    )
