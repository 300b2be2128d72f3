"""The statements of a parsed policy template: the parts that write text.

Mirrors the walk half of Go's text/template/exec.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.jwt_auth.policies.go_template.format import format_value
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import EvaluationError
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
    GoValue,
    describe,
    from_claim,
    is_list,
    is_map,
    sorted_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vault_jwt_plugin.jwt_auth.policies.go_template.limits import Meter
    from vault_jwt_plugin.jwt_auth.policies.go_template.operands import Operand, Run


class Flow(Enum):
    """How a statement leaves the body of a `range`."""

    BREAK = "break"
    CONTINUE = "continue"


class Statement(Protocol):
    """A part that writes."""

    def run(self, run: Run, dot: GoValue, /) -> Flow | None:
        """Write its text; return how to go on in the `range` around it, None for as usual."""


def run_all(statements: Sequence[Statement], run: Run, dot: GoValue) -> Flow | None:
    """Run statements in order, until one of them leaves the `range` around them."""
    for statement in statements:
        run.meter.step()
        flow = statement.run(run, dot)
        if flow is not None:
            return flow
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text outside of the braces."""

    text: str

    def run(self, run: Run, _dot: GoValue) -> None:
        """Write it."""
        run.write(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`{{ pipeline }}`: writes the value, unless it sets a variable."""

    pipeline: Operand
    silent: bool

    def run(self, run: Run, dot: GoValue) -> None:
        """Write the value; null is `<no value>`, as in Go."""
        value = self.pipeline.evaluate(run, dot)
        if self.silent:
            return
        if type(value) is str:
            run.write(value)
        elif value is None:
            run.write("<no value>")
        else:
            run.write(format_value(value, run.meter))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`if` and, with `binds`, `with`, which makes the value the dot."""

    pipeline: Operand
    binds: bool
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]

    def run(self, run: Run, dot: GoValue) -> Flow | None:
        """Run one of the branches, then drop the variables that it declared."""
        mark = len(run.variables)
        value = self.pipeline.evaluate(run, dot)
        if value:  # empty, zero, false and null are false, as in Python
            flow = run_all(self.body, run, value if self.binds else dot)
        else:
            flow = run_all(self.otherwise, run, dot)
        del run.variables[mark:]
        return flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """`range`: runs the body for every element, with the element as the dot."""

    pipeline: Operand
    declared: tuple[str, ...]
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    position: int

    def run(self, run: Run, dot: GoValue) -> Flow | None:
        """Run the body per element, or the `else` branch when there is none."""
        mark = len(run.variables)
        value = self.pipeline.evaluate(run, dot)
        if not (value is None or is_list(value) or is_map(value)):
            raise EvaluationError(
                f"range can't go through {describe(value)}", position=self.position
            )
        flow = None
        if value:
            self._run_body(run, value)
        else:
            flow = run_all(self.otherwise, run, dot)
        del run.variables[mark:]
        return flow

    def _run_body(self, run: Run, value: GoValue) -> None:
        mark = len(run.variables)
        for index, element in _elements(value, run.meter):
            run.meter.iterate()
            if self.declared:
                values = (index, element)[-len(self.declared) :]
                # The pipeline has declared them; they are the last ones.
                run.variables[-len(self.declared) :] = zip(self.declared, values, strict=True)
            flow = run_all(self.body, run, element)
            del run.variables[mark:]
            if flow is Flow.BREAK:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """`break` and `continue`."""

    flow: Flow

    def run(self, _run: Run, _dot: GoValue) -> Flow:
        """Leave the body of the `range`."""
        return self.flow


def _elements(value: GoValue, meter: Meter) -> Iterator[tuple[GoValue, GoValue]]:
    """Yield (index, element) of a list, or (key, member) of a map in order."""
    if is_list(value):
        for index, element in enumerate(value):
            yield index, from_claim(element)
    else:
        for key in sorted_keys(value, meter):
            yield key, from_claim(value[key])
