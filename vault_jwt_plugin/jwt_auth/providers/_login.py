"""A login with a provider: the order of `createIdentity` in `path_login.go`.

Who the bearer is and what is mapped is settled before the groups are fetched, as
in Go: what a provider adds can change neither the alias nor earlier metadata.
"""

from __future__ import annotations

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


class Enrichment:
    """What a provider adds to the claims of one login, in two steps.

    Args:
        provider: of the configuration.
        user_claim: the role's, as written.
        groups_claim: the role's; None when it has none, then no groups are fetched.
        access_token: `distributed_claim_access_token`; "" if none was sent.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        user_claim: str,
        groups_claim: ClaimPath | None,
        access_token: str,
    ) -> None:
        self._provider = provider
        self._user_claim = user_claim
        self._groups_claim = groups_claim
        self._access_token = access_token

    def _login(self, claims: VerifiedClaims) -> ProviderLogin:
        return ProviderLogin(
            claims=claims,
            user_claim=self._user_claim,
            groups_claim=self._groups_claim,
            access_token=self._access_token,
        )

    async def with_user_info(self, claims: VerifiedClaims) -> VerifiedClaims:
        """The claims, and what the provider knows of the bearer.

        Raises:
            LoginDenied: `provider_invalid`: it can't be used; or a code of the provider's.
        """
        provider = self._provider
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
        """The claims, with what the provider says in place of the groups claim.

        Raises:
            LoginDenied: the groups can't be had; codes of the provider's.
        """
        provider = self._provider
        path = self._groups_claim
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
    """A provider that a stored configuration names, and that can't be made.

    A write would have refused it; the builtin method, or an older one, may have stored it.

    Args:
        error: why.
    """

    name = "unusable"

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    async def check(self) -> None:
        """Fail.

        Raises:
            ProviderError: always.
        """
        raise self._error


def _denied(error: ProviderError) -> LoginDenied:
    return LoginDenied(
        "provider_invalid", f"failed to load custom provider config: {error.message}"
    )


def with_claim(claims: VerifiedClaims, path: ClaimPath, value: Any) -> VerifiedClaims:
    """The claims with one of them replaced (`setClaim` in `claims.go`); the argument stays.

    A pointer whose parent is missing changes nothing, so that the claim stays missing.

    Args:
        claims: of a token.
        path: which to set.
        value: decoded JSON; None is as good as missing.
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
