"""The functions of a policy template.

OpenBao's own (sdk/helper/template/funcs.go) and those of the language (text/template/funcs.go);
`call` is left out: claims hold no functions. `and` and `or` are nodes, as they need not evaluate
all of their arguments.

Differs from OpenBao: `html`, `js` and `urlquery` are refused. They escape text for a document or
an address, which no policy's name is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from vault_jwt_plugin.jwt_auth.claims.bound_claims import glob_matches
from vault_jwt_plugin.jwt_auth.policies.go_template.format import sprint, sprintf, sprintln
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    EvaluationError,
    Meter,
    check_text_length,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.times import format_time
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
    Byte,
    GoValue,
    describe,
    equal,
    from_bytes,
    from_claim,
    is_list,
    is_map,
    less,
    to_bytes,
)

if TYPE_CHECKING:
    from datetime import tzinfo

_MAX_LAYOUT_LENGTH = 256
_SHA256_SUFFIX_LENGTH = 8
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the functions of one login may use.

    Attributes:
        random: makes that many characters of `[A-Za-z0-9]`.
        uuid: makes a UUID's text.
        now_ns: reads the clock, nanoseconds since 1970.
        zone: the time zone of `timestamp`; None is the process's own.
        meter: what the login may still cost.
    """

    random: Callable[[int], str]
    uuid: Callable[[], str]
    now_ns: Callable[[], int]
    zone: tzinfo | None
    meter: Meter


class Kind(Enum):
    """What a parameter of a function takes."""

    TEXT = "a string"
    INTEGER = "an integer"
    ANY = "any value"


