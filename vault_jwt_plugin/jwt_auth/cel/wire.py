"""The serialised form of parsed CEL expressions, which the library gives and takes.

It is a `google.protobuf.Any` of cel-spec's `cel.expr.ParsedExpr`. Ids are given anew when
a tree is encoded, so that parts of several expressions never share one; source positions
are dropped.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import DecodeError, Message

from vault_jwt_plugin.jwt_auth.cel.tree import (
    Call,
    Comprehension,
    Const,
    Entry,
    Ident,
    ListOf,
    Node,
    Select,
    Struct,
)
from vault_jwt_plugin.pb import cel_syntax_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE_URL = "type.googleapis.com/cel.expr.ParsedExpr"
_M = TypeVar("_M", bound=Message)


class ASTError(ValueError):
    """A serialised expression has a form that this version does not know."""


def decode(serialized: bytes) -> Node:
    """Return the tree of what `Expression.serialize` gave for a parsed expression.

    Raises:
        ASTError: it is something else.
    """
    packed = _read(pb.Packed, serialized)
    if packed.type_url != _TYPE_URL:
        raise ASTError("not a parsed expression")
    return _node(_read(pb.ParsedExpr, packed.value).expr)


def encode(node: Node) -> bytes:
    """Return what `Env.deserialize` takes for this tree."""
    parsed = pb.ParsedExpr(expr=_encoded(node, itertools.count(1)))
    return pb.Packed(type_url=_TYPE_URL, value=parsed.SerializeToString()).SerializeToString()


def _read(kind: type[_M], raw: bytes) -> _M:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise ASTError("a serialised expression is malformed") from None


def _node(raw: bytes) -> Node:
    expr = _read(pb.Expr, raw)
    size = expr.ByteSize()
    expr.DiscardUnknownFields()
    if expr.ByteSize() != size:
        raise ASTError("a serialised expression has an unknown field")
    match expr.WhichOneof("kind"):
        case "constant":
            return _const(expr.constant)
        case "ident":
            return Ident(expr.ident.name)
        case "select":
            select = expr.select
            return Select(_node(select.operand), select.field, select.test_only)
        case "call":
            call = expr.call
            target = _node(call.target) if call.HasField("target") else None
            return Call(call.function, tuple(map(_node, call.args)), target)
        case "list":
            return ListOf(tuple(map(_node, expr.list.elements)), tuple(expr.list.optional_indices))
        case "struct":
            return Struct(expr.struct.name, tuple(map(_entry, expr.struct.entries)))
        case "comprehension":
            return _comprehension(expr.comprehension)
        case _:
            raise ASTError("an expression of no known kind")


def _const(constant: pb.Constant) -> Const:
    kind = constant.WhichOneof("kind")
    if kind is None:
        raise ASTError("a constant of no known kind")
    return Const(kind, getattr(constant, kind))


def _entry(entry: pb.Entry) -> Entry:
    key = _node(entry.key) if entry.WhichOneof("key_kind") == "key" else None
    return Entry(_node(entry.value), entry.field, key, entry.optional)


_NAMES = ("iter_var", "iter_var2", "accu_var")
_PARTS = ("iter_range", "accu_init", "loop_condition", "loop_step", "result")


def _comprehension(message: pb.Comprehension) -> Comprehension:
    parts: dict[str, Any] = {name: _node(getattr(message, name)) for name in _PARTS}
    return Comprehension(**parts, **{name: getattr(message, name) for name in _NAMES})


def _encoded(node: Node, ids: Iterator[int]) -> bytes:
    expr = pb.Expr(id=next(ids))

    def inner(part: Node) -> bytes:
        return _encoded(part, ids)

    match node:
        case Const(kind, value):
            setattr(expr.constant, kind, value)
        case Ident(name):
            expr.ident.name = name
        case Select(operand, field, test_only):
            select = pb.Select(operand=inner(operand), field=field, test_only=test_only)
            expr.select.CopyFrom(select)
        case Call(function, args, target):
            on = None if target is None else inner(target)
            call = pb.Call(target=on, function=function, args=map(inner, args))
            expr.call.CopyFrom(call)
        case ListOf(elements, indices):
            made = pb.ListOf(elements=map(inner, elements), optional_indices=indices)
            expr.list.CopyFrom(made)
        case Struct(name, entries):
            expr.struct.CopyFrom(
                pb.Struct(name=name, entries=[_encoded_entry(entry, ids) for entry in entries])
            )
        case Comprehension():
            parts: dict[str, Any] = {name: inner(getattr(node, name)) for name in _PARTS}
            parts |= {name: getattr(node, name) for name in _NAMES}
            expr.comprehension.CopyFrom(pb.Comprehension(**parts))
    return expr.SerializeToString()


def _encoded_entry(entry: Entry, ids: Iterator[int]) -> pb.Entry:
    made = pb.Entry(id=next(ids), optional=entry.optional)
    if entry.key is None:
        made.field = entry.field
    else:
        made.key = _encoded(entry.key, ids)
    made.value = _encoded(entry.value, ids)
    return made
