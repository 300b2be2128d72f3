r"""Regular expressions as Go's `regexp` reads them: RE2 itself, which matches in linear time.

Python's `re` reads another syntax (`$`, `\w`, look-around) and can take
exponential time; group names come from outside.
"""

from __future__ import annotations

__all__ = ["Pattern", "PatternError"]

MAX_PATTERN_CHARS = 4096
"""Longest pattern, in characters."""

MAX_MEMORY = 1 << 20
"""Largest size of a compiled pattern, and of its states while matching, in bytes."""


class PatternError(ValueError):
    """A pattern is wrong; the text quotes the wrong part."""


class Pattern:
    """A compiled pattern, which several threads may use.

    Args:
        text: the pattern in the syntax of Go's `regexp`.

    Raises:
        PatternError: the pattern is invalid or too large, or the library is not installed.
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
        # Otherwise the library writes errors to stderr.
        options.log_errors = False
        try:
            self._search = re2.compile(_utf8(text), options).search
        except re2.error as error:
            raise PatternError(error.args[0].decode("utf-8", "replace")) from None
        # The library keeps 128 patterns with their states, even those no longer in use.
        re2.purge()

    def matches(self, text: str) -> bool:
        """Tell whether the pattern matches anywhere in a string (`MatchString`)."""
        return self._search(_utf8(text)) is not None


def _utf8(text: str) -> bytes:
    # Half of a surrogate pair becomes bytes that are no character, as in Go.
    return text.encode("utf-8", "surrogatepass")
