"""JSON as the hosts mean it: exact numbers, bounded depth, nothing that Go refuses.

Two modes share the rules for depth and numbers:

* `loads` reads what the host has already read. Integers are `int`, other numbers are
  `Number`, a `decimal.Decimal`: no digit is lost before it is known what a number means. Of
  duplicate members the last wins, as in Go, and lone surrogates are replaced.
* `loads_strict` reads what comes from outside the trust boundary: token headers, claims,
  issuers' documents. It refuses a member that is given twice, because two readers of one token
  could each take another one for the truth (the class of bug behind cap#191), and text that is
  no Unicode. Its numbers are `int` and plain `Decimal`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, NoReturn, Protocol, Self, TypeVar, cast

from vault_jwt_plugin.sdk.text import quoted

MAX_DEPTH = 128
"""Nesting of objects and lists that is accepted, in levels."""

STRICT_MAX_DEPTH = 64
"""Nesting of objects and lists that strict mode accepts, in levels."""

MAX_EXPONENT = 308
"""Largest power of ten of a number, either sign: beyond it Go's float64 fails."""

STRICT_MIN_EXPONENT = -1000
"""Smallest power of ten of a number in strict mode. Go reads such numbers as 0."""

MAX_NUMBER_CHARS = 1024
"""Longest literal of a number that is no plain integer; Python bounds those at 4300 digits."""

# A string without end reaches to the end: else each quote in it would be tried as a start.
_OUTSIDE_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


D = TypeVar("D", bound=Decimal)


class JSONError(ValueError):
    """Text that is no acceptable JSON; the message says what is wrong and quotes no value of it."""


class StrictJSONError(JSONError):
    """A document that strict mode refuses; the message says why and quotes no value.

    Attributes:
        code: `utf8`, `syntax`, `depth`, `duplicate`, `number` or `surrogate`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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


@dataclass(frozen=True, slots=True)
class Encoded:
    """A part of a document that is JSON already: `dumps` places its text as it is.

    Attributes:
        text: what `dumps` made of a value.
    """

    text: str


def _in_range(make: type[D], literal: str, min_exponent: int) -> D | None:
    try:
        number = make(literal)
    except InvalidOperation:  # an exponent that Decimal itself can't hold
        return None
    # Compared before anything is computed: int(Decimal("1e999999999")) would eat the machine.
    if number and not min_exponent <= number.adjusted() <= MAX_EXPONENT:
        return None
    return number


def _number(literal: str) -> Number:
    if len(literal) > MAX_NUMBER_CHARS:
        raise JSONError(f"a number has more than {MAX_NUMBER_CHARS} characters")
    number = _in_range(Number, literal, -MAX_EXPONENT)
    if number is None:
        raise JSONError(f"a number's power of ten is beyond {MAX_EXPONENT}")
    return number


def _strict_number(literal: str) -> Decimal:
    if len(literal) > MAX_NUMBER_CHARS:
        raise StrictJSONError("number", "it holds a number that is too long")
    number = _in_range(Decimal, literal, STRICT_MIN_EXPONENT)
    if number is None:
        raise StrictJSONError("number", "it holds a number that is out of range")
    return number


def _constant(literal: str) -> NoReturn:
    raise JSONError(f"{literal} is no JSON")


def _strict_constant(_literal: str) -> NoReturn:
    raise StrictJSONError("number", "it holds NaN or Infinity, which JSON does not have")


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise StrictJSONError("duplicate", f"it holds the member {quoted(twice)} twice")
    return members


class _Scanning(Protocol):
    """A JSONDecoder, with the attribute that its type stub leaves out."""

    def scan_once(self, string: str, idx: int) -> tuple[Any, int]: ...


# Bound once: building a decoder costs more than decoding a login's body. Integers keep the
# default hook, which is C; the interpreter bounds their digits.
_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_constant)
_scan = cast("_Scanning", _decoder).scan_once
_decode_strictly = json.JSONDecoder(
    object_pairs_hook=_strict_object, parse_float=_strict_number, parse_constant=_strict_constant
).decode
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
    # There can't be more levels than brackets, and counting brackets is nearly free.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(text, MAX_DEPTH):
        raise JSONError(f"nested deeper than {MAX_DEPTH} levels")
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


def loads_strict(raw: bytes) -> Any:
    """Decode a document from outside the trust boundary.

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
    if text.count("[") + text.count("{") > STRICT_MAX_DEPTH and _is_deeper(text, STRICT_MAX_DEPTH):
        raise StrictJSONError("depth", f"it is nested deeper than {STRICT_MAX_DEPTH} levels")
    try:
        value = _decode_strictly(text)
    except StrictJSONError:
        raise
    except json.JSONDecodeError:
        raise StrictJSONError("syntax", "it is not JSON") from None
    except ValueError:
        raise StrictJSONError("number", "it holds a number that is too long") from None
    if "\\" in text and _SURROGATE_ESCAPE.search(text):
        _refuse_surrogates(value)
    return value


def _is_deeper(text: str, max_depth: int) -> bool:
    depth = 0
    for match in _OUTSIDE_STRINGS.finditer(text):
        if match.group(1):
            depth += 1
            if depth > max_depth:
                return True
        elif match.group(2):
            depth -= 1
    return False


def _refuse_surrogates(value: Any) -> None:
    # Go would replace them, so two names could become one.
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            if _SURROGATE.search(each) is not None:
                raise StrictJSONError("surrogate", "it holds half of a surrogate pair")
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            pending += each.keys()
            pending += each.values()


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
