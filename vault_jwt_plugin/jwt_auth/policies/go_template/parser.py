"""Build the statements of a policy template from its tokens.

Mirrors the upper half of Go's text/template/parse/parse.go, for the blocks that policies need.
"""

from __future__ import annotations

from vault_jwt_plugin.jwt_auth.policies.go_template.expressions import ExpressionParser, simplest
from vault_jwt_plugin.jwt_auth.policies.go_template.lexer import Kind, Lexer, Token
from vault_jwt_plugin.jwt_auth.policies.go_template.statements import (
    Action,
    Condition,
    Flow,
    Jump,
    Range,
    Statement,
    Text,
)

_SUPPORTED_ACTIONS = "if, with, range, else, end, break, continue"


def parse(template: str) -> tuple[Statement, ...]:
    """Parse one template.

    Raises:
        MalformedTemplateError: it is not one, or uses a part of the language that is not supported.
    """
    return _Parser(Lexer(template).tokens()).parse()


class _Parser(ExpressionParser):
    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self._ranges = 0

    def parse(self) -> tuple[Statement, ...]:
        statements, token = self._statements()
        if token.kind is not Kind.END:
            raise self._unexpected(token)
        return statements

    def _statements(self) -> tuple[tuple[Statement, ...], Token]:
        """Parse statements up to `end`, `else` (both passed) or the end of the template."""
        statements: list[Statement] = []
        while True:
            token = self._next()
            if token.kind is Kind.END:
                return tuple(statements), token
            if token.kind is Kind.TEXT:
                statements.append(Text(text=token.text))
                continue
            if token.kind is not Kind.OPEN:
                raise self._unexpected(token)
            word = self._peek_solid()
            if word.kind is Kind.KEYWORD and word.text in {"end", "else"}:
                self._next()
                return tuple(statements), word
            statements.append(self._action(word))

    def _action(self, word: Token) -> Statement:
        if word.kind is not Kind.KEYWORD or word.text == "nil":
            pipeline = self._pipeline(Kind.CLOSE)
            return Action(pipeline=simplest(pipeline), silent=bool(pipeline.declared))
        self._next()
        if word.text in {"if", "with"}:
            return self._condition(word)
        if word.text == "range":
            return self._range(word)
        if word.text in {"break", "continue"}:
            if not self._ranges:
                raise self._fault(word, f"{word.text} is outside of a range")
            self._expect(Kind.CLOSE)
            return Jump(flow=Flow(word.text))
        raise self._fault(
            word, f'"{word.text}" is not supported; supported are {_SUPPORTED_ACTIONS}'
        )

    def _condition(self, word: Token) -> Condition:
        """Parse `if` or `with`, whose word is passed, up to its `end`."""
        scope = len(self._variables)
        pipeline = self._pipeline(Kind.CLOSE)
        body, otherwise = self._block(word)
        del self._variables[scope:]
        binds = word.text == "with"
        return Condition(pipeline=simplest(pipeline), binds=binds, body=body, otherwise=otherwise)

    def _range(self, word: Token) -> Range:
        """Parse `range`, whose word is passed, up to its `end`."""
        scope = len(self._variables)
        pipeline = self._pipeline(Kind.CLOSE, ranges=True)
        body, otherwise = self._block(word)
        del self._variables[scope:]
        return Range(
            pipeline=simplest(pipeline),
            declared=pipeline.declared,
            body=body,
            otherwise=otherwise,
            position=word.position,
        )

    def _block(self, word: Token) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """Parse the body and the `else` branch of the block that `word` began."""
        self._enter(word)
        self._ranges += word.text == "range"
        body, last = self._scope(word)
        self._ranges -= word.text == "range"
        otherwise: tuple[Statement, ...] = ()
        if last.text == "else":
            following = self._peek_solid()
            chained = following.kind is Kind.KEYWORD and following.text == word.text != "range"
            if chained:  # `else if`: the `end` of the inner block is that of the outer one too
                otherwise = (self._condition(self._next()),)
            else:
                self._expect(Kind.CLOSE)
                otherwise, last = self._scope(word)
                if last.text == "else":
                    raise self._fault(
                        last, f'the block "{word.text}" has an else after its last else'
                    )
        if last.text == "end":
            self._expect(Kind.CLOSE)
        self._depth -= 1
        return body, otherwise

    def _scope(self, word: Token) -> tuple[tuple[Statement, ...], Token]:
        """Parse statements up to `end` or `else`, then drop the variables declared in them."""
        scope = len(self._variables)
        statements, last = self._statements()
        if last.kind is Kind.END:
            raise self._fault(word, f'the block "{word.text}" has no end')
        del self._variables[scope:]
        return statements, last
