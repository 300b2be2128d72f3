"""Build the operands of a policy template from its tokens.

Mirrors the lower half of Go's text/template/parse/parse.go. Stricter than Go: what can never be
evaluated is refused here, when the role is written, and not at every login. That is a wrong number
of arguments, a constant of the wrong kind, arguments given to a value, an unknown variable.

Differs from OpenBao: variables are not set within parentheses, `range` sets no existing variables,
and `truncate 10.0` is refused. No policy name needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.policies.go_template import literals
from vault_jwt_plugin.jwt_auth.policies.go_template.format import check_printf
from vault_jwt_plugin.jwt_auth.policies.go_template.functions import FUNCTIONS, Function
from vault_jwt_plugin.jwt_auth.policies.go_template.functions import Kind as Parameter
from vault_jwt_plugin.jwt_auth.policies.go_template.lexer import Kind, MalformedTemplateError, Token
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_NESTING_DEPTH,
    MAX_VARIABLES,
    EvaluationError,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.operands import (
    ROOT,
    Call,
    Choice,
    Dot,
    Literal,
    Member,
    Operand,
    Pipeline,
    Variable,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.times import check_layout

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.policies.go_template.values import GoValue

_CHOICES = {"and": False, "or": True}
_SUPPORTED_FUNCTIONS = ", ".join(sorted([*FUNCTIONS, *_CHOICES]))
_MAX_SHOWN = 64
# Checks of a first argument that is a constant.
_CHECKS = {"printf": check_printf, "timestamp": check_layout}
_NO_MEMBERS = {Kind.BOOL, Kind.DOT, Kind.KEYWORD, Kind.NUMBER, Kind.STRING}
_OPERANDS = _NO_MEMBERS | {Kind.FIELD, Kind.LEFT_PAREN, Kind.VARIABLE, Kind.WORD}


class ExpressionParser:
    """Parse the pipelines of one template; the subclass parses the blocks around them."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._variables = [ROOT]
        self._depth = 0

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _peek_solid(self) -> Token:
        """Pass spaces and return the token after them, without passing it."""
        if self._peek().kind is Kind.SPACE:
            self._at += 1
        return self._peek()

    def _expect(self, kind: Kind) -> Token:
        token = self._peek_solid()
        if token.kind is not kind:
            raise self._unexpected(token)
        return self._next()

    def _fault(self, token: Token, reason: str) -> MalformedTemplateError:
        return MalformedTemplateError(
            reason, position=token.position, construct=token.text[:_MAX_SHOWN]
        )

    def _unexpected(self, token: Token) -> MalformedTemplateError:
        # Texts and strings are not repeated: they may hold anything.
        spelled = token.kind in {Kind.WORD, Kind.KEYWORD, Kind.BOOL, Kind.OTHER, Kind.NUMBER}
        name = f'"{token.text[:_MAX_SHOWN]}"' if spelled else token.kind.value
        return self._fault(token, f"unexpected {name}")

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING_DEPTH:
            raise self._fault(
                token, f"the template is nested deeper than {MAX_NESTING_DEPTH} levels"
            )

    # Pipelines

    def _pipeline(self, end: Kind, *, ranges: bool = False) -> Pipeline:
        """Parse a pipeline and pass the token that ends it."""
        declared, assigns = self._declarations(ranges=ranges)
        first: Operand | None = None
        rest: list[Call | Choice] = []
        while (token := self._peek_solid()).kind is not end:
            if first is None:
                first = self._command()
            else:
                rest.append(self._function(token))
        if first is None:
            raise self._fault(self._peek(), "a value is missing")
        self._next()
        names = tuple(token.text for token in declared)
        if declared and end is Kind.RIGHT_PAREN:
            raise self._fault(declared[0], "a variable can't be set within parentheses")
        if assigns:
            if ranges:
                raise self._fault(declared[0], "range declares its variables with :=")
            self._check_visible(declared[0])
        else:
            self._variables.extend(names)
        if declared and len(self._variables) > MAX_VARIABLES:
            raise self._fault(declared[0], f"the template has more than {MAX_VARIABLES} variables")
        return Pipeline(first=first, rest=tuple(rest), declared=names, assigns=assigns)

    def _declarations(self, *, ranges: bool) -> tuple[list[Token], bool]:
        """Parse the variables before `:=` or `=`; return them and whether it is `=`."""
        names: list[Token] = []
        token = self._peek_solid()
        before = self._at
        while token.kind is Kind.VARIABLE:
            names.append(self._next())
            token = self._peek_solid()
            if token.kind in {Kind.DECLARE, Kind.ASSIGN}:
                self._next()
                return names, token.kind is Kind.ASSIGN
            if token.text != ",":
                break
            if not ranges or len(names) > 1:
                raise self._fault(token, "too many variables are declared at once")
            self._next()
            token = self._peek_solid()
            if token.kind is not Kind.VARIABLE:
                raise self._fault(token, "expected a second variable")
        if len(names) > 1:
            raise self._fault(token, "expected := or =")
        self._at = before
        return [], False

    def _check_visible(self, token: Token) -> None:
        if token.text not in self._variables:
            raise self._fault(token, f'the variable "{token.text[:_MAX_SHOWN]}" is not defined')

    def _words(self) -> list[tuple[Token, Operand | None]]:
        """Parse the operands of a command up to its pipe (passed) or its end.

        None stands for a function's name.
        """
        words: list[tuple[Token, Operand | None]] = []
        while True:
            token = self._peek_solid()
            if token.kind in _OPERANDS:
                words.append((token, self._operand()))
            following = self._peek()
            if following.kind is Kind.SPACE:
                continue
            if following.kind is Kind.PIPE:
                self._next()
            elif following.kind not in {Kind.CLOSE, Kind.RIGHT_PAREN}:
                raise self._unexpected(following)
            if not words:
                raise self._fault(token, "a value is missing")
            return words

    def _command(self) -> Operand:
        """Parse the first command of a pipeline: a value, or a function with its arguments."""
        (token, operand), *arguments = self._words()
        if operand is None:
            return self._call(token, arguments, piped=False)
        if arguments:
            raise self._fault(
                token,
                "arguments are given to something that is not a function; methods can't be called",
            )
        if token.kind is Kind.KEYWORD:
            raise self._fault(token, "nil alone is no value")
        return operand

    def _function(self, before: Token) -> Call | Choice:
        """Parse a later command of a pipeline."""
        (token, operand), *arguments = self._words()
        if operand is not None:
            raise self._fault(before, "only a function can follow |")
        return self._call(token, arguments, piped=True)

    def _call(
        self, token: Token, words: list[tuple[Token, Operand | None]], *, piped: bool
    ) -> Call | Choice:
        name = token.text
        arguments = [
            self._call(word, [], piped=False) if operand is None else operand
            for word, operand in words
        ]
        if name in _CHOICES:
            if not arguments and not piped:
                raise self._fault(token, f'"{name}" takes at least 1 argument, 0 given')
            return Choice(stops_at=_CHOICES[name], arguments=tuple(arguments))
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._fault(
                token,
                f'the function "{name[:_MAX_SHOWN]}" is not supported; '
                f"supported are {_SUPPORTED_FUNCTIONS}",
            )
        if not function.accepts(len(arguments) + piped):
            wanted, given = len(function.parameters), len(arguments) + piped
            least = ""
            if function.optional:
                least = "at least " if given < wanted else "at most "
                wanted += 0 if given < wanted else function.optional
            plural = "" if wanted == 1 else "s"
            raise self._fault(
                token, f'"{name}" takes {least}{wanted} argument{plural}, {given} given'
            )
        for index, ((word, _), argument) in enumerate(zip(words, arguments, strict=True)):
            if isinstance(argument, Literal):
                self._check_constant(word, argument.value, name, function, index)
        checked = [
            (index, function.kind(index))
            for index in range(len(arguments) + piped)
            if function.kind(index) is not Parameter.ANY
            and not (index < len(arguments) and isinstance(arguments[index], Literal))
        ]
        return Call(
            name=name,
            function=function,
            arguments=tuple(arguments),
            checked=tuple(checked),
            position=token.position,
        )

    def _check_constant(
        self, token: Token, value: GoValue, name: str, function: Function, index: int
    ) -> None:
        kind = function.kind(index)
        if kind is not Parameter.ANY and type(value) is not kind.type:
            raise self._fault(token, f'argument {index + 1} of "{name}" must be {kind.value}')
        if index == 0 and name in _CHECKS:
            try:
                _CHECKS[name](value)
            except EvaluationError as error:
                raise self._fault(token, f"{name}: {error.reason}") from None

    # Operands

    def _operand(self) -> Operand | None:
        """Parse a value and the members after it; return None for a function's name."""
        token = self._next()
        base = self._term(token)
        names = [token.text[1:]] if token.kind is Kind.FIELD else []
        while self._peek().kind is Kind.FIELD:
            if token.kind in _NO_MEMBERS:
                raise self._unexpected(self._peek())
            names.append(self._next().text[1:])
        if not names:
            return base
        if base is None:
            base = self._call(token, [], piped=False)
        return Member(base=base, names=tuple(names), position=token.position)

    def _term(self, token: Token) -> Operand | None:
        if token.kind is Kind.WORD:
            return None
        if token.kind in {Kind.DOT, Kind.FIELD}:
            return Dot()
        if token.kind is Kind.VARIABLE:
            self._check_visible(token)
            return Variable(name=token.text)
        if token.kind is Kind.LEFT_PAREN:
            self._enter(token)
            pipeline = self._pipeline(Kind.RIGHT_PAREN)
            self._depth -= 1
            return simplest(pipeline)
        return self._literal(token)

    def _literal(self, token: Token) -> Literal:
        if token.kind is Kind.NUMBER:
            number = literals.number(token.text)
            if number is None:
                raise self._fault(token, f'the number "{token.text[:_MAX_SHOWN]}" is not supported')
            return Literal(value=number)
        if token.kind is Kind.STRING:
            text = literals.string(token.text)
            if text is None:
                raise self._fault(token, "the string has an escape that is not supported")
            return Literal(value=text)
        if token.kind is Kind.BOOL:
            return Literal(value=token.text == "true")
        if token.text == "nil":
            return Literal(value=None)
        raise self._unexpected(token)


def simplest(pipeline: Pipeline) -> Operand:
    """Return the operand of a pipeline that is nothing more, else the pipeline."""
    return pipeline if pipeline.rest or pipeline.declared else pipeline.first
