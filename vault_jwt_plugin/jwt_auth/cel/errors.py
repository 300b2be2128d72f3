"""What is wrong with a CEL program, or with what it made of a login."""

from __future__ import annotations

from vault_jwt_plugin.sdk import UserError


class CELProgramError(UserError):
    """A program that can't be used: HTTP 400, where OpenBao answers 500.

    Codes: `cel_program` (no program, or a member of the wrong kind), `cel_syntax`,
    `cel_type`, `cel_variable` (a name that can't be one), `cel_unsupported` (what
    OpenBao has and this version has not), `cel_too_large`.

    Attributes:
        part: which expression, as the text names it; "" where it is none in particular.
    """

    code = "cel_program"

    def __init__(self, code: str, message: str, *, part: str = "") -> None:
        super().__init__(message, code=code)
        self.part = part
