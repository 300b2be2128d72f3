"""Google Workspace (G Suite): groups and custom user attributes of the Directory API.

Mirrors `provider_gsuite.go` of both Go methods.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.providers._calls import (
    MAX_PAGES,
    CallFailed,
    Calls,
    answer_invalid,
    check_count,
)
from vault_jwt_plugin.jwt_auth.providers._google import GoogleEndpoints, TokenSource
from vault_jwt_plugin.jwt_auth.providers._google_credentials import CredentialsReader
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin
    from vault_jwt_plugin.jwt_auth.providers._settings import Settings

SCOPES = (
    "https://www.googleapis.com/auth/admin.directory.group.readonly",
    "https://www.googleapis.com/auth/admin.directory.user.readonly",
)
"""Reading groups and users, and nothing else."""

_logger = logging.getLogger(__name__)
_API = "Google's Directory API"


class GSuite:
    """The provider.

    Args:
        settings: `gsuite_service_account` (JSON, or a file's path), `gsuite_admin_impersonate`,
            `impersonate_principal`, `fetch_groups`, `fetch_user_info`,
            `groups_recurse_max_depth`, `user_custom_schemas` (names with commas), `domain`.
        trust: what Google's servers must show; as in Go, with the system's CAs.
        fetcher: for the requests.
        endpoints: of Google.

    Raises:
        ProviderError: a setting is not what it should be.
    """

    name = "gsuite"

    def __init__(
        self,
        settings: Settings,
        trust: Trust,
        fetcher: Fetcher,
        *,
        endpoints: GoogleEndpoints | None = None,
    ) -> None:
        service_account = settings.text("gsuite_service_account")
        self._fetch_groups = settings.flag("fetch_groups")
        self._fetch_user_info = settings.flag("fetch_user_info")
        self._depth = settings.whole_number("groups_recurse_max_depth")
        self._schemas = settings.text("user_custom_schemas")
        self._domain = settings.text("domain")
        if self._depth < 0:
            raise settings.invalid("'groups_recurse_max_depth' must be a positive integer")
        self._endpoints = endpoints or GoogleEndpoints()
        self._fetcher = fetcher
        self._trust = replace(trust, ca_pem="")
        self._tokens = TokenSource(
            CredentialsReader(service_account).read,
            scopes=SCOPES,
            subject=settings.text("gsuite_admin_impersonate"),
            # As in Go: with a key there is nobody to impersonate.
            principal=settings.text("impersonate_principal") if not service_account else "",
            endpoints=self._endpoints,
        )
        self._warned = False

    async def check(self) -> None:
        """See that the credentials are there; Google is not asked.

        Raises:
            ProviderError: they can't be found or used.
        """
        if self._schemas and not self._fetch_user_info and not self._warned:
            self._warned = True
            _logger.warning(
                "gsuite: user_custom_schemas does nothing without fetch_user_info=true",
                extra={"fields": {"event": "gsuite_schemas_unused"}},
            )
        await self._tokens.check()

    async def fetch_user_info(self, login: ProviderLogin) -> Mapping[str, Any]:
        """The bearer's custom schemas, each an object.

        Raises:
            LoginDenied: `provider_user_id`, or one of a call.
        """
        if not self._fetch_user_info or not self._schemas:
            return {}
        user = login.user_id(self.name)
        query = {
            "projection": "custom",
            "customFieldMask": self._schemas,
            "fields": "customSchemas",
        }
        with Calls(self.name, self._fetcher, trust=self._trust) as calls:
            answer = await self._get(calls, f"/users/{quote(user, safe='')}", query)
        schemas = answer.get("customSchemas")
        if schemas is None:
            return {}
        if not isinstance(schemas, dict):
            raise self._invalid(f"its 'customSchemas' must be an object, is {kind_of(schemas)}")
        # Only what was asked for: whatever else came would replace claims of the token.
        asked = {name.strip() for name in self._schemas.split(",")}
        claims = {}
        for name, values in schemas.items():
            if not isinstance(values, dict | None):
                raise self._invalid(f"a custom schema must be an object, is {kind_of(values)}")
            if name in asked:
                claims[name] = values or {}
        return claims

    async def fetch_groups(self, login: ProviderLogin) -> list[str] | None:
        """E-mail addresses of the bearer's groups, and of the groups that these are in.

        None without `fetch_groups`, which erases the claim, as in Go.

        Raises:
            LoginDenied: `provider_user_id`, or one of a call.
        """
        if not self._fetch_groups:
            return None
        # By breadth, where Go goes by depth: so each group is reached by its shortest way, and
        # the result does not depend on the order of Google's answers.
        found: dict[str, None] = {}
        nearest = [login.user_id(self.name)]
        with Calls(self.name, self._fetcher, trust=self._trust) as calls:
            for _ in range(self._depth + 1):
                members, nearest = nearest, []
                for member in members:
                    for group in await self._groups_of(calls, member):
                        if group not in found:
                            found[group] = None
                            nearest.append(group)
                    check_count(self.name, len(found))
                if not nearest:
                    break
        return list(found)

    async def _groups_of(self, calls: Calls, member: str) -> list[str]:
        query = {"userKey": member, "fields": "nextPageToken,groups(email)"}
        if self._domain:
            query["domain"] = self._domain
        groups: list[str] = []
        for _ in range(MAX_PAGES):
            page = await self._get(calls, "/groups", query)
            groups += self._emails(page.get("groups"))
            check_count(self.name, len(groups))
            token = page.get("nextPageToken")
            if not token:
                return groups
            if not isinstance(token, str):
                raise self._invalid(f"its 'nextPageToken' must be a string, is {kind_of(token)}")
            query["pageToken"] = token
        raise LoginDenied(
            "provider_too_many_pages", f"gsuite: {_API} answers in more than {MAX_PAGES} pages"
        )

    def _emails(self, groups: Any) -> list[str]:
        if groups is None:
            return []
        if not isinstance(groups, list):
            raise self._invalid(f"its 'groups' must be a list, is {kind_of(groups)}")
        emails = []
        for group in groups:
            email = group.get("email") if isinstance(group, dict) else group
            if email is not None and not isinstance(email, str):
                raise self._invalid(f"a group's 'email' must be a string, is {kind_of(email)}")
            if not isinstance(group, dict | None):
                raise self._invalid(f"a group must be an object, is {kind_of(group)}")
            # Differs from Vault, which would go on with "": Google lists every group for it.
            if email:
                emails.append(email)
        return emails

    async def _get(self, calls: Calls, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self._endpoints.directory}{path}?{urlencode(query)}"
        token, kept = await self._tokens.token(calls)
        try:
            answer = await calls.send(_bearer(url, token), _API)
        except CallFailed as failed:
            if failed.status != 401:
                raise
            self._tokens.drop()
            if not kept:
                raise
            # Revoked before its time, perhaps: once more with a new one.
            token, _ = await self._tokens.token(calls)
            answer = await calls.send(_bearer(url, token), _API)
        if not isinstance(answer.json, dict):
            raise self._invalid(f"it must be an object, is {kind_of(answer.json)}")
        return answer.json

    def _invalid(self, problem: str) -> LoginDenied:
        return answer_invalid(self.name, _API, problem)


def _bearer(url: str, token: str) -> APIRequest:
    return APIRequest(url=url, headers={"Authorization": f"Bearer {token}"})
