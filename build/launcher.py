"""What the launcher says when it cannot start the program.

Hosts log a plugin's plain lines at Debug, which nobody sees, unless they begin with a level in
brackets. What they show instead guesses at wrong architectures and missing libraries. So the texts
for what operators do meet (a TMPDIR that is full, read-only or mounted noexec) are replaced, in
place, by others of at most the same length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {
    # Before each message but one, the program's name: nothing of it is printed any more.
    b"%s: ": b"%.0s",
    # The reason that follows is "Invalid argument" when a file could not be written whole.
    b"tar_extract_all() failed": b"[ERROR] TMPDIR is full?",
    b"Failed to create temporary directory in %s": b"[ERROR] cannot make a folder in TMPDIR %s",
    b"Failed to open %s": b"[ERROR] open %s",
    b"Failed to execv() %s: %m\n": b"[ERROR] can't run %s: %m\n",
}
"""Format strings of printf(3): what the launcher has, and what takes its place."""


def speak_up(launcher: Path) -> None:
    """Replace the launcher's texts.

    Raises:
        ValueError: a text is not there exactly once, so this is not the launcher that was known.
    """
    content = launcher.read_bytes()
    for known, better in TEXTS.items():
        if content.count(known + b"\0") != 1:
            raise ValueError(f"staticx's launcher has changed: look for the successor of {known!r}")
        content = content.replace(known + b"\0", better.ljust(len(known), b"\0") + b"\0")
    launcher.write_bytes(content)
