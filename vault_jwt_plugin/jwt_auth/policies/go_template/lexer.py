"""Cut a policy template into tokens. Mirrors Go's text/template/parse/lex.go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

KEYWORDS = frozenset(
    (
        *("block", "break", "continue", "define", "else", "end"),
        *("if", "nil", "range", "template", "with"),
    )
)
"""Words of the language that are no function names."""

_SPACES = " \t\r\n"
_WORD_ENDS = frozenset(" \t\r\n.,|:)(")
# Wrong numbers pass here and are refused, with their spelling, when they are converted.
_NUMBER = re.compile(r"[+-]?(?:[0-9.]|[eE][+-]|\w)*")


class Kind(Enum):
    """The kinds of tokens."""

    TEXT = "text"
    OPEN = "{{"
    CLOSE = "}}"
    SPACE = "a space"
    WORD = "a function name"
    KEYWORD = "a keyword"
    BOOL = "a boolean"
    FIELD = "a field"
    VARIABLE = "a variable"
    DOT = "."
    NUMBER = "a number"
    STRING = "a string"
    PIPE = "|"
    LEFT_PAREN = "("
    RIGHT_PAREN = ")"
    DECLARE = ":="
    ASSIGN = "="
    OTHER = "a character"
    END = "the end of the template"


_SIGNS = {
    "(": Kind.LEFT_PAREN,
    ")": Kind.RIGHT_PAREN,
    "|": Kind.PIPE,
    "=": Kind.ASSIGN,
    ":": Kind.DECLARE,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its spelling, and where it begins, in characters counted from 0."""

    kind: Kind
    text: str
    position: int


