"""The limits of policy templates, and the two errors of their evaluation.

The role's writer chooses the template, but an attacker who can get a token signed chooses the
claims. Without limits, a claim of a million letters and two `replace` calls would hold up every
login of the process.
"""

from __future__ import annotations

MAX_POLICIES = 1024
"""Policies of one role."""

MAX_TEMPLATE_LENGTH = 16 * 1024
"""Characters of one policy template."""

MAX_NESTING_DEPTH = 48
"""Levels of blocks, `else if` chains and parentheses in a template; levels of a printed claim."""

MAX_VARIABLES = 64
"""Variables of a template that are visible at one place."""

MAX_NAME_LENGTH = 4096
"""Characters that one policy template may write, before they are trimmed."""

MAX_TEXT_LENGTH = 64 * 1024
"""Characters of a text that a function makes on the way."""

MAX_STEPS = 20_000
"""Statements and function calls evaluated in one login, over all its policies."""

MAX_ITERATIONS = 5_000
"""Rounds of `range` in one login, over all its policies."""

MAX_WORK = 512 * 1024
"""Characters of text, and members of lists and maps, that functions read and make in one login."""


class EvaluationError(Exception):
    """A template could not be evaluated. Becomes a `TemplateError`, which knows the policy.

    Attributes:
        reason: what is wrong, without any claim's value.
        position: the character of the template, from 0; None until an operand that knows sets it.
    """

    def __init__(self, reason: str, *, position: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


class ClaimMissingError(EvaluationError):
    """The template names a claim that the token does not have (`missingkey=error`)."""


class Meter:
    """Count what one login may still cost. Every loop and every text is counted."""

    __slots__ = ("depth", "iterations_left", "steps_left", "work_left")

    def __init__(self) -> None:
        self.depth = 0  # of the list or map that is being printed
        self.steps_left = MAX_STEPS
        self.iterations_left = MAX_ITERATIONS
        self.work_left = MAX_WORK

    def step(self) -> None:
        """Count one statement or call.

        Raises:
            EvaluationError: more than `MAX_STEPS`.
        """
        self.steps_left -= 1
        if self.steps_left < 0:
            raise EvaluationError(f"evaluation takes more than {MAX_STEPS} steps")

    def iterate(self) -> None:
        """Count one round of a `range`.

        Raises:
            EvaluationError: more than `MAX_ITERATIONS`.
        """
        self.iterations_left -= 1
        if self.iterations_left < 0:
            raise EvaluationError(f"range takes more than {MAX_ITERATIONS} rounds")

    def work(self, amount: int) -> None:
        """Count characters or members that are about to be read, or were made.

        Raises:
            EvaluationError: more than `MAX_WORK`.
        """
        self.work_left -= amount
        if self.work_left < 0:
            raise EvaluationError(f"evaluation handles more than {MAX_WORK} characters")


def check_text_length(length: int) -> None:
    """Refuse a text of this many characters, preferably before it is made.

    Raises:
        EvaluationError: more than `MAX_TEXT_LENGTH`.
    """
    if length > MAX_TEXT_LENGTH:
        raise EvaluationError(f"a string grows beyond {MAX_TEXT_LENGTH} characters")
