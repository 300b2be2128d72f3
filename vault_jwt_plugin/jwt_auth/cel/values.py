"""Claims as a program sees them: JSON whose numbers are doubles, and of bounded size.

As in OpenBao, where they come out of `encoding/json`. The bounds are ours: who
brings a token chooses its claims, and some of what programs do with a list costs
more than its length (see `guards.MAX_ITEMS`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from vault_jwt_plugin.jwt_auth.cel.guards import MAX_ITEMS

MAX_DEPTH = 32
"""Nesting of objects and lists, in levels: protobuf's parser follows 33 of the claims'."""

MAX_TEXT_CHARS = 16_384
"""Longest text of one claim, in characters."""

MAX_CHARS = 65_536
"""All texts and member names together, in characters."""


class TooLargeError(ValueError):
    """A value is too large for a program; the text names the bound and quotes nothing."""


class Plain:
    """Makes values plain, and keeps count.

    Attributes:
        chars: of all texts and names so far.
        items: members and elements so far.
    """

    __slots__ = ("chars", "items")

    def __init__(self) -> None:
        self.chars = 0
        self.items = 0

    def value(self, value: Any, depth: int = 1) -> Any:
        """Decoded JSON (`int` or `Decimal` numbers) with every number a `float`.

        Raises:
            TooLargeError: beyond a bound of this module, or a number beyond a double's range.
        """
        if isinstance(value, str):
            if len(value) > MAX_TEXT_CHARS:
                raise TooLargeError(f"a string of more than {MAX_TEXT_CHARS} characters")
            self._count_chars(len(value))
            return value
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int | Decimal):
            try:
                return float(value)
            except OverflowError:
                raise TooLargeError("a number beyond a double's range") from None
        if depth > MAX_DEPTH:
            raise TooLargeError(f"more than {MAX_DEPTH} levels of nesting")
        self._count_items(len(value))
        if isinstance(value, dict):
            self._count_chars(sum(map(len, value)))
            return {name: self.value(member, depth + 1) for name, member in value.items()}
        return [self.value(element, depth + 1) for element in value]

    def _count_chars(self, count: int) -> None:
        self.chars += count
        if self.chars > MAX_CHARS:
            raise TooLargeError(f"more than {MAX_CHARS} characters in all")

    def _count_items(self, count: int) -> None:
        self.items += count
        if count > MAX_ITEMS:
            raise TooLargeError(f"a list or an object of more than {MAX_ITEMS} elements")


def plain(value: Any) -> Any:
    """See `Plain.value`; for a value on its own."""
    return Plain().value(value)