class MalformedTemplateError(Exception):
    """The template is wrong. Becomes a `TemplateSyntaxError`, which knows the policy.

    Attributes:
        reason: what is wrong.
        position: where, in characters counted from 0.
        construct: the word or sign that is refused.
    """

    def __init__(self, reason: str, *, position: int, construct: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position
        self.construct = construct


class Lexer:
    """Cut one template into tokens."""

    def __init__(self, template: str) -> None:
        self._input = template
        self._at = 0
        self._parens = 0
        self._tokens: list[Token] = []

    def tokens(self) -> list[Token]:
        """Return all tokens, `Kind.END` last.

        Raises:
            MalformedTemplateError: an action, comment, string or parenthesis is not closed, or
                holds a character that has no place there.
        """
        while self._text():
            while self._inside():
                pass
        self._emit(Kind.END, self._at)
        return self._tokens

    def _emit(self, kind: Kind, start: int) -> None:
        self._tokens.append(Token(kind, self._input[start : self._at], start))

    def _fault(self, reason: str, at: int) -> MalformedTemplateError:
        return MalformedTemplateError(reason, position=at, construct=self._input[at : at + 1])

    def _text(self) -> bool:
        """Read text up to an action, without comments; return False at the template's end."""
        while True:
            start = self._at
            opening = self._input.find("{{", start)
            end = len(self._input) if opening < 0 else opening
            self._at = end
            inside = opening + 2
            trims = self._input[inside : inside + 1] == "-" and self._is_space(inside + 1)
            if opening >= 0 and trims:
                self._at = start + len(self._input[start:end].rstrip(_SPACES))
            if self._at > start:
                self._emit(Kind.TEXT, start)
            if opening < 0:
                return False
            self._at = inside + 2 if trims else inside
            if not self._input.startswith("/*", self._at):
                self._tokens.append(Token(Kind.OPEN, "{{", opening))
                self._parens = 0
                return True
            self._comment(opening)

    def _comment(self, opening: int) -> None:
        close = self._input.find("*/", self._at + 2)
        if close < 0:
            raise self._fault("the comment is not closed", opening)
        self._at = close + 2
        if not self._close():
            raise self._fault("a comment must end right before the closing braces", opening)

    def _close(self) -> bool:
        """Pass closing braces, with the spaces that ` -}}` trims."""
        trims = self._is_space(self._at) and self._input.startswith("-}}", self._at + 1)
        if not trims and not self._input.startswith("}}", self._at):
            return False
        self._at += 4 if trims else 2
        if trims:
            while self._is_space(self._at):
                self._at += 1
        return True

    def _is_space(self, position: int) -> bool:
        return position < len(self._input) and self._input[position] in _SPACES

    def _inside(self) -> bool:
        """Read one token of an action; return False when the action is closed."""
        start = self._at
        if self._close():
            if self._parens:
                raise self._fault("a parenthesis is not closed", start)
            self._tokens.append(Token(Kind.CLOSE, "}}", start))
            return False
        if start == len(self._input):
            raise self._fault("the braces are not closed", start)
        character = self._input[start]
        if character in _SPACES:
            self._space()
        elif character in '"`':
            self._quoted(character)
        elif character == "$" or (character == "." and not self._digit(start + 1)):
            self._field(Kind.VARIABLE if character == "$" else Kind.FIELD)
        elif character in "+-." or character in "0123456789":
            self._number()
        elif _is_letter(character):
            self._word()
        else:
            self._sign(character)
        return True

    def _digit(self, position: int) -> bool:
        return self._input[position : position + 1] in set("0123456789")

    def _space(self) -> None:
        start = self._at
        while self._is_space(self._at):
            self._at += 1
        if self._input.startswith("-}}", self._at):
            self._at -= 1  # the last space belongs to the trim marker
        if self._at > start:
            self._emit(Kind.SPACE, start)

    def _quoted(self, quote: str) -> None:
        start = self._at
        self._at += 1
        while self._input[self._at : self._at + 1] != quote:
            if quote != "`" and self._input.startswith("\\", self._at):
                self._at += 1
            ended = self._at >= len(self._input)
            if ended or (quote != "`" and self._input[self._at] == "\n"):
                raise self._fault("a quotation is not closed", start)
            self._at += 1
        self._at += 1
        self._emit(Kind.STRING, start)

    def _letters(self) -> None:
        """Pass a name, and check that the next character may follow one."""
        while self._at < len(self._input) and _is_letter(self._input[self._at]):
            self._at += 1
        rest = self._input[self._at : self._at + 1]
        if rest and rest not in _WORD_ENDS and not self._input.startswith("}}", self._at):
            raise self._fault(f"unexpected {_shown(rest)} after a name", self._at)

    def _field(self, kind: Kind) -> None:
        start = self._at
        self._at += 1
        self._letters()
        alone = self._at == start + 1 and kind is Kind.FIELD
        self._emit(Kind.DOT if alone else kind, start)

    def _word(self) -> None:
        start = self._at
        self._letters()
        word = self._input[start : self._at]
        if word in KEYWORDS:
            self._emit(Kind.KEYWORD, start)
        else:
            self._emit(Kind.BOOL if word in {"true", "false"} else Kind.WORD, start)

    def _number(self) -> None:
        start = self._at
        match = _NUMBER.match(self._input, start)
        self._at = start if match is None else match.end()
        following = self._input[self._at : self._at + 1]
        if following and following in "+-":
            raise self._fault("this number is not supported", start)
        self._emit(Kind.NUMBER, start)

    def _sign(self, character: str) -> None:
        start = self._at
        self._at += 1
        if character == "(":
            self._parens += 1
        elif character == ")":
            self._parens -= 1
            if self._parens < 0:
                raise self._fault("a parenthesis is closed that was not opened", start)
        elif character == ":":
            if not self._input.startswith("=", self._at):
                raise self._fault("':' must be followed by '='", start)
            self._at += 1
        elif character == "'":
            raise self._fault(
                "a character in single quotes is not supported; write a string in double quotes",
                start,
            )
        elif not (character.isascii() and character.isprintable()):
            raise self._fault(f"unexpected {_shown(character)}", start)
        self._emit(_SIGNS.get(character, Kind.OTHER), start)


def _is_letter(character: str) -> bool:
    """Return whether Go's isAlphaNumeric is true: letters, decimal digits, underscore."""
    return character == "_" or character.isalpha() or character.isdecimal()


def _shown(character: str) -> str:
    return f'"{character}"' if character.isprintable() else f"U+{ord(character):04X}"
