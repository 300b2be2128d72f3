"""The OIDC paths while there is no OIDC flow: refusals that the web UIs understand."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.jwt_auth.paths.oidc import NOT_CONFIGURED, NOT_SUPPORTED
from vault_jwt_plugin.sdk import InternalError, Operation, UnsupportedOperation, UserError

ISSUER = "https://issuer.example"
REQUEST = {"role": "demo", "redirect_uri": "http://localhost:8250/oidc/callback"}
FINISH = {"state": "st_1", "code": "c", "client_nonce": "n"}

EVERY_STEP = pytest.mark.parametrize(
    ("operation", "path", "data"),
    [
        (Operation.UPDATE, "oidc/auth_url", REQUEST),
        (Operation.UPDATE, "oidc/auth_url", {}),
        (Operation.READ, "oidc/callback", FINISH),
        (Operation.READ, "oidc/callback", {"error": "access_denied", "confirmation": "1"}),
        (Operation.UPDATE, "oidc/callback", FINISH | {"id_token": "eyJ"}),
        (Operation.UPDATE, "oidc/poll", {"state": "st_1", "client_nonce": "n"}),
    ],
)


def run(scenario):
    async def main():
        async with Mounted() as mounted:
            return await scenario(mounted)

    return asyncio.run(main())


async def serve_issuer(mounted, **more):
    mounted.fetcher.documents |= {
        f"{ISSUER}/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
        },
        f"{ISSUER}/keys": {"keys": [tokens.public_jwk(tokens.key_for("RS256"), kid="a")]},
    }
    await mounted.configure(oidc_discovery_url=ISSUER, **more)


async def refusal(mounted, operation, path, data):
    with pytest.raises(UserError) as caught:
        await mounted.ask(operation, path, data, unauthenticated=True)
    return caught.value.code, caught.value.message


@EVERY_STEP
@pytest.mark.parametrize("source", ["static", "jwks_url", "discovery"])
def test_without_a_client_each_says_so(source, operation, path, data):
    async def scenario(mounted):
        if source == "static":
            await mounted.configure()
        else:
            await serve_issuer(mounted)
        if source == "jwks_url":
            await mounted.configure(jwks_url=f"{ISSUER}/keys")
        assert await refusal(mounted, operation, path, data) == (
            "oidc_not_configured",
            "OIDC login is not configured for this mount",
        )

    run(scenario)


@EVERY_STEP
def test_without_a_configuration_each_says_so(operation, path, data):
    async def scenario(mounted):
        assert await refusal(mounted, operation, path, data) == (
            "config_missing",
            "could not load configuration",
        )

    run(scenario)


@EVERY_STEP
def test_with_a_client_no_step_gives_a_token(operation, path, data):
    async def scenario(mounted):
        await serve_issuer(mounted, oidc_client_id="me", oidc_client_secret="s3cret")
        if path != "oidc/auth_url":
            code, message = await refusal(mounted, operation, path, data)
            assert (code, message) == ("oidc_unsupported", NOT_SUPPORTED)
            return
        answer = await mounted.ask(operation, path, data, unauthenticated=True)
        assert (answer.auth, answer.data, answer.warnings) == (None, None, ())
        assert answer.raw.status == 400
        assert answer.raw.content_type == "application/json"
        # The web UIs look at the first, people read both.
        assert json.loads(answer.raw.body) == {"errors": [NOT_CONFIGURED, NOT_SUPPORTED]}

    run(scenario)


@EVERY_STEP
def test_storage_that_fails_is_no_answer_about_oidc(operation, path, data):
    async def scenario(mounted):
        mounted.storage.get = fail
        with pytest.raises(InternalError):
            await mounted.ask(operation, path, data)

    async def fail(_key):
        raise InternalError("boom")

    run(scenario)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (Operation.READ, "oidc/auth_url"),
        (Operation.READ, "oidc/poll"),
        (Operation.DELETE, "oidc/callback"),
        (Operation.LIST, "oidc/callback"),
        (Operation.ALIAS_LOOKAHEAD, "oidc/callback"),
    ],
)
def test_other_operations_are_not_there(operation, path):
    async def scenario(mounted):
        await mounted.configure()
        with pytest.raises(UnsupportedOperation):
            await mounted.ask(operation, path)

    run(scenario)


def test_they_are_open():
    async def scenario(mounted):
        assert mounted.backend.unauthenticated[1:4] == (
            "oidc/auth_url",
            "oidc/callback",
            "oidc/poll",
        )

    run(scenario)
