"""Sets of characters as RE2 has them: ranges, Unicode categories, case folding."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGIT = ((48, 57),)
SPACE = ((9, 10), (12, 13), (32, 32))
WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
PERL = {"d": DIGIT, "s": SPACE, "w": WORD}
POSIX = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
CATEGORIES: Mapping[str, str] = {
    "C": "cfos",
    "L": "lmotu",
    "M": "cen",
    "N": "dlo",
    "P": "cdefios",
    "S": "ckmo",
    "Z": "lps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CharSet:
    """One character out of a set: what is in any of ranges, category and parts.

    Attributes:
        ranges: first and last code points.
        category: prefix of a Unicode general category; "" names none.
        parts: sets within it, each with its own negation.
        negated: whether the set is what is not in these.
        folded: whether case is ignored in ranges and category.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    category: str = ""
    parts: tuple[CharSet, ...] = ()
    negated: bool = False
    folded: bool = False

    def holds(self, char: str) -> bool:
        """Whether a character is in the set."""
        chars = _same_but_for_case(char) if self.folded else char
        listed = any(map(self._lists, chars)) or any(part.holds(char) for part in self.parts)
        return listed is not self.negated

    def _lists(self, char: str) -> bool:
        point = ord(char)
        if any(first <= point <= last for first, last in self.ranges):
            return True
        return bool(self.category) and unicodedata.category(char).startswith(self.category)


@cache
def _cases() -> dict[str, str]:
    """Characters that differ in case only, by each of them (Go's `unicode.SimpleFold`)."""
    groups: dict[str, str] = {}
    # Nothing beyond has case.
    for char in map(chr, range(0x1E944)):
        key = _fold_key(char)
        groups[key] = groups.get(key, "") + char
    return {char: group for group in groups.values() if len(group) > 1 for char in group}


def _fold_key(char: str) -> str:
    folded = char.casefold()
    return folded if len(folded) == 1 else char.lower()


def _same_but_for_case(char: str) -> str:
    if char.isascii() and char not in "kKsS":
        return char.swapcase() + char
    return _cases().get(char, char)
