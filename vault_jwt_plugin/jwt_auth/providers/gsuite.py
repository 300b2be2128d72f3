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
    check_count,
    part_of_answer,
)
from vault_jwt_plugin.jwt_auth.providers._google import GoogleEndpoints, TokenSource
from vault_jwt_plugin.jwt_auth.providers._google_credentials import CredentialsReader

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
        trust: what the certificates of Google's servers must be; the CAs are the system's, as in
            Go.
        fetcher: makes the requests.
        endpoints: Google's.

    Raises:
        ProviderError: a setting is wrong.
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
        """Check that the credentials are there, without asking Google.

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
        """Return the bearer's custom schemas, each an object.

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
        # Any schema that was not asked for would replace a claim of the token.
        asked = {name.strip() for name in self._schemas.split(",")}
        claims = {}
        for name, values in part_of_answer(
            self.name, _API, "its 'customSchemas'", schemas, dict
        ).items():
            if values is not None:
                part_of_answer(self.name, _API, "a custom schema", values, dict)
            if name in asked:
                claims[name] = values or {}
        return claims

    async def fetch_groups(self, login: ProviderLogin) -> list[str] | None:
        """Return the e-mail addresses of the bearer's groups, and of the groups these are in.

        Return None without `fetch_groups`, which erases the claim, as in Go.

        Raises:
            LoginDenied: `provider_user_id`, or one of a call.
        """
        if not self._fetch_groups:
            return None
        # Breadth first, where Go goes depth first: each group is reached by its shortest path, and
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
            query["pageToken"] = part_of_answer(self.name, _API, "its 'nextPageToken'", token, str)
        raise LoginDenied(
            "provider_too_many_pages", f"gsuite: {_API} answers in more than {MAX_PAGES} pages"
        )

    def _emails(self, groups: Any) -> list[str]:
        if groups is None:
            return []
        emails = []
        for group in part_of_answer(self.name, _API, "its 'groups'", groups, list):
            email = group.get("email") if isinstance(group, dict) else group
            if email is not None:
                part_of_answer(self.name, _API, "a group's 'email'", email, str)
                part_of_answer(self.name, _API, "a group", group, dict)
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
            # The token may have been revoked: try again with a new one.
            token, _ = await self._tokens.token(calls)
            answer = await calls.send(_bearer(url, token), _API)
        return part_of_answer(self.name, _API, "it", answer.json, dict)


def _bearer(url: str, token: str) -> APIRequest:
    return APIRequest(url=url, headers={"Authorization": f"Bearer {token}"})