Implementation: TypeAlias = Callable[[Sequence[Any], Environment], GoValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function and what it takes.

    Attributes:
        parameters: the kinds of its arguments, in order.
        variadic: whether any number of `Kind.ANY` may follow them.
        apply: evaluates it; the arguments have been checked against `parameters`.
    """

    parameters: tuple[Kind, ...]
    variadic: bool = False
    apply: Implementation

    def accepts(self, count: int) -> bool:
        """Whether it can be called with this many arguments."""
        least = len(self.parameters)
        return count >= least if self.variadic else count == least

    def kind(self, index: int) -> Kind:
        """What the argument at `index`, counted from 0, has to be."""
        return self.parameters[index] if index < len(self.parameters) else Kind.ANY


def _uppercase(text: str) -> str:
    """Go's strings.ToUpper: letter by letter, never more letters than before."""
    mapped = text.upper()
    # No letter's full mapping is shorter, so that the same length is one letter each.
    if text.isascii() or (len(mapped) == len(text) and text.isprintable()):
        return mapped
    return "".join(map(_simple_upper, text))


def _lowercase(text: str) -> str:
    """Go's strings.ToLower: letter by letter, without the rule for a sigma at a word's end."""
    mapped = text.lower()
    single = len(mapped) == len(text) and "\u03a3" not in text
    if text.isascii() or (single and text.isprintable()):
        return mapped
    return "".join(map(_simple_lower, text))


def _simple_upper(letter: str) -> str:
    # Unicode's full mapping turns ß into SS. Where there is a one-letter mapping too, title()
    # has it (U+1FB3 and its kin).
    for mapped in (letter.upper(), letter.title()):
        if len(mapped) == 1:
            return _replace_invalid(mapped)
    return letter


def _simple_lower(letter: str) -> str:
    # İ, the one letter whose full mapping is longer, becomes a plain i.
    return _replace_invalid(letter.lower()[0])


def _replace_invalid(letter: str) -> str:
    # strings.Map writes U+FFFD for a byte that is not UTF-8.
    return "\ufffd" if "\udc80" <= letter <= "\udcff" else letter


def _truncate(arguments: Sequence[Any], _environment: Environment) -> str:
    length, text = arguments
    if length <= 0:
        raise EvaluationError(f"the length must be over 0, not {length}")
    return from_bytes(to_bytes(text)[:length])


def _truncate_sha256(arguments: Sequence[Any], _environment: Environment) -> str:
    length, text = arguments
    if length <= _SHA256_SUFFIX_LENGTH:
        raise EvaluationError(f"the length must be over {_SHA256_SUFFIX_LENGTH}, not {length}")
    data = to_bytes(text)
    if len(data) <= length:
        return str(text)
    cut = length - _SHA256_SUFFIX_LENGTH
    digest = hashlib.sha256(data[cut:]).hexdigest()
    return from_bytes(data[:cut] + digest[:_SHA256_SUFFIX_LENGTH].encode())


def _replace(arguments: Sequence[Any], _environment: Environment) -> str:
    find, replacement, text = arguments
    if find and not (find.isascii() and replacement.isascii() and text.isascii()):
        # In Go a part of a letter's UTF-8 sequence can be found too.
        data, wanted, new = to_bytes(text), to_bytes(find), to_bytes(replacement)
        check_text_length(len(data) + data.count(wanted) * (len(new) - len(wanted)))
        return from_bytes(data.replace(wanted, new))
    check_text_length(len(text) + text.count(find) * (len(replacement) - len(find)))
    return str(text.replace(find, replacement))


def _decode_base64(arguments: Sequence[Any], _environment: Environment) -> str:
    # Go skips line ends anywhere, and nothing else.
    text = arguments[0].replace("\r", "").replace("\n", "")
    if len(text) % 4 or _BASE64.fullmatch(text) is None:
        raise EvaluationError("the string is not base64 with padding")
    return from_bytes(base64.b64decode(text))


def _decode_hex(arguments: Sequence[Any], _environment: Environment) -> str:
    try:
        return from_bytes(binascii.unhexlify(arguments[0]))
    except ValueError:
        raise EvaluationError("the string is not hexadecimal") from None


def _random(arguments: Sequence[Any], environment: Environment) -> str:
    length = arguments[0]
    if length < 0:
        raise EvaluationError(f"the length must not be negative, but is {length}")
    check_text_length(length)
    return environment.random(length)


def _timestamp(arguments: Sequence[Any], environment: Environment) -> str:
    if len(arguments[0]) > _MAX_LAYOUT_LENGTH:
        raise EvaluationError(f"the layout has over {_MAX_LAYOUT_LENGTH} characters")
    return format_time(environment.now_ns(), arguments[0], zone=environment.zone)


def _length(arguments: Sequence[Any], _environment: Environment) -> int:
    value = arguments[0]
    if type(value) is str:
        return len(value) if value.isascii() else len(to_bytes(value))
    if is_list(value) or is_map(value):
        return len(value)
    raise EvaluationError(f"{describe(value)} has no length")


def _index(arguments: Sequence[Any], environment: Environment) -> GoValue:
    """`index x 1 "a"` is x[1]["a"]. A key that a map lacks gives null, even here."""
    value, *indexes = arguments
    if value is None:
        raise EvaluationError("null can't be indexed")
    for index in indexes:
        if is_map(value):
            if type(index) is not str:
                raise EvaluationError(f"a map is indexed by a string, not by {describe(index)}")
            value = from_claim(value.get(index))
        elif is_list(value):
            value = from_claim(value[_position(index, len(value) - 1)])
        elif type(value) is str:
            environment.meter.work(len(value))
            data = to_bytes(value)
            value = Byte(data[_position(index, len(data) - 1)])
        else:
            raise EvaluationError(f"{describe(value)} can't be indexed")
    return value


def _slice(arguments: Sequence[Any], environment: Environment) -> GoValue:
    """`slice x 1 2` is x[1:2]. Of a text the bytes are counted."""
    value, *indexes = arguments
    if len(indexes) > 3:
        raise EvaluationError("slice takes at most 3 indexes")
    if type(value) is str:
        if len(indexes) == 3:
            raise EvaluationError("slice takes at most 2 indexes of a string")
        data = to_bytes(value)
        start, end = _bounds(indexes, len(data))
        return from_bytes(data[start:end])
    if not is_list(value):
        raise EvaluationError(f"{describe(value)} can't be sliced")
    start, end = _bounds(indexes, len(value))
    environment.meter.work(end - start)
    return value[start:end]


def _bounds(indexes: Sequence[GoValue], length: int) -> tuple[int, int]:
    bounds = [0, length]
    bounds[: len(indexes)] = [_position(index, length) for index in indexes]
    if bounds != sorted(bounds):
        raise EvaluationError("slice indexes must ascend")
    return bounds[0], bounds[1]


def _position(index: GoValue, last: int) -> int:
    """An index of a list or text, at most `last`."""
    if type(index) is not int and type(index) is not Byte:
        raise EvaluationError(
            f"a list or string is indexed by an integer, not by {describe(index)}"
        )
    if not 0 <= index <= last:
        raise EvaluationError(f"index {int(index)} is out of range")
    return int(index)


def _equals(arguments: Sequence[Any], _environment: Environment) -> bool:
    first, *others = arguments
    return any(equal(first, other) for other in others)


def _at_most(first: GoValue, second: GoValue) -> bool:
    return less(first, second) or equal(first, second)


def _text(convert: Callable[[str], str]) -> Function:
    """A function from one text to another."""
    return Function(parameters=(Kind.TEXT,), apply=lambda arguments, _: convert(arguments[0]))


def _pair(compare: Callable[[Any, Any], bool]) -> Function:
    """A comparison of two values."""
    return Function(parameters=(Kind.ANY, Kind.ANY), apply=lambda arguments, _: compare(*arguments))


FUNCTIONS: dict[str, Function] = {
    "random": Function(parameters=(Kind.INTEGER,), apply=_random),
    "truncate": Function(parameters=(Kind.INTEGER, Kind.TEXT), apply=_truncate),
    "truncate_sha256": Function(parameters=(Kind.INTEGER, Kind.TEXT), apply=_truncate_sha256),
    "uppercase": _text(_uppercase),
    "lowercase": _text(_lowercase),
    "replace": Function(parameters=(Kind.TEXT, Kind.TEXT, Kind.TEXT), apply=_replace),
    "sha256": _text(lambda text: hashlib.sha256(to_bytes(text)).hexdigest()),
    "base64": _text(lambda text: base64.b64encode(to_bytes(text)).decode()),
    "decode_base64": Function(parameters=(Kind.TEXT,), apply=_decode_base64),
    "hex": _text(lambda text: to_bytes(text).hex()),
    "decode_hex": Function(parameters=(Kind.TEXT,), apply=_decode_hex),
    "unix_time": Function(parameters=(), apply=lambda _, env: str(env.now_ns() // 10**9)),
    "unix_time_millis": Function(parameters=(), apply=lambda _, env: str(env.now_ns() // 10**6)),
    "timestamp": Function(parameters=(Kind.TEXT,), apply=_timestamp),
    "uuid": Function(parameters=(), apply=lambda _, env: env.uuid()),
    "glob": Function(
        parameters=(Kind.TEXT, Kind.TEXT),
        apply=lambda args, _: glob_matches(args[0].split("*"), args[1]),
    ),
    "not": Function(parameters=(Kind.ANY,), apply=lambda args, _: not args[0]),
    "len": Function(parameters=(Kind.ANY,), apply=_length),
    "index": Function(parameters=(Kind.ANY,), variadic=True, apply=_index),
    "slice": Function(parameters=(Kind.ANY,), variadic=True, apply=_slice),
    "print": Function(
        parameters=(), variadic=True, apply=lambda args, env: sprint(args, env.meter)
    ),
    "printf": Function(
        parameters=(Kind.TEXT,),
        variadic=True,
        apply=lambda args, env: sprintf(args[0], args[1:], env.meter),
    ),
    "println": Function(
        parameters=(), variadic=True, apply=lambda args, env: sprintln(args, env.meter)
    ),
    "eq": Function(parameters=(Kind.ANY, Kind.ANY), variadic=True, apply=_equals),
    "ne": _pair(lambda first, second: not equal(first, second)),
    "lt": _pair(less),
    "le": _pair(_at_most),
    "gt": _pair(lambda first, second: not _at_most(first, second)),
    "ge": _pair(lambda first, second: not less(first, second)),
}
"""The functions by name. The nodes of `and` and `or` are not in it."""
