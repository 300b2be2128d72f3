"""`role/` and `role/NAME`: list, read, write, delete.

Mirrors `path_role.go` of both Go methods. The effect of leaving out a parameter is declared with
the parameter, in `role.role`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.role.fields import LIST_FIELDS, NAME_FIELD
from vault_jwt_plugin.jwt_auth.role.role import (
    BOUND_CLAIMS_TYPES,
    CALLBACK_MODES,
    OAUTH2_METADATA,
    ROLE_FIELDS,
    STORAGE_PREFIX,
    Role,
)
from vault_jwt_plugin.sdk import (
    NAME_PATTERN,
    NS_PER_S,
    FieldData,
    InternalError,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    StorageEntry,
    UserError,
    apply_aliases,
    parameters,
    parse_token_fields,
    quoted,
)
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.jwt_auth.role.role_list import RoleList
    from vault_jwt_plugin.sdk import jsonutil

# Metadata that a login sets itself.
_RESERVED_METADATA = frozenset({"role"})

WARN_MAX_TTL = (
    "token max ttl is greater than the system or backend mount's maximum TTL value; "
    "issued tokens' max TTL value will be truncated"
)
WARN_VERBOSE_LOGGING = (
    "verbose_oidc_logging has been enabled for this role. This is not recommended in "
    "production since sensitive information may be present in OIDC responses."
)

_SYNOPSIS_LIST = "Lists all the roles registered with the backend."
_DESCRIPTION_LIST = "The list will contain the names of the roles."
_SYNOPSIS = "Register a role with the backend."
_DESCRIPTION = """
A role is what a login names: it says which tokens are accepted (audiences,
subject, claims, addresses) and what a login with one grants (policies, TTLs, and
the token's other settings).

A write keeps the parameters that it does not send, except role_type,
bound_claims_type, callback_mode, oidc_disable_confirmation and alias_metadata,
which go back to their defaults.
""".strip()


def merge(stored: Role | None, data: FieldData, *, max_lease_ttl_ns: int) -> Role:
    """Return the role that a write makes, checked in Go's order; a new one if `stored` is None.

    Raises:
        UserError: a parameter is wrong, or does not go with another.
        InternalError: with templating on, a policy is not a template (500, as in Go).
    """
    role = stored if stored is not None else Role()
    role = replace(role, **parameters.changes(Role, data))
    # Differs from Vault: the deprecated aliases are checked like the parameters they stand for, so
    # the check of ttl against max_ttl that Go repeats at the end is included here.
    role = apply_aliases(parse_token_fields(role, data), data)
    if role.token_period > max_lease_ttl_ns:
        raise UserError(
            f"'token_period' of {role.token_period // NS_PER_S} seconds is greater than the "
            f"mount's maximum lease TTL of {max_lease_ttl_ns // NS_PER_S} seconds"
        )
    _check_sent(role, data)
    _check_result(role)
    return role


def _check_sent(role: Role, data: FieldData) -> None:
    """Check single parameters; those that may be left out are checked only when sent."""
    if role.bound_claims_type not in BOUND_CLAIMS_TYPES:
        raise UserError(
            f"invalid 'bound_claims_type': {quoted(role.bound_claims_type)}; "
            "it must be 'string' or 'glob'"
        )
    if "bound_claims" in data and role.bound_claims_type == "glob":
        _check_globs(role.bound_claims or {})
    if "claim_mappings" in data:
        _check_mappings(role.claim_mappings or {})
    if "oauth2_metadata" in data:
        for name in role.oauth2_metadata or ():
            if name not in OAUTH2_METADATA:
                raise UserError(
                    f"unrecognized 'oauth2_metadata' name {quoted(name)}; "
                    "known are access_token, id_token and refresh_token"
                )
    if not role.user_claim:
        raise UserError("a user claim must be defined on the role: 'user_claim' is not set")
    if role.callback_mode not in CALLBACK_MODES:
        raise UserError(
            f"invalid 'callback_mode': {quoted(role.callback_mode)}; "
            "it must be 'client', 'direct' or 'device'"
        )


def _check_globs(bound_claims: Mapping[str, Any]) -> None:
    for claim, bound in bound_claims.items():
        for value in bound if isinstance(bound, (list, tuple)) else (bound,):
            if not isinstance(value, str):
                what = "a list that holds " if value is not bound else ""
                raise UserError(
                    f"invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
                    f"{quoted(claim)} must be a string or a list of strings, got "
                    f"{what}{kind_of(value)}"
                )


def _check_mappings(claim_mappings: Mapping[str, str]) -> None:
    targets: set[str] = set()
    for target in claim_mappings.values():
        if target in _RESERVED_METADATA:
            raise UserError(
                f"metadata key {quoted(target)} is reserved and may not be a mapping destination"
            )
        if target in targets:
            raise UserError(f"multiple keys are mapped to metadata key {quoted(target)}")
        targets.add(target)


def _check_result(role: Role) -> None:
    """Check the role as a whole."""
    if role.role_type == "oidc" and not role.allowed_redirect_uris:
        raise UserError(
            "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified. For "
            "logins with a token send role_type=jwt."
        )
    bound = (
        role.bound_audiences or role.token_bound_cidrs or role.bound_subject or role.bound_claims
    )
    if role.role_type == "jwt" and not bound:
        raise UserError(
            "must have at least one bound constraint when creating/updating a role: "
            "'bound_audiences', 'bound_subject', 'bound_claims' or 'token_bound_cidrs'"
        )
    if role.token_policies_template_claims:
        _check_templates(role)


def _check_templates(role: Role) -> None:
    from vault_jwt_plugin.jwt_auth.policies.templates import PolicyTemplates, TemplateSyntaxError

    try:
        PolicyTemplates.parse(role.token_policies or ())
    except TemplateSyntaxError as error:
        # HTTP 500 as in OpenBao, though it is the caller's mistake.
        raise InternalError(
            f"failed to parse 'token_policies' as templates: {error.message}", code=error.code
        ) from error


def warnings_of(role: Role, *, max_lease_ttl_ns: int) -> tuple[str, ...]:
    """Return the warnings of a write, only those of the Go methods.

    Any more would turn the 204 that clients know into a 200.
    """
    warnings = []
    if role.token_max_ttl > max_lease_ttl_ns:
        warnings.append(WARN_MAX_TTL)
    if role.verbose_oidc_logging:
        warnings.append(WARN_VERBOSE_LOGGING)
    return tuple(warnings)


class RolePaths:
    """The handlers of one mount.

    Args:
        mount: the mount's shared state.
        role_list: the names of all roles.
    """

    def __init__(self, mount: Mount, role_list: RoleList) -> None:
        self._mount = mount
        self._role_list = role_list

    def paths(self) -> tuple[Path, ...]:
        """Declare `role/?` and `role/NAME`."""
        write = OperationSpec(
            handler=self.write,
            summary=_SYNOPSIS,
            description=_DESCRIPTION,
            operation_id="jwt-write-role",
        )
        return (
            Path(
                pattern="role/?",
                fields=LIST_FIELDS,
                operations={
                    Operation.LIST: OperationSpec(
                        handler=self.list,
                        summary=_SYNOPSIS_LIST,
                        description=_DESCRIPTION_LIST,
                        operation_id="jwt-list-roles",
                    )
                },
                help_synopsis=_SYNOPSIS_LIST,
                help_description=_DESCRIPTION_LIST,
            ),
            Path(
                pattern=f"role/{NAME_PATTERN}",
                fields=(NAME_FIELD, *ROLE_FIELDS),
                operations={
                    Operation.READ: OperationSpec(
                        handler=self.read,
                        summary="Read an existing role.",
                        operation_id="jwt-read-role",
                    ),
                    Operation.CREATE: write,
                    Operation.UPDATE: write,
                    Operation.DELETE: OperationSpec(
                        handler=self.delete,
                        summary="Delete an existing role.",
                        operation_id="jwt-delete-role",
                    ),
                },
                existence_check=self.exists,
                help_synopsis=_SYNOPSIS,
                help_description=_DESCRIPTION,
            ),
        )

    async def list(self, _request: Request, data: FieldData) -> Response:
        """List the names, sorted; `after` is exclusive and need not exist, `limit` <= 0 = all."""
        after, limit = data["after"], max(data["limit"], 0)
        keys: list[str] | jsonutil.Encoded
        if after or limit:
            keys = await self._mount.storage.list_page(STORAGE_PREFIX, after=after, limit=limit)
        else:
            keys = await self._role_list.get()
        return Response(data={"keys": keys} if keys else {})

    async def _read(self, name: str) -> Role | None:
        raw = await self._mount.read(STORAGE_PREFIX + name)
        return None if raw is None else Role.from_stored(name, raw)

    async def exists(self, _request: Request, data: FieldData) -> bool:
        """Tell whether a write is an update; a stored role that can't be read is an error."""
        return await self._read(data["name"]) is not None

    async def read(self, _request: Request, data: FieldData) -> Response | None:
        """Return the role as stored, with every parameter of both Go methods; None if absent."""
        role = await self._read(data["name"])
        return None if role is None else Response(data=role.read_data())

    async def write(self, request: Request, data: FieldData) -> Response | None:
        """Create or change the role.

        Raises:
            UserError: see `merge`.
            InternalError: the role to update is gone, the stored role can't be read, or storage
                failed.
        """
        name = data["name"]
        max_lease_ttl_ns = await self._mount.system.max_lease_ttl_ns()

        async def change() -> Role:
            stored = await self._read(name)
            if stored is None and request.operation is Operation.UPDATE:
                # This is a race: the existence check turns any other such write into a create.
                raise InternalError("role entry not found during update operation")
            role = merge(stored, data, max_lease_ttl_ns=max_lease_ttl_ns)
            await self._mount.storage.put(
                StorageEntry(key=STORAGE_PREFIX + name, value=role.to_stored())
            )
            return role

        role = await self._mount.write(change, drops=STORAGE_PREFIX + name)
        if role.role_type == "jwt" and not role.bound_audiences:
            # This is not a warning in the answer, as clients of the Go methods see a 204 here.
            self._mount.logger.info(
                "role has no bound_audiences: tokens that carry an aud claim will be refused",
                extra={"fields": {"event": "role_without_audiences", "role": name}},
            )
        warnings = warnings_of(role, max_lease_ttl_ns=max_lease_ttl_ns)
        return Response(warnings=warnings) if warnings else None

    async def delete(self, _request: Request, data: FieldData) -> None:
        """Delete the role; deleting one that does not exist is no error."""
        key = STORAGE_PREFIX + data["name"]
        await self._mount.write(lambda: self._mount.storage.delete(key), drops=key)
        self._mount.counters.forget_role(data["name"])
