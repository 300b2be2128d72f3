"""Azure (Entra ID): groups that the token only refers to, asked from Microsoft Graph.

Mirrors `provider_azure.go` of both Go methods. A user in more than 200 groups gets a token with a
distributed claim (OIDC Core 5.6.2) instead of the groups.

Differs from Vault: the endpoint that a token names is called only if it is one of Microsoft
Graph's. Otherwise the author of a token's claims could have the access token sent anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.providers._calls import (
    Calls,
    is_header_text,
    part_of_answer,
    text_list,
)
from vault_jwt_plugin.sdk import quoted
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin
    from vault_jwt_plugin.jwt_auth.providers._settings import Settings

_API = "the Microsoft Graph API"
_BODY = b'{"securityEnabledOnly": false}'


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEndpoints:
    """The URLs of Microsoft Graph.

    Attributes:
        me: the URL that `fetch_groups` calls, in every cloud, as in Go.
        origins: the clouds' Graph APIs; no other is called.
        legacy: origins of the retired Azure AD Graph API that tokens still name, with their
            replacements.
    """

    me: str = "https://graph.microsoft.com/v1.0/me/getMemberObjects"
    origins: frozenset[str] = frozenset(
        {
            "https://graph.microsoft.com",
            "https://graph.microsoft.us",
            "https://dod-graph.microsoft.us",
            "https://microsoftgraph.chinacloudapi.cn",
        }
    )
    legacy: Mapping[str, str] = field(
        default_factory=lambda: {
            "https://graph.windows.net": "https://graph.microsoft.com",
            "https://graph.microsoftazure.us": "https://graph.microsoft.us",
        }
    )


class Azure:
    """The provider.

    Args:
        settings: `fetch_groups`: always ask, whatever the token holds.
        trust: what the certificates of Graph's servers must be.
        fetcher: makes the requests.
        endpoints: Graph's.

    Raises:
        ProviderError: a setting is wrong.
    """

    name = "azure"

    def __init__(
        self,
        settings: Settings,
        trust: Trust,
        fetcher: Fetcher,
        *,
        endpoints: GraphEndpoints | None = None,
    ) -> None:
        self._always = settings.flag("fetch_groups")
        self._trust = trust
        self._fetcher = fetcher
        self._endpoints = endpoints or GraphEndpoints()

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """Return the claim if it is present, else the groups that Graph names.

        Raises:
            LoginDenied: `provider_claim_source`, `provider_endpoint`, `provider_access_token`,
                or one of a call.
        """
        if self._always:
            return await self._ask(self._endpoints.me, login.access_token)
        groups = login.groups()
        if groups is not None or login.groups_claim is None:
            return groups
        endpoint = self._pinned(_claim_source(login.claims, login.groups_claim))
        return await self._ask(endpoint, login.access_token)

    def _pinned(self, endpoint: str) -> str:
        try:
            parts = urlsplit(endpoint)
            port = parts.port
        except ValueError:
            raise _refused() from None
        host = parts.hostname or ""
        origin = f"{parts.scheme}://{host}" + ("" if port in {None, 443} else f":{port}")
        path = parts.path
        if origin in self._endpoints.legacy:
            origin, path = self._endpoints.legacy[origin], "/v1.0" + path
        # A user name in it would become credentials of ours.
        if "@" in parts.netloc or origin not in self._endpoints.origins:
            raise _refused()
        return origin + path + ("?" + parts.query if parts.query else "")

    async def _ask(self, endpoint: str, access_token: str) -> list[str]:
        if not access_token:
            raise LoginDenied(
                "provider_access_token",
                f"azure: no access token to call {_API} with; send one as "
                "distributed_claim_access_token",
            )
        if not is_header_text(access_token):
            raise LoginDenied(
                "provider_access_token",
                "azure: distributed_claim_access_token must be visible ASCII characters",
            )
        request = APIRequest(
            url=endpoint,
            method="POST",
            headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            body=_BODY,
        )
        with Calls(self.name, self._fetcher, trust=self._trust) as calls:
            answer = (await calls.send(request, _API)).json
        # Differs from Vault: an answer without the list is a failure, not a bearer without groups.
        groups = part_of_answer(self.name, _API, "it", answer, dict).get("value")
        return text_list(self.name, _API, groups)


def _claim_source(claims: Mapping[str, Any], groups_claim: ClaimPath) -> str:
    """Return the endpoint that a distributed claim names (OIDC Core 5.6.2)."""
    steps = groups_claim.steps
    name = steps[0] if steps is not None and len(steps) == 1 else groups_claim.name
    source = _member(claims, "_claim_names", name)
    if not isinstance(source, str):
        raise _no_source(
            groups_claim,
            f"the token holds neither it nor its source in '_claim_names' ({_found(source)})",
        )
    endpoint = _member(_member(claims, "_claim_sources", source), "endpoint")
    if not isinstance(endpoint, str):
        raise _no_source(
            groups_claim,
            f"the token's '_claim_sources' names no endpoint for it ({_found(endpoint)})",
        )
    return endpoint


def _member(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _found(value: Any) -> str:
    return "found nothing" if value is None else f"found {kind_of(value)}"


def _no_source(groups_claim: ClaimPath, problem: str) -> LoginDenied:
    return LoginDenied(
        "provider_claim_source",
        f"azure: claim {quoted(groups_claim.name)} (the role's groups_claim) can't be had: "
        f"{problem}",
        claim=groups_claim.name,
    )


def _refused() -> LoginDenied:
    return LoginDenied(
        "provider_endpoint",
        "azure: the endpoint in the token's '_claim_sources' is not one of the Microsoft Graph "
        "API; it is not called",
        claim="_claim_sources",
    )
