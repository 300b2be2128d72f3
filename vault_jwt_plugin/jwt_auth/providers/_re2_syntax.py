r"""The syntax of Go's `regexp` (`regexp/syntax`, Perl flags), parsed into a tree.

Refused though Go knows it: Unicode scripts (`\p{Greek}`), which Python has no
table of; general categories (`\p{Lu}`) are there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from vault_jwt_plugin.jwt_auth.providers._re2_chars import CATEGORIES, PERL, POSIX, CharSet

MAX_PATTERN_CHARS = 4096
"""Longest pattern, in characters."""

MAX_DEPTH = 100
"""Nesting of groups, in levels."""

MAX_REPEAT = 1000
"""Largest count of a repetition, as in Go."""


class PatternError(ValueError):
    """A text that is no pattern; says why, and quotes nothing."""


class Edge(Enum):
    """Assertions about a position."""

    TEXT_START = r"\A"
    TEXT_END = r"\z"
    LINE_START = "(?m)^"
    LINE_END = "(?m)$"
    WORD_BOUNDARY = r"\b"
    NO_WORD_BOUNDARY = r"\B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A condition that consumes nothing."""

    edge: Edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One after the other; empty matches everywhere."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """One of several."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Again and again: `least` times at least, `most` at most; None = without limit."""

    node: Node
    least: int
    most: int | None


Node = CharSet | Assertion | Sequence | Alternatives | Repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flags:
    ignore_case: bool = False
    lines: bool = False
    dot_all: bool = False


_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_EDGES = {
    "A": Edge.TEXT_START,
    "z": Edge.TEXT_END,
    "b": Edge.WORD_BOUNDARY,
    "B": Edge.NO_WORD_BOUNDARY,
}
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")


