"""The language that programs are written in.

Mirrors `celEnv` of OpenBao's `path_cel_role.go`: standard CEL with the strings,
lists, optional, regex, math, sets and encoders extensions, the three functions
of its own, and a ternary whose branches may differ in type.

Known of `cel-expr-python` 0.1.3, each seen, and why values cross its border only
as protobuf messages, texts and booleans, and no Python function is called in it:

- an evaluation error comes back as a value, a truthy `str`;
- text given from Python ends at its first NUL: a user `admin`, NUL, `x` is `admin`;
- a null handed to Python, also deep inside a list or map, takes a reference from
  `None` that it does not own: some thousand of them end the process;
- an optional inside a map handed to Python is a null pointer;
- what is given to a Python function, and what it gives back, is never freed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.cel import library

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault_jwt_plugin.jwt_auth.cel.messages import CELMessages

VARIABLES = ("claims", "now", "operation")
"""What every program sees."""

_CONFIG = """
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
functions:
- name: "_?_:_"
  overloads:
  - id: conditional_dyn
    args:
    - type_name: bool
    - type_name: dyn
    - type_name: dyn
    return:
      type_name: dyn
- name: check_valid_email
  overloads:
  - id: check_valid_email_string
    args:
    - type_name: string
    return:
      type_name: bool
- name: encode_json
  overloads:
  - id: encode_json_dyn
    args:
    - type_name: dyn
    return:
      type_name: string
- name: decode_json
  overloads:
  - id: decode_json_string
    args:
    - type_name: string
    return:
      type_name: dyn
"""


class Environment:
    """Parses, checks and compiles; one per mount, made at the first use of CEL there.

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
        return library.load()

    @functools.cached_property
    def plain(self) -> Any:
        """The library's `Env` without any variable of a program."""
        return self.with_variables(())

    def with_variables(self, names: Iterable[str]) -> Any:
        """An `Env` in which these are variables of any type."""
        cel = self.library
        kinds = cel.Type
        return cel.NewEnv(
            self._messages.descriptor_pool,
            config=cel.NewEnvConfigFromYaml(_CONFIG),
            variables={
                "claims": kinds.Map(kinds.STRING, kinds.DYN),
                "now": kinds.TIMESTAMP,
                "operation": kinds.STRING,
                **dict.fromkeys(names, kinds.DYN),
            },
        )
