"""Providers in tests: made as a configuration makes them, asked as a login asks them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.jwt_auth.fakes import FakeAPI
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.config.provider import build_provider
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.jwt_auth.providers import ProviderError, ProviderLogin
from vault_jwt_plugin.jwt_auth.providers._settings import Settings


class NoFetcher(FakeAPI):
    """For providers that may not call anything."""

    def open(self, *, trust):
        raise AssertionError(f"nothing should be called, trusting {trust}")


def login(claims, *, user_claim="sub", groups_claim="groups", access_token=""):
    return ProviderLogin(
        claims=VerifiedClaims(claims),
        user_claim=user_claim,
        groups_claim=None if groups_claim is None else ClaimPath.of(groups_claim),
        access_token=access_token,
    )


def build(settings, **config):
    return build_provider(Config(provider_config=settings, **config), NoFetcher())


def build_error(settings, **config) -> str:
    with pytest.raises(ProviderError) as caught:
        build(settings, **config)
    assert caught.value.code == "provider_invalid"
    return caught.value.message


def asking(make: Any, scenario: Any) -> Any:
    """Run a scenario with a provider on a real fetcher; `make` is given the fetcher."""

    async def main():
        fetcher = HTTPFetcher()
        try:
            return await scenario(make(fetcher))
        finally:
            fetcher.close()

    return asyncio.run(main())


def groups_of(make: Any, wanted: ProviderLogin) -> Any:
    return asking(make, lambda provider: provider.fetch_groups(wanted))


def denial(make: Any, wanted: ProviderLogin, *, info: bool = False) -> tuple[str, str]:
    async def scenario(provider):
        with pytest.raises(LoginDenied) as caught:
            await (provider.fetch_user_info if info else provider.fetch_groups)(wanted)
        return caught.value.code, caught.value.message

    code, message = asking(make, scenario)
    assert "hush" not in message
    return code, message


def settings_of(provider: str, **members: Any) -> Settings:
    return Settings(provider, members)


def outcome_of(provider: Any, wanted: ProviderLogin) -> Any:
    """The groups, or the code of the denial."""
    try:
        return asyncio.run(provider.fetch_groups(wanted))
    except LoginDenied as denied:
        return denied.code
