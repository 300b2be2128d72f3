"""A small backend that uses only the sdk's public names and `serve`, for tests on real hosts.

It has things with one field of each type, a login, renewal, raw answers, and every error.
Run it as `python -m tests.host.toy_backend`.
"""

from __future__ import annotations

import sys
from typing import Any

from vault_jwt_plugin.sdk import (
    NAME_PATTERN,
    TOKEN_FIELDS,
    Alias,
    Auth,
    Backend,
    BackendContext,
    CodedError,
    Connection,
    Field,
    FieldData,
    FieldType,
    InternalError,
    InvalidRequest,
    Operation,
    OperationSpec,
    Path,
    PermissionDenied,
    RawResponse,
    Request,
    Response,
    StorageEntry,
    TokenParams,
    UnsupportedOperation,
    UnsupportedPath,
    UserError,
    jsonutil,
    parse_token_fields,
    token_auth,
)
from vault_jwt_plugin.serving import serve

VERSION = "v1.2.3"
S = 1_000_000_000

NAME = Field(name="name", type=FieldType.LOWER_STRING, description="Name of the thing.")
THING_FIELDS = tuple(
    Field(name=f"a_{kind.value}", type=kind, description=f"A field of type {kind.value}.")
    for kind in FieldType
)
PAGE_FIELDS = (
    Field(name="after", type=FieldType.STRING, query=True),
    Field(name="limit", type=FieldType.INT, query=True),
)
ERRORS = {
    "user": UserError("you did it"),
    "invalid": InvalidRequest(),
    "denied": PermissionDenied("secret reason"),
    "operation": UnsupportedOperation(),
    "path": UnsupportedPath(),
    "coded": CodedError(418, "a teapot"),
    "internal": InternalError("we did it"),
    "sentinel": InternalError("permission denied"),
    "forward": UserError("node is not the leader"),
    "fault": ZeroDivisionError("do not show this"),
}


