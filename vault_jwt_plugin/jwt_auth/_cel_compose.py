"""A program's expressions joined into one, and made safe to evaluate.

OpenBao evaluates a program's variables one after the other, each once, used or
not, and hands their values on. Here the values never leave the library: each
variable becomes a `cel.bind` around the rest, and a list of all of them around
the result has every one evaluated. An error in any is an error of the whole.

What is changed in the expressions themselves:

- A function whose result can be far longer than its arguments is bounded by
  `MAX_ITEMS` and `MAX_PRODUCT_CHARS`: who brings a token chooses the arguments.
- `encode_json` gets its map inside a message, see `cel_messages.HOLDER`.
- `format` writes doubles by our own function: the library's `%s` keeps six
  digits, so that the users 1234567 and 1234568 would become one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth._cel_ast import (
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
    text,
)
from vault_jwt_plugin.jwt_auth.cel_errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel_messages import HOLDER, HOLDER_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_ITEMS = 1000
"""Longest list that a claim, or a function that makes one, may give, in elements.

The library's `map` and `filter` copy their result at each element: 1,000 take 15 ms and
16 MB, 9,000 a second and 1.3 GB.
"""

MAX_PRODUCT_CHARS = 1_000_000
"""Length of the text times length of the replacement in `replace`, in characters."""

ENCODE_JSON = "@encode_json"
FORMAT_TEXT = "@format_text"
REFUSE = "@refuse"
"""Functions that only composed expressions call: no name that can be written starts so."""

HELD = ""
"""Name under which a value lies in the map of a `HOLDER`."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLAUSE = re.compile(r"%(?:%|(?:\.[0-9]+)?([a-zA-Z])|)")
_VERBS = frozenset("sdfebxXo")


def compose(variables: Sequence[tuple[str, Node]], result: Node) -> Node:
    """One expression for a whole program.

    Args:
        variables: name and expression, in the order of their evaluation.
        result: the program's own expression.

    Raises:
        CELProgramError: `cel_unsupported`.
    """
    names: list[str] = []
    bound: list[tuple[str, Node]] = []
    for index, (name, expression) in enumerate(variables):
        value = _unwrapped(rewrite(expression))
        if name in names:
            # The later one hides the earlier, which has to be evaluated all the same.
            value = _after((Ident(name),), value)
        # OpenBao takes any text for a name; one that no expression can say needs none.
        usable = name if _IDENTIFIER.fullmatch(name) else f"#{index}"
        names.append(usable)
        bound.append((usable, value))
    evaluated = tuple(Ident(name) for name in dict.fromkeys(names))
    composed = _after(evaluated, _unwrapped(rewrite(result)))
    for name, value in reversed(bound):
        composed = bind(name, value, composed)
    return composed


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
            _is_like("#o", Call("none", (), Ident("optional"))),
            Call("orValue", (NULL,), Ident("#o")),
            Ident("#o"),
        ),
    )


def _is_like(name: str, example: Node) -> Node:
    # Not `type(x) == list`: a variable may be called `list`.
    return Call("_==_", (Call("type", (Ident(name),)), Call("type", (example,))))


def rewrite(node: Node) -> Node:
    """The expression with the functions named above replaced, at every depth.

    Raises:
        CELProgramError: `cel_unsupported`: `format` with a template or a list that is no literal.
    """
    match node:
        case Const() | Ident():
            return node
        case Select(operand):
            return replace(node, operand=rewrite(operand))
        case ListOf(elements):
            return replace(node, elements=tuple(map(rewrite, elements)))
        case Struct(_, entries):
            return replace(node, entries=tuple(map(_rewrite_entry, entries)))
        case Comprehension():
            return replace(
                node,
                iter_range=rewrite(node.iter_range),
                accu_init=rewrite(node.accu_init),
                loop_condition=rewrite(node.loop_condition),
                loop_step=rewrite(node.loop_step),
                result=rewrite(node.result),
            )
        case Call(_, args, target):
            call = replace(
                node,
                args=tuple(map(rewrite, args)),
                target=None if target is None else rewrite(target),
            )
            change = _CHANGES.get(call.function)
            return call if change is None else change(call)


def _rewrite_entry(entry: Entry) -> Entry:
    return replace(
        entry,
        value=rewrite(entry.value),
        key=None if entry.key is None else rewrite(entry.key),
    )


# The changes; a call that is not of the form that they know is left to the library to refuse.


def _encode_json(call: Call) -> Node:
    if call.target is not None or len(call.args) != 1:
        return call
    encoded = Call(ENCODE_JSON, (_holder(Ident("#j")),))
    return bind("#j", call.args[0], choose(_is_like("#j", Struct("", ())), encoded, FALSE))


