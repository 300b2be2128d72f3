"""Whether a text is one RFC 5322 address, as Go's `net/mail.ParseAddress` reads it.

OpenBao's `check_valid_email` is that function, display names and comments
included: `Bob <bob@example.com>` is an address. Python's `email` package repairs
where this one refuses, so a claim could pass here and not there.
"""

from __future__ import annotations

import re
import socket
from typing import NoReturn

MAX_CHARS = 4096
"""Longest text that is looked at, in characters; longer ones are no address."""

_SPACE = " \t"
_SPECIALS = frozenset('()<>[]:;@\\,"')
_ENCODED_WORD = re.compile(r"=\?([^?]+)\?([BbQq])\?[^?]*\?=")
_CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})


class _NoAddressError(ValueError):
    """The text is no address."""


def is_mail_address(text: str) -> bool:
    """Whether `text` is one mailbox, or a group of exactly one."""
    if len(text) > MAX_CHARS:
        return False
    parser = _Parser(text)
    try:
        mailboxes = parser.address(in_group=False)
        parser.skip_comments()
    except _NoAddressError:
        return False
    return parser.at_end() and mailboxes == 1


def _refuse() -> NoReturn:
    raise _NoAddressError


def _is_visible(char: str) -> bool:
    return "!" <= char <= "~" or char >= "\x80"


def _is_atext(char: str, *, dot: bool = True) -> bool:
    return dot if char == "." else char not in _SPECIALS and _is_visible(char)


class _Parser:
    """Reads from the start of what is left of the text, as `addrParser` of `net/mail` does."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1

    def address(self, *, in_group: bool) -> int:
        """Read a mailbox or a group; how many mailboxes it held."""
        self._skip_space()
        if self.at_end():
            _refuse()
        start = self._at
        try:
            self._addr_spec()
        except _NoAddressError:
            self._at = start
        else:
            self._skip_space()
            if self._peek() == "(":
                self._name_comment()
            return 1
        if self._peek() != "<":
            self._phrase()
        self._skip_space()
        if not in_group and self._take(":"):
            return self._group()
        if not self._take("<"):
            _refuse()
        self._addr_spec()
        if not self._take(">"):
            _refuse()
        return 1

    def _group(self) -> int:
        mailboxes = 0
        self._skip_space()
        if self._take(";"):
            self.skip_comments()
            return 0
        while True:
            self._skip_space()
            mailboxes += self.address(in_group=True)
            self.skip_comments()
            if self._take(";"):
                self.skip_comments()
                return mailboxes
            if not self._take(","):
                _refuse()

    def _addr_spec(self) -> None:
        self._skip_space()
        if self._peek() == '"':
            if not self._quoted_string():
                _refuse()
        else:
            self._atom()
        if not self._take("@"):
            _refuse()
        self._skip_space()
        if self._peek() == "[":
            self._domain_literal()
        else:
            self._atom()

    def _atom(self, *, any_dots: bool = False) -> str:
        start = self._at
        while self._at < len(self._text) and _is_atext(self._text[self._at]):
            self._at += 1
        atom = self._text[start : self._at]
        if not atom:
            _refuse()
        if not any_dots and (atom.startswith(".") or atom.endswith(".") or ".." in atom):
            _refuse()
        return atom

    def _quoted_string(self) -> str:
        self._at += 1
        content = []
        escaped = False
        while not self.at_end():
            char = self._text[self._at]
            self._at += 1
            if escaped or char not in '\\"':
                if not _is_visible(char) and char not in _SPACE:
                    _refuse()
                content.append(char)
                escaped = False
            elif char == '"':
                return "".join(content)
            else:
                escaped = True
        _refuse()

    def _domain_literal(self) -> None:
        end = self._text.find("]", self._at)
        if end < 0:
            _refuse()
        literal = self._text[self._at + 1 : end]
        self._at = end + 1
        family = socket.AF_INET
        if literal.startswith("IPv6:"):
            family, literal = socket.AF_INET6, literal[len("IPv6:") :]
        try:
            socket.inet_pton(family, literal)
        except (OSError, ValueError):
            _refuse()

    def _phrase(self) -> None:
        words = 0
        while True:
            # obs-phrase: comments after the first word.
            if words:
                self.skip_comments()
            self._skip_space()
            if self.at_end():
                break
            start = self._at
            try:
                if self._peek() == '"':
                    self._quoted_string()
                else:
                    _check_encoded_word(self._atom(any_dots=True))
            except _NoAddressError:
                if not words:
                    raise
                self._at = start
                break
            words += 1

    def _name_comment(self) -> None:
        start = self._at
        self._comment()
        for word in self._text[start + 1 : self._at - 1].split():
            _check_encoded_word(word)

    def skip_comments(self) -> None:
        """Skip space and comments; an unclosed comment is no address."""
        self._skip_space()
        while self._peek() == "(":
            self._comment()
            self._skip_space()

    def _comment(self) -> None:
        depth = 0
        while not self.at_end():
            char = self._text[self._at]
            self._at += 1
            if char == "\\" and not self.at_end():
                self._at += 1
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if not depth:
                    return
        _refuse()


def _check_encoded_word(word: str) -> None:
    """RFC 2047: Go refuses an encoded word in a charset that it does not know."""
    match = _ENCODED_WORD.fullmatch(word)
    if match is not None and match.group(1).lower() not in _CHARSETS:
        _refuse()
