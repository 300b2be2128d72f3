"""CEL programs: checked when written, compiled once per cached role, evaluated at logins.

Mirrors `validateCelProgram` and `runCelProgram` of OpenBao's `path_cel_role.go`
and `path_cel_login.go`. An evaluation that goes wrong in any way denies the
login: the library gives errors back as values, so only a value whose type is
that of `pb.Auth` ever grants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.cel import library
from vault_jwt_plugin.jwt_auth.cel.compose import compose
from vault_jwt_plugin.jwt_auth.cel.environment import VARIABLES, Environment
from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.functions import encode_json
from vault_jwt_plugin.jwt_auth.cel.mail_address import is_mail_address
from vault_jwt_plugin.jwt_auth.cel.messages import HOLDER
from vault_jwt_plugin.jwt_auth.cel.reasons import program_error, reason_of
from vault_jwt_plugin.jwt_auth.cel.values import Plain, TooLargeError, plain
from vault_jwt_plugin.jwt_auth.cel.wire import ASTError, decode, encode
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import (
    CIDRError,
    TokenType,
    jsonutil,
    parse_cidrs,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.cel.messages import CELMessages
    from vault_jwt_plugin.jwt_auth.cel.role import Program
    from vault_jwt_plugin.jwt_auth.cel.tree import Node
    from vault_jwt_plugin.sdk import Auth

INLINE_ITEMS = 256
"""Claims with more members and elements than this are evaluated in a thread."""

INLINE_CHARS = 8192
"""Claims with more characters than this are evaluated in a thread."""

AUTH = "pb.Auth"

_DECLARED_TWICE = re.compile(r"variable '(.*)' declared multiple times")


class CELEngine:
    """CEL for one mount; loads the library at its first use.

    Args:
        messages: of the host protocol.
    """

    def __init__(self, messages: CELMessages) -> None:
        self._messages = messages
        self._environment = Environment(messages)

    async def ready(self) -> None:
        """Load the library, if no one has yet, without holding up the event loop.

        Raises:
            CELUnavailableError: it can't be loaded.
        """
        await library.load_beside()

    def check(self, program: Program) -> None:
        """The checks of a write, in OpenBao's order.

        The variables are only parsed; the program's own expression is type-checked too.

        Raises:
            CELProgramError: it can't be used.
            CELUnavailableError: the library can't be loaded.
        """
        self.compile(program)
        names = {variable.name for variable in program.variables}
        if hidden := names.intersection(VARIABLES):
            raise CELProgramError(
                "cel_variable",
                f"cel_program has a variable {quoted(min(hidden))}, a name that every "
                "program already has",
            )
        if dotted := [name for name in names if "." in name]:
            raise CELProgramError(
                "cel_unsupported",
                f"cel_program has a variable {quoted(min(dotted))}: names with dots are not "
                "supported",
            )
        try:
            self._environment.with_variables(names).compile(program.expression)
        except RuntimeError as error:
            if (name := _DECLARED_TWICE.search(str(error))) is not None:
                raise CELProgramError(
                    "cel_variable",
                    f"cel_program has a variable {quoted(name.group(1))}, which is the name of a "
                    "type",
                ) from None
            raise program_error("cel_type", error, _EXPRESSION, program.expression) from None

    def compile(self, program: Program) -> CompiledProgram:
        """Compile without type checks, as a stored program is: it was checked when written.

        Raises:
            CELProgramError: it can't be used.
            CELUnavailableError: the library can't be loaded.
        """
        variables = [
            (each.name, self._parsed(each.expression, each.name)) for each in program.variables
        ]
        result = self._parsed(program.expression)
        composed = compose(variables, result)
        stages = tuple(
            CompiledStage(
                name=stage.name,
                function=stage.function,
                argument=self._planned(stage.argument),
            )
            for stage in composed.stages
        )
        return CompiledProgram(
            expression=self._planned(composed.expression),
            stages=stages,
            kinds=self._environment.library.Type,
            messages=self._messages,
            source="\n".join((program.expression, *(e.expression for e in program.variables))),
        )

    def _planned(self, node: Node) -> Any:
        try:
            return self._environment.plain.deserialize(encode(node))
        except (RuntimeError, RecursionError):
            raise CELProgramError(
                "cel_too_large",
                "cel_program is nested too deeply, its variables counted with it",
            ) from None

    def _parsed(self, source: str, variable: str | None = None) -> Node:
        part = _EXPRESSION if variable is None else f"cel_program variable {quoted(variable)}"
        try:
            serialized = self._environment.plain.compile(source, disable_check=True).serialize()
            return decode(serialized)
        except RuntimeError as error:
            raise program_error("cel_syntax", error, part, source) from None
        except (ASTError, RecursionError) as error:
            raise CELProgramError(
                "cel_unsupported", f"{part} can't be read: {error}", part=part
            ) from None


_EXPRESSION = "cel_program.expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a program is evaluated over.

    Attributes:
        data: by variable, as the library takes it.
        is_large: whether an evaluation may take so long that it belongs in a thread.
    """

    data: Mapping[str, Any]
    is_large: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStage:
    """A call of one of OpenBao's functions, ready; see `compose.Stage`."""

    name: str
    function: str
    argument: Any


class _Failed:
    """Stands for a stage that failed: an error in a program that looks at it, and no other."""


