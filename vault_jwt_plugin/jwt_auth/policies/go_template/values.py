"""The values that a Go template sees, as Python values.

    Go                      here
    string                  str; bytes that are not UTF-8 are surrogate escapes (PEP 383)
    bool                    bool
    int                     int: constants of the template, lengths, list indexes
    float64                 float: every number of a claim
    nil                     None
    []interface {}          list, members still as the claims hold them
    map[string]interface {} Mapping, members still as the claims hold them

Claims carry exact numbers (int, Decimal). Go decodes them to float64, so they become floats where
they are taken out of the claims: `from_claim`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isinf
from typing import Any, TypeAlias

from vault_jwt_plugin.jwt_auth.policies.go_template.limits import EvaluationError, Meter

GoValue: TypeAlias = Any
"""One of the Python types of the table above."""

SORT_WORK = 4
"""What sorting one key costs, in units of `Meter.work`."""

_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}


def from_claim(value: Any) -> GoValue:
    """Return the Go value of a decoded JSON value.

    Raises:
        EvaluationError: a number outside of float64's range.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind is int or kind is Decimal:
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isinf(number):
            raise EvaluationError("a claim holds a number outside of float64's range")
        return number
    return value


def is_list(value: GoValue) -> bool:
    """Return whether it is a Go slice."""
    return isinstance(value, (list, tuple))


def is_map(value: GoValue) -> bool:
    """Return whether it is a Go map."""
    return isinstance(value, Mapping)


def describe(value: GoValue) -> str:
    """Return the kind of a value in words, never the value."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if value is None:
        return "null"
    return "a map" if is_map(value) else "a list"


def to_bytes(text: str) -> bytes:
    """Return the bytes of a Go string.

    Raises:
        EvaluationError: a lone surrogate, which no JSON text of a verified token holds.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise EvaluationError("a string is not Unicode") from None


def from_bytes(data: bytes) -> str:
    """Return the Go string of these bytes, which need not be UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def join(parts: Iterable[str]) -> str:
    """Concatenate Go strings.

    Halves of a UTF-8 sequence, which `slice` and `truncate` can make, grow together again.
    """
    text = "".join(parts)
    if text.isascii() or text.isprintable():  # a surrogate is neither
        return text
    return from_bytes(to_bytes(text))


def sorted_keys(value: Mapping[str, Any], meter: Meter) -> list[str]:
    """Return the keys of a map in Go's order, that of their bytes."""
    meter.work(len(value) * SORT_WORK)
    return sorted(value)


def equal(first: GoValue, second: GoValue) -> bool:
    """Return whether two values are equal to Go (text/template/funcs.go, eq).

    Raises:
        EvaluationError: kinds that Go does not compare.
    """
    if first is None or second is None:
        return first is second
    if type(first) is not type(second) or type(first) not in _NAMES:
        raise _incomparable(first, second)
    return bool(first == second)


def less(first: GoValue, second: GoValue) -> bool:
    """Return whether one value is less than the other to Go (text/template/funcs.go, lt).

    Raises:
        EvaluationError: kinds that Go does not order.
    """
    kind = type(first)
    if kind is not type(second) or kind not in {int, float, str}:
        raise _incomparable(first, second)
    if kind is str and not (first.isascii() and second.isascii()):
        return to_bytes(first) < to_bytes(second)
    return bool(first < second)


def _incomparable(first: GoValue, second: GoValue) -> EvaluationError:
    reason = f"can't compare {describe(first)} with {describe(second)}"
    kinds = {type(first), type(second)}
    if kinds == {int, float}:
        # Many fall into this trap of Go's: claims are float64, the constant 5 is an int.
        reason += "; write the number that a claim is compared with as a decimal, as in 5.0"
    return EvaluationError(reason)
