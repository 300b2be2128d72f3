from __future__ import annotations

import asyncio

import pytest

from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth import JWTBackend, factory
from vault_jwt_plugin.jwt_auth.config.config import CONFIG_FIELDS
from vault_jwt_plugin.jwt_auth.role.role import ROLE_FIELDS
from vault_jwt_plugin.sdk import Operation
from vault_jwt_plugin.sdk.testing import FakeRequest, make_context


def test_a_registration_probe_has_neither_storage_nor_system_view():
    class Nothing:
        def __getattr__(self, name):
            raise AssertionError(name)

    backend = factory(make_context(storage=Nothing(), system=Nothing()))
    assert isinstance(backend, JWTBackend)
    asyncio.run(backend.cleanup())


def test_special_paths():
    backend = factory(make_context())
    oidc = ("oidc/auth_url", "oidc/callback", "oidc/poll")
    assert backend.unauthenticated == ("login", *oidc, "cel/login")
    assert backend.seal_wrap_storage == ("config",)
    assert backend.root == ()
    assert backend.local_storage == ()


@pytest.mark.parametrize(
    ("path", "operations"),
    [
        ("login", {Operation.UPDATE, Operation.ALIAS_LOOKAHEAD, Operation.RESOLVE_ROLE}),
        ("config", {Operation.READ, Operation.UPDATE}),
        ("status", {Operation.READ}),
        ("oidc/auth_url", {Operation.UPDATE}),
        ("oidc/callback", {Operation.READ, Operation.UPDATE}),
        ("oidc/poll", {Operation.UPDATE}),
        ("role", {Operation.LIST}),
        ("role/", {Operation.LIST}),
        (
            "role/a.b-c",
            {Operation.CREATE, Operation.READ, Operation.UPDATE, Operation.DELETE},
        ),
    ],
)
def test_paths(path, operations):
    routed = factory(make_context()).route(path)
    assert routed is not None
    assert set(routed.operations) == operations


@pytest.mark.parametrize(
    ("path", "operation", "name"),
    [
        ("login", Operation.UPDATE, "jwt-login"),
        ("role/", Operation.LIST, "jwt-list-roles"),
        ("role/a", Operation.READ, "jwt-read-role"),
        ("role/a", Operation.UPDATE, "jwt-write-role"),
        ("role/a", Operation.CREATE, "jwt-write-role"),
        ("role/a", Operation.DELETE, "jwt-delete-role"),
        ("config", Operation.READ, "jwt-read-configuration"),
        ("config", Operation.UPDATE, "jwt-configure"),
        ("status", Operation.READ, "jwt-read-status"),
    ],
)
def test_operation_ids(path, operation, name):
    routed = factory(make_context()).route(path)
    assert routed is not None
    spec = routed.spec(operation)
    assert spec is not None
    assert spec.operation_id == name


def test_help_names_every_parameter():
    async def main():
        async with Mounted() as mounted:
            role = (await mounted.ask(Operation.HELP, "role/x")).data["help"]
            config = (await mounted.ask(Operation.HELP, "config")).data["help"]
            assert [each.name for each in ROLE_FIELDS if each.name not in role] == []
            assert [each.name for each in CONFIG_FIELDS if each.name not in config] == []
            root = (await mounted.ask(Operation.HELP, "")).data["help"]
            assert "JWTs (including OIDC)" in root

    asyncio.run(main())


def test_a_rollback_tick_asks_for_the_node_and_reports_denials(caplog):
    caplog.set_level("INFO")

    async def main():
        async with Mounted() as mounted:
            await mounted.configure()
            for _ in range(11):
                with pytest.raises(Exception, match="missing token"):
                    await mounted.login("")
            caplog.clear()
            mounted.now += 60
            mounted.system.state = 24576
            answer = mounted.backend.handle_request(FakeRequest(operation=Operation.ROLLBACK))
            assert await answer is None
            assert not mounted.backend._mount.writable
            assert [record.fields for record in caplog.records] == [
                {"event": "logins_denied", "reason": "token_missing", "count": 1}
            ]

    asyncio.run(main())


def test_cleanup_is_idempotent_and_closes_the_fetcher():
    async def main():
        async with Mounted() as mounted:
            await mounted.configure()
            await mounted.login()
            await mounted.backend.cleanup()
            await mounted.backend.cleanup()
            assert mounted.fetcher.closed

    asyncio.run(main())


def test_mounts_share_nothing():
    async def main():
        async with Mounted() as one, Mounted() as other:
            await one.configure()
            await one.login()
            with pytest.raises(Exception, match="could not load configuration"):
                await other.login()
            other.storage.entries = dict(one.storage.entries)
            del other.storage.entries["role/demo"]
            with pytest.raises(Exception, match='role "demo" could not be found'):
                await other.login()
            assert (await one.login()).auth.alias.name == CLAIMS["https://vault/user"]

    asyncio.run(main())


def test_no_parameter_but_the_name_is_declared_required():
    # As in Go: generated clients would refuse partial updates that the server takes.
    required = {
        declared.name
        for path in factory(make_context()).paths
        for declared in path.fields
        if declared.required
    }
    assert required == {"name"}
