"""`cel/role/` and `cel/role/NAME`: list, read, write, patch, delete (OpenBao).

Mirrors `path_cel_role.go`. An update replaces the whole role; a patch changes what
it sends. Names keep their case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.prepared import counted_name
from vault_jwt_plugin.jwt_auth.cel.role import (
    CEL_ROLE_FIELDS,
    STORAGE_PREFIX,
    CELRole,
    Program,
)
from vault_jwt_plugin.jwt_auth.role.fields import LIST_FIELDS
from vault_jwt_plugin.jwt_auth.role.role import StoredRoleError
from vault_jwt_plugin.sdk import (
    NAME_PATTERN,
    FieldData,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    StorageEntry,
    UserError,
    parameters,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.cel.program import CELEngine
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.sdk import Handler

_SYNOPSIS_LIST = "Lists all the CEL roles registered with the backend."
_DESCRIPTION_LIST = "The list will contain the names of the CEL roles."
_SYNOPSIS = "Register a CEL role with the backend."
_DESCRIPTION = """
A CEL role is a program in the Common Expression Language. A login with one
verifies the token as any login does; then the program is evaluated over its
claims, and makes the pb.Auth that is granted, or denies with false or a string.

A write replaces the whole role, a patch changes what it sends.
"""

WARN_UNBOUND = (
    "the role has no bound_audiences: tokens meant for any audience are accepted, unless the "
    "program looks at claims.aud"
)


class CELRolePaths:
    """The handlers of one mount.

    Args:
        mount: what they share.
        engine: makes or gives the mount's CEL.
    """

    def __init__(self, mount: Mount, engine: Callable[[], CELEngine]) -> None:
        self._mount = mount
        self._engine = engine

    def paths(self) -> tuple[Path, ...]:
        """`cel/role/?` and `cel/role/NAME`."""
        return (
            Path(
                pattern="cel/role/?",
                fields=LIST_FIELDS,
                operations={
                    Operation.LIST: OperationSpec(
                        handler=self.list,
                        summary=_SYNOPSIS_LIST,
                        description=_DESCRIPTION_LIST,
                        operation_id="jwt-list-cel",
                    )
                },
                help_synopsis=_SYNOPSIS_LIST,
                help_description=_DESCRIPTION_LIST,
            ),
            Path(
                pattern=f"cel/role/{NAME_PATTERN}",
                fields=CEL_ROLE_FIELDS,
                operations={
                    Operation.READ: OperationSpec(
                        handler=self.read,
                        summary="Read an existing CEL role.",
                        operation_id="jwt-read-cel-role",
                    ),
                    Operation.UPDATE: _forwarded(self.write, _SYNOPSIS, "jwt-write-cel-role"),
                    Operation.PATCH: _forwarded(
                        self.patch, "Change parts of an existing CEL role.", "jwt-patch-cel-role"
                    ),
                    Operation.DELETE: _forwarded(
                        self.delete, "Delete an existing CEL role.", "jwt-delete-cel-role"
                    ),
                },
                help_synopsis=_SYNOPSIS,
                help_description=_DESCRIPTION.strip(),
            ),
        )

    async def list(self, _request: Request, data: FieldData) -> Response:
        """Names, sorted; `after` is exclusive and need not exist, `limit` <= 0 means all."""
        names = await self._mount.storage.list_page(
            STORAGE_PREFIX, after=data["after"], limit=max(data["limit"], 0)
        )
        return Response(data={"keys": names} if names else {})

    async def read(self, _request: Request, data: FieldData) -> Response | None:
        """The role as stored; None when absent."""
        role = await self._read(data["name"])
        return None if role is None else Response(data=role.read_data())

    async def write(self, _request: Request, data: FieldData) -> Response:
        """Create the role, or replace it.

        Raises:
            CELProgramError: the program can't be used.
            CELUnavailableError, InternalError: the library is missing; storage failed.
        """
        name = data["name"]
        if "cel_program" not in data:
            raise CELProgramError("cel_program", "missing required field 'cel_program'")
        program = Program.from_json(data["cel_program"] or {})
        role = CELRole(**parameters.changes(CELRole, data) | {"cel_program": program})

        async def change() -> CELRole:
            return await self._store(replace(role, extra=await self._unknown_members(name)))

        return await self._written(role.cel_program, name, change)

    async def patch(self, _request: Request, data: FieldData) -> Response:
        """Change what is sent.

        Raises:
            UserError: no such role.
            CELProgramError: the resulting program can't be used.
            CELUnavailableError, InternalError: the library is missing; the stored role can't be
                understood; storage failed.
        """
        name = data["name"]
        merged = _merged(await self._existing(name), data)

        async def change() -> CELRole:
            # Read again: the program was checked, outside of the lock, for the role as it was.
            now = _merged(await self._existing(name), data)
            if now.cel_program != merged.cel_program:
                self._engine().check(now.cel_program)
            return await self._store(now)

        return await self._written(merged.cel_program, name, change)

    async def _read(self, name: str) -> CELRole | None:
        raw = await self._mount.read(STORAGE_PREFIX + name)
        return None if raw is None else CELRole.from_stored(name, raw)

    async def _existing(self, name: str) -> CELRole:
        role = await self._read(name)
        if role is None:
            raise UserError("unable to fetch the CEL role to patch", code="role_unknown")
        return role

    async def _unknown_members(self, name: str) -> Any:
        try:
            stored = await self._read(name)
        except StoredRoleError:
            # Replaced as a whole: this is how a role that can't be read is repaired.
            return {}
        return {} if stored is None else stored.extra

    async def _written(
        self, program: Program, name: str, change: Callable[[], Awaitable[CELRole]]
    ) -> Response:
        engine = self._engine()
        await engine.ready()
        engine.check(program)
        role = await self._mount.write(change, drops=STORAGE_PREFIX + name)
        return Response(
            data=role.read_data(), warnings=() if role.bound_audiences else (WARN_UNBOUND,)
        )

    async def _store(self, role: CELRole) -> CELRole:
        await self._mount.storage.put(
            StorageEntry(key=STORAGE_PREFIX + role.name, value=role.to_stored())
        )
        return role

    async def delete(self, _request: Request, data: FieldData) -> None:
        """Forget the role; one that is not there is no error."""
        key = STORAGE_PREFIX + data["name"]
        await self._mount.write(lambda: self._mount.storage.delete(key), drops=key)
        self._mount.counters.forget_role(counted_name(data["name"]))


def _merged(role: CELRole, data: FieldData) -> CELRole:
    changes = parameters.changes(CELRole, data, patch=True)
    if "cel_program" in data:
        sent = data["cel_program"]
        if sent is None:
            raise CELProgramError("cel_program", "cel_program can't be taken away")
        changes["cel_program"] = Program.from_json(sent, role.cel_program)
    return replace(role, **changes)


def _forwarded(handler: Handler, summary: str, operation_id: str) -> OperationSpec:
    """A write, which only the active node of the primary cluster takes, as in OpenBao."""
    return OperationSpec(
        handler=handler,
        summary=summary,
        operation_id=operation_id,
        forward_standby=True,
        forward_secondary=True,
    )
