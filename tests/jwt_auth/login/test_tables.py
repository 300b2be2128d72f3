"""The tables of checks: complete, in one order, and the same rows for every kind of role."""

from __future__ import annotations

import ast
import asyncio
from itertools import chain
from pathlib import Path

import pytest

import vault_jwt_plugin.jwt_auth as package
from tests.jwt_auth import tokens
from tests.jwt_auth.cel.mounted import CELMounted
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth.cel.path_login import PROGRAM_CODES
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.login import native, pipeline
from vault_jwt_plugin.jwt_auth.role.role import Role

ROOT = Path(package.__file__).parent
# Not of checks: of the flow, which looks for config and role first, and waits.
FLOW_CODES = {
    "config_missing",
    "role_missing",
    "role_unknown",
    "changed_meanwhile",
    "login_timeout",
    "cel_program_unusable",
}
CHECKED = ("claims", "jose", "keys", "login", "cel", "providers")


def raised_codes(folder):
    """The codes of the denials that a folder's modules raise, as they are written."""
    for path in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "LoginDenied"
                and isinstance(node.args[0], ast.Constant)
            ):
                yield node.args[0].value


def test_every_code_of_a_denial_is_in_a_table():
    listed = set(chain.from_iterable(check.codes for check in native.CHECKS))
    raised = set(chain.from_iterable(map(raised_codes, CHECKED)))
    assert raised - listed - FLOW_CODES - set(PROGRAM_CODES) == set()


def test_the_tables_hold_the_shared_checks_in_their_order():
    async def scenario():
        async with CELMounted() as mount:
            return mount.backend._cel._login._flow._kind.checks

    for checks in (native.CHECKS, asyncio.run(scenario())):
        start = checks.index(pipeline.VERIFY[0])
        assert checks[start : start + len(pipeline.VERIFY)] == pipeline.VERIFY
        assert pipeline.TOKEN_PRESENT in checks[:start]
        names = [check.name for check in checks]
        assert len(set(names)) == len(names)


def test_the_parameters_that_checks_name_exist():
    known = set(Role.__dataclass_fields__) | set(Config.__dataclass_fields__)
    for check in native.CHECKS:
        assert set(check.parameters) <= known, check.name


@pytest.mark.parametrize("change", [False, True], ids=["unchanged", "changed meanwhile"])
def test_a_login_does_not_wait_for_ever(monkeypatch, change):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.login.flow.DEADLINE_S", 0.01)
    url = "https://issuer/keys"

    async def scenario():
        async with Mounted() as mount:
            key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
            mount.fetcher.documents[url] = {"keys": [key]}
            await mount.configure(jwks_url=url)
            await mount.keys_settle()
            mount.fetcher.gate = asyncio.Event()
            jwt = tokens.token(CLAIMS, header={"kid": "b"})
            login = asyncio.ensure_future(mount.login(jwt))
            await mount.fetcher.asking.wait()
            if change:
                await mount.write("role/demo", {"role_type": "jwt", "policies": "x"})
            with pytest.raises(LoginDenied) as caught:
                await login
            assert caught.value.code == "login_timeout"
            assert caught.value.message.startswith("the login took longer than")
            mount.fetcher.gate.set()
            await mount.keys_settle()

    asyncio.run(scenario())


def test_a_login_does_not_wait_for_storage_for_ever(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.jwt_auth.login.flow.DEADLINE_S", 0.01)

    async def scenario():
        async with Mounted() as mount:
            await mount.configure()
            mount.backend.invalidate_key("config")
            monkeypatch.setattr(mount.storage, "get", lambda _key: asyncio.Event().wait())
            with pytest.raises(LoginDenied) as caught:
                await asyncio.wait_for(mount.login(), 5)
            assert caught.value.code == "login_timeout"

    asyncio.run(scenario())


def test_a_fault_is_not_taken_for_the_deadline(monkeypatch):
    async def get(_key):
        raise TimeoutError("of another origin")

    async def scenario():
        async with Mounted() as mount:
            url = "https://issuer/keys"
            key = tokens.public_jwk(tokens.key_for("RS256"), kid="a")
            mount.fetcher.documents[url] = {"keys": [key]}
            await mount.configure(jwks_url=url)
            await mount.keys_settle()
            mount.fetcher.gate = asyncio.Event()
            login = asyncio.ensure_future(mount.login(tokens.token(CLAIMS, header={"kid": "b"})))
            await mount.fetcher.asking.wait()
            mount.backend.invalidate_key("role/demo")
            monkeypatch.setattr(mount.storage, "get", get)
            mount.fetcher.gate.set()
            with pytest.raises(TimeoutError, match="of another origin"):
                await login
            await mount.keys_settle()

    asyncio.run(scenario())
