"""The key set at one URL (`jwks_url`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S
from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys, fetch_key_set
from vault_jwt_plugin.jwt_auth.keys.kind import FetchedKind, error_checking
from vault_jwt_plugin.jwt_auth.keys.stored import Origin
from vault_jwt_plugin.sdk import UserError

if TYPE_CHECKING:
    from collections.abc import Awaitable


class JWKSURLKind(FetchedKind):
    """`jwks_url`, and what `jwks_pairs` has in common with it."""

    name = "jwks"
    parameter = "jwks_url"

    def origins(self) -> tuple[Origin, ...]:
        """See `KeySourceKind.origins`."""
        return (self._origin(self.config.jwks_url, self.config.jwks_ca_pem),)

    def _origin(self, url: str, ca_pem: str) -> Origin:
        return Origin(kind="jwks", url=url, trust=self.config.trust(ca_pem))

    def load(self, origin: Origin, deadline_s: float) -> Awaitable[FetchedKeys]:
        """See `FetchedKind.load`."""
        return fetch_key_set(self.fetcher, origin.url, trust=origin.trust, deadline_s=deadline_s)

    async def probe(self) -> None:
        """Check that there is a key set, as Go does by verifying a canned token with it.

        Raises:
            FetchError: it can't be fetched.
            UserError: `bad_ca_pem`: `jwks_ca_pem` can't be read, which `skip_jwks_validation`
                does not excuse in OpenBao either.
        """
        await self._probe(*self.origins())

    async def _probe(self, origin: Origin) -> None:
        try:
            await self.load(origin, DEADLINE_S)
        except FetchError as error:
            if error.code == "bad_ca_pem":
                failure = error_checking("jwks_ca_pem", error)
                raise UserError(failure.message, code=failure.code) from error
            raise error_checking("jwks URL", error) from error
