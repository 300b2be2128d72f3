"""Virtual environments made from hashed lock files; `.venv`, which this checkout's scripts run in.

Standard library only, and no syntax newer than Python 3.7, so that an old interpreter is told what
is missing instead of failing on a line of code. A script begins with::

    import _environment

    _environment.enter()

which makes the environment when its lock file changed, and runs the script again inside it.
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
    """The folder for what is made once per machine: $XDG_CACHE_HOME or ~/.cache, then our name."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vault-jwt-plugin"


@contextlib.contextmanager
def machine_lock(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name` (a file in the cache folder) while the body runs.

    It makes what is made once per machine or checkout safe when two scripts start together. The
    kernel drops it with the process, however that ends.
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
    """What an environment depends on: the lock file's bytes and the interpreter's version."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"sha256 {digest}, Python {sys.version_info[0]}.{sys.version_info[1]}\n"


def is_current(folder: Path, lock: Path) -> bool:
    """Whether the environment was made, to the end, from the lock file as it now is."""
    try:
        made_from = (folder / STAMP).read_text()
        return made_from == fingerprint(lock) and (folder / "bin" / "python").exists()
    except OSError:
        return False


def make(folder: Path, lock: Path) -> None:
    """Make an environment anew from a lock file.

    Args:
        folder: Of the environment; what is there goes.
        lock: A requirements file with hashes.

    Raises:
        EnvironmentUnavailableError: The interpreter has no `venv`, or an installation failed.
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
    # Last: an environment without it is an unfinished one, and is made anew next time.
    (folder / STAMP).write_text(fingerprint(lock))


def _newer_python() -> str | None:
    """The path of a Python that is new enough, from PATH, or None."""
    found = (shutil.which(f"python3.{minor}") for minor in (14, 13, 12, 11))
    return next(filter(None, found), None)


def _run_again(python: str) -> None:
    """Become the calling script, run by another interpreter."""
    os.execv(python, [python, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])


def enter() -> None:
    """Return inside the environment: make it if need be, and run the calling script again in it."""
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
        # The lock file changed: leave by way of the interpreter that made this environment, since
        # no process can replace the environment it runs in.
        _run_again(getattr(sys, "_base_executable", sys.executable))
    try:
        with machine_lock("venv-" + hashlib.sha256(str(REPO).encode()).hexdigest()[:16]):
            if not is_current(VENV, LOCK):
                make(VENV, LOCK)
    except EnvironmentUnavailableError as error:
        sys.exit(str(error))
    _run_again(str(VENV / "bin" / "python"))
