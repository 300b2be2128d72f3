"""`format`, with every number written whole.

The library writes a double under `%s` with six digits, and a list's and a map's
doubles too. Claims' numbers are doubles, and two users must not become one name.
So the clauses are read here, and doubles come to the library as texts.
"""

from __future__ import annotations

import re
from dataclasses import replace

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.guards import NESTED, NO_NUMBER, is_like, refusal
from vault_jwt_plugin.jwt_auth.cel.tree import (
    Call,
    Comprehension,
    Const,
    Ident,
    ListOf,
    Node,
    Struct,
    bind,
    choose,
    integer,
    text,
)

_CLAUSE = re.compile(r"%(?:%|(?:\.[0-9]+)?([a-zA-Z])|)")
_VERBS = frozenset("sdfebxXo")

_DOUBLE = Const("double_value", 1.5)
_UINT = Const("uint64_value", 0)
_TRUE = Const("bool_value", value=True)
_EXACT = 2**53
"""Up to this, every whole number has a double of its own, and is shown by its digits alone."""


def formatted(call: Call) -> Call:
    """A call of `format` whose every `%s` and `%d` gets what the library writes exactly.

    Raises:
        CELProgramError: `cel_unsupported`: the template or the list is no literal, so that it
            can't be seen what goes where. `cel_type`: they don't go together.
    """
    template = call.target.text if isinstance(call.target, Const) else None
    values = call.args[0] if len(call.args) == 1 else None
    if template is None or not isinstance(values, ListOf) or values.optional_indices:
        raise CELProgramError(
            "cel_unsupported",
            "'format' is supported on a literal string with a literal list of values only, "
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
            raise CELProgramError("cel_type", "'format' has fewer values than its string asks for")
        if verb == "s":
            elements[used] = _text_or_list(elements[used])
        elif verb == "d":
            elements[used] = _number(elements[used])
        written.append("%s" if verb in "sd" else clause.group())
        used += 1
    if used < len(elements):
        raise CELProgramError("cel_type", "'format' has more values than its string asks for")
    written.append(template[end:])
    return replace(call, target=text("".join(written)), args=(ListOf(tuple(elements)),))


def _number(value: Node) -> Node:
    """What `%d` takes: a whole number as it is, a double as a text."""
    is_whole = Call("_||_", (is_like("#f", integer(0)), is_like("#f", _UINT)))
    otherwise = choose(is_whole, Ident("#f"), refusal(NO_NUMBER))
    return bind("#f", value, choose(is_like("#f", _DOUBLE), _digits("#f"), otherwise))


def _text_or_list(value: Node) -> Node:
    """What `%s` takes: a double or a list as a text, everything else but a map as it is."""
    listed = choose(is_like("#f", ListOf(())), _list_text("#f"), _not_nested("#f", Ident("#f")))
    return bind("#f", value, choose(is_like("#f", _DOUBLE), _digits("#f"), listed))


def _not_nested(name: str, value: Node) -> Node:
    nested = Call("_||_", (is_like(name, Struct("", ())), is_like(name, ListOf(()))))
    return choose(nested, refusal(NESTED), value)


def _digits(name: str) -> Node:
    """A double as a text: without exponent where it is whole, else as `string` has it."""
    number = Ident(name)
    whole = Call("int", (number,))
    below = Call("_<=_", (number, Call("double", (integer(_EXACT),))))
    above = Call("_>=_", (number, Call("-_", (Call("double", (integer(_EXACT),)),))))
    is_whole = Call("_==_", (Call("double", (whole,)), number))
    fits = Call("_&&_", (Call("_&&_", (below, above)), is_whole))
    return choose(fits, Call("string", (whole,)), Call("string", (number,)))


def _list_text(name: str) -> Node:
    """`[a, b]`, as the library writes a list."""
    plain = Call("format", (ListOf((Ident("#i"),)),), text("%s"))
    element = choose(is_like("#i", _DOUBLE), _digits("#i"), _not_nested("#i", plain))
    texts = Comprehension(
        iter_var="#i",
        iter_var2="",
        accu_var="#a",
        iter_range=Ident(name),
        accu_init=ListOf(()),
        loop_condition=_TRUE,
        loop_step=Call("_+_", (Ident("#a"), ListOf((element,)))),
        result=Ident("#a"),
    )
    joined = Call("join", (text(", "),), texts)
    return Call("_+_", (Call("_+_", (text("["), joined)), text("]")))
