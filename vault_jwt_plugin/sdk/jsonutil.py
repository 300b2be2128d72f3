"""JSON as the hosts mean it: exact numbers, bounded depth, nothing that Go refuses.

Integers are `int`, other numbers `Number`, a `decimal.Decimal`: no digit is lost
before it is known what a number means. Of duplicate members the last wins, as in Go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, NoReturn, Protocol, Self, cast

MAX_DEPTH = 128
"""Nesting of objects and lists that is accepted, in levels."""

MAX_EXPONENT = 308
"""Largest power of ten of a number, either sign: beyond it Go's float64 fails."""

MAX_NUMBER_CHARS = 1024
"""Longest number literal, in characters."""

# A string without end reaches to the end: else each quote in it would be tried as a start.
_OUTSIDE_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONError(ValueError):
    """Text that is no acceptable JSON; the message says what is wrong and never quotes the text."""


class Number(Decimal):
    """A number with a fraction or an exponent, as it was written (Go's `json.Number`).

    Attributes:
        literal: the JSON text: `1e3` and `1000.0` are equal and not the same.
    """

    __slots__ = ("literal",)

    literal: str

    def __new__(cls, literal: str) -> Self:
        """Read a literal of JSON.

        Raises:
            decimal.InvalidOperation: an exponent that Decimal can't hold, or no number.
        """
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


_BEYOND = Number(f"1e{MAX_EXPONENT + 1}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A part of a document that is JSON already: `dumps` places its text as it is.

    Attributes:
        text: what `dumps` made of a value.
    """

    text: str


def _number(literal: str) -> Number:
    if len(literal) > MAX_NUMBER_CHARS:
        raise JSONError(f"a number has more than {MAX_NUMBER_CHARS} characters")
    try:
        number = Number(literal)
    except InvalidOperation:  # an exponent that Decimal itself can't hold
        number = _BEYOND
    if number and abs(number.adjusted()) > MAX_EXPONENT:
        raise JSONError(f"a number's power of ten is beyond {MAX_EXPONENT}")
    return number


def _constant(literal: str) -> NoReturn:
    raise JSONError(f"{literal} is no JSON")


class _Scanning(Protocol):
    """A JSONDecoder, with the attribute that its type stub leaves out."""

    def scan_once(self, string: str, idx: int) -> tuple[Any, int]: ...


# Bound once: building a decoder costs more than decoding a login's body. Integers keep the
# default hook, which is C; the interpreter bounds their digits.
_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_constant)
_scan = cast("_Scanning", _decoder).scan_once
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


def loads(text: str | bytes) -> Any:
    """Decode JSON text.

    Args:
        text: the document; bytes are UTF-8 without a byte order mark.

    Returns:
        Decoded JSON: dict, list, str, int, Number, bool or None. Lone surrogates
        become U+FFFD, as in Go: they can't travel on the wire.

    Raises:
        JSONError: no JSON, NaN or Infinity, too deep, or a number out of bounds.
    """
    if not isinstance(text, str):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise JSONError("not UTF-8") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _scanned(text)
    except json.JSONDecodeError as error:
        raise JSONError(f"not JSON at character {error.pos}: {error.msg}") from None
    except JSONError:
        raise
    except ValueError:
        raise JSONError("a number has too many digits") from None
    if "\\" in text and _SURROGATE_ESCAPE.search(text):
        return _without_surrogates(value)
    return value


def _scanned(text: str) -> Any:
    # What `decode` does around this, for the white space that hosts never send, takes a third
    # of its time.
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


def _check_depth(text: str) -> None:
    depth = 0
    for match in _OUTSIDE_STRINGS.finditer(text):
        if match.group(1):
            depth += 1
            if depth > MAX_DEPTH:
                raise JSONError(f"nested deeper than {MAX_DEPTH} levels")
        elif match.group(2):
            depth -= 1


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value


def dumps(value: Any) -> str:
    """Encode a value as compact JSON text that Go accepts.

    Args:
        value: decoded JSON; also tuples, any Mapping, finite Decimals, which
            keep every digit, and `Encoded`.

    Raises:
        TypeError: a value that JSON has no form for, or a member name that is no text.
        ValueError: NaN or Infinity.
    """
    try:
        return _encode(value)
    except TypeError:
        # A Decimal or a Mapping that is no dict: the C encoder has no hook for either that
        # keeps digits, so write it by hand.
        return "".join(_pieces(value))


def _pieces(value: Any) -> list[str]:
    if isinstance(value, Encoded):
        return [value.text]
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("NaN and Infinity have no JSON form")
        # As it was written: the Go methods compare numbers by their text.
        return [value.literal if isinstance(value, Number) else str(value)]
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, (list, tuple)):
        pieces = ["["]
        for index, item in enumerate(value):
            if index:
                pieces.append(",")
            pieces += _pieces(item)
        pieces.append("]")
        return pieces
    return [_encode(value)]


def _object(value: Mapping[Any, Any]) -> list[str]:
    pieces = ["{"]
    for name, item in value.items():
        if not isinstance(name, str):
            raise TypeError(f"a member name is {type(name).__name__}, not text")
        if len(pieces) > 1:
            pieces.append(",")
        pieces += (encode_basestring(name), ":")
        pieces += _pieces(item)
    pieces.append("}")
    return pieces
