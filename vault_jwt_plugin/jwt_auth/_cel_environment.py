"""The language that programs are written in, and the library's edges kept away from it.

Mirrors `celEnv` of OpenBao's `path_cel_role.go`: standard CEL with the strings,
lists, optional, regex, math, sets and encoders extensions, the three functions
of its own, and a ternary whose branches may differ in type.

Known of `cel-expr-python` 0.1.3, each seen, and why values cross this border
only as protobuf messages, texts and booleans:

- an evaluation error comes back as a value, a truthy `str`;
- text given from Python ends at its first NUL: a user `admin`, NUL, `x` is `admin`;
- a null handed to Python, also deep inside a list or map, takes a reference from
  `None` that it does not own: some thousand of them end the process;
- an optional inside a map handed to Python is a null pointer.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth import _cel_library
from vault_jwt_plugin.jwt_auth._cel_compose import ENCODE_JSON, FORMAT_TEXT, HELD, REFUSE
from vault_jwt_plugin.jwt_auth._cel_functions import format_text, json_text
from vault_jwt_plugin.jwt_auth._cel_values import TooLargeError, plain
from vault_jwt_plugin.jwt_auth._mail_address import is_mail_address
from vault_jwt_plugin.jwt_auth.cel_messages import HOLDER
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault_jwt_plugin.jwt_auth.cel_messages import CELMessages

VARIABLES = ("claims", "now", "operation")
"""What every program sees."""

_STANDARD = """
stdlib:
  exclude_functions:
  - name: "_?_:_"
extensions:
- name: strings
- name: lists
- name: optional
- name: regex
- name: math
- name: sets
- name: encoders
"""

# Declared for programs: name, types of the parameters, type of the result.
_WRITABLE = (
    ("_?_:_", ("bool", "dyn", "dyn"), "dyn"),
    ("check_valid_email", ("string",), "bool"),
    ("encode_json", ("dyn",), "string"),
    ("decode_json", ("string",), "dyn"),
)
_INTERNAL = (
    (ENCODE_JSON, (HOLDER,), "dyn"),
    (FORMAT_TEXT, (HOLDER,), "dyn"),
    (REFUSE, ("string",), "dyn"),
)


def _yaml() -> str:
    lines = ["functions:"]
    for name, parameters, result in (*_WRITABLE, *_INTERNAL):
        lines += [f'- name: "{name}"', "  overloads:", f'  - id: "{_overload(name)}"', "    args:"]
        lines += [f"    - type_name: {parameter}" for parameter in parameters]
        lines += ["    return:", f"      type_name: {result}"]
    return _STANDARD + "\n".join(lines) + "\n"


def _overload(name: str) -> str:
    return f"vault_jwt_plugin:{name}"


class Environment:
    """Parses, checks and evaluates; one per mount, made at the first use of CEL there.

    Args:
        messages: of the host protocol.
    """

    def __init__(self, messages: CELMessages) -> None:
        self._messages = messages

    @functools.cached_property
    def library(self) -> Any:
        """The module `cel_expr_python.cel`.

        Raises:
            CELUnavailableError: it can't be loaded.
        """
        return _cel_library.load()

    @functools.cached_property
    def plain(self) -> Any:
        """The library's `Env` without any variable of a program."""
        return self._env(())

    def with_variables(self, names: Iterable[str]) -> Any:
        """An `Env` in which these are variables of any type."""
        return self._env(names)

    def _env(self, names: Iterable[str]) -> Any:
        cel = self.library
        kinds = cel.Type
        variables = {
            "claims": kinds.Map(kinds.STRING, kinds.DYN),
            "now": kinds.TIMESTAMP,
            "operation": kinds.STRING,
            **dict.fromkeys(names, kinds.DYN),
        }
        return cel.NewEnv(
            self._messages.descriptor_pool,
            config=cel.NewEnvConfigFromYaml(_yaml()),
            variables=variables,
            function_impls={
                _overload("check_valid_email"): is_mail_address,
                _overload("decode_json"): self._decode_json,
                _overload(ENCODE_JSON): self._encode_json,
                _overload(FORMAT_TEXT): self._format_text,
                _overload(REFUSE): _refuse,
            },
        )

    def _decode_json(self, text: str) -> Any:
        try:
            decoded = jsonutil.loads(text)
        except jsonutil.JSONError:
            return False
        try:
            return self._messages.value(plain(decoded))
        except TooLargeError:
            raise ValueError("decoded JSON is too large") from None

    def _encode_json(self, holder: Any) -> Any:
        encoded = json_text(self._messages.held(holder))
        return False if encoded is None else encoded

    def _format_text(self, holder: Any) -> Any:
        # As a message: a text in the value may hold a NUL.
        return self._messages.value(format_text(self._messages.held(holder)[HELD]))


def _refuse(reason: str) -> None:
    raise ValueError(reason)
