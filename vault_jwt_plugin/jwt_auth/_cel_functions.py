"""OpenBao's own CEL functions, and texts of numbers as Go writes them.

Mirrors `sdk/helper/cel/helpers.go` of OpenBao.
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


def json_text(members: dict[str, Any]) -> str | None:
    """A map as Go's `json.Marshal` writes it: sorted, compact, numbers as short as they go.

    Args:
        members: decoded JSON whose numbers are `float`.

    Returns:
        None for NaN and infinities, which JSON has no form for.
    """
    pieces: list[str] = []
    return "".join(pieces) if _write(members, pieces) else None


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
            pieces.append(_json_number(value))
        case _:
            pieces.append(json.dumps(value))
    return True


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPES)


def _json_number(number: float) -> str:
    size = abs(number)
    if size and not 1e-6 <= size < 1e21:
        mantissa, _, exponent = repr(number).partition("e")
        if exponent:
            sign = "-" if exponent.startswith("-") else "+"
            return f"{mantissa.removesuffix('.0')}e{sign}{exponent.lstrip('+-').lstrip('0')}"
    return plain_number(number)


def plain_number(number: float) -> str:
    """A number without exponent, with as many digits as it takes to tell it from any other.

    As `strconv.FormatFloat(number, 'f', -1, 64)`.
    """
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number == int(number):
        return "-0" if not number and math.copysign(1, number) < 0 else _whole(number)
    return format(Decimal(repr(number)), "f")


def _whole(number: float) -> str:
    # The shortest digits that mean this number, as Go has them; int() would show the binary
    # number's exact ones: 1e23 is 99999999999999991611392.
    return format(Decimal(repr(number)).to_integral_value(), "f")


def format_text(value: Any) -> str:
    """A number, list or map as `format` writes it for `%s`: `[1, a, null]`, `{k: v}`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return plain_number(value)
        case list():
            return f"[{', '.join(map(format_text, value))}]"
        case dict():
            members = (f"{name}: {format_text(value[name])}" for name in sorted(value))
            return f"{{{', '.join(members)}}}"
        case _:
            return str(value)
