"""Make virtual environments from hashed lock files, such as the `.venv` that these scripts run in.

This uses only the standard library and no syntax newer than Python 3.7, so that an old interpreter
says what is missing instead of failing on a line of code. A script begins with::

    import _environment

    _environment.enter()

which makes the environment if its lock file changed, and runs the script again inside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parent.parent
VENV = REPO / ".venv"
LOCK = REPO / "requirements" / "dev.txt"
STAMP = "made-from"
OLDEST = (3, 11)
"""The oldest Python that the project runs on."""


class EnvironmentUnavailableError(Exception):
    """The environment cannot be made. The text says what to do about it."""


def cache_folder() -> Path:
    """Return our folder in $XDG_CACHE_HOME or ~/.cache, for what is made once per machine."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vault-jwt-plugin"


@contextlib.contextmanager
def machine_lock(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name` (a file in the cache folder) while the body runs.

    It protects what is made once per machine or checkout when two scripts start together. The
    kernel
    releases it with the process, however that ends.
    """
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"waiting for another process that makes {name}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fingerprint(lock: Path) -> str:
    """Return what an environment depends on: the lock file and the interpreter's version."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"sha256 {digest}, Python {sys.version_info[0]}.{sys.version_info[1]}\n"


def is_current(folder: Path, lock: Path) -> bool:
    """Return whether the environment was completed from the lock file as it is now."""
    try:
        made_from = (folder / STAMP).read_text()
        return made_from == fingerprint(lock) and (folder / "bin" / "python").exists()
    except OSError:
        return False


def make(folder: Path, lock: Path) -> None:
    """Make an environment from scratch from a lock file.

    Args:
        folder: the environment's folder; its old contents are removed.
        lock: a requirements file with hashes.

    Raises:
        EnvironmentUnavailableError: the interpreter has no `venv`, or an installation failed.
    """
    name = os.path.relpath(lock, REPO)
    print(f"making {os.path.relpath(folder, REPO)} from {name}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    created = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False
    )
    if created.returncode != 0:
        raise EnvironmentUnavailableError(
            f"{sys.executable} cannot make a virtual environment. Install its venv module (Debian, "
            "Ubuntu: apt install python3-venv) and run this again. It said:\n"
            + (created.stdout + created.stderr).strip()
        )
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    install += ["--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    if subprocess.run(install, check=False).returncode != 0:
        raise EnvironmentUnavailableError(
            f"pip could not install {name}; its message is above. It needs the "
            "package index that pip is configured for (PIP_INDEX_URL, pip.conf)."
        )
    # Written last: an environment without it is incomplete and is made again next time.
    (folder / STAMP).write_text(fingerprint(lock))


def _newer_python() -> str | None:
    """Return the path of a Python on PATH that is new enough, or None."""
    found = (shutil.which(f"python3.{minor}") for minor in (14, 13, 12, 11))
    return next(filter(None, found), None)


def _run_again(python: str) -> None:
    """Replace this process by the calling script, run by another interpreter."""
    os.execv(python, [python, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])


def enter() -> None:
    """Return inside the environment: make it if needed, and run the calling script again in it."""
    if sys.version_info < OLDEST:
        found = _newer_python()
        if found is None:
            sys.exit(
                f"{Path(sys.argv[0]).name} needs Python {OLDEST[0]}.{OLDEST[1]} or later; this is "
                f"{sys.version.split()[0]}, and PATH has no later one."
            )
        _run_again(found)
    if Path(sys.prefix).resolve() == VENV.resolve():
        if is_current(VENV, LOCK):
            sys.path.insert(0, str(REPO))
            return
        # The lock file changed. Use the interpreter that made this environment, since no process
        # can replace
        # the environment it runs in.
        _run_again(getattr(sys, "_base_executable", sys.executable))
    try:
        with machine_lock("venv-" + hashlib.sha256(str(REPO).encode()).hexdigest()[:16]):
            if not is_current(VENV, LOCK):
                make(VENV, LOCK)
    except EnvironmentUnavailableError as error:
        sys.exit(str(error))
    _run_again(str(VENV / "bin" / "python"))
