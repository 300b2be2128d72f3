"""A program's expressions joined into one, and made safe to evaluate.

OpenBao evaluates a program's variables one after the other, each once, used or
not, and hands their values on. Here the values never leave the library: each
variable becomes a `cel.bind` around the rest, and a list of all of them around
the result has every one evaluated. An error in any is an error of the whole.

What is changed in the expressions themselves:

- A call of one of OpenBao's own functions becomes a name. What it is called on
  is a stage, evaluated on its own before the program; the function's value goes
  under that name. The library could call Python functions itself, but keeps
  what they are given and give back: one call leaked up to 2 KB.
- A function whose result can be far longer than its arguments is bounded by
  `MAX_ITEMS` and `MAX_PRODUCT_CHARS`: who brings a token chooses the arguments.
- `format` gets doubles as texts: the library's `%s` keeps six digits, so that
  the users 1234567 and 1234568 would become one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.format import formatted
from vault_jwt_plugin.jwt_auth.cel.guards import GUARDS, is_like
from vault_jwt_plugin.jwt_auth.cel.messages import HOLDER, HOLDER_FIELD
from vault_jwt_plugin.jwt_auth.cel.tree import (
    FALSE,
    NULL,
    Call,
    Comprehension,
    Const,
    Entry,
    Ident,
    ListOf,
    Node,
    Select,
    Struct,
    bind,
    choose,
    integer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_FUNCTIONS = ("check_valid_email", "decode_json", "encode_json")
"""What OpenBao adds to the language."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A call of one of our functions, evaluated before the program.

    Attributes:
        name: under which the program finds the function's value.
        function: which.
        argument: gives a text; for `encode_json` a `HOLDER` with the map, or false if
            it is called on something else.
    """

    name: str
    function: str
    argument: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A whole program: stages in order, then the expression."""

    stages: tuple[Stage, ...]
    expression: Node


def compose(variables: Sequence[tuple[str, Node]], result: Node) -> Composed:
    """One expression for a whole program, and its stages.

    Args:
        variables: name and expression, in the order of their evaluation.
        result: the program's own expression.

    Raises:
        CELProgramError: `cel_unsupported`, `cel_type`.
    """
    return _Composer().compose(variables, result)


class _Composer:
    def __init__(self) -> None:
        self._bound: list[tuple[str, Node]] = []
        self._stages: list[Stage] = []

    def compose(self, variables: Sequence[tuple[str, Node]], result: Node) -> Composed:
        for index, (name, expression) in enumerate(variables):
            value = _unwrapped(self._rewrite(expression, frozenset()))
            if any(name == earlier for earlier, _ in self._bound):
                # The later one hides the earlier, which has to be evaluated all the same.
                value = _after((Ident(name),), value)
            # OpenBao takes any text for a name; one that no expression can say needs none.
            usable = name if _IDENTIFIER.fullmatch(name) else f"#{index}"
            self._bound.append((usable, value))
        evaluated = tuple(Ident(name) for name in dict.fromkeys(name for name, _ in self._bound))
        last = _unwrapped(self._rewrite(result, frozenset()))
        return Composed(
            stages=tuple(self._stages), expression=self._within_variables(_after(evaluated, last))
        )

    def _within_variables(self, node: Node) -> Node:
        for name, value in reversed(self._bound):
            node = bind(name, value, node)
        return node

    def _rewrite(self, node: Node, local: frozenset[str]) -> Node:
        """The expression with the functions named above replaced, at every depth.

        Args:
            node: as parsed.
            local: names that macros around it give values to.
        """
        match node:
            case Const() | Ident():
                return node
            case Select(operand):
                return replace(node, operand=self._rewrite(operand, local))
            case ListOf(elements):
                return replace(node, elements=tuple(self._rewrite(e, local) for e in elements))
            case Struct(_, entries):
                return replace(node, entries=tuple(self._entry(e, local) for e in entries))
            case Comprehension():
                return self._comprehension(node, local)
            case Call(_, args, target):
                call = replace(
                    node,
                    args=tuple(self._rewrite(arg, local) for arg in args),
                    target=None if target is None else self._rewrite(target, local),
                )
                return self._call(call, local)

    def _entry(self, entry: Entry, local: frozenset[str]) -> Entry:
        return replace(
            entry,
            value=self._rewrite(entry.value, local),
            key=None if entry.key is None else self._rewrite(entry.key, local),
        )

    def _comprehension(self, node: Comprehension, local: frozenset[str]) -> Comprehension:
        inner = local | {node.iter_var, node.iter_var2, node.accu_var}
        return replace(
            node,
            iter_range=self._rewrite(node.iter_range, local),
            accu_init=self._rewrite(node.accu_init, local),
            loop_condition=self._rewrite(node.loop_condition, inner),
            loop_step=self._rewrite(node.loop_step, inner),
            result=self._rewrite(node.result, inner),
        )

    def _call(self, call: Call, local: frozenset[str]) -> Node:
        if call.function in OWN_FUNCTIONS and call.target is None and len(call.args) == 1:
            return self._staged(call.function, call.args[0], local)
        if call.function == "format" and call.target is not None:
            return formatted(call)
        guard = GUARDS.get(call.function)
        return call if guard is None else guard(call)

    def _staged(self, function: str, argument: Node, local: frozenset[str]) -> Ident:
        if not local.isdisjoint(_names(argument)):
            raise CELProgramError(
                "cel_unsupported",
                f"'{function}' is not supported on a variable of map, filter, exists, all or "
                "another macro",
            )
        if function == "encode_json":
            held = Struct(HOLDER, (Entry(value=Ident("#j"), field=HOLDER_FIELD),))
            argument = bind("#j", argument, choose(is_like("#j", Struct("", ())), held, FALSE))
        name = f"@{len(self._stages)}"
        self._stages.append(
            Stage(name=name, function=function, argument=self._within_variables(argument))
        )
        return Ident(name)


def _names(node: Node) -> set[str]:
    """Every name in an expression, those that it binds itself too."""
    match node:
        case Const():
            return set()
        case Ident(name):
            return {name}
        case Select(operand):
            return _names(operand)
        case ListOf(elements):
            return set().union(*map(_names, elements))
        case Struct(_, entries):
            values = set().union(*(_names(entry.value) for entry in entries))
            return values.union(*(_names(entry.key) for entry in entries if entry.key is not None))
        case Call(_, args, target):
            return set().union(*map(_names, args if target is None else (target, *args)))
        case Comprehension():
            parts = (
                node.iter_range,
                node.accu_init,
                node.loop_condition,
                node.loop_step,
                node.result,
            )
            return set().union(*map(_names, parts))


def _after(first: tuple[Node, ...], value: Node) -> Node:
    """`value`, once all of `first` is evaluated without error."""
    if not first:
        return value
    return Call("_[_]", (ListOf((*first, value)), integer(len(first))))


def _unwrapped(value: Node) -> Node:
    """An optional's content, or null; every other value as it is: what Go's `Value()` gives."""
    return bind(
        "#o",
        value,
        choose(
            is_like("#o", Call("none", (), Ident("optional"))),
            Call("orValue", (NULL,), Ident("#o")),
            Ident("#o"),
        ),
    )
