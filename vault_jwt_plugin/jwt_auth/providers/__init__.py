"""Providers, which `provider_config` selects and which act on logins.

Each has its own module. To add one, write it and name it in `_MAKERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.providers._base import (
    Checker,
    ForeignTokenURIError,
    GroupsFetcher,
    Provider,
    ProviderError,
    ProviderLogin,
    UserInfoFetcher,
)
from vault_jwt_plugin.jwt_auth.providers._login import Enrichment, Unusable
from vault_jwt_plugin.jwt_auth.providers._settings import Settings
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

__all__ = [
    "PROVIDERS",
    "Checker",
    "Enrichment",
    "ForeignTokenURIError",
    "GroupsFetcher",
    "Provider",
    "ProviderError",
    "ProviderLogin",
    "Unusable",
    "UserInfoFetcher",
    "make_provider",
    "readable_settings",
]


# A provider is imported when one is configured, since most mounts have none.


def _azure(settings: Settings, trust: Trust, _url: str, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.azure import Azure

    return Azure(settings, trust, fetcher)


def _gsuite(settings: Settings, trust: Trust, _url: str, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.gsuite import GSuite

    return GSuite(settings, trust, fetcher)


def _ibmisam(*_: object) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.ibmisam import IBMISAM

    return IBMISAM()


def _kubernetes(*_: object) -> None:
    """Return None: it is a source of keys (`keys.kubernetes`) and adds nothing to logins."""


def _okta(settings: Settings, trust: Trust, url: str, fetcher: Fetcher) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.okta import Okta

    return Okta(settings, trust, url, fetcher)


def _secureauth(*_: object) -> Provider:
    from vault_jwt_plugin.jwt_auth.providers.secureauth import SecureAuth

    return SecureAuth()


_MAKERS: Mapping[str, Callable[[Settings, Trust, str, Fetcher], Provider | None]] = {
    "azure": _azure,
    "gsuite": _gsuite,
    "ibmisam": _ibmisam,
    "kubernetes": _kubernetes,
    "okta": _okta,
    "secureauth": _secureauth,
}

PROVIDERS = tuple(_MAKERS)
"""The values of `provider`."""

# Members of `provider_config` that are never read back.
_SECRET_SETTINGS = frozenset({"gsuite_service_account", "api_token"})


def make_provider(
    settings: Mapping[str, Any] | None, trust: Trust, discovery_url: str, fetcher: Fetcher
) -> Provider | None:
    """Make the provider of a `provider_config`; None when none acts on logins.

    This reads no file and makes no request.

    Args:
        settings: the parameter `provider_config`.
        trust: what the certificates of the servers that it calls must be.
        discovery_url: the configuration's.
        fetcher: makes its requests.

    Raises:
        ProviderError: there is no such provider, or a setting is wrong.
    """
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
    return make(Settings(name, settings), trust, discovery_url, fetcher)


def readable_settings(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `provider_config` without its secrets.

    Differs from Vault, which shows a secret whose name is written in capitals.
    """
    return {
        name: value
        for name, value in (settings or {}).items()
        if name.lower() not in _SECRET_SETTINGS
    }