def parse(text: str) -> Node:
    """Parse a pattern.

    Raises:
        PatternError: it is none.
    """
    if len(text) > MAX_PATTERN_CHARS:
        raise PatternError(f"it is longer than {MAX_PATTERN_CHARS} characters")
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; one method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._flags = _Flags()

    def whole(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._text):
            self._fail("unexpected )")
        return node

    def _fail(self, problem: str) -> NoReturn:
        raise PatternError(f"{problem} (at character {self._at + 1})")

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self, expected: str) -> bool:
        if not self._text.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _next(self, missing: str) -> str:
        char = self._peek()
        if not char:
            self._fail(missing)
        self._at += 1
        return char

    def _alternatives(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Alternatives(branches=tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (char := self._peek()) and char not in "|)":
            if self._take("\\Q"):
                end = self._text.find("\\E", self._at)
                literal = self._text[self._at : end if end >= 0 else None]
                self._at += len(literal) + (2 if end >= 0 else 0)
                parts += map(self._literal, literal)
                if parts:
                    parts[-1] = self._repeated(parts[-1])
                continue
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom))
            elif self._peek() and self._peek() in "*+?":
                self._fail("missing argument to repetition operator")
        return parts[0] if len(parts) == 1 else Sequence(parts=tuple(parts))

    def _repeated(self, atom: Node) -> Node:
        counts = self._repetition()
        if counts is None:
            return atom
        self._take("?")
        self._check_no_repetition()
        least, most = counts
        return Repeat(node=atom, least=least, most=most)

    def _check_no_repetition(self) -> None:
        before = self._at
        if self._repetition() is not None:
            self._at = before
            self._fail("invalid nested repetition operator")

    def _repetition(self) -> tuple[int, int | None] | None:
        """The counts of an operator, if there is one."""
        for operator, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(operator):
                return counts
        if self._peek() != "{":
            return None
        before = self._at
        self._at += 1
        least = self._count()
        most = least
        if least is not None and self._take(","):
            most = None if self._peek() == "}" else self._count()
            if most is None and self._peek() != "}":
                least = None
        if least is None or not self._take("}"):
            # Not a repetition: a brace like any other character, as in Go.
            self._at = before
            return None
        if least > MAX_REPEAT or (most is not None and not least <= most <= MAX_REPEAT):
            self._fail("invalid repeat count")
        return least, most

    def _count(self) -> int | None:
        start = self._at
        while self._peek() and self._peek() in "0123456789":
            self._at += 1
        digits = self._text[start : self._at]
        if not digits or (digits[0] == "0" and len(digits) > 1):
            return None
        return int(digits) if len(digits) <= 5 else MAX_REPEAT + 1

    def _atom(self) -> Node | None:
        """One thing that can be repeated; None for what only sets flags."""
        char = self._next("missing expression")
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            newline = () if self._flags.dot_all else ((10, 10),)
            return CharSet(ranges=newline, negated=True)
        if char == "^":
            return Assertion(edge=Edge.LINE_START if self._flags.lines else Edge.TEXT_START)
        if char == "$":
            return Assertion(edge=Edge.LINE_END if self._flags.lines else Edge.TEXT_END)
        if char in "*+?":
            self._at -= 1
            self._fail("missing argument to repetition operator")
        if char != "\\":
            return self._literal(char)
        if self._peek() in _EDGES:
            return Assertion(edge=_EDGES[self._next("")])
        return self._escaped_set() or self._points(self._escaped_char())

    def _literal(self, char: str) -> Node:
        return self._points(ord(char))

    def _points(self, point: int) -> CharSet:
        return CharSet(ranges=((point, point),), folded=self._flags.ignore_case)

    def _group(self) -> Node | None:
        outer = self._flags
        if self._take("?"):
            if self._take("P<") or self._take("<"):
                self._group_name()
            elif not self._group_flags():
                return None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail("groups are nested too deep")
        node = self._alternatives()
        if not self._take(")"):
            self._fail("missing closing )")
        self._depth -= 1
        self._flags = outer
        return node

    def _group_name(self) -> None:
        end = self._text.find(">", self._at)
        name = self._text[self._at : end] if end >= 0 else ""
        if not (name.isascii() and name.replace("_", "a").isalnum()):
            self._fail("invalid named capture")
        self._at = end + 1

    def _group_flags(self) -> bool:
        """Read `i`, `m`, `s`, `U`; whether a group follows (`:`), or the flags hold from here."""
        on = True
        changed = dict.fromkeys(("ignore_case", "lines", "dot_all"), None)
        names = {"i": "ignore_case", "m": "lines", "s": "dot_all", "U": ""}
        signs = 0
        seen = False
        while (char := self._next("missing closing )")) not in ":)":
            if char == "-" and not signs:
                on, signs, seen = False, 1, False
            elif char in names:
                seen = True
                if names[char]:
                    changed[names[char]] = on
            else:
                self._fail("invalid or unsupported Perl syntax")
        if signs and not seen:
            self._fail("invalid or unsupported Perl syntax")
        flags = {name: value for name, value in changed.items() if value is not None}
        self._flags = _Flags(
            ignore_case=flags.get("ignore_case", self._flags.ignore_case),
            lines=flags.get("lines", self._flags.lines),
            dot_all=flags.get("dot_all", self._flags.dot_all),
        )
        return char == ":"

    def _escaped_set(self) -> CharSet | None:
        r"""The set of `\d`, `\pL` and the like after a backslash; None if it is none."""
        char = self._peek()
        if char and char in "dswDSW":
            self._at += 1
            return CharSet(
                ranges=PERL[char.lower()], negated=char.isupper(), folded=self._flags.ignore_case
            )
        if not char or char not in "pP":
            return None
        self._at += 1
        name = self._next("invalid character class range")
        if name == "{":
            end = self._text.find("}", self._at)
            if end < 0:
                self._fail("invalid character class range")
            name = self._text[self._at : end]
            self._at = end + 1
        negated = (char == "P") is not name.startswith("^")
        name = name.removeprefix("^")
        folded = self._flags.ignore_case
        if name == "Any":
            return CharSet(ranges=((0, sys.maxunicode),), negated=negated, folded=folded)
        if name[:1] not in CATEGORIES or name[1:] not in ("", *CATEGORIES[name[0]]):
            self._fail("unknown or unsupported Unicode class")
        return CharSet(category=name, negated=negated, folded=folded)

    def _escaped_char(self) -> int:
        """The code point that stands after a backslash."""
        char = self._next("trailing backslash at end of expression")
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "x":
            return self._hexadecimal()
        # Octal; a single digit other than 0 would be a back-reference, which RE2 has none of.
        if char == "0" or (char in _OCTAL and self._peek() in _OCTAL):
            digits = char
            while len(digits) < 3 and self._peek() in _OCTAL:
                digits += self._next("")
            return int(digits, 8)
        if not char.isascii() or char.isalnum():
            self._fail("invalid escape sequence")
        return ord(char)

    def _hexadecimal(self) -> int:
        if self._take("{"):
            end = self._text.find("}", self._at)
            digits = self._text[self._at : end] if end >= 0 else ""
            self._at = end + 1
        else:
            digits = self._peek(2)
            self._at += 2
            if len(digits) != 2:
                digits = ""
        if not digits or len(digits) > 8 or not _HEX.issuperset(digits):
            self._fail("invalid escape sequence")
        point = int(digits, 16)
        if point > sys.maxunicode:
            self._fail("invalid escape sequence")
        return point

    def _class(self) -> CharSet:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        parts: list[CharSet] = []
        first = True
        while first or self._peek() != "]":
            first = False
            named = self._class_set()
            if named is not None:
                parts.append(named)
                continue
            low = high = self._class_char()
            # A hyphen before the end is itself.
            if self._peek() == "-" and self._peek(2) not in {"-", "-]"}:
                self._at += 1
                high = self._class_char()
                if high < low:
                    self._fail("invalid character class range")
            ranges.append((low, high))
        self._at += 1
        return CharSet(
            ranges=tuple(ranges),
            parts=tuple(parts),
            negated=negated,
            folded=self._flags.ignore_case,
        )

    def _class_set(self) -> CharSet | None:
        """A named set within a class, if one is here."""
        if self._peek(2) == "[:":
            end = self._text.find(":]", self._at + 2)
            if end >= 0:
                name = self._text[self._at + 2 : end]
                self._at = end + 2
                plain = name.removeprefix("^")
                if plain not in POSIX:
                    self._fail("invalid character class range")
                return CharSet(
                    ranges=POSIX[plain], negated=plain != name, folded=self._flags.ignore_case
                )
        if self._peek() != "\\":
            return None
        self._at += 1
        named = self._escaped_set()
        if named is None:
            self._at -= 1
        return named

    def _class_char(self) -> int:
        char = self._next("missing closing ]")
        return self._escaped_char() if char == "\\" else ord(char)