class ToyBackend(Backend):
    """Things, logins, errors."""

    def __init__(self, context: BackendContext) -> None:
        if "fail" in context.config:
            raise InternalError("told to fail")
        self.initialized = 0
        self.cleaned = 0
        self.ticks = 0
        self.invalidated: list[str] = []
        super().__init__(
            context,
            paths=[
                *self._thing_paths(),
                Path(
                    pattern="login",
                    fields=[
                        Field(name="user", type=FieldType.STRING, required=True),
                        Field(name="role", type=FieldType.LOWER_STRING),
                        *TOKEN_FIELDS,
                    ],
                    operations={
                        Operation.UPDATE: OperationSpec(
                            handler=self._login, operation_id="toy-login"
                        ),
                        Operation.ALIAS_LOOKAHEAD: self._login,
                        Operation.RESOLVE_ROLE: self._resolve_role,
                    },
                    help_synopsis="Logs anybody in.",
                ),
                Path(pattern="page", operations={Operation.READ: self._page}),
                Path(pattern="state", operations={Operation.READ: self._state}),
                Path(
                    pattern=f"error/{NAME_PATTERN}",
                    fields=[NAME],
                    operations={Operation.READ: self._error},
                ),
                Path(
                    pattern="active",
                    operations={
                        Operation.UPDATE: OperationSpec(handler=self._active, forward_standby=True)
                    },
                ),
            ],
            help_text="A toy that shows what a backend can do.",
            unauthenticated=["login", "page"],
            seal_wrap_storage=["thing/"],
        )

    def _thing_paths(self) -> tuple[Path, ...]:
        return (
            Path(
                pattern=f"thing/{NAME_PATTERN}",
                fields=[NAME, *THING_FIELDS],
                operations={
                    Operation.CREATE: self._write,
                    Operation.UPDATE: self._write,
                    Operation.READ: self._read,
                    Operation.DELETE: self._delete,
                },
                existence_check=self._exists,
                help_synopsis="One thing.",
                help_description="Has a field of each type.",
            ),
            Path(
                pattern="thing/?",
                fields=PAGE_FIELDS,
                operations={Operation.LIST: self._list},
                help_synopsis="The things.",
            ),
        )

    async def _exists(self, _request: Request, data: FieldData) -> bool:
        return await self.context.storage.get(f"thing/{data['name']}") is not None

    async def _write(self, request: Request, data: FieldData) -> Response | None:
        key = f"thing/{data['name']}"
        entry = await self.context.storage.get(key)
        if (entry is None) != (request.operation is Operation.CREATE):
            raise InternalError("the existence check did not do its work")
        stored: dict[str, Any] = {} if entry is None else jsonutil.loads(entry.value)
        for field in THING_FIELDS:
            if field.name in data:
                stored[field.name] = field.stored(data[field.name])
        value = jsonutil.dumps(stored).encode()
        await self.context.storage.put(StorageEntry(key=key, value=value, seal_wrap=True))
        return Response(warnings=("a warning",)) if data["a_bool"] else None

    async def _read(self, _request: Request, data: FieldData) -> Response | None:
        entry = await self.context.storage.get(f"thing/{data['name']}")
        if entry is None:
            return None
        stored = jsonutil.loads(entry.value)
        return Response(
            data={
                field.name: field.read(field.from_stored(stored[field.name]))
                for field in THING_FIELDS
                if field.name in stored
            }
        )

    async def _delete(self, _request: Request, data: FieldData) -> None:
        await self.context.storage.delete(f"thing/{data['name']}")

    async def _list(self, _request: Request, data: FieldData) -> Response:
        names = await self.context.storage.list_page(
            "thing/", after=data["after"], limit=data["limit"]
        )
        return Response(data={"keys": names})

    def _login(self, request: Request, data: FieldData) -> Response:
        user = data["user"]
        if not user:
            raise UserError("missing user")
        if user == "mallory":
            raise PermissionDenied("mallory")
        auth = token_auth(parse_token_fields(TokenParams(), data))
        connection = request.connection or Connection(remote_addr="")
        return Response(
            auth=Auth(
                policies=auth.policies,
                renewable=True,
                ttl_ns=auth.ttl_ns or 600 * S,
                max_ttl_ns=auth.max_ttl_ns,
                period_ns=auth.period_ns,
                num_uses=auth.num_uses,
                token_type=auth.token_type,
                bound_cidrs=auth.bound_cidrs,
                display_name=user,
                metadata={"addr": connection.remote_addr, "role": data["role"]},
                internal_data={"user": user, "big": 9007199254740993},
                alias=Alias(name=user, metadata={"from": "toy"}),
                group_aliases=(Alias(name="toys"),),
            )
        )

    def _resolve_role(self, _request: Request, data: FieldData) -> Response:
        return Response(data={"role": data["role"]})

    def _page(self, _request: Request, _data: FieldData) -> Response:
        raw = RawResponse(status=200, content_type="text/html", body=b"PGI+aGk8L2I+")
        return Response(raw=raw)

    async def _state(self, request: Request, _data: FieldData) -> Response:
        system = self.context.system
        return Response(
            data={
                "uuid": self.context.backend_uuid,
                "config": dict(self.context.config),
                "mount_point": request.mount_point,
                "headers": {name: list(values) for name, values in request.headers.items()},
                "entity_id": request.entity_id,
                "default_ttl": await system.default_lease_ttl_ns() // S,
                "max_ttl": await system.max_lease_ttl_ns() // S,
                "replication": int(await system.replication_state()),
                "local": await system.local_mount(),
                "version": await system.vault_version(),
                "initialized": self.initialized,
                "ticks": self.ticks,
            }
        )

    def _error(self, _request: Request, data: FieldData) -> Response:
        raise ERRORS[data["name"]]

    def _active(self, _request: Request, _data: FieldData) -> Response:
        return Response(data={"done": True})

    def renew(self, request: Request) -> Response:
        auth = request.auth
        if auth is None or auth.internal_data.get("user") is None:
            raise InternalError("no user in the token")
        return Response(auth=auth)

    async def initialize(self) -> None:
        self.initialized += 1

    async def cleanup(self) -> None:
        self.cleaned += 1

    async def periodic(self) -> None:
        self.ticks += 1

    def invalidate_key(self, key: str) -> None:
        self.invalidated.append(key)


if __name__ == "__main__":
    sys.exit(
        serve(
            ToyBackend,
            version=VERSION,
            name="toy",
            plugin_name="toy",
            summary="a toy auth method for tests",
        )
    )
