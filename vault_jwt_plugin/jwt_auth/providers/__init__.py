"""Providers: what `provider_config` sets, and what acts on logins (`behaviour.md` 6).

Each has its own module. One is added by writing it and naming it in `_MAKERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.providers._base import (
    Checker,
    GroupsFetcher,
    Provider,
    ProviderError,
    ProviderLogin,
    Settings,
    UserInfoFetcher,
    with_claim,
)
from vault_jwt_plugin.jwt_auth.providers._login import Enrichment, unusable
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vault_jwt_plugin.jwt_auth.config import Config
    from vault_jwt_plugin.jwt_auth.fetch import APIFetcher

__all__ = [
    "PROVIDERS",
    "SECRET_SETTINGS",
    "Checker",
    "Enrichment",
    "GroupsFetcher",
    "Provider",
    "ProviderError",
    "ProviderLogin",
    "UserInfoFetcher",
    "build_provider",
    "check_provider",
    "readable_settings",
    "unusable",
    "with_claim",
]


# Imported when one is configured: most mounts have none.


def _azure(settings: Settings, config: Config, fetcher: APIFetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.azure import Azure

    return Azure(settings, config, fetcher)


def _gsuite(settings: Settings, config: Config, fetcher: APIFetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.gsuite import GSuite

    return GSuite(settings, config, fetcher)


def _ibmisam(_settings: Settings, _config: Config, _fetcher: APIFetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.ibmisam import IBMISAM

    return IBMISAM()


def _okta(settings: Settings, config: Config, fetcher: APIFetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.okta import Okta

    return Okta(settings, config, fetcher)


def _secureauth(_settings: Settings, _config: Config, _fetcher: APIFetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.secureauth import SecureAuth

    return SecureAuth()


_MAKERS: Mapping[str, Callable[[Settings, Config, APIFetcher], Provider]] = {
    "azure": _azure,
    "gsuite": _gsuite,
    "ibmisam": _ibmisam,
    "okta": _okta,
    "secureauth": _secureauth,
}

PROVIDERS = tuple(_MAKERS)
"""Names that `provider` may have."""

SECRET_SETTINGS = frozenset({"gsuite_service_account", "api_token"})
"""Members of `provider_config` that are never read back."""


def build_provider(config: Config, fetcher: APIFetcher) -> Provider | None:
    """The provider of a configuration; None when it names none. Touches nothing outside.

    Raises:
        ProviderError: there is no such provider, or a setting is not what it should be.
    """
    settings = config.provider_config
    if not settings:
        return None
    name = settings.get("provider")
    if not isinstance(name, str):
        raise ProviderError("'provider' field not found in provider_config")
    make = _MAKERS.get(name)
    if make is None:
        raise ProviderError(
            f"provider {quoted(name)} not found in custom providers; known are "
            f"{', '.join(PROVIDERS)}"
        )
    return make(Settings(name, settings), config, fetcher)


async def check_provider(provider: Provider) -> None:
    """See that what a provider needs is there.

    Raises:
        ProviderError: it is not.
    """
    if isinstance(provider, Checker):
        await provider.check()


def readable_settings(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """`provider_config` without its secrets.

    Differs from Vault, which shows a secret whose name is written in capitals.
    """
    return {
        name: value
        for name, value in (settings or {}).items()
        if name.lower() not in SECRET_SETTINGS
    }
