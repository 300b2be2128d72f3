"""Walks the table of checks of native roles without a mount."""

from __future__ import annotations

import asyncio

from tests.jwt_auth.fakes import FakeFetcher
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.config.provider import ConfiguredProvider
from vault_jwt_plugin.jwt_auth.keys.static import StaticKeys
from vault_jwt_plugin.jwt_auth.login.check import Login, LoginContext, walk
from vault_jwt_plugin.jwt_auth.login.native import CHECKS, GRANT, grant
from vault_jwt_plugin.jwt_auth.login.waiting import WaitingRoom
from vault_jwt_plugin.sdk.testing import FakeRequest


def begin(role, config, keys, now, connection, data):
    context = LoginContext(
        key_source=lambda _config: StaticKeys(keys),
        waiting_room=WaitingRoom(),
        clock=lambda: now,
        providers=ConfiguredProvider(FakeFetcher()),
    )
    return Login(context, config, role, FakeRequest(connection=connection), data)


def authenticate(compact, role, config, keys, now, connection):
    """Return what a login grants.

    Args:
        role: prepared for logins.
        keys: candidates for the signature.
    """
    login = begin(role, config, keys, now, connection, {"jwt": compact})
    while (pending := walk(login, CHECKS)) is not None:
        asyncio.run(_until(pending))
    return grant(login)


async def _until(pending):
    await pending


def grant_claims(claims, role, connection):
    """Return what a login with verified claims of another source grants."""
    login = begin(role, Config(), (), 0, connection, {})
    login.claims = claims
    assert walk(login, GRANT) is None
    return grant(login)
