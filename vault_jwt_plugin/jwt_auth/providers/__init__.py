"""Providers: what `provider_config` sets, and what acts on logins.

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
)
from vault_jwt_plugin.jwt_auth.providers._login import Enrichment, Unusable
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher

__all__ = [
    "PROVIDERS",
    "Checker",
    "ConfiguredProvider",
    "Enrichment",
    "GroupsFetcher",
    "Provider",
    "ProviderError",
    "ProviderLogin",
    "UserInfoFetcher",
    "build_provider",
    "check_provider",
    "readable_settings",
]


# Imported when one is configured: most mounts have none.


def _azure(settings: Settings, config: Config, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.azure import Azure

    return Azure(settings, config, fetcher)


def _gsuite(settings: Settings, config: Config, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.gsuite import GSuite

    return GSuite(settings, config, fetcher)


def _ibmisam(_settings: Settings, _config: Config, _fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.ibmisam import IBMISAM

    return IBMISAM()


def _kubernetes(_settings: Settings, _config: Config, _fetcher: Fetcher) -> None:
    """A source of keys (`kubernetes.py`), which adds nothing to logins."""


def _okta(settings: Settings, config: Config, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.okta import Okta

    return Okta(settings, config, fetcher)


def _secureauth(_settings: Settings, _config: Config, _fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.secureauth import SecureAuth

    return SecureAuth()


_MAKERS: Mapping[str, Callable[[Settings, Config, Fetcher], Provider | None]] = {
    "azure": _azure,
    "gsuite": _gsuite,
    "ibmisam": _ibmisam,
    "kubernetes": _kubernetes,
    "okta": _okta,
    "secureauth": _secureauth,
}

PROVIDERS = tuple(_MAKERS)
"""Names that `provider` may have."""

# Members of `provider_config` that are never read back.
_SECRET_SETTINGS = frozenset({"gsuite_service_account", "api_token"})


def build_provider(config: Config, fetcher: Fetcher) -> Provider | None:
    """The provider of a configuration; None when none acts on logins. Touches nothing outside.

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


async def check_provider(config: Config, fetcher: Fetcher) -> None:
    """See that a configuration's provider can be made, and that what it needs is there.

    Raises:
        ProviderError: it can't, or is not.
    """
    provider = build_provider(config, fetcher)
    if provider is not None and isinstance(provider, Checker):
        await provider.check()


class ConfiguredProvider:
    """The provider of the mount's configuration, made once for each.

    Args:
        fetcher: for the providers' requests.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._known: tuple[Config, Provider | None] | None = None

    def of(self, config: Config) -> Provider | None:
        """The provider; None when none acts on logins.

        One that can't be made is one whose check fails: whoever logs in is told so where
        the Go methods say it, after the user claim.
        """
        known = self._known
        if known is not None and known[0] is config:
            return known[1]
        provider: Provider | None
        try:
            provider = build_provider(config, self._fetcher)
        except ProviderError as error:
            provider = Unusable(error)
        self._known = (config, provider)
        return provider


def readable_settings(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """`provider_config` without its secrets.

    Differs from Vault, which shows a secret whose name is written in capitals.
    """
    return {
        name: value
        for name, value in (settings or {}).items()
        if name.lower() not in _SECRET_SETTINGS
    }
