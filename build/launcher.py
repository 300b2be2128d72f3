"""Replace the launcher's messages for a program that it cannot start.

Hosts log a plugin's plain lines at Debug, which nobody sees, unless they begin with a level in
brackets. Instead, the hosts guess at wrong architectures and missing libraries. So the messages for
the usual problems (a TMPDIR that is full, read-only or mounted noexec) are replaced in place by
others of at most the same length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {
    # All messages but one start with the program's name; it is no longer printed.
    b"%s: ": b"%.0s",
    # The reason that follows is "Invalid argument" if a file could not be written whole.
    b"tar_extract_all() failed": b"[ERROR] TMPDIR is full?",
    b"Failed to create temporary directory in %s": b"[ERROR] cannot make a folder in TMPDIR %s",
    b"Failed to open %s": b"[ERROR] open %s",
    b"Failed to execv() %s: %m\n": b"[ERROR] can't run %s: %m\n",
}
"""Format strings of printf(3): the launcher's own, and their replacements."""


def speak_up(launcher: Path) -> None:
    """Replace the launcher's messages.

    Raises:
        ValueError: a message is not there exactly once, so this launcher is not the known one.
    """
    content = launcher.read_bytes()
    for known, better in TEXTS.items():
        if content.count(known + b"\0") != 1:
            raise ValueError(f"staticx's launcher has changed: look for the successor of {known!r}")
        content = content.replace(known + b"\0", better.ljust(len(known), b"\0") + b"\0")
    launcher.write_bytes(content)