_FAILED = _Failed()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledProgram:
    """A program ready for logins; safe to evaluate in several threads at once.

    Attributes:
        expression: the library's `Expression` of the whole program.
        stages: evaluated before it, in order.
        kinds: the library's `Type`.
        messages: of the host protocol.
        source: every expression's text.
    """

    expression: Any
    stages: tuple[CompiledStage, ...]
    kinds: Any
    messages: CELMessages
    source: str

    def inputs(self, claims: Mapping[str, Any], *, now: float, operation: str) -> Inputs:
        """Make ready what is evaluated over.

        Args:
            claims: of a verified token.
            now: Unix seconds.
            operation: `update` or `alias-lookahead`.

        Raises:
            LoginDenied: `cel_claims_too_large`.
        """
        counting = Plain()
        try:
            members = counting.value(dict(claims))
        except TooLargeError as error:
            raise LoginDenied(
                "cel_claims_too_large",
                f"the token's claims are too large for a CEL role: {error}",
            ) from None
        return Inputs(
            data={
                "claims": self.messages.struct(members),
                "now": datetime.fromtimestamp(now, UTC),
                "operation": operation,
            },
            is_large=counting.items > INLINE_ITEMS or counting.chars > INLINE_CHARS,
        )

    def evaluate(self, inputs: Inputs, role: str) -> Auth:
        """Evaluate, and read the outcome. The library lets other threads run meanwhile.

        Args:
            inputs: as `inputs` made them.
            role: the role's name, for texts and for the lease.

        Raises:
            LoginDenied: `cel_denied` (false), `cel_denied_text` (a text), `cel_result`
                (anything else but `pb.Auth`), `cel_evaluation` (an error), `cel_auth` (a
                `pb.Auth` that can't be granted).
        """
        data = inputs.data
        for stage in self.stages:
            data = {**data, stage.name: self._stage_value(stage, data)}
        try:
            value = self.expression.eval(data=data)
        except RuntimeError as error:
            raise self._failed(role, str(error)) from None
        kind = value.type()
        # The type first, and nothing of a value whose type is not one of these four.
        if kind == self.kinds.ERROR:
            raise self._failed(role, repr(value))
        if kind.is_message() and kind.name() == AUTH:
            return self._granted(role, _taken(value))
        if kind == self.kinds.STRING:
            text = _taken(value)
            shown = quoted(text) if isinstance(text, str) else "(text left out)"
            raise LoginDenied(
                "cel_denied_text", f"CEL role {quoted(role)} denied the login: {shown}"
            )
        if kind == self.kinds.BOOL and _taken(value) is False:
            raise LoginDenied("cel_denied", f"CEL role {quoted(role)} denied the login")
        raise LoginDenied(
            "cel_result",
            f"the program of CEL role {quoted(role)} gave neither pb.Auth nor false nor a string",
            expected="pb.Auth, false or a string",
            received=kind.name(),
        )

    def _stage_value(self, stage: CompiledStage, data: Mapping[str, Any]) -> Any:
        try:
            argument = stage.argument.eval(data=data)
        except RuntimeError:
            return _FAILED
        kind = argument.type()
        if stage.function == "encode_json":
            if kind.is_message() and kind.name() == HOLDER:
                holder = _taken(argument)
                # JSON text has no NUL, at which a text given to the library would end.
                return _FAILED if holder is None else encode_json(self.messages.held(holder))
            return False if kind == self.kinds.BOOL else _FAILED
        text = _taken(argument) if kind == self.kinds.STRING else None
        if text is None:
            return _FAILED
        return is_mail_address(text) if stage.function == "check_valid_email" else self._json(text)

    def _json(self, text: str) -> Any:
        try:
            return self.messages.value(plain(jsonutil.loads(text)))
        except (jsonutil.JSONError, TooLargeError):
            return False

    def _failed(self, role: str, message: str) -> LoginDenied:
        return LoginDenied(
            "cel_evaluation",
            f"the program of CEL role {quoted(role)} failed: {reason_of(message, self.source)}",
        )

    def _granted(self, role: str, message: Any | None) -> Auth:
        def refuse(why: str) -> LoginDenied:
            return LoginDenied(
                "cel_auth", f"the program of CEL role {quoted(role)} made a pb.Auth {why}"
            )

        if message is None:
            raise refuse("with a string that is not Unicode")
        if not self.messages.has_issue_time(message):
            raise refuse("whose lease_options have no issue_time (issue_time: now)")
        try:
            auth = self.messages.auth(message)
        except ValueError:
            raise refuse("whose internal_data is not the JSON text of an object") from None
        try:
            cidrs = parse_cidrs(list(auth.bound_cidrs))
        except CIDRError:
            raise refuse("with bound_cidrs that are no addresses") from None
        if not isinstance(auth.token_type, TokenType):
            raise refuse("with a token_type that does not exist")
        if auth.alias is not None and not auth.alias.name:
            raise refuse("whose alias has no name")
        return replace(
            auth,
            bound_cidrs=cidrs,
            internal_data={**auth.internal_data, "role": role, "role_type": "cel"},
        )


def _taken(value: Any) -> Any | None:
    """A value of the library's as Python's; None when it is no Unicode, which CEL can make."""
    try:
        return value.value()
    except (TypeError, ValueError, RuntimeError, AssertionError):
        return None
