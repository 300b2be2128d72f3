"""Environments are made only from lock files, completely or again from scratch."""

import ast

import pytest

from tests.scripts.loading import REPO, load

environment = load("scripts/_environment.py")


@pytest.fixture
def lock(tmp_path):
    file = tmp_path / "lock.txt"
    file.write_text("# nothing\n")
    return file


def test_old_interpreters_can_read_it():
    """Check that old interpreters can say what is missing, instead of failing on a line of code."""
    ast.parse((REPO / "scripts" / "_environment.py").read_text(), feature_version=(3, 7))


def test_made_and_current(tmp_path, lock, capsys):
    folder = tmp_path / "venv"
    assert not environment.is_current(folder, lock)
    environment.make(folder, lock)
    assert environment.is_current(folder, lock)
    assert "lock.txt" in capsys.readouterr().err


def test_another_lock_file_is_not_current(tmp_path, lock):
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / environment.STAMP).write_text(environment.fingerprint(lock))
    assert environment.is_current(folder, lock)
    lock.write_text("# something\n")
    assert not environment.is_current(folder, lock)


def test_nothing_is_installed_without_a_hash(tmp_path, lock, capfd):
    lock.write_text(f"requests==2.34.2\nhpack==4.2.0 --hash=sha256:{'0' * 64}\n")
    folder = tmp_path / "venv"
    with pytest.raises(environment.EnvironmentUnavailableError, match="could not install"):
        environment.make(folder, lock)
    assert "hash" in capfd.readouterr().err
    assert not environment.is_current(folder, lock)
