"""How Go prints a value: `%v`, print, println, and the part of printf that names need.

Mirrors Go's fmt (print.go, format.go) and strconv (ftoa.go, quote.go). Where Go writes its
complaint into the text (`%!d(float64=5)`), this fails: such a text is nobody's policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_NESTING_DEPTH,
    EvaluationError,
    Meter,
    check_text_length,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
    Byte,
    GoValue,
    describe,
    from_claim,
    is_list,
    is_map,
    join,
    sorted_keys,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PRINTF_VERBS = "%dfqstv"
"""The verbs of printf that are supported.

Differs from OpenBao: the others are refused. They print other bases, exponents and types, which
no policy's name holds.
"""

_DIRECTIVE = re.compile(r"%([-+ 0]*)([0-9]*)(?:\.([0-9]*))?(.?)", re.DOTALL)
_MAX_WIDTH_DIGITS = 3
_QUOTED = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


def format_float(number: float) -> str:
    """`%v` of a float64: the shortest digits, in exponent form below 1e-4 and from 1e+06 on."""
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
    """`%v` of any value, as `print` and an action write it; null is `<nil>`.

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
    if kind is int or kind is Byte:
        return str(int(value))
    if value is None:
        return "<nil>"
    return _format_container(value, lambda member: format_value(member, meter), meter)


def sprint(values: Sequence[GoValue], meter: Meter) -> str:
    """Go's fmt.Sprint: a space between two values of which neither is text."""
    parts: list[str] = []
    after_text = True
    for value in values:
        is_text = type(value) is str
        if not (is_text or after_text):
            parts.append(" ")
        parts.append(format_value(value, meter))
        after_text = is_text
    return join(parts)


def sprintln(values: Sequence[GoValue], meter: Meter) -> str:
    """Go's fmt.Sprintln: a space between all values, and a line feed."""
    return join([" ".join(format_value(value, meter) for value in values), "\n"])


def sprintf(template: str, values: Sequence[GoValue], meter: Meter) -> str:
    """Go's fmt.Sprintf for `PRINTF_VERBS`, the flags `-`, `+`, `0` and space, width and precision.

    Raises:
        EvaluationError: another verb or flag, a verb that doesn't fit its value, a value too
            many or too few.
    """
    parts: list[str] = []
    length = end = used = 0
    while (start := template.find("%", end)) >= 0:
        parts.append(template[end:start])
        directive, end = _directive(template, start)
        if directive.verb == "%":
            parts.append("%")
            continue
        if used == len(values):
            raise EvaluationError("the format has more directives than there are values")
        text = directive.format(values[used], meter)
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
        EvaluationError: a verb or flag that is not supported.
    """
    end = 0
    while (start := template.find("%", end)) >= 0:
        _, end = _directive(template, start)


def quote(text: str) -> str:
    r"""`%q` of a text: Go's strconv.Quote. Bytes that are not UTF-8 become `\xNN`."""
    parts: list[str] = []
    for character in text:
        code = ord(character)
        if character in _QUOTED:
            parts.append(_QUOTED[character])
        elif character.isprintable():
            parts.append(character)
        elif code < 0x20 or code == 0x7F:
            parts.append(f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\x{code - 0xDC00:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(parts) + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directive:
    """One `%…` of a printf format. `precision` is None when none is given."""

    verb: str
    minus: bool
    plus: bool
    space: bool
    zero: bool
    width: int
    precision: int | None

    def format(self, value: GoValue, meter: Meter) -> str:
        """The text of a value; of every member for a list or map, as Go does."""
        if is_list(value) or is_map(value):
            return _format_container(value, lambda member: self._member(member, meter), meter)
        text = self._scalar(value)
        if text is None:
            hint = "; numbers of claims are printed by %v or %.0f" if type(value) is float else ""
            raise EvaluationError(f"%{self.verb} can't print {describe(value)}{hint}")
        return text

    def _member(self, value: GoValue, meter: Meter) -> str:
        # Go's fmt has no verb and no width for a nil within a list or map.
        return "<nil>" if value is None else self.format(value, meter)

    def _scalar(self, value: GoValue) -> str | None:
        """The text of a value that is no list or map; None when the verb doesn't fit."""
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is float:
            return self._float(value)
        if kind is int or kind is Byte:
            return self._integer(int(value))
        if kind is bool and self.verb in "vt":
            return self._pad("true" if value else "false")
        if value is None and self.verb == "v":
            return self._pad("<nil>")
        return None

    def _text(self, value: str) -> str | None:
        if self.verb in "vs":
            return self._pad(self._cut(value))
        if self.verb == "q":
            return self._pad(quote(self._cut(value)))
        return None

    def _float(self, value: float) -> str | None:
        if self.verb not in "vf":
            return None
        if self.verb == "v" and self.precision is None:
            text = format_float(abs(value))
        else:
            precision = 6 if self.precision is None else self.precision
            text = f"{abs(value):.{precision}{'g' if self.verb == 'v' else 'f'}}"
        return self._number(text, negative=repr(value)[0] == "-", fill=self.zero)

    def _integer(self, value: int) -> str | None:
        if self.verb not in "vd":
            return None
        if self.precision is None:
            return self._number(str(abs(value)), negative=value < 0, fill=self.zero)
        if value == 0 and self.precision == 0:
            return " " * self.width
        digits = str(abs(value)).zfill(self.precision)
        return self._number(digits, negative=value < 0, fill=False)

    def _number(self, digits: str, *, negative: bool, fill: bool) -> str:
        sign = "-" if negative else "+" if self.plus and self.verb != "v" else ""
        if not sign and self.space:
            sign = " "
        if fill and not self.minus:
            return sign + digits.zfill(self.width - len(sign))
        text = sign + digits
        return text.ljust(self.width) if self.minus else text.rjust(self.width)

    def _cut(self, text: str) -> str:
        return text if self.precision is None else text[: self.precision]

    def _pad(self, text: str) -> str:
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero else " ")


def _directive(template: str, start: int) -> tuple[_Directive, int]:
    """The directive at `start`, and where it ends."""
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
    if (" " in flags and verb in "qstv") or ("+" in flags and verb == "q"):
        raise EvaluationError(f"this flag is not supported with %{verb}")
    return _Directive(
        verb=verb,
        minus="-" in flags,
        plus="+" in flags,
        space=" " in flags,
        zero="0" in flags,
        width=int(width or 0),
        precision=None if precision is None else int(precision or 0),
    ), match.end()


def _format_container(value: Any, format_member: Callable[[GoValue], str], meter: Meter) -> str:
    """`[a b]` or `map[k:v k:v]`, a map's keys sorted."""
    if meter.depth == MAX_NESTING_DEPTH:
        raise EvaluationError(f"a printed claim is nested deeper than {MAX_NESTING_DEPTH} levels")
    meter.depth += 1
    meter.work(len(value))
    parts: list[str] = []
    length = 0
    if is_list(value):
        prefix = ""
        for member in value:
            parts.append(format_member(from_claim(member)))
            length += len(parts[-1]) + 1
            check_text_length(length)
    else:
        prefix = "map"
        for key in sorted_keys(value, meter):
            parts.append(f"{format_member(key)}:{format_member(from_claim(value[key]))}")
            length += len(parts[-1]) + 1
            check_text_length(length)
    meter.depth -= 1
    return f"{prefix}[{' '.join(parts)}]"