def _holder(members: Node) -> Node:
    return Struct(HOLDER, (Entry(value=members, field=HOLDER_FIELD),))


def _is_of(call: Call, namespace: str) -> bool:
    return call.target == Ident(namespace)


def _range(call: Call) -> Node:
    if not _is_of(call, "lists") or len(call.args) != 1:
        return call
    count = Ident("#n")
    within = Call(
        "_&&_",
        (Call("_>=_", (count, integer(0))), Call("_<=_", (count, integer(MAX_ITEMS)))),
    )
    made = choose(within, replace(call, args=(count,)), _refusal("a list would be too long"))
    return bind("#n", call.args[0], made)


def _bounded_list(call: Call) -> Node:
    if call.target is None:
        return call
    short = Call("_<=_", (Call("size", (Ident("#l"),)), integer(MAX_ITEMS)))
    return bind("#l", call, choose(short, Ident("#l"), _refusal("a list would be too long")))


def _replace(call: Call) -> Node:
    if _is_of(call, "regex") and len(call.args) in (3, 4):
        subject, pattern, by, *rest = call.args
        changed = replace(call, args=(Ident("#s"), pattern, Ident("#r"), *rest))
    elif call.target is not None and len(call.args) in (2, 3):
        subject, (old, by, *rest) = call.target, call.args
        changed = replace(call, target=Ident("#s"), args=(old, Ident("#r"), *rest))
    else:
        return call
    product = Call("_*_", (Call("size", (Ident("#s"),)), Call("size", (Ident("#r"),))))
    short = Call("_<=_", (product, integer(MAX_PRODUCT_CHARS)))
    made = choose(short, changed, _refusal("a text would be too long"))
    return bind("#s", subject, bind("#r", by, made))


def _refusal(reason: str) -> Node:
    return Call(REFUSE, (text(reason),))


def _format(call: Call) -> Node:
    template = call.target.text if isinstance(call.target, Const) else None
    values = call.args[0] if len(call.args) == 1 else None
    if template is None or not isinstance(values, ListOf) or values.optional_indices:
        raise CELProgramError(
            "cel_unsupported",
            "'format' is supported on a literal text with a literal list of values only, "
            "as in '%s@%s'.format([a, b])",
        )
    elements = list(values.elements)
    written = []
    end = used = 0
    for clause in _CLAUSE.finditer(template):
        verb = clause.group(1)
        written.append(template[end : clause.start()])
        end = clause.end()
        if clause.group() == "%%":
            written.append("%%")
            continue
        if verb is None or verb not in _VERBS:
            raise CELProgramError(
                "cel_type", f"'format' knows %s, %d, %f, %e, %b, %x, %X and %o, not %{verb or ''}"
            )
        if used == len(elements):
            raise CELProgramError("cel_type", "'format' has fewer values than its text asks for")
        if verb in "sd":
            elements[used] = _formatted(elements[used], whole=verb == "d")
            written.append("%s")
        else:
            written.append(clause.group())
        used += 1
    if used < len(elements):
        raise CELProgramError("cel_type", "'format' has more values than its text asks for")
    written.append(template[end:])
    return replace(call, target=text("".join(written)), args=(ListOf(tuple(elements)),))


def _formatted(value: Node, *, whole: bool) -> Node:
    by_us = Call(FORMAT_TEXT, (_holder(Struct("", (Entry(value=Ident("#f"), key=text(HELD)),))),))
    is_double = _is_like("#f", Const(_ONE_AND_A_HALF))
    if whole:
        is_whole = _either(_is_like("#f", integer(0)), _is_like("#f", Const(_UINT_ZERO)))
        otherwise = choose(is_whole, Ident("#f"), _refusal("%d is for numbers"))
        return bind("#f", value, choose(is_double, by_us, otherwise))
    is_container = _either(_is_like("#f", ListOf(())), _is_like("#f", Struct("", ())))
    return bind("#f", value, choose(_either(is_double, is_container), by_us, Ident("#f")))


def _either(first: Node, second: Node) -> Node:
    return Call("_||_", (first, second))


_ONE_AND_A_HALF = b"\x29\x00\x00\x00\x00\x00\x00\xf8\x3f"
_UINT_ZERO = b"\x20\x00"

_CHANGES: dict[str, Callable[[Call], Node]] = {
    "encode_json": _encode_json,
    "range": _range,
    "split": _bounded_list,
    "extractAll": _bounded_list,
    "flatten": _bounded_list,
    "replace": _replace,
    "format": _format,
}
