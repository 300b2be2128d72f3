"""How each field type reads what a caller sent.

Mirrors the hosts' framework: `sdk/framework/field_data.go` over mapstructure's
weak decoding, and `parseutil.ParseDurationSecond`. Numbers are judged as in a
builtin method, which has their text (`json.Number`), not as in an external Go
plugin, which has lost it to float64: 5.0 is no whole number, 2 no boolean.
Query and form values are strings, so most types read strings too.

Functions take decoded JSON and return the typed value, or raise `UnfitError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from vault_jwt_plugin.sdk.jsonutil import Number

NS_PER_S = 1_000_000_000
"""Nanoseconds in a second."""

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)

# strconv.ParseBool.
_BOOL_WORDS: dict[str, bool] = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_BOOL_WORDS |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False", ""), False)

# strconv.ParseInt with base 0: Go's integer literals, a bare leading 0 is octal.
_GO_INT = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)"
    r"|0[bB](?P<bin>_?[01]+(?:_[01]+)*)"
    r"|0[oO]?(?P<oct>_?[0-7]+(?:_[0-7]+)*)"
    r"|(?P<dec>0|[1-9][0-9]*(?:_[0-9]+)*))",
    re.ASCII,
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_MAX_NUMBER_CHARS = 100
_NOT_WHOLE = "a number with a fraction or an exponent"

_SECONDS = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DAYS = re.compile(r"([+-]?[0-9]+)d", re.ASCII)
_UNIT = re.compile(r"([0-9]+)?(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_DAY_NS = 24 * 3600 * NS_PER_S


class UnfitError(Exception):
    """A value that a type can't read.

    Attributes:
        received: what was received instead, in words and without the value.
        hint: what to do instead; empty where that is plain.
    """

    def __init__(self, received: str, *, hint: str = "") -> None:
        super().__init__(received)
        self.received = received
        self.hint = hint


def kind_of(raw: Any) -> str:
    """Return the JSON kind of a decoded value, in words for a message."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return "a boolean"
    if isinstance(raw, (int, Decimal, float)):
        return "a number"
    if isinstance(raw, str):
        return "a string" if raw else "an empty string"
    if isinstance(raw, Mapping):
        return "an object"
    if isinstance(raw, (list, tuple)):
        return "a list"
    return "something that is no JSON"


def to_string(raw: Any) -> str:
    """Return a number as it was written, a boolean as `1` or `0`, null as the empty string."""
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "1" if raw else "0"
    if isinstance(raw, int):
        return str(raw)
    if isinstance(raw, Number):
        return raw.literal
    if isinstance(raw, Decimal):
        return format(raw, "f")
    raise UnfitError(kind_of(raw))


def to_lower_string(raw: Any) -> str:
    """Read as `to_string` does, and lowercase."""
    return to_string(raw).lower()


def to_bool(raw: Any) -> bool:
    """Read a boolean, 1 or 0, or Go's words for booleans; the empty string and null are false."""
    if isinstance(raw, str):
        try:
            return _BOOL_WORDS[raw]
        except KeyError:
            raise UnfitError("a string that is neither") from None
    if raw is None or isinstance(raw, bool):
        return bool(raw)
    if isinstance(raw, int) and raw in {0, 1}:
        return bool(raw)
    if isinstance(raw, (int, Decimal)):
        raise UnfitError("a number other than 0 and 1")
    raise UnfitError(kind_of(raw))


def to_int(raw: Any) -> int:
    """Read a whole number, or a string in Go's integer syntax; "" and null are 0."""
    if isinstance(raw, str):
        value = _int_of_string(raw)
    elif raw is None:
        value = 0
    elif isinstance(raw, int):
        value = int(raw)
    elif isinstance(raw, Decimal):
        raise UnfitError(_NOT_WHOLE)
    else:
        raise UnfitError(kind_of(raw))
    if not INT64_MIN <= value <= INT64_MAX:
        raise UnfitError("a number beyond 64 bits")
    return value


def _int_of_string(text: str) -> int:
    if not text:
        return 0
    match = _GO_INT.fullmatch(text) if len(text) <= _MAX_NUMBER_CHARS else None
    if match is None:
        raise UnfitError("a string that is no number")
    base = match.lastgroup or "dec"
    value = int(match.group(base).replace("_", ""), _BASES[base])
    return -value if match.group("sign") == "-" else value


def to_comma_strings(raw: Any) -> tuple[str, ...]:
    """Split a string at commas; a list's elements stay whole. All are trimmed of whitespace."""
    if isinstance(raw, str):
        return tuple(item.strip() for item in raw.split(",")) if raw else ()
    if isinstance(raw, (list, tuple)):
        return tuple(_element(item).strip() for item in raw)
    if raw is None or raw == {}:
        return ()
    return (to_string(raw),)


