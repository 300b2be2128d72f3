"""JSON from outside the trust boundary: token headers, claims, issuers' documents.

Stricter than `sdk.jsonutil`, which reads what the host has already read: here a
member given twice is refused, because two readers of one token could each take
another one for the truth (the class of bug behind cap#191), and so is text that
is no Unicode. Numbers are exact: int, or `Decimal` where the literal has a
fraction or an exponent.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Nesting of objects and lists, in levels."""

MAX_EXPONENT = 308
"""Largest power of ten of a number: Go's float64 overflows beyond it and refuses the token."""

MIN_EXPONENT = -1000
"""Smallest power of ten of a number. Go reads such numbers as 0."""

MAX_NUMBER_CHARS = 1024
"""Longest literal of a number that is no plain integer; Python bounds those at 4300 digits."""

_BEYOND = Decimal(f"1e{MAX_EXPONENT + 1}")
# A string without end reaches to the end: else each quote in it would be tried as a start.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJSONError(ValueError):
    """Not JSON that we accept; the text says why and quotes nothing.

    Attributes:
        code: `utf8`, `syntax`, `depth`, `duplicate`, `number` or `surrogate`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _decimal(literal: str) -> Decimal:
    if len(literal) > MAX_NUMBER_CHARS:
        raise StrictJSONError("number", "it holds a number that is too long")
    try:
        number = Decimal(literal)
    except InvalidOperation:  # an exponent that Decimal itself can't hold
        number = _BEYOND
    # Compared before anything is computed: int(Decimal("1e999999999")) would eat the machine.
    if number and not MIN_EXPONENT <= number.adjusted() <= MAX_EXPONENT:
        raise StrictJSONError("number", "it holds a number that is out of range")
    return number


def _constant(_literal: str) -> NoReturn:
    raise StrictJSONError("number", "it holds NaN or Infinity, which JSON does not have")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("duplicate", "it holds a member twice")
    return members


# Built once: making a decoder costs more than decoding a token's claims.
_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_constant=_constant
).decode


def loads(raw: bytes) -> Any:
    """Decode one JSON document.

    Args:
        raw: UTF-8, without byte order mark (RFC 8259 8.1).

    Returns:
        dict, list, str, int, Decimal, bool or None.

    Raises:
        StrictJSONError: anything else, in time and memory linear in `raw`.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StrictJSONError("utf8", "it is not UTF-8") from None
    # There can't be more levels than brackets, and counting brackets is nearly free.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _decode(text)
    except StrictJSONError:
        raise
    except json.JSONDecodeError:
        raise StrictJSONError("syntax", "it is not JSON") from None
    except ValueError:
        raise StrictJSONError("number", "it holds a number that is too long") from None
    if _SURROGATE_ESCAPE.search(text) is not None:
        _check_surrogates(value)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match.group(1):
            depth += 1
            if depth > MAX_DEPTH:
                raise StrictJSONError("depth", f"it is nested deeper than {MAX_DEPTH} levels")
        elif match.group(2):
            depth -= 1


def _check_surrogates(value: Any) -> None:
    """Refuse halves of surrogate pairs: Go would replace them, so two names could become one."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            try:
                each.encode()
            except UnicodeEncodeError:
                raise StrictJSONError("surrogate", "it holds half of a surrogate pair") from None
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            pending += each.keys()
            pending += each.values()
