"""The keys of an issuer that its discovery document names (`oidc_discovery_url`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.keys.documents import (
    FetchedKeys,
    fetch_discovered_keys,
    fetch_discovery,
)
from vault_jwt_plugin.jwt_auth.keys.kind import FetchedKind, error_checking
from vault_jwt_plugin.jwt_auth.keys.stored import Origin
from vault_jwt_plugin.sdk import UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from vault_jwt_plugin.jwt_auth.config.config import Config

_WELL_KNOWN = ".well-known/openid-configuration"


class DiscoveryKind(FetchedKind):
    """`oidc_discovery_url`.

    Differs from Vault: JWTs log in where the OIDC flow is configured too, as in OpenBao.
    """

    name = "discovery"
    parameter = "oidc_discovery_url"

    @classmethod
    def status_name(cls, config: Config) -> str:
        """See `KeySourceKind.status_name`."""
        return "oidc_flow" if config.oidc_client_id and config.oidc_client_secret else cls.name

    def origins(self) -> tuple[Origin, ...]:
        """See `KeySourceKind.origins`."""
        trust = self.config.trust(self.config.oidc_discovery_ca_pem)
        return (Origin(kind="discovery", url=self.config.oidc_discovery_url, trust=trust),)

    def load(self, origin: Origin, deadline_s: float) -> Awaitable[FetchedKeys]:
        """See `FetchedKind.load`."""
        return fetch_discovered_keys(
            self.fetcher, origin.url, trust=origin.trust, deadline_s=deadline_s
        )

    async def probe(self) -> None:
        """Check that there is the issuer's document; as in Go, not that its keys are there.

        Raises:
            UserError: the URL is the document's and not the issuer.
            FetchError: the document can't be fetched.
        """
        if _WELL_KNOWN in self.config.oidc_discovery_url:
            raise UserError(
                f"'oidc_discovery_url' must not contain '{_WELL_KNOWN}': give the issuer as it "
                "names itself"
            )
        (origin,) = self.origins()
        try:
            await fetch_discovery(self.fetcher, origin.url, trust=origin.trust)
        except FetchError as error:
            raise error_checking("oidc discovery URL", error) from error
