"""The OpenAPI templates (`role/{name}`) that a path's pattern stands for.

Mirrors `expandPattern` of `sdk/framework/openapi.go`.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\(\?P<(?P<group>\w+)>|\((?:\?:)?(?P<open>)|(?P<close>\))|(?P<bar>\|)|(?P<quest>\?)"
    r"|\\(?P<escaped>\W)|(?P<anchor>[\^$])|(?P<literal>[\w/-])"
)


class UnsupportedPatternError(ValueError):
    """A pattern that OpenAPI cannot express, such as a character class outside a named group."""


def expand(pattern: str) -> tuple[list[str], frozenset[str]]:
    """Return a pattern's OpenAPI templates: one for each choice of its `?` and `|`.

    A named group becomes `{name}`. Of two templates that differ only by an optional slash at the
    end,
    one is dropped (Go `expandPattern`).

    Returns:
        The templates, and the names of all named groups.

    Raises:
        UnsupportedPatternError: outside a named group there is something other than literals,
            groups,
            `?` and `|`.
    """
    parser = _PatternParser(pattern)
    templates = parser.alternatives(top=True)
    unique = dict.fromkeys(
        text for text, slash_at in templates if slash_at is None or slash_at != len(text)
    )
    return list(unique), frozenset(parser.captures)


# A template under construction, and its length just after an optional slash was added.
_Part = tuple[str, "int | None"]


class _PatternParser:
    """A recursive-descent parser for the few operators that a path's pattern needs."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self.captures: set[str] = set()

    def alternatives(self, *, top: bool = False) -> list[_Part]:
        """Read to the end of the group or pattern."""
        results: list[_Part] = []
        current: list[_Part] = [("", None)]
        while self._at < len(self._pattern):
            match = _TOKEN.match(self._pattern, self._at)
            if match is None:
                raise UnsupportedPatternError(self._pattern)
            self._at = match.end()
            kind = match.lastgroup
            if kind == "bar":
                results += current
                current = [("", None)]
            elif kind == "close" and not top:
                return results + current
            elif kind in ("close", "quest"):
                raise UnsupportedPatternError(self._pattern)
            elif kind != "anchor":
                current = _join(current, self._optional(self._piece(match)))
        if not top:
            raise UnsupportedPatternError(self._pattern)
        return results + current

    def _piece(self, match: re.Match[str]) -> list[_Part]:
        name = match.group("group")
        if name is not None:
            self._skip_group()
            self.captures.add(name)
            return [(f"{{{name}}}", None)]
        if match.group("open") is not None:
            return self.alternatives()
        return [(match.group("escaped") or match.group("literal"), None)]

    def _optional(self, piece: list[_Part]) -> list[_Part]:
        following = self._pattern[self._at : self._at + 1]
        if following == "?":
            self._at += 1
            with_slash: list[_Part] = [("/", 1)]
            return [("", None), *(with_slash if piece == [("/", None)] else piece)]
        if following in ("*", "+", "{"):
            raise UnsupportedPatternError(self._pattern)
        return piece

    def _skip_group(self) -> None:
        """Skip the inside of a named group, which never appears in a template."""
        depth = 1
        in_class = False
        while depth:
            if self._at >= len(self._pattern):
                raise UnsupportedPatternError(self._pattern)
            char = self._pattern[self._at]
            self._at += 2 if char == "\\" else 1
            if in_class:
                in_class = char != "]"
            elif char == "[":
                in_class = True
            elif char in "()":
                depth += 1 if char == "(" else -1


def _join(heads: list[_Part], tails: list[_Part]) -> list[_Part]:
    return [
        (head + tail, slash_at if not tail else _moved(tail_slash, len(head)))
        for tail, tail_slash in tails
        for head, slash_at in heads
    ]


def _moved(slash_at: int | None, by: int) -> int | None:
    return None if slash_at is None else slash_at + by
