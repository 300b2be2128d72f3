"""Okta: groups that its tokens leave out, asked from its admin API (`provider_okta.go`).

Okta cuts the groups claim at `groups_cap` without saying so. If the claim is that long or missing,
the API is asked; the groups of either source are filtered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.providers._calls import (
    MAX_PAGES,
    Calls,
    check_count,
    is_header_text,
    part_of_answer,
)
from vault_jwt_plugin.jwt_auth.providers._re2 import Pattern, PatternError
from vault_jwt_plugin.sdk import quoted

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin
    from vault_jwt_plugin.jwt_auth.providers._settings import Settings

DEFAULT_GROUPS_CAP = 100
"""Groups at which Okta cuts a token's list, unless an authorization server says otherwise."""

MAX_FILTERED_CHARS = 1024
"""Longest name that `groups_filter` is tried on, in characters; Okta's have 255 at most."""

MAX_URL_CHARS = 8192
"""Longest URL of a next page, in characters."""

_API = "the Okta user groups API"
# Filtering so much takes about a millisecond.
_IN_LOOP_CHARS = 4096


class Okta:
    """The provider.

    Args:
        settings: `org_url`, `api_token`, `user_id_claim`, `groups_cap`, `groups_filter`,
            `fetch_groups`.
        trust: what the certificates of the API's servers must be.
        discovery_url: the configuration's, used without `org_url`.
        fetcher: makes the requests.

    Raises:
        ProviderError: a setting is wrong.
    """

    name = "okta"

    def __init__(
        self, settings: Settings, trust: Trust, discovery_url: str, fetcher: Fetcher
    ) -> None:
        self._fetch = settings.flag("fetch_groups")
        self._origin = _origin(settings, discovery_url)
        self._token = settings.text("api_token")
        self._user_id_claim = settings.text("user_id_claim")
        self._cap = settings.whole_number("groups_cap") or DEFAULT_GROUPS_CAP
        filter_text = settings.text("groups_filter")
        if self._fetch and not self._origin:
            raise settings.invalid(
                "'org_url' must be set in provider_config or oidc_discovery_url must be "
                "configured when fetch_groups=true"
            )
        if self._fetch and not self._token:
            raise settings.invalid("'api_token' is required when fetch_groups=true")
        if not is_header_text(self._token):
            raise settings.invalid("'api_token' must be visible ASCII characters")
        if self._cap < 0:
            raise settings.invalid("'groups_cap' must be >= 0")
        try:
            self._filter = Pattern(filter_text) if filter_text else None
        except PatternError as error:
            raise settings.invalid(f"'groups_filter' can't be used: {error}") from None
        self._trust = trust
        self._fetcher = fetcher

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """Return the claim's groups, or the API's if the claim may be cut; filtered.

        Raises:
            LoginDenied: `provider_user_id`, `provider_next_page`, or one of a call.
        """
        claim = login.groups()
        groups = claim if isinstance(claim, list) else [claim]
        listed = isinstance(claim, list) or (claim is not None and not isinstance(claim, dict))
        if not self._fetch or (listed and len(groups) < self._cap):
            # What can't be filtered is left for the check of the claim to name.
            return await self._filtered(groups) if self._filter and listed else claim
        return await self._filtered(await self._ask(login.user_id(self.name, self._user_id_claim)))

    async def _ask(self, user_id: str) -> list[str]:
        url: str | None = f"{self._origin}/api/v1/users/{quote(user_id, safe='')}/groups"
        groups: list[str] = []
        with Calls(self.name, self._fetcher, trust=self._trust) as calls:
            for _ in range(MAX_PAGES):
                if url is None:
                    return groups
                # Okta's Go SDK asks for JSON, too.
                headers = {"Accept": "application/json", "Authorization": f"SSWS {self._token}"}
                request = APIRequest(url=url, headers=headers)
                page = await calls.send(request, _API)
                groups += self._names(page.json)
                check_count(self.name, len(groups))
                url = self._following(url, page.link)
        if url is not None:
            raise LoginDenied(
                "provider_too_many_pages", f"okta: {_API} answers in more than {MAX_PAGES} pages"
            )
        return groups

    def _names(self, page: Any) -> list[str]:
        names = []
        for group in part_of_answer(self.name, _API, "it", page, list):
            if group is None:
                continue
            profile = part_of_answer(self.name, _API, "a group", group, dict).get("profile")
            name = profile.get("name") if isinstance(profile, dict) else None
            # Like Go: a group without a name is skipped; a name of another kind is an error.
            if name is not None and part_of_answer(
                self.name, _API, "a group's 'profile.name'", name, str
            ):
                names.append(name)
        return names

    def _following(self, url: str, link: str) -> str | None:
        """Return the next page's URL; None after the last.

        Differs from Vault, which sends the API token to whatever host a page names.
        """
        target = next_link(link)
        if target is None:
            return None
        try:
            target = urljoin(url, target)
        except ValueError:
            target = ""
        if origin_of(target) != self._origin:
            raise LoginDenied(
                "provider_next_page",
                f"okta: {_API} names a next page that is not on {quoted(self._origin)}; the API "
                "token is not sent there",
            )
        # A relative one could make each page's URL longer than the last.
        if len(target) > MAX_URL_CHARS:
            raise LoginDenied(
                "provider_next_page",
                f"okta: {_API} names a next page whose URL is longer than {MAX_URL_CHARS} "
                "characters",
            )
        return target

    async def _filtered(self, groups: list[Any]) -> list[Any]:
        pattern = self._filter
        if pattern is None:
            return groups

        if any(isinstance(each, str) and len(each) > MAX_FILTERED_CHARS for each in groups):
            raise LoginDenied(
                "provider_group_name",
                f"okta: a group's name is longer than {MAX_FILTERED_CHARS} characters",
            )

        def matching() -> list[Any]:
            return [each for each in groups if isinstance(each, str) and pattern.matches(each)]

        chars = sum(len(each) for each in groups if isinstance(each, str))
        return matching() if chars <= _IN_LOOP_CHARS else await asyncio.to_thread(matching)


def origin_of(url: str) -> str | None:
    """Return scheme, host and port of an https URL; None for any other, or with credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" + ("" if port in {None, 443} else f":{port}")


def _origin(settings: Settings, discovery_url: str) -> str:
    """Return the origin of `org_url`, or else of the issuer; "" when there is neither."""
    given = settings.text("org_url")
    url = given or discovery_url
    if not url:
        return ""
    origin = origin_of(url)
    if origin is None:
        raise settings.invalid(
            "'org_url' must be an https URL with a host"
            + ("" if given else "; it is left out, and oidc_discovery_url is none")
        )
    return origin


def next_link(header: str) -> str | None:
    """Return the target with `rel="next"` of Link headers joined by commas (RFC 8288 3), if any."""
    at = 0
    while (start := header.find("<", at)) >= 0:
        end = header.find(">", start)
        if end < 0:
            return None
        at = header.find("<", end)
        if at < 0:
            at = len(header)
        for parameter in header[end + 1 : at].split(";"):
            name, _, value = parameter.partition("=")
            relations = value.strip().rstrip(",").strip().strip('"').lower().split()
            if name.strip().lower() == "rel" and "next" in relations:
                return header[start + 1 : end]
    return None
