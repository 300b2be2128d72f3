"""The functions of a policy template.

OpenBao's own (sdk/helper/template/funcs.go) and those of the language (text/template/funcs.go);
`call` is left out: claims hold no functions. `and` and `or` are operands of their own, as they
need not evaluate all of their arguments.

Differs from OpenBao: `html`, `js`, `urlquery` and `println` are refused. They escape text for a
document or an address, or end a line, which no policy name needs.
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
from vault_jwt_plugin.jwt_auth.policies.go_template.format import sprint, sprintf
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_TEMPLATE_LENGTH,
    EvaluationError,
    Meter,
    check_text_length,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.times import format_time
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
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
_UNLIMITED = MAX_TEMPLATE_LENGTH
_SHA256_SUFFIX_LENGTH = 8
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_INVALID = re.compile("[\udc80-\udcff]")


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

    @property
    def type(self) -> type:
        """The Python type of a string or an integer."""
        return str if self is Kind.TEXT else int


Implementation: TypeAlias = Callable[[Sequence[Any], Environment], GoValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function and what it takes.

    Attributes:
        parameters: the kinds of its arguments, in order.
        optional: how many more arguments, of any kind, may follow.
        apply: evaluates it; the arguments have been checked against `parameters`.
    """

    parameters: tuple[Kind, ...]
    optional: int = 0
    apply: Implementation

    def accepts(self, count: int) -> bool:
        """Return whether it can be called with this many arguments."""
        return 0 <= count - len(self.parameters) <= self.optional

    def kind(self, index: int) -> Kind:
        """Return the kind of the argument at `index`, counted from 0."""
        return self.parameters[index] if index < len(self.parameters) else Kind.ANY


def _uppercase(text: str) -> str:
    """Return Go's strings.ToUpper: letter by letter, U+FFFD for a byte that is not UTF-8."""
    return text.upper() if text.isascii() else _INVALID.sub("\ufffd", "".join(map(_upper, text)))


def _upper(letter: str) -> str:
    # The full mapping turns ß into SS. Where a one-letter mapping exists too (U+1FB3), title()
    # returns it.
    mapped = (letter.upper(), letter.title(), letter)
    return next(candidate for candidate in mapped if len(candidate) == 1)


def _lowercase(text: str) -> str:
    """Return Go's strings.ToLower, which does not treat a sigma at a word's end differently."""
    # Only İ has a longer full mapping; it becomes a plain i.
    return _INVALID.sub("\ufffd", "".join(letter.lower()[0] for letter in text))


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


def _index(arguments: Sequence[Any], _environment: Environment) -> GoValue:
    """Return x[1]["a"] for `index x 1 "a"`. A key that a map lacks gives null, even here.

    Differs from OpenBao: the bytes of a string, which are numbers, can't be taken out.
    """
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
        else:
            raise EvaluationError(f"{describe(value)} can't be indexed")
    return value


def _slice(arguments: Sequence[Any], environment: Environment) -> GoValue:
    """Return x[1:2] for `slice x 1 2`; of a string the bytes are counted."""
    value, *indexes = arguments
    if type(value) is not str and not is_list(value):
        raise EvaluationError(f"{describe(value)} can't be sliced")
    items = to_bytes(value) if type(value) is str else value
    bounds = [0, len(items)]
    bounds[: len(indexes)] = [_position(index, len(items)) for index in indexes]
    if bounds != sorted(bounds):
        raise EvaluationError("slice indexes must ascend")
    taken = items[bounds[0] : bounds[1]]
    environment.meter.work(len(taken))
    return from_bytes(taken) if type(value) is str else taken


def _position(index: GoValue, last: int) -> int:
    if type(index) is not int:
        raise EvaluationError(
            f"a list or string is indexed by an integer, not by {describe(index)}"
        )
    if not 0 <= index <= last:
        raise EvaluationError(f"index {index} is out of range")
    return index


def _equals(arguments: Sequence[Any], _environment: Environment) -> bool:
    first, *others = arguments
    return any(equal(first, other) for other in others)


def _at_most(first: GoValue, second: GoValue) -> bool:
    return less(first, second) or equal(first, second)


def _text(convert: Callable[[str], str]) -> Function:
    """Return the function that converts one string."""
    return Function(parameters=(Kind.TEXT,), apply=lambda arguments, _: convert(arguments[0]))


def _pair(compare: Callable[[Any, Any], bool]) -> Function:
    """Return the function that compares two values."""
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
    "index": Function(parameters=(Kind.ANY,), optional=_UNLIMITED, apply=_index),
    "slice": Function(parameters=(Kind.ANY,), optional=2, apply=_slice),
    "print": Function(
        parameters=(), optional=_UNLIMITED, apply=lambda args, env: sprint(args, env.meter)
    ),
    "printf": Function(
        parameters=(Kind.TEXT,),
        optional=_UNLIMITED,
        apply=lambda args, env: sprintf(args[0], args[1:], env.meter),
    ),
    "eq": Function(parameters=(Kind.ANY, Kind.ANY), optional=_UNLIMITED, apply=_equals),
    "ne": _pair(lambda first, second: not equal(first, second)),
    "lt": _pair(less),
    "le": _pair(_at_most),
    "gt": _pair(lambda first, second: not _at_most(first, second)),
    "ge": _pair(lambda first, second: not less(first, second)),
}
"""The functions by name. The nodes of `and` and `or` are not in it."""
