"""The operands of a parsed policy template: the parts that have a value.

Mirrors the eval half of Go's text/template/exec.go, with `missingkey=error`. `dot` is the value
that `.` stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_NAME_LENGTH,
    ClaimMissingError,
    EvaluationError,
    Meter,
    check_text_length,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.values import (
    GoValue,
    describe,
    from_claim,
    is_map,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.policies.go_template.functions import (
        Environment,
        Function,
        Kind,
    )

_MAX_SHOWN = 128

ROOT = "$"
"""The variable that holds the claims."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One evaluation of one template.

    Attributes:
        environment: what the functions may use.
        meter: what the login may still cost.
        variables: (name, value), innermost last; `$` is the first.
        output: the texts written so far, `length` characters in all.
    """

    environment: Environment
    meter: Meter
    variables: list[tuple[str, GoValue]]
    output: list[str] = field(default_factory=list)
    length: int = 0

    def write(self, text: str) -> None:
        """Append to the output.

        Raises:
            EvaluationError: more than `MAX_NAME_LENGTH` characters.
        """
        self.length += len(text)
        if self.length > MAX_NAME_LENGTH:
            raise EvaluationError(f"the policy name grows beyond {MAX_NAME_LENGTH} characters")
        self.output.append(text)

    def variable(self, name: str) -> int:
        """Return the place of the innermost variable of this name; the parser checked it."""
        places = range(len(self.variables) - 1, -1, -1)
        return next(place for place in places if self.variables[place][0] == name)

    def assign(self, name: str, value: GoValue) -> None:
        """Give the innermost variable of this name another value."""
        self.variables[self.variable(name)] = (name, value)


def _cut(name: str) -> str:
    """Return a name or path as messages show it, which must not be as long as a template."""
    return name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}…"


class Operand(Protocol):
    """A part that has a value."""

    def evaluate(self, run: Run, dot: GoValue, /) -> GoValue:
        """Return its value."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A constant of the template."""

    value: GoValue

    def evaluate(self, _run: Run, _dot: GoValue) -> GoValue:
        """Return the constant."""
        return self.value

    def __str__(self) -> str:
        return "(…)"


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`: the claims, or what `with` and `range` put in their place."""

    def evaluate(self, _run: Run, dot: GoValue) -> GoValue:
        """Return the value that `.` stands for."""
        return dot

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`$name`."""

    name: str

    def evaluate(self, run: Run, _dot: GoValue) -> GoValue:
        """Return the value that it was last given."""
        return run.variables[run.variable(self.name)][1]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """`.a.b`, `$x.a` or `(…).a`: members of nested maps, by name."""

    base: Operand
    names: tuple[str, ...]
    position: int

    def evaluate(self, run: Run, dot: GoValue) -> GoValue:
        """Return the member, None when the claim is null.

        Raises:
            ClaimMissingError: a map has no such member.
            EvaluationError: a value before the last name is no map.
        """
        value = self.base.evaluate(run, dot)
        for depth, name in enumerate(self.names):
            if type(value) is not dict and not is_map(value):
                raise EvaluationError(
                    f"{_cut(self._path(depth) or '.')} is {describe(value)}, which has no member "
                    f"{_cut(name)}",
                    position=self.position,
                )
            try:
                value = from_claim(value[name])
            except KeyError:
                raise ClaimMissingError(
                    f"the claim {_cut(self._path(depth + 1))} is missing from the token",
                    position=self.position,
                ) from None
        return value

    def _path(self, depth: int) -> str:
        return "".join([str(self.base), *(f".{name}" for name in self.names[:depth])])

    def __str__(self) -> str:
        return self._path(len(self.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with its arguments; in a pipeline the value before it is the last one.

    Attributes:
        checked: (index, kind) of the arguments whose kind is known only at evaluation.
    """

    name: str
    function: Function
    arguments: tuple[Operand, ...]
    checked: tuple[tuple[int, Kind], ...]
    position: int

    def evaluate(self, run: Run, dot: GoValue, *piped: GoValue) -> GoValue:
        """Return the function's result; `piped` is the pipeline's value, if there is one."""
        values: list[Any] = [argument.evaluate(run, dot) for argument in self.arguments]
        values.extend(piped)
        try:
            run.meter.step()
            for index, kind in self.checked:
                if type(values[index]) is not kind.type:
                    raise EvaluationError(
                        f"argument {index + 1} must be {kind.value}, not {describe(values[index])}"
                    )
            for value in values:
                if type(value) is str:
                    run.meter.work(len(value))
            result = self.function.apply(values, run.environment)
            if type(result) is str:
                check_text_length(len(result))
                run.meter.work(len(result))
        except EvaluationError as error:
            error.reason = f"{self.name}: {error.reason}"
            error.position = self.position
            raise
        return result

    def __str__(self) -> str:
        return f"({self.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`and`, `or`: the first argument that decides, else the last; the rest is not evaluated."""

    stops_at: bool
    arguments: tuple[Operand, ...]

    def evaluate(self, run: Run, dot: GoValue, *piped: GoValue) -> GoValue:
        """Return the argument that decides; `piped` is the pipeline's value, if there is one."""
        run.meter.step()
        value: GoValue = None
        for argument in self.arguments:
            value = argument.evaluate(run, dot)
            if bool(value) is self.stops_at:
                return value
        return piped[0] if piped else value

    def __str__(self) -> str:
        return "(or)" if self.stops_at else "(and)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """`$x := operand | function | function`.

    Attributes:
        declared: the variables that are set; two for `range $index, $element`.
        assigns: whether they exist already (`=`); otherwise they are new (`:=`).
    """

    first: Operand
    rest: tuple[Call | Choice, ...]
    declared: tuple[str, ...]
    assigns: bool

    def evaluate(self, run: Run, dot: GoValue) -> GoValue:
        """Return the value of the last function, after setting the variables."""
        value = self.first.evaluate(run, dot)
        for call in self.rest:
            value = call.evaluate(run, dot, value)
        for name in self.declared:
            if self.assigns:
                run.assign(name, value)
            else:
                run.variables.append((name, value))
        return value

    def __str__(self) -> str:
        return "(…)"
