"""A mount in memory that has CEL."""

from __future__ import annotations

import asyncio

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.cel.program import CELEngine
from vault_jwt_plugin.jwt_auth.cel.role import Program, Variable
from vault_jwt_plugin.sdk import Operation, UserError

AUDIENCE = CLAIMS["aud"]
GRANT = "pb.Auth{display_name: claims.sub, alias: logical.Alias{name: claims.sub}}"


def program(expression, **variables):
    """A program; variables in order."""
    named = [Variable(name=name, expression=source) for name, source in variables.items()]
    return Program(expression=expression, variables=tuple(named))


def make_engine():
    return CELEngine(AuthMessages())


class CELMounted(Mounted):
    """Static keys and one CEL role, `demo`, once `configure` was called."""

    def __init__(self, entries=None, *, with_messages=True):
        super().__init__(entries)
        self.backend = JWTBackend(
            self.context,
            fetcher=self.fetcher,
            monotonic=lambda: self.now,
            messages=AuthMessages() if with_messages else None,
        )

    async def configure(self, expression=GRANT, **data):
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await self.write("config", keys)
        return await self.put(expression, bound_audiences=AUDIENCE, **data)

    async def put(self, expression=GRANT, name="demo", variables=(), **data):
        listed = [{"name": each, "expression": source} for each, source in variables]
        sent = {"cel_program": {"expression": expression, "variables": listed}, **data}
        return await self.ask(Operation.UPDATE, f"cel/role/{name}", sent)

    async def cel_login(self, claims=None, role="demo", jwt=None, **request):
        token = tokens.token(CLAIMS | (claims or {})) if jwt is None else jwt
        data = {"jwt": token} | ({} if role is None else {"role": role})
        operation = request.pop("operation", Operation.UPDATE)
        return await self.ask(operation, "cel/login", data, **request)

    async def refused(self, pending):
        with pytest.raises(UserError) as caught:
            await pending
        return caught.value.code, caught.value.message


def run(scenario, entries=None, **options):
    async def main():
        async with CELMounted(entries, **options) as mounted:
            await scenario(mounted)

    asyncio.run(main())
