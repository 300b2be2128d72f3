"""The texts for a person, rather than a server, who starts the program."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_UNREADABLE = "$(sha256sum {file} | cut -d' ' -f1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The plugin's names, as people know them.

    Attributes:
        name: the command, which is also the usual file name: `vault-jwt-plugin`.
        version: canonical semantic version with `v`: `v0.1.0`.
        summary: what it is, a noun phrase without a full stop.
        plugin_type: the type under which a host registers it: `auth`.
        plugin_name: the usual name in the host's catalog: `jwt`.
    """

    name: str
    version: str
    summary: str
    plugin_type: str
    plugin_name: str

    def version_line(self) -> str:
        """Return the answer to `--version`, including its newline."""
        return f"{self.name} {self.version}\n"

    def explanation(self) -> str:
        """Explain what this is and how to register it, with the checksum of this program."""
        file = program_file()
        command = file.name if file is not None else self.name
        return (
            f"{self.name} {self.version} is {self.summary}. A server starts it and talks to it; "
            "started by hand it only says so. To register it, copy the file into the server's "
            "plugin directory (`plugin_directory` in its configuration) and run, with `bao` in "
            "place of `vault` on OpenBao:\n\n"
            f"    vault plugin register -sha256={_checksum(file, command)} "
            f"-command={command} -version={self.version} {self.plugin_type} {self.plugin_name}\n"
            f"    vault auth enable -path={self.plugin_name} {self.plugin_name}\n"
        )

    def help_text(self) -> str:
        """Return the answer to `--help`."""
        return (
            f"Usage: {self.name} [--help | --version]\n\n{self.explanation()}\n"
            "Options:\n"
            "    --help, -h    print this and exit\n"
            "    --version     print the version and exit\n"
        )


def program_file() -> Path | None:
    """Return the file that an operator would register, or None if there is none.

    That is the outermost file, because a host hashes only the file that it starts: the staticx
    wrapper,
    else PyInstaller's one-file program, else the console script.
    """
    wrapper = wrapped_by()
    if wrapper is not None:
        return wrapper
    if getattr(sys, "frozen", False):
        return Path(sys.executable)
    script = Path(sys.argv[0])
    # `python -m` leaves the path of __main__.py here, which a host cannot start.
    return script.absolute() if script.is_file() and script.suffix != ".py" else None


def wrapped_by() -> Path | None:
    """Return the static wrapper (staticx) around this program, or None.

    The variables are trusted only if this program lies in the folder that they name: a host that is
    itself wrapped passes its own variables on to us.
    """
    file = os.environ.get("STATICX_PROG_PATH", "")
    return Path(file) if file and bundle_dir() is not None else None


def bundle_dir() -> Path | None:
    """Return the folder into which the static wrapper unpacked us; None without a wrapper."""
    folder = os.environ.get("STATICX_BUNDLE_DIR", "")
    if not folder or not getattr(sys, "frozen", False):
        return None
    try:
        inside = Path(sys.executable).parent.samefile(folder)
    except OSError:
        return None
    return Path(folder) if inside else None


def _checksum(file: Path | None, command: str) -> str:
    if file is not None:
        try:
            with file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            pass
    return _UNREADABLE.format(file=command)
