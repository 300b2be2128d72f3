"""The constants of a policy template: Go's numbers, characters and quoted texts.

Mirrors Go's text/template/parse/node.go (newNumber), exec.go (idealConstant) and strconv.
"""

from __future__ import annotations

import re
from math import isinf

from vault_jwt_plugin.jwt_auth.policies.go_template.values import from_bytes

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_INTEGER = re.compile(
    r"([+-]?)(?:0[xX]((?:_?[0-9a-fA-F])+)|0[oO]((?:_?[0-7])+)|0[bB]((?:_?[01])+)"
    r"|0((?:_?[0-7])+)|(0|[1-9](?:_?[0-9])*))"
)
_MAX_DIGITS = 64  # of an int64, in binary
_BASES = (16, 8, 2, 8, 10)
_DIGITS = r"[0-9](?:_?[0-9])*"
_DECIMAL = re.compile(
    rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"
)
_HEX_DIGITS = r"[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_HEX = re.compile(
    rf"[+-]?0[xX]_?(?:{_HEX_DIGITS}(?:\.(?:{_HEX_DIGITS})?)?|\.{_HEX_DIGITS})[pP][+-]?{_DIGITS}"
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE_ESCAPES = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


def number(source: str) -> tuple[int | float, int | None] | None:
    """The value of a number's spelling; None when it is not one that Go accepts.

    Returns:
        What it is where any value is taken, an int or a float by its spelling; and its value where
        an integer is taken, None when it has a fraction. A spelling whose integer does not fit
        int64 is not accepted.
    """
    match = _INTEGER.fullmatch(source)
    if match is not None:
        sign, *digits = match.groups()
        spelled, base = next((d, b) for d, b in zip(digits, _BASES, strict=True) if d is not None)
        plain = spelled.replace("_", "").lstrip("0")
        if len(plain) > _MAX_DIGITS:  # int() refuses very long ones with an error of its own
            return None
        integer = int(sign + (plain or "0"), base)
        return (integer, integer) if _MIN_INT <= integer <= _MAX_INT else None
    if not any(mark in source for mark in ".eEpP"):
        return None
    unspaced = source.replace("_", "")
    try:
        if _DECIMAL.fullmatch(source) is not None:
            value = float(unspaced)
        elif _HEX.fullmatch(source) is not None:
            value = float.fromhex(unspaced)
        else:
            return None
    except OverflowError:
        return None
    if isinf(value):
        return None
    whole = value.is_integer() and _MIN_INT <= value <= _MAX_INT
    return value, int(value) if whole else None


def character(source: str) -> int | None:
    """The code point of a character constant such as `'a'`; None when it is malformed."""
    body = source[1:-1]
    if body.startswith("\\"):
        match = _ESCAPE.fullmatch(body)
        unescaped = None if match is None else _unescape(match, quote="'")
        if isinstance(unescaped, bytes):
            return unescaped[0]
        return None if unescaped is None else ord(unescaped)
    return ord(body) if len(body) == 1 else None


def string(source: str) -> str | None:
    """The text of a quoted string, quotes included; None when an escape is malformed."""
    body = source[1:-1]
    if source[0] == "`":
        return body.replace("\r", "")
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        escape = body.find("\\", at)
        if escape < 0:
            escape = len(body)
        parts.append(body[at:escape].encode())
        if escape == len(body):
            break
        match = _ESCAPE.match(body, escape)
        unescaped = None if match is None else _unescape(match, quote='"')
        if match is None or unescaped is None:
            return None
        parts.append(unescaped if isinstance(unescaped, bytes) else unescaped.encode())
        at = match.end()
    return from_bytes(b"".join(parts))


def _unescape(match: re.Match[str], *, quote: str) -> str | bytes | None:
    """One escape: a character, or a byte for the hexadecimal and octal ones. None: not allowed."""
    simple, hexadecimal, octal, short, long = match.groups()
    if simple is not None:
        return None if simple in "'\"" and simple != quote else _SIMPLE_ESCAPES[simple]
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        code = int(octal, 8)
        return bytes([code]) if code < 0x100 else None
    code = int(short or long, 16)
    return None if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)
