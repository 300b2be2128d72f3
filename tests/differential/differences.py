"""Where ours deliberately answers otherwise than the builtin method, and why.

The suite fails on a difference that is not here, and on an entry here that no longer differs.
`python -m tests.differential.differences` prints README's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One answer that differs.

    Attributes:
        case: The case's name.
        step: Which of its steps, from 0.
        values: Dotted path of the answer -> builtin's value and ours; `...` = it has none.
        topic: What differs, in an operator's words.
        reason: Why ours is the better answer.
        families: The hosts whose builtin method differs.
    """

    case: str
    step: int
    values: Mapping[str, tuple[Any, Any]]
    topic: str
    reason: str
    families: tuple[str, ...] = ("bao", "vault")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Members that a read of ours always has and one family's builtin read lacks.

    Attributes:
        path: What is read: `config`, or `role/` for any role.
        values: Member -> the value it has when nothing set it.
    """

    family: str
    path: str
    values: Mapping[str, Any]
    reason: str


_UNION = "Ours has the parameters of both servers' methods on either server."

EXTRAS: tuple[Extra, ...] = ()

DIFFERENCES: tuple[Difference, ...] = ()


def expected(case: str, step: int, family: str) -> dict[str, tuple[Any, Any]]:
    """What must differ at this step: dotted path -> builtin's value and ours."""
    found: dict[str, tuple[Any, Any]] = {}
    for difference in DIFFERENCES:
        if (difference.case, difference.step) == (case, step) and family in difference.families:
            found |= difference.values
    return found


def allowed_extras(path: str, family: str) -> dict[str, Any]:
    """The members that a read of ours may have more: name -> value."""
    found: dict[str, Any] = {}
    for extra in EXTRAS:
        matches = path == extra.path or (extra.path.endswith("/") and path.startswith(extra.path))
        if matches and family == extra.family:
            found |= extra.values
    return found


def table() -> str:
    """README's table, in Markdown: one row per topic."""
    rows = {
        (d.topic, "OpenBao, Vault" if len(d.families) > 1 else d.families[0], d.reason)
        for d in DIFFERENCES
    }
    lines = ["| Topic | Differs from | Why |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {topic} | {who} | {why} |" for topic, who, why in sorted(rows)])


if __name__ == "__main__":
    print(table())
