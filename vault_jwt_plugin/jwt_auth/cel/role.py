"""A CEL role: a program that makes the token's `Auth` from its claims (OpenBao).

The stored form is OpenBao's own (`celRoleEntry` in `path_cel_role.go`), so that a
mount can be taken over in place and handed back. Members that we don't know stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from decimal import Decimal
from typing import Any

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.role.fields import (
    CLOCK_SKEW_LEEWAY,
    EXPIRATION_LEEWAY,
    NOT_BEFORE_LEEWAY,
)
from vault_jwt_plugin.jwt_auth.role.role import StoredRoleError
from vault_jwt_plugin.sdk import (
    KEEP,
    OPENBAO_ONLY,
    RESET,
    FieldType,
    fields_of,
    jsonutil,
    parameter,
    parameters,
)
from vault_jwt_plugin.sdk.coercion import kind_of

STORAGE_PREFIX = "cel/role/"

MAX_CEL_ROLES = 1000
"""CEL roles kept compiled per mount; the least recently used goes first."""

MAX_VARIABLES = 32
"""Variables of a program."""

MAX_PROGRAM_CHARS = 32_768
"""All expressions of a program together, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A named expression, evaluated before the program's own."""

    name: str
    expression: str

    def to_json(self) -> dict[str, str]:
        """Decoded JSON, as stored and as read back."""
        return {"name": self.name, "expression": self.expression}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a CEL role evaluates."""

    expression: str
    variables: tuple[Variable, ...] = ()

    @classmethod
    def from_json(cls, members: Mapping[str, Any], base: Program | None = None) -> Program:
        """A program as a caller or the storage gives it.

        Names are matched in any case, numbers are taken as strings, null as not sent, and
        unknown members are ignored, as Go's mapstructure does.

        Args:
            members: decoded JSON object.
            base: the program so far, of which members not sent stay.

        Raises:
            CELProgramError: `cel_program`: a member of a wrong kind, or no expression.
        """
        sent = _member(members, "expression")
        expression = base.expression if base is not None else ""
        if sent is not None:
            expression = _string(sent, "cel_program.expression")
        listed = _member(members, "variables")
        variables = base.variables if base is not None else ()
        if listed is not None:
            variables = _variables(listed)
        if not expression:
            raise CELProgramError("cel_program", "cel_program.expression cannot be empty")
        program = cls(expression=expression, variables=variables)
        _check_size(program)
        return program

    def to_json(self) -> dict[str, Any]:
        """Decoded JSON, as stored and as read back; no `variables` where there are none."""
        members: dict[str, Any] = {}
        if self.variables:
            members["variables"] = [variable.to_json() for variable in self.variables]
        return members | {"expression": self.expression}


def _member(members: Mapping[str, Any], name: str) -> Any:
    if name in members:
        return members[name]
    return next((value for key, value in members.items() if key.casefold() == name), None)


def _string(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise CELProgramError("cel_program", f"{name} must be a string, is {kind_of(value)}")


def _variables(listed: Any) -> tuple[Variable, ...]:
    if not isinstance(listed, list):
        raise CELProgramError(
            "cel_program",
            f"cel_program.variables must be a list of objects, is {kind_of(listed)}",
        )
    variables = []
    for index, members in enumerate(listed):
        where = f"cel_program.variables[{index}]"
        if not isinstance(members, Mapping):
            raise CELProgramError(
                "cel_program", f"{where} must be an object, is {kind_of(members)}"
            )
        name, expression = _member(members, "name"), _member(members, "expression")
        variables.append(
            Variable(
                name="" if name is None else _string(name, f"{where}.name"),
                expression=(
                    "" if expression is None else _string(expression, f"{where}.expression")
                ),
            )
        )
    return tuple(variables)


def _check_size(program: Program) -> None:
    if len(program.variables) > MAX_VARIABLES:
        raise CELProgramError(
            "cel_too_large", f"cel_program has more than {MAX_VARIABLES} variables"
        )
    parts = (program.expression, *(each.expression for each in program.variables))
    if sum(map(len, parts)) > MAX_PROGRAM_CHARS:
        raise CELProgramError(
            "cel_too_large", f"cel_program has more than {MAX_PROGRAM_CHARS} characters"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CELRole:
    """One CEL role; attribute names are the parameters'.

    Leeways are nanoseconds. `bound_audiences` is None where null is stored. `extra` holds
    the stored members that are none of ours.
    """

    name: str = parameter(
        FieldType.STRING,
        KEEP,
        "Name of the CEL role. Logins name roles in lower case: one with upper case letters "
        "can't be logged in with.",
        initial=MISSING,
        hosts=OPENBAO_ONLY,
    )
    cel_program: Program = parameter(
        FieldType.MAP,
        KEEP,
        "The program: an object with 'expression' and, optionally, 'variables', a list of "
        "objects with 'name' and 'expression' that are evaluated first, in order.",
        initial=MISSING,
        hosts=OPENBAO_ONLY,
        decode=Program.from_json,
        encode=Program.to_json,
        show=Program.to_json,
    )
    message: str = parameter(
        FieldType.STRING,
        RESET,
        "A string that is stored with the role; nothing uses it.",
        hosts=OPENBAO_ONLY,
        stored_if=bool,
    )
    expiration_leeway: int = EXPIRATION_LEEWAY(RESET)
    not_before_leeway: int = NOT_BEFORE_LEEWAY(RESET)
    clock_skew_leeway: int = CLOCK_SKEW_LEEWAY(RESET)
    bound_audiences: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "Comma-separated list of 'aud' values; a token must carry one of them. "
        "Without this list, the program alone decides about 'aud'.",
    )
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, name: str, raw: bytes) -> CELRole:
        """Read what is stored under a role's key.

        Args:
            name: the role's, as its key has it: it wins over the stored one.
            raw: the stored value.

        Raises:
            StoredRoleError: it can't be understood.
        """
        try:
            members = jsonutil.loads(raw)
            program = members.get("cel_program") if isinstance(members, dict) else None
            if not isinstance(program, dict):
                raise _invalid(name, "no JSON object with a cel_program")
            return parameters.from_stored(cls, members, name=name)
        except (jsonutil.JSONError, parameters.StoredFormError) as error:
            raise _invalid(name, str(error)) from None
        except CELProgramError as error:
            raise _invalid(name, error.message) from error

    def to_stored(self) -> bytes:
        """Encode for storage: every member, ours and unknown ones."""
        return parameters.to_stored(self)

    def read_data(self) -> dict[str, Any]:
        """Return what a read shows: leeways in whole seconds."""
        return parameters.read_back(self)


def _invalid(name: str, problem: str) -> StoredRoleError:
    return StoredRoleError(name, problem, kind="CEL role")


CEL_ROLE_FIELDS = fields_of(CELRole)
"""The parameters of `cel/role/NAME`."""
