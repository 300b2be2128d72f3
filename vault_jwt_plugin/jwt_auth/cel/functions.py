"""OpenBao's own CEL functions.

Mirrors `sdk/helper/cel/helpers.go` of OpenBao. Each gives false where it fails.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

# What Go's encoding/json escapes beyond JSON's rules, for HTML's and JavaScript's sake.
_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def encode_json(members: dict[str, Any]) -> str | bool:
    """A map as Go's `json.Marshal` writes it: sorted, compact, numbers as short as they go.

    Args:
        members: decoded JSON whose numbers are `float`.

    Returns:
        False for NaN and infinities, which JSON has no form for.
    """
    pieces: list[str] = []
    return "".join(pieces) if _write(members, pieces) else False


def _write(value: Any, pieces: list[str]) -> bool:
    match value:
        case dict():
            opening = "{"
            for name in sorted(value):
                pieces += (opening, _quoted(name), ":")
                opening = ","
                if not _write(value[name], pieces):
                    return False
            pieces.append("}" if opening == "," else "{}")
        case list():
            opening = "["
            for element in value:
                pieces.append(opening)
                opening = ","
                if not _write(element, pieces):
                    return False
            pieces.append("]" if opening == "," else "[]")
        case str():
            pieces.append(_quoted(value))
        case float():
            if not math.isfinite(value):
                return False
            pieces.append(_number(value))
        case _:
            pieces.append(json.dumps(value))
    return True


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPES)


def _number(number: float) -> str:
    """The shortest digits that tell a number from any other, as Go's encoding/json writes it."""
    size = abs(number)
    if size and not 1e-6 <= size < 1e21:
        mantissa, _, exponent = repr(number).partition("e")
        sign = "-" if exponent.startswith("-") else "+"
        return f"{mantissa.removesuffix('.0')}e{sign}{exponent.lstrip('+-').lstrip('0')}"
    if number == int(number):
        # Not int(): above 2^53 it shows digits that are the binary form's alone.
        return "-0" if math.copysign(1, number) < 0 and not number else _plain(number, whole=True)
    return _plain(number, whole=False)


def _plain(number: float, *, whole: bool) -> str:
    digits = Decimal(repr(number))
    return format(digits.to_integral_value() if whole else digits, "f")
