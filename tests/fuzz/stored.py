"""Stored values: what an older version, another method or a broken disk left."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.fuzz import mutation
from tests.fuzz.target import Target, check
from tests.fuzz.world import GRANT, LEAST, PEM, TOKEN, cel_world, json_of, mount, runs, words_of
from tests.jwt_auth import stored
from vault_jwt_plugin.jwt_auth.cel.role import CELRole
from vault_jwt_plugin.jwt_auth.config.config import Config, StoredConfigError
from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
from vault_jwt_plugin.jwt_auth.role.role import Role, StoredRoleError
from vault_jwt_plugin.sdk import (
    LogicalError,
    Operation,
    StorageEntry,
    UserError,
)


async def _read_stored(data: bytes) -> None:
    """First byte: config, role or CEL role; then the value."""
    kind, raw = (data[0] if data else 0) % 3, data[1:]
    if kind == 2:
        await _read_stored_cel(raw)
        return
    entries = {"config": raw} if kind == 0 else {"role/demo": raw}
    async with mount(entries) as mounted:
        try:
            value: Any = Config.from_stored(raw) if kind == 0 else Role.from_stored("demo", raw)
        except (StoredConfigError, StoredRoleError):
            pass
        else:
            again = _again(value)
            check(again == value, "what is stored again is something else")
            if isinstance(value, Role):
                with contextlib.suppress(UserError):
                    PreparedRole.of("demo", value)
        if kind == 1:
            await mounted.ask(Operation.UPDATE, "config", {"jwt_validation_pubkeys": PEM})
        for operation, path, body in (
            (Operation.READ, "config", {}),
            (Operation.READ, "role/demo", {}),
            (Operation.UPDATE, "login", {"role": "demo", "jwt": TOKEN}),
            (Operation.UPDATE, "role/demo", LEAST),
            (Operation.READ, "status", {}),
        ):
            try:
                await mounted.ask(operation, path, body)
            except LogicalError as error:
                check(len(error.message) < 2000, "an error as long as what is stored")


def _again(value: Config | Role) -> Config | Role:
    raw = value.to_stored()
    return Config.from_stored(raw) if isinstance(value, Config) else Role.from_stored("demo", raw)


async def _read_stored_cel(raw: bytes) -> None:
    try:
        role = CELRole.from_stored("demo", raw)
    except StoredRoleError:
        return
    check(CELRole.from_stored("demo", role.to_stored()) == role, "stored again is something else")
    mounted = await cel_world.get()
    await mounted.storage.put(StorageEntry(key="cel/role/demo", value=raw))
    mounted.backend.invalidate_key("cel/role/demo")
    for operation, path, body in (
        (Operation.READ, "cel/role/demo", {}),
        (Operation.UPDATE, "cel/login", {"role": "demo", "jwt": TOKEN}),
    ):
        try:
            await mounted.ask(operation, path, body)
        except LogicalError as error:
            check(len(error.message) < 4000, "an error as long as what is stored")


def _stored_values() -> dict[str, bytes]:
    configs = {"config-vault": stored.VAULT_CONFIG, "config-openbao": stored.OPENBAO_CONFIG}
    roles = {
        "role-vault": stored.VAULT_ROLE,
        "role-openbao": stored.OPENBAO_ROLE,
        "role-old": stored.OLD_ROLE,
    }
    cel = {
        "name": "demo",
        "cel_program": {"variables": None, "expression": GRANT},
        "message": "",
        "expiration_leeway": 0,
        "bound_audiences": None,
    }
    return (
        {name: b"\0" + raw for name, raw in configs.items()}
        | {name: b"\1" + raw for name, raw in roles.items()}
        | {"cel": json_of(2, cel)}
    )


TARGETS = (
    Target(
        name="stored_values",
        run=runs(_read_stored),
        examples=_stored_values,
        words=words_of(_stored_values()),
        mutate=mutation.documents,
    ),
)
