"""Parsed CEL expressions as trees: read from the library, changed, given back.

The library hands a parsed expression out, and takes one in, as a serialised
`google.protobuf.Any` of `cel.expr.ParsedExpr` (cel-spec, `syntax.proto`). Only
that message is known here, and of a constant only its bytes: the tree is what
`compose` needs to join a program's expressions into one.

Ids are given anew when a tree is encoded, so parts of several expressions never
share one; source positions are dropped.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPE_URL = "type.googleapis.com/cel.expr.ParsedExpr"
_TEXT_CONSTANT = 6


class ASTError(ValueError):
    """The library's serialised form is not what it was when this was written."""


@dataclass(frozen=True, slots=True)
class Const:
    """A literal; `raw` is a serialised `cel.expr.Constant`."""

    raw: bytes

    @property
    def text(self) -> str | None:
        """The literal's text, None if it is of another type."""
        for number, _, value in _fields(self.raw):
            if number == _TEXT_CONSTANT and isinstance(value, bytes):
                return value.decode()
        return None


@dataclass(frozen=True, slots=True)
class Ident:
    """A name."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` if `test_only`."""

    operand: Node
    field: str
    test_only: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args)`, or `target.function(args)`."""

    function: str
    args: tuple[Node, ...]
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[elements]`; `optional_indices`: those written with `?`, as serialised."""

    elements: tuple[Node, ...]
    optional_indices: bytes = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """`field: value` of a message, or `key: value` of a map; `optional`: written with `?`."""

    value: Node
    field: str = ""
    key: Node | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Struct:
    """A message of this name, or a map if the name is empty."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """What a macro such as `map` or `cel.bind` becomes."""

    iter_var: str
    iter_var2: str
    accu_var: str
    iter_range: Node
    accu_init: Node
    loop_condition: Node
    loop_step: Node
    result: Node


Node = Const | Ident | Select | Call | ListOf | Struct | Comprehension

FALSE = Const(b"\x10\x00")
NULL = Const(b"\x08\x00")


def text(value: str) -> Const:
    """A text literal."""
    return Const(_pack(_TEXT_CONSTANT, value.encode()))


def integer(value: int) -> Const:
    """An int literal, not negative."""
    return Const(_number(3, value))


def bind(name: str, value: Node, result: Node) -> Comprehension:
    """`result`, in which `name` stands for `value`; the library evaluates that at most once.

    The form of the `cel.bind` macro, which the library knows: a name nobody uses
    is never evaluated.
    """
    return Comprehension(
        iter_var="#unused",
        iter_var2="",
        accu_var=name,
        iter_range=ListOf(()),
        accu_init=value,
        loop_condition=FALSE,
        loop_step=Ident(name),
        result=result,
    )


def choose(condition: Node, yes: Node, no: Node) -> Call:
    """`condition ? yes : no`."""
    return Call("_?_:_", (condition, yes, no))


# Reading.


def decode(serialized: bytes) -> Node:
    """The tree of what `Expression.serialize` gave for a parsed expression.

    Raises:
        ASTError: it is something else.
    """
    members = dict(_grouped(serialized))
    if _text(members.get(1)) != _TYPE_URL:
        raise ASTError("not a parsed expression")
    return _node(_only(dict(_grouped(_only(members.get(2)))).get(2)))


def _node(raw: bytes) -> Node:
    for number, wire, value in _fields(raw):
        if wire == _BYTES and isinstance(value, bytes) and number in _READERS:
            return _READERS[number](value)
    raise ASTError("an expression of no known kind")


def _ident(raw: bytes) -> Ident:
    return Ident(_text(_grouped(raw).get(1)))


def _select(raw: bytes) -> Select:
    members = _grouped(raw)
    return Select(_node(_only(members.get(1))), _text(members.get(2)), bool(members.get(3)))


def _call(raw: bytes) -> Call:
    members = _grouped(raw)
    target = members.get(1)
    return Call(
        function=_text(members.get(2)),
        args=tuple(_node(_bytes(arg)) for arg in members.get(3, ())),
        target=None if target is None else _node(_only(target)),
    )


def _list(raw: bytes) -> ListOf:
    members = _grouped(raw)
    indices = members.get(2)
    return ListOf(
        elements=tuple(_node(_bytes(element)) for element in members.get(1, ())),
        optional_indices=b"" if indices is None else _only(indices),
    )


def _struct(raw: bytes) -> Struct:
    members = _grouped(raw)
    return Struct(
        _text(members.get(1)), tuple(_entry(_bytes(entry)) for entry in members.get(2, ()))
    )


def _entry(raw: bytes) -> Entry:
    members = _grouped(raw)
    key = members.get(3)
    return Entry(
        value=_node(_only(members.get(4))),
        field=_text(members.get(2)),
        key=None if key is None else _node(_only(key)),
        optional=bool(members.get(5)),
    )


def _comprehension(raw: bytes) -> Comprehension:
    members = _grouped(raw)
    return Comprehension(
        iter_var=_text(members.get(1)),
        iter_var2=_text(members.get(8)),
        accu_var=_text(members.get(3)),
        iter_range=_node(_only(members.get(2))),
        accu_init=_node(_only(members.get(4))),
        loop_condition=_node(_only(members.get(5))),
        loop_step=_node(_only(members.get(6))),
        result=_node(_only(members.get(7))),
    )


_READERS: dict[int, Callable[[bytes], Node]] = {
    3: Const,
    4: _ident,
    5: _select,
    6: _call,
    7: _list,
    8: _struct,
    9: _comprehension,
}

# Writing.


def encode(node: Node) -> bytes:
    """What `Env.deserialize` takes for this tree."""
    parsed = _pack(2, _encoded(node, itertools.count(1)))
    return _pack(1, _TYPE_URL.encode()) + _pack(2, parsed)


def _encoded(node: Node, ids: Iterator[int]) -> bytes:
    own = _number(2, next(ids))
    match node:
        case Const(raw):
            body = _pack(3, raw)
        case Ident(name):
            body = _pack(4, _pack(1, name.encode()))
        case Select(operand, field, test_only):
            inner = _pack(1, _encoded(operand, ids)) + _pack(2, field.encode())
            body = _pack(5, inner + (_number(3, 1) if test_only else b""))
        case Call(function, args, target):
            on = b"" if target is None else _pack(1, _encoded(target, ids))
            body = _pack(6, on + _pack(2, function.encode()) + _all(3, args, ids))
        case ListOf(elements, indices):
            marked = _pack(2, indices) if indices else b""
            body = _pack(7, _all(1, elements, ids) + marked)
        case Struct(name, entries):
            inner = b"".join(_pack(2, _encoded_entry(entry, ids)) for entry in entries)
            body = _pack(8, (_pack(1, name.encode()) if name else b"") + inner)
        case Comprehension():
            body = _pack(9, _encoded_comprehension(node, ids))
    return own + body


def _all(number: int, nodes: Iterable[Node], ids: Iterator[int]) -> bytes:
    return b"".join(_pack(number, _encoded(node, ids)) for node in nodes)


def _encoded_entry(entry: Entry, ids: Iterator[int]) -> bytes:
    own = _number(1, next(ids))
    if entry.key is None:
        key = _pack(2, entry.field.encode())
    else:
        key = _pack(3, _encoded(entry.key, ids))
    optional = _number(5, 1) if entry.optional else b""
    return own + key + _pack(4, _encoded(entry.value, ids)) + optional


def _encoded_comprehension(node: Comprehension, ids: Iterator[int]) -> bytes:
    second = _pack(8, node.iter_var2.encode()) if node.iter_var2 else b""
    return (
        _pack(1, node.iter_var.encode())
        + _pack(2, _encoded(node.iter_range, ids))
        + _pack(3, node.accu_var.encode())
        + _pack(4, _encoded(node.accu_init, ids))
        + _pack(5, _encoded(node.loop_condition, ids))
        + _pack(6, _encoded(node.loop_step, ids))
        + _pack(7, _encoded(node.result, ids))
        + second
    )


# The wire format of protobuf, as far as these messages use it.


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _pack(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _cut_off()


def _cut_off() -> ASTError:
    return ASTError("a serialised expression is cut off")


def _fields(raw: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    at = 0
    while at < len(raw):
        tag, at = _read_varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(raw, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(raw, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ASTError(f"a serialised expression has wire type {wire}")
        if at + size > len(raw):
            raise _cut_off()
        yield number, wire, raw[at : at + size]
        at += size


def _grouped(raw: bytes) -> dict[int, list[bytes | int]]:
    members: dict[int, list[bytes | int]] = {}
    for number, _, value in _fields(raw):
        members.setdefault(number, []).append(value)
    return members


def _bytes(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ASTError("a serialised expression has a number where a message belongs")
    return value


def _only(values: list[bytes | int] | None) -> bytes:
    if not values:
        raise ASTError("a serialised expression lacks a part")
    return _bytes(values[-1])


def _text(values: list[bytes | int] | None) -> str:
    return _bytes(values[-1]).decode() if values else ""
