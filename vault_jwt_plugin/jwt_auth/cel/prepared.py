"""A CEL role made ready for logins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.role import CELRole
from vault_jwt_plugin.jwt_auth.claims.dates import Leeways
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.cel.program import CELEngine, CompiledProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCELRole:
    """A CEL role, compiled for logins.

    Attributes:
        name: of the role.
        role: as it is stored.
        subject: always "": a CEL role binds none, its program may.
        audiences: of which a token must name one; empty = the program decides.
        leeways: in effect, in seconds.
        program: ready to be evaluated.
        counted_as: the name that its logins are counted under; native roles may have the
            same name.
    """

    name: str
    role: CELRole
    subject: str
    audiences: frozenset[str]
    leeways: Leeways
    program: CompiledProgram
    counted_as: str

    @classmethod
    def of(cls, name: str, raw: bytes, engine: CELEngine) -> PreparedCELRole:
        """Compile what is stored under a role's key.

        Raises:
            StoredRoleError: it can't be understood.
            LoginDenied: `cel_program_unusable`: OpenBao took a program that this version can't
                use.
            CELUnavailableError: the library can't be loaded.
        """
        role = CELRole.from_stored(name, raw)
        try:
            program = engine.compile(role.cel_program)
        except CELProgramError as error:
            raise LoginDenied(
                "cel_program_unusable",
                f"CEL role {quoted(name)} can't be used: {error.message}",
            ) from error
        return cls(
            name=name,
            role=role,
            subject="",
            audiences=frozenset(role.bound_audiences or ()),
            leeways=Leeways.of(
                expiration_ns=role.expiration_leeway,
                not_before_ns=role.not_before_leeway,
                clock_skew_ns=role.clock_skew_leeway,
            ),
            program=program,
            counted_as=counted_name(name),
        )


def counted_name(name: str) -> str:
    """The name that logins with a CEL role are counted under."""
    return f"cel/{name}"
