"""Print values as Go does: `%v`, print, and the part of printf that names need.

Mirrors Go's fmt (print.go, format.go) and strconv (ftoa.go). Where Go writes a complaint into the
text (`%!d(float64=5)`), this fails: such a text is nobody's policy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_NESTING_DEPTH,
    EvaluationError,
    Meter,
    check_text_length,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
    GoValue,
    describe,
    from_claim,
    is_list,
    is_map,
    join,
    sorted_keys,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PRINTF_VERBS = "%dfstv"
"""The verbs of printf that are supported.

Differs from OpenBao: other verbs are refused, flags but `0`, and a precision but with %f and %s.
They print quotes, other bases, exponents, types and spaces, which no policy name needs. Lists and
maps are printed by %v only.
"""

_DIRECTIVE = re.compile(r"%([-+ 0]*)([0-9]*)(?:\.([0-9]*))?(?P<verb>.?)", re.DOTALL)
_MAX_WIDTH_DIGITS = 3


def format_float(number: float) -> str:
    """Return `%v` of a float64: the shortest digits, with an exponent below 1e-4 and from 1e6."""
    text = repr(number)
    if "e" in text:  # Python's own exponent form starts at 1e+16 and is Go's
        return text
    whole, _, fraction = text.partition(".")
    if fraction == "0":
        fraction = ""
    digits = whole.lstrip("-")
    if len(digits) <= 6:
        return f"{whole}.{fraction}" if fraction else whole
    sign = "-" if whole[0] == "-" else ""
    rest = (digits[1:] + fraction).rstrip("0")
    point = "." if rest else ""
    return f"{sign}{digits[0]}{point}{rest}e+{len(digits) - 1:02d}"


def format_value(value: GoValue, meter: Meter) -> str:
    """Return `%v` of any value, as `print` and an action write it; None is `<nil>`.

    Raises:
        EvaluationError: too long, too deep, or a number that float64 can't hold.
    """
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is float:
        return format_float(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if value is None:
        return "<nil>"
    return _format_container(value, meter)


def sprint(values: Sequence[GoValue], meter: Meter) -> str:
    """Return Go's fmt.Sprint: a space between two values of which neither is a string."""
    parts: list[str] = []
    after_text = True
    for value in values:
        is_text = type(value) is str
        if not (is_text or after_text):
            parts.append(" ")
        parts.append(format_value(value, meter))
        after_text = is_text
    return join(parts)


def sprintf(template: str, values: Sequence[GoValue], meter: Meter) -> str:
    """Return Go's fmt.Sprintf, for the directives that are supported.

    Raises:
        EvaluationError: a directive is not supported or doesn't fit its value, or there is a value
            too many or too few.
    """
    parts: list[str] = []
    length = end = used = 0
    while (start := template.find("%", end)) >= 0:
        parts.append(template[end:start])
        directive = _directive(template, start)
        end = directive.end()
        if directive["verb"] == "%":
            parts.append("%")
            continue
        if used == len(values):
            raise EvaluationError("the format has more directives than there are values")
        text = _format(directive, values[used], meter)
        used += 1
        length += len(text)
        check_text_length(length)
        parts.append(text)
    if used < len(values):
        raise EvaluationError("there are more values than the format has directives")
    parts.append(template[end:])
    return join(parts)


def check_printf(template: str) -> None:
    """Check a printf format that is known when the template is written.

    Raises:
        EvaluationError: a directive is not supported.
    """
    end = 0
    while (start := template.find("%", end)) >= 0:
        end = _directive(template, start).end()


def _directive(template: str, start: int) -> re.Match[str]:
    """Return the directive at `start`, after checking that it is supported."""
    match = _DIRECTIVE.match(template, start)
    if match is None:  # the pattern matches at every %
        raise EvaluationError("a directive is not supported")
    flags, width, precision, verb = match.groups()
    if not verb:
        raise EvaluationError("the format ends within a directive")
    if verb not in PRINTF_VERBS:
        name = verb if verb.isascii() and verb.isprintable() else "another character"
        raise EvaluationError(
            f"{name} after % is not supported; verbs are {' '.join(PRINTF_VERBS)}"
        )
    if max(len(width), len(precision or "")) > _MAX_WIDTH_DIGITS:
        raise EvaluationError(f"a width or precision has over {_MAX_WIDTH_DIGITS} digits")
    if flags.strip("0"):
        raise EvaluationError(f"this flag is not supported with %{verb}")
    if precision is not None and verb not in "fs":
        raise EvaluationError(f"a precision is not supported with %{verb}")
    return match


def _format(directive: re.Match[str], value: GoValue, meter: Meter) -> str:
    """Return the text of a value, padded to the directive's width.

    Raises:
        EvaluationError: the verb doesn't fit the value.
    """
    flags, digits, precision, verb = directive.groups()
    kind, width = type(value), int(digits or 0)
    if verb == "v" or (verb == "d" and kind is int) or (verb == "t" and kind is bool):
        text = format_value(value, meter)
    elif verb == "s" and kind is str:
        text = value if precision is None else value[: int(precision or 0)]
    elif verb == "f" and kind is float:
        text = f"{value:.{6 if precision is None else int(precision or 0)}f}"
    else:
        hint = "; numbers of claims are printed by %v or %.0f" if kind is float else ""
        raise EvaluationError(f"%{verb} can't print {describe(value)}{hint}")
    if width and (is_list(value) or is_map(value)):
        raise EvaluationError(f"{describe(value)} is printed without a width")
    if flags and kind in {int, float}:
        return text.zfill(width)  # after the sign
    return text.rjust(width, "0" if flags else " ")


def _format_container(value: Any, meter: Meter) -> str:
    """Return `[a b]` or `map[k:v k:v]`, a map's keys sorted."""
    if meter.depth == MAX_NESTING_DEPTH:
        raise EvaluationError(f"a printed claim is nested deeper than {MAX_NESTING_DEPTH} levels")
    meter.depth += 1
    meter.work(len(value))
    parts: list[str] = []
    length = 0
    prefix = "map" if is_map(value) else ""
    for item in sorted_keys(value, meter) if prefix else value:
        label, member = (f"{item}:", value[item]) if prefix else ("", item)
        parts.append(label + format_value(from_claim(member), meter))
        length += len(parts[-1]) + 1
        check_text_length(length)
    meter.depth -= 1
    return f"{prefix}[{' '.join(parts)}]"