def _element(item: Any) -> str:
    try:
        return to_string(item)
    except UnfitError as unfit:
        raise UnfitError(f"a list that holds {unfit.received}") from None


def to_map(raw: Any) -> dict[str, Any] | None:
    """Read an object. A list of objects is merged, as mapstructure does; null stays null."""
    if isinstance(raw, Mapping):
        return dict(raw)
    if raw is None:
        return None
    if isinstance(raw, (list, tuple)):
        merged: dict[str, Any] = {}
        for item in raw:
            if not isinstance(item, Mapping):
                raise UnfitError(f"a list that holds {kind_of(item)}")
            merged.update(item)
        return merged
    if isinstance(raw, str):
        # `vault write PATH name='{...}'` looks as if it could work, and sends a string.
        hint = "in a command, send the whole request as JSON (write PATH @FILE)"
        raise UnfitError(kind_of(raw), hint=hint)
    raise UnfitError(kind_of(raw))


def to_kv_pairs(raw: Any) -> dict[str, str] | None:
    """Read an object of strings, or `k=v` strings: one, or a list of them; null stays null."""
    if raw is None:
        return None
    if isinstance(raw, str):
        raw = [raw]
    is_list_of_strings = isinstance(raw, (list, tuple)) and not all(
        isinstance(item, Mapping) for item in raw
    )
    if is_list_of_strings:
        return dict(_pair(_element(item)) for item in raw)
    pairs: dict[str, str] = {}
    for name, value in (to_map(raw) or {}).items():
        try:
            pairs[name] = to_string(value)
        except UnfitError as unfit:
            raise UnfitError(f"an object that holds {unfit.received}") from None
    return pairs


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UnfitError('a string that is no "key=value"')
    return name, value


def to_list(raw: Any) -> tuple[Any, ...]:
    """Read a list; anything else becomes its only element, but null and `{}` an empty list."""
    if isinstance(raw, (list, tuple)):
        return tuple(raw)
    if raw is None or raw == {}:
        return ()
    return (raw,)


def to_duration_ns(raw: Any) -> int:
    """Read a duration that is not negative; see `to_signed_duration_ns`."""
    value = to_signed_duration_ns(raw)
    if value < 0:
        raise UnfitError("a negative one")
    return value


def to_signed_duration_ns(raw: Any) -> int:
    """Read seconds, a Go duration (`1h30m`) or days (`30d`), and cut to whole seconds.

    Returns:
        Nanoseconds, a multiple of 10^9. The empty string and null are 0.
    """
    if isinstance(raw, str):
        value = _duration_ns_of_string(raw)
    elif raw is None:
        value = 0
    elif isinstance(raw, bool):
        raise UnfitError("a boolean")
    elif isinstance(raw, int):
        value = raw * NS_PER_S
    elif isinstance(raw, Decimal):
        raise UnfitError(_NOT_WHOLE)
    else:
        raise UnfitError(kind_of(raw))
    if not INT64_MIN <= value <= INT64_MAX:
        raise UnfitError("one of more than 292 years")
    # Toward zero, as Go's conversion to int does: -1.5s is -1s.
    seconds = value // NS_PER_S if value >= 0 else -(-value // NS_PER_S)
    return seconds * NS_PER_S


def _duration_ns_of_string(text: str) -> int:
    if not text:
        return 0
    if len(text) <= _MAX_NUMBER_CHARS:
        if _SECONDS.fullmatch(text):
            return int(text) * NS_PER_S
        if days := _DAYS.fullmatch(text):
            return int(days.group(1)) * _DAY_NS
        value = _go_duration_ns(text)
        if value is not None:
            return value
    raise UnfitError("a string that is none")


def _go_duration_ns(text: str) -> int | None:
    """Read as Go's `time.ParseDuration`, or return None; cut fractions of nanoseconds."""
    body = text[1:] if text[0] in "+-" else text
    total = 0
    at = 0
    while at < len(body):
        match = _UNIT.match(body, at)
        if match is None:
            return None
        whole, fraction, unit = match.groups()
        if not whole and not fraction:
            return None
        scale = _UNIT_NS[unit]
        total += int(whole or 0) * scale
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
        at = match.end()
    if not body:
        return None
    return -total if text[0] == "-" else total


Coercer = Callable[[Any], Any]
"""Turns decoded JSON into a typed value, or raises `UnfitError`."""
