"""Callers' text in messages: quoted, shortened, and never one that a host acts on.

Hosts compare and search error texts: OpenBao sends a whole request again when a text contains one
of four phrases, and both restart a plugin that answers `connection is shut down`. A caller who can
put text into our messages could trigger either.
"""

from __future__ import annotations

MAX_QUOTED_CHARS = 128
"""The most characters of a caller's text that are shown."""

READ_ONLY_PHRASES = (
    "cannot write to readonly storage",
    "please forward to the active node",
    "node is not the leader",
    "Vault is in standby mode",
)
"""OpenBao forwards a request to the active node if an error text contains any of these."""

_OTHER_PHRASES = (
    "connection is shut down",
    "permission denied",
    "invalid request",
    "invalid credentials",
    "relative paths not supported",
    "unsupported operation",
    "unsupported path",
    "functionality on this path has been removed",
    "upstream rate limited",
    "rate limit quota exceeded",
    "lease count quota exceeded",
    "required index state not present",
    "overloaded, try again later",
)

HOST_PHRASES = READ_ONLY_PHRASES + _OTHER_PHRASES
"""Every phrase that a host acts on: most only as the whole text, some anywhere in it."""

_FOLDED = tuple(phrase.casefold() for phrase in HOST_PHRASES)

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def holds_host_phrase(text: str) -> bool:
    """Return whether `text` contains a phrase that a host acts on, ignoring case."""
    folded = text.casefold()
    return any(phrase in folded for phrase in _FOLDED)


def quoted(text: str) -> str:
    """Return a caller's text in double quotes, made safe for a message.

    A text longer than `MAX_QUOTED_CHARS` is cut and ends in `…`; one with a phrase that hosts act
    on is
    left out. Control and unprintable characters are escaped, so that a text cannot forge log lines
    or
    terminal sequences.

    Args:
        text: what the caller sent; never a token, a code or a secret.
    """
    cut = text[:MAX_QUOTED_CHARS]
    if holds_host_phrase(cut):
        return "(text left out)"
    shown = "".join(
        _ESCAPES.get(char) or (char if char.isprintable() else f"\\u{ord(char):04x}")
        for char in cut
    )
    return f'"{shown}…"' if len(text) > MAX_QUOTED_CHARS else f'"{shown}"'
