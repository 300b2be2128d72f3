"""The provider that a configuration names (`provider_config`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.providers import (
    Checker,
    Provider,
    ProviderError,
    Unusable,
    make_provider,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher


def build_provider(config: Config, fetcher: Fetcher) -> Provider | None:
    """Make the provider of a configuration; None when none acts on logins.

    Raises:
        ProviderError: as `make_provider`.
    """
    # The issuer's CA vouches for its APIs, too.
    trust = config.trust(config.oidc_discovery_ca_pem)
    return make_provider(config.provider_config, trust, config.oidc_discovery_url, fetcher)


async def check_provider(config: Config, fetcher: Fetcher) -> None:
    """Check that a configuration's provider can be made, and that what it needs is there.

    Raises:
        ProviderError: it can't be made, or something is missing.
    """
    provider = build_provider(config, fetcher)
    if provider is not None and isinstance(provider, Checker):
        await provider.check()


class ConfiguredProvider:
    """Makes the provider of the mount's configuration, once for each configuration."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._known: tuple[Config, Provider | None] | None = None

    def of(self, config: Config) -> Provider | None:
        """Return the provider; None when none acts on logins.

        For one that can't be made, return one whose check fails: as in the Go methods, a login is
        then denied after the check of the user claim.
        """
        if self._known is not None and self._known[0] is config:
            return self._known[1]
        provider: Provider | None
        try:
            provider = build_provider(config, self._fetcher)
        except ProviderError as error:
            provider = Unusable(error)
        self._known = (config, provider)
        return provider
