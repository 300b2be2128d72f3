"""Parsed CEL expressions as trees, which `compose` joins into one; `wire` reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Const:
    """A literal; `kind` is the field of `cel.expr.Constant` that has its value."""

    kind: str
    value: bool | int | float | str | bytes

    @property
    def text(self) -> str | None:
        """The value of a string, None if it is of another type."""
        return self.value if isinstance(self.value, str) else None


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
    """`[elements]`; `optional_indices`: those written with `?`, as numbers."""

    elements: tuple[Node, ...]
    optional_indices: tuple[int, ...] = ()


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


FALSE = Const("bool_value", value=False)
NULL = Const("null_value", 0)


def text(value: str) -> Const:
    """Return a string literal."""
    return Const("string_value", value)


def integer(value: int) -> Const:
    """Return an int literal."""
    return Const("int64_value", value)


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
