r"""Regular expressions as Go's `regexp` (RE2) reads them, matched in linear time.

Python's `re` reads another syntax (`$`, `\w`, look-around) and can take
exponential time; group names come from outside. So a pattern is parsed here
(`_re2_syntax`), made into a Thompson automaton, and matched by a DFA that is built
as texts need it (Russ Cox, "Regular Expression Matching Can Be Simple And Fast").
Only whether a text matches is asked, so greediness and captures mean nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.providers._re2_chars import CharSet
from vault_jwt_plugin.jwt_auth.providers._re2_syntax import (
    Alternatives,
    Assertion,
    Edge,
    Node,
    PatternError,
    Repeat,
    Sequence,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Pattern", "PatternError"]

MAX_INSTRUCTIONS = 2_000
"""Size of a compiled pattern; counted repetitions are written out."""

# What the DFA may hold before it begins anew: transitions, and places in its states.
_MAX_TRANSITIONS = 20_000
_MAX_PLACES = 200_000


class _Kind(IntEnum):
    """What a position borders on; all that assertions look at."""

    EDGE = 0
    NEWLINE = 1
    WORD = 2
    OTHER = 3


def _kind(char: str) -> _Kind:
    if char == "\n":
        return _Kind.NEWLINE
    # RE2's word characters are ASCII's.
    return _Kind.WORD if char.isascii() and (char.isalnum() or char == "_") else _Kind.OTHER


def _holds(edge: Edge, before: _Kind, after: _Kind) -> bool:
    if edge is Edge.TEXT_START:
        return before is _Kind.EDGE
    if edge is Edge.TEXT_END:
        return after is _Kind.EDGE
    if edge is Edge.LINE_START:
        return before <= _Kind.NEWLINE
    if edge is Edge.LINE_END:
        return after <= _Kind.NEWLINE
    at_word = (before is _Kind.WORD) is not (after is _Kind.WORD)
    return at_word is (edge is Edge.WORD_BOUNDARY)


class _Program:
    """Instructions by number: a set consumes a character, an edge a condition, a tuple forks."""

    def __init__(self) -> None:
        self.ops: list[CharSet | Edge | None] = []
        self.targets: list[list[int]] = []

    def add(self, op: CharSet | Edge | None, *targets: int) -> int:
        if len(self.ops) >= MAX_INSTRUCTIONS:
            raise PatternError("it is too large")
        self.ops.append(op)
        self.targets.append(list(targets))
        return len(self.ops) - 1

    def build(self, node: Node, then: int) -> int:
        """Add what matches the node and goes on at `then`; returns where it begins."""
        if isinstance(node, CharSet):
            return self.add(node, then)
        if isinstance(node, Assertion):
            return self.add(node.edge, then)
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                then = self.build(part, then)
            return then
        if isinstance(node, Alternatives):
            return self.add(None, *(self.build(each, then) for each in node.branches))
        return self._build_repeat(node, then)

    def _build_repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self.add(None, then)
            self.targets[loop].append(self.build(node.node, loop))
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self.add(None, end, self.build(node.node, then))
        for _ in range(node.least):
            then = self.build(node.node, then)
        return then


class _State:
    """A state of the DFA: where the automaton may be before one position of the text."""

    __slots__ = ("before", "following", "matches_at_end", "places")

    def __init__(self, places: frozenset[int], before: _Kind) -> None:
        self.places = places
        self.before = before
        self.following: dict[str, _State | None] = {}
        self.matches_at_end: bool | None = None


class Pattern:
    r"""A compiled pattern. Several threads may match with it: at worst a state is built twice.

    Args:
        text: in the syntax of Go's `regexp`.

    Raises:
        PatternError: it is none, is too large, or uses a Unicode script (`\p{Greek}`).
    """

    def __init__(self, text: str) -> None:
        self._program = _Program()
        self._match = self._program.add(None)
        self._start = self._program.build(parse(text), self._match)
        self._states: dict[tuple[frozenset[int], _Kind], _State] = {}
        self._transitions = 0
        self._places = 0

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text (`MatchString`)."""
        state = self._state(frozenset((self._start,)), _Kind.EDGE)
        for char in text:
            try:
                following = state.following[char]
            except KeyError:
                following = self._step(state, char)
            if following is None:
                return True
            state = following
        if state.matches_at_end is None:
            state.matches_at_end = self._match in self._reached(state, _Kind.EDGE)
        return state.matches_at_end

    def _state(self, places: frozenset[int], before: _Kind) -> _State:
        key = (places, before)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(places, before)
            self._places += len(places)
        return state

    def _step(self, state: _State, char: str) -> _State | None:
        """The state after a character; None when the pattern has matched before it."""
        kind = _kind(char)
        reached = self._reached(state, kind)
        following: _State | None = None
        if self._match not in reached:
            # A match may begin at every position.
            places = frozenset((self._start, *self._consumed(reached, char)))
            following = self._state(places, kind)
        self._transitions += 1
        if self._transitions > _MAX_TRANSITIONS or self._places > _MAX_PLACES:
            self._states.clear()
            self._transitions = self._places = 0
        else:
            state.following[char] = following
        return following

    def _consumed(self, reached: set[int], char: str) -> Iterator[int]:
        for place in reached:
            op = self._program.ops[place]
            if isinstance(op, CharSet) and op.holds(char):
                yield self._program.targets[place][0]

    def _reached(self, state: _State, after: _Kind) -> set[int]:
        """All places that are reached without consuming a character."""
        reached: set[int] = set()
        pending = list(state.places)
        while pending:
            place = pending.pop()
            if place in reached:
                continue
            reached.add(place)
            op = self._program.ops[place]
            if op is None or (isinstance(op, Edge) and _holds(op, state.before, after)):
                pending += self._program.targets[place]
        return reached
