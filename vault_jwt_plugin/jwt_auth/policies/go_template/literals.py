"""The constants of a policy template: decimal numbers and quoted strings.

Mirrors the part of Go's text/template/parse/node.go (newNumber) and strconv that names need.
"""

from __future__ import annotations

import re
from math import isinf

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_MAX_LENGTH = 20  # of an int64, sign included; int() refuses very long ones with its own error
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|u([0-9a-fA-F]{4})|(?s:.?))")
_SIMPLE_ESCAPES = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


def number(source: str) -> int | float | None:
    """Return the value of a number as Go reads it, or None when it is not supported.

    Differs from OpenBao: only decimal numbers are. No policy name needs a number in another base,
    one with underscores or a complex one.
    """
    if _INTEGER.fullmatch(source) is not None:
        value = int(source) if len(source) <= _MAX_LENGTH else _MAX_INT + 1
        return value if _MIN_INT <= value <= _MAX_INT else None
    if source.isdecimal() or _DECIMAL.fullmatch(source) is None:  # 017 is octal in Go
        return None
    fraction = float(source)
    return None if isinf(fraction) else fraction


def string(source: str) -> str | None:
    r"""Return the value of a quoted string, or None when an escape is not supported.

    Differs from OpenBao: `\x41`, `\101` and `\U00000041` are refused, which write single bytes
    and rare letters.
    """
    body = source[1:-1]
    if source[0] == "`":
        return body.replace("\r", "")
    try:
        return _ESCAPE.sub(_unescape, body)
    except ValueError:
        return None


def _unescape(match: re.Match[str]) -> str:
    simple, code = match.groups()
    if simple is not None:
        return _SIMPLE_ESCAPES[simple]
    if code is None or 0xD800 <= int(code, 16) <= 0xDFFF:
        raise ValueError
    return chr(int(code, 16))
