"""A login with a provider: the order of `createIdentity` in `path_login.go`.

Alias and metadata are made before the groups are fetched, as in Go: what a provider adds then
changes neither.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.jwt_auth.providers._base import (
    Checker,
    GroupsFetcher,
    Provider,
    ProviderError,
    ProviderLogin,
    UserInfoFetcher,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath


@dataclass(frozen=True, slots=True)
class Enrichment:
    """Adds a provider's claims to those of one login, in two steps; see `ProviderLogin`."""

    provider: Provider
    _: KW_ONLY
    user_claim: str
    groups_claim: ClaimPath | None
    access_token: str = field(repr=False)

    def _login(self, claims: VerifiedClaims) -> ProviderLogin:
        return ProviderLogin(
            claims=claims,
            user_claim=self.user_claim,
            groups_claim=self.groups_claim,
            access_token=self.access_token,
        )

    async def with_user_info(self, claims: VerifiedClaims) -> VerifiedClaims:
        """Return the claims with those that the provider adds about the bearer.

        Raises:
            LoginDenied: `provider_invalid`, or a code of the provider's.
        """
        provider = self.provider
        try:
            if isinstance(provider, Checker):
                await provider.check()
            if isinstance(provider, UserInfoFetcher):
                added = await provider.fetch_user_info(self._login(claims))
                return VerifiedClaims({**claims, **added}) if added else claims
        except ProviderError as error:
            raise _denied(error) from error
        return claims

    async def with_groups(self, claims: VerifiedClaims) -> VerifiedClaims:
        """Return the claims with the provider's groups in place of the groups claim.

        Raises:
            LoginDenied: `provider_invalid`, or a code of the provider's.
        """
        provider = self.provider
        path = self.groups_claim
        if path is None or not isinstance(provider, GroupsFetcher):
            return claims
        try:
            groups = await provider.fetch_groups(self._login(claims))
        except ProviderError as error:
            raise _denied(error) from error
        except LoginDenied as denied:
            denied.message = f"failed to fetch groups: {denied.message}"
            raise
        return with_claim(claims, path, groups)


class Unusable:
    """A provider that a stored configuration names, and that can't be made because of `error`.

    A write would have refused it; the builtin method or an older version may have stored it.
    """

    name = "unusable"

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    async def check(self) -> None:
        """Raise the `ProviderError`."""
        raise self._error


def _denied(error: ProviderError) -> LoginDenied:
    return LoginDenied(
        "provider_invalid", f"failed to load custom provider config: {error.message}"
    )


def with_claim(claims: VerifiedClaims, path: ClaimPath, value: Any) -> VerifiedClaims:
    """Return a copy of the claims with one of them replaced (`setClaim` in `claims.go`).

    A pointer into a parent that is missing changes nothing, so that the claim stays missing.
    """
    if path.steps is None:
        return VerifiedClaims({**claims, path.name: value})
    return VerifiedClaims(_replaced(claims, path.steps, value))


def _replaced(parent: Any, steps: tuple[str, ...], value: Any) -> Any:
    step, *rest = steps
    if isinstance(parent, dict):
        if not rest:
            return {**parent, step: value}
        if step in parent:
            return {**parent, step: _replaced(parent[step], tuple(rest), value)}
    elif isinstance(parent, list) and step in map(str, range(len(parent))):
        index = int(step)
        changed = _replaced(parent[index], tuple(rest), value) if rest else value
        return [*parent[:index], changed, *parent[index + 1 :]]
    return parent
