"""Bounds around functions whose result can be far longer than their arguments.

Who brings a token chooses what programs call these on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel.tree import Call, Ident, Node, bind, choose, integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_ITEMS = 1000
"""Longest list that a claim, or a function that makes one, may give, in elements.

The library's `map` and `filter` copy their result at each element: 1,000 take 15 ms and
16 MB, 9,000 a second and 1.3 GB.
"""

MAX_PRODUCT_CHARS = 1_000_000
"""Length of the text times length of the replacement in `replace`, in characters."""

LONG_LIST = "@long_list"
LONG_TEXT = "@long_text"
NO_NUMBER = "@no_number"
NESTED = "@nested"

REFUSALS = {
    LONG_LIST: f"a list would be longer than {MAX_ITEMS} elements",
    LONG_TEXT: "a string would be too long",
    NO_NUMBER: "%d was given no number",
    NESTED: "%s was given a map, or a list that holds a list or a map",
}
"""What the calls below mean, in words."""


def refusal(reason: str) -> Call:
    """An error: a call of a function that nobody can define, whose name says why."""
    return Call(reason, ())


def is_like(name: str, example: Node) -> Call:
    """Whether the value under a name has the type of an example.

    Not `type(x) == list`: a variable may be called `list`.
    """
    return Call("_==_", (Call("type", (Ident(name),)), Call("type", (example,))))


def _range(call: Call) -> Node:
    if call.target != Ident("lists") or len(call.args) != 1:
        return call
    count = Ident("#n")
    within = Call(
        "_&&_",
        (Call("_>=_", (count, integer(0))), Call("_<=_", (count, integer(MAX_ITEMS)))),
    )
    made = choose(within, replace(call, args=(count,)), refusal(LONG_LIST))
    return bind("#n", call.args[0], made)


def _bounded_list(call: Call) -> Node:
    if call.target is None:
        return call
    short = Call("_<=_", (Call("size", (Ident("#l"),)), integer(MAX_ITEMS)))
    return bind("#l", call, choose(short, Ident("#l"), refusal(LONG_LIST)))


def _replace(call: Call) -> Node:
    if call.target == Ident("regex") and len(call.args) in (3, 4):
        subject, pattern, by, *rest = call.args
        changed = replace(call, args=(Ident("#s"), pattern, Ident("#r"), *rest))
    elif call.target is not None and len(call.args) in (2, 3):
        subject, (old, by, *rest) = call.target, call.args
        changed = replace(call, target=Ident("#s"), args=(old, Ident("#r"), *rest))
    else:
        return call
    product = Call("_*_", (Call("size", (Ident("#s"),)), Call("size", (Ident("#r"),))))
    short = Call("_<=_", (product, integer(MAX_PRODUCT_CHARS)))
    made = choose(short, changed, refusal(LONG_TEXT))
    return bind("#s", subject, bind("#r", by, made))


GUARDS: Mapping[str, Callable[[Call], Node]] = {
    "range": _range,
    "split": _bounded_list,
    "extractAll": _bounded_list,
    "flatten": _bounded_list,
    "replace": _replace,
}
"""By function; a call that is not of the form that they know is the library's to refuse."""
