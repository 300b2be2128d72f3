"""A mount of the method in memory: storage, system view, clocks and HTTP are fakes."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace

from tests.jwt_auth import tokens
from tests.jwt_auth.fakes import FakeFetcher
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.sdk import Operation
from vault_jwt_plugin.sdk.testing import FakeRequest, FakeSystemView, InMemoryStorage, make_context

CLAIMS = {
    "iss": "issuer",
    "sub": "r3qX9DljwFIWhsiqwFiu38209F10atW6@clients",
    "aud": "https://vault.plugin.auth.jwt.test",
    "iat": tokens.NOW,
    "exp": tokens.NOW + 600,
    "https://vault/user": "jeff",
    "https://vault/groups": ["foo", "bar"],
}

ROLE = {
    "role_type": "jwt",
    "bound_subject": CLAIMS["sub"],
    "bound_audiences": CLAIMS["aud"],
    "user_claim": "https://vault/user",
    "groups_claim": "https://vault/groups",
    "policies": "webapps",
    "ttl": "1h",
}


class Mounted:
    """One mount; `now` moves both clocks."""

    def __init__(self, entries=None):
        self.now = float(tokens.NOW)
        self.storage = InMemoryStorage(entries)
        self.system = FakeSystemView()
        self.fetcher = FakeFetcher()
        self.context = make_context(
            storage=self.storage, system=self.system, clock=lambda: self.now
        )
        self.backend = JWTBackend(self.context, fetcher=self.fetcher, monotonic=lambda: self.now)

    async def __aenter__(self):
        await self.backend.initialize()
        return self

    async def __aexit__(self, *_):
        await self.backend.cleanup()
        current = asyncio.current_task()
        assert {task for task in asyncio.all_tasks() if task is not current} == set()

    def start(self, operation, path, data, **request):
        """The answer, or an awaitable of it."""
        asked = FakeRequest(operation=operation, path=path, data=data)
        return self.backend.handle_request(replace(asked, **request))

    async def ask(self, operation, path, data=None, **request):
        answer = self.start(operation, path, data or {}, **request)
        return await answer if inspect.isawaitable(answer) else answer

    async def write(self, path, data):
        """As a host does: the existence check says whether it is a create."""
        asked = FakeRequest(path=path, data=data)
        exists = self.backend.handle_existence_check(asked)
        if inspect.isawaitable(exists):
            exists = await exists
        operation = Operation.CREATE if exists is False else Operation.UPDATE
        return await self.ask(operation, path, data)

    async def login(self, jwt=None, role="demo", **request):
        data = {"role": role, "jwt": jwt if jwt is not None else tokens.token(CLAIMS)}
        return await self.ask(Operation.UPDATE, "login", data, **request)

    async def keys_settle(self):
        """Wait for what the mount does about keys in the background.

        `KeySource.settle` ends with the first of it that says whether there are keys.
        """
        names = {"fetch keys", "load stored keys"}
        while tasks := [task for task in asyncio.all_tasks() if task.get_name() in names]:
            await asyncio.wait(tasks)

    async def configure(self, **data):
        """Static keys, unless other parameters are given, and the role `demo`."""
        keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
        await self.write("config", data or keys)
        await self.write("role/demo", ROLE)

    def reads(self):
        """Keys that were read from storage since last asked."""
        keys = [key for method, key in self.storage.calls if method == "get"]
        self.storage.calls.clear()
        return keys
