"""Why a program can't be compiled, and why an evaluation failed, in words that hold no secret.

The library's messages quote what they are about: keys, patterns, values. What is
shown is the program's own text, or the kind of mistake.
"""

from __future__ import annotations

import re

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.guards import REFUSALS
from vault_jwt_plugin.sdk import holds_host_phrase, quoted

MAX_DETAIL_CHARS = 512
"""Longest part of the library's message that is shown, in characters."""

_ERROR_LINE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
_OVERLOAD = re.compile(r"No matching overloads found : ([\w@.$\[\]?:!<>=+*/%&|, ()-]{1,200})")


def program_error(code: str, error: RuntimeError, part: str, source: str) -> CELProgramError:
    """Return the library's message without what it quotes: its position and reason stay."""
    match = _ERROR_LINE.search(str(error))
    if match is None:
        detail = str(error).partition("\n")[0].partition(": ")[2] or "it can't be compiled"
    else:
        line, column, reason = match.groups()
        detail = reason.removesuffix(" (in container '')")
        if int(line) <= source.count("\n") + 1:
            detail = f"line {line}, column {int(column)}: {detail}"
    if len(detail) > MAX_DETAIL_CHARS:
        detail = f"{detail[:MAX_DETAIL_CHARS]}…"
    if holds_host_phrase(detail):
        detail = "(text left out)"
    return CELProgramError(code, f"{part}: {detail}", part=part)


def reason_of(message: str, source: str) -> str:
    """What went wrong.

    Args:
        message: the library's.
        source: every expression of the program.
    """
    if (missing := _MISSING_KEY.search(message)) is not None:
        key = missing.group(1)
        # The key may be a claim's value; one that the program spells out is not.
        return f"no such key: {quoted(key)}" if key in source else "no such key"
    if (overload := _OVERLOAD.search(message)) is not None:
        # Names of functions and types, no values.
        called = overload.group(1)
        return REFUSALS.get(called.removesuffix("()"), f"no such overload: {called}")
    return next((said for text, said in _REASONS if text in message), "an evaluation error")


_REASONS = (
    ("divide by zero", "division by zero"),
    ("modulus by zero", "division by zero"),
    ("Iteration budget exceeded", "it took more than 10,000 steps"),
    ("Index error", "a position beyond the end of a list or string"),
    ("index out of range", "a position beyond the end of a list or string"),
    ("is greater than <string>.size()", "a position beyond the end of a list or string"),
    ("cannot slice", "a position beyond the end of a list or string"),
    ("Non-CEL value type", "a function was called on a value of a type that it does not take"),
    ("No value with name", "a name that has no value"),
    ("Applying SELECT", "a member of a value that has no members"),
    ("Invalid container type", "an index into a value that has no elements"),
    ("no_such_field", "a field that the message does not have"),
    ("field '", "a field that the message does not have"),
    ("missing type info", "a message that does not exist"),
    ("Failed to parse serialized data", "a value nested too deeply"),
    ("overflow", "a number, time or duration out of range"),
    ("out of int64 range", "a number, time or duration out of range"),
    ("type conversion error", "a value of a type that its field can't hold"),
    ("invalid regular expression", "an invalid regular expression"),
    ("more than one capturing group", "a regular expression with more than one group"),
    ("must have the same type", "a list of values that can't be sorted"),
    ("Timestamp conversion failed", "a string that is not a timestamp"),
    ("Duration conversion failed", "a string that is not a duration"),
    ("cannot convert", "a value that can't be converted"),
    ("invalid base64 data", "a string that is not base64"),
    ("malformed UTF-8", "bytes that are not UTF-8"),
    ("optional.none() dereference", "the value of an optional that has none"),
)
