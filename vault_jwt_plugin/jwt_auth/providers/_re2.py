r"""Regular expressions as Go's `regexp` reads them: RE2 itself, which matches in linear time.

Python's `re` reads another syntax (`$`, `\w`, look-around) and can take
exponential time; group names come from outside.
"""

from __future__ import annotations

__all__ = ["Pattern", "PatternError"]

MAX_PATTERN_CHARS = 4096
"""Longest pattern, in characters."""

MAX_MEMORY = 1 << 20
"""Bytes that a compiled pattern may take, and again the states that matching makes of it."""


class PatternError(ValueError):
    """What is wrong with a pattern, quoting the part of it that is."""


class Pattern:
    """A compiled pattern. Several threads may match with it.

    Args:
        text: in the syntax of Go's `regexp`.

    Raises:
        PatternError: it is none, is too large, or the library is not installed.
    """

    def __init__(self, text: str) -> None:
        try:
            import re2
        except ImportError:
            raise PatternError("patterns need the library google-re2, which is missing") from None
        if len(text) > MAX_PATTERN_CHARS:
            raise PatternError(f"it is longer than {MAX_PATTERN_CHARS} characters")
        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.never_capture = True
        # Else it writes them to stderr by itself.
        options.log_errors = False
        try:
            self._search = re2.compile(_utf8(text), options).search
        except re2.error as error:
            raise PatternError(error.args[0].decode("utf-8", "replace")) from None
        # It remembers 128 patterns, each with its states: of those nobody uses any more, too.
        re2.purge()

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text (`MatchString`)."""
        return self._search(_utf8(text)) is not None


def _utf8(text: str) -> bytes:
    # Half of a surrogate pair becomes bytes that are no character, as in Go.
    return text.encode("utf-8", "surrogatepass")
