"""The two documents of an issuer, fetched and checked: its key set and its discovery document."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import (
    DEADLINE_S,
    DISCOVERY_MAX_BYTES,
    KEY_SET_MAX_BYTES,
)
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error
from vault_jwt_plugin.jwt_auth.jose.jwks import KeySet, NotAKeySetError, parse_key_set
from vault_jwt_plugin.sdk.coercion import kind_of
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.messages import Document
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

WELL_KNOWN_PATH = "/.well-known/openid-configuration"
"""OIDC Discovery 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedKeys:
    """A key set as an issuer serves it.

    Attributes:
        key_set: as parsed.
        digest: of the document.
        max_age_s: how long the server says that it is fresh; None if it does not say.
    """

    key_set: KeySet
    digest: bytes
    max_age_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The members of a discovery document that are used (OIDC Discovery 3).

    Attributes:
        issuer: that serves it.
        jwks_uri: URL of its keys.
    """

    issuer: str
    jwks_uri: str


async def fetch_key_set(
    fetcher: Fetcher, url: str, *, trust: Trust, deadline_s: float = DEADLINE_S
) -> FetchedKeys:
    """Fetch a JWK set. A set without a usable key, or without any key, is a set.

    Raises:
        FetchError: it can't be fetched, or it is not a key set (`not_a_key_set`).
    """
    document = await fetcher.get_json(
        url, trust=trust, deadline_s=deadline_s, max_bytes=KEY_SET_MAX_BYTES
    )
    return await read_key_set(document, url)


async def read_key_set(document: Document, url: str) -> FetchedKeys:
    """Parse a JWK set that was fetched.

    Raises:
        FetchError: it is not a key set (`not_a_key_set`).
    """
    try:
        # In a thread: the first key loads joserfc, and a set may hold many keys.
        key_set = await asyncio.to_thread(parse_key_set, document.json)
    except NotAKeySetError as error:
        raise fetch_error("not_a_key_set", url, f"its answer is not a key set: {error}") from None
    return FetchedKeys(key_set=key_set, digest=document.digest, max_age_s=document.max_age_s)


async def fetch_discovery(
    fetcher: Fetcher, issuer: str, *, trust: Trust, deadline_s: float = DEADLINE_S
) -> Discovery:
    """Fetch an issuer's discovery document (go-oidc `NewProvider`).

    Args:
        fetcher: for the request.
        issuer: as configured. The document must name it byte for byte; only the URL that is
            fetched leaves out a trailing slash.
        trust: what the server must show.
        deadline_s: for the fetch.

    Raises:
        FetchError: it can't be fetched, is not a discovery document (`not_discovery`), names
            another issuer (`issuer_mismatch`), or a key set that can't be fetched (`bad_url`).
    """
    url = issuer.removesuffix("/") + WELL_KNOWN_PATH
    document = await fetcher.get_json(
        url, trust=trust, deadline_s=deadline_s, max_bytes=DISCOVERY_MAX_BYTES
    )
    members = discovery_members(document, url)
    if members.get("issuer") != issuer:
        raise fetch_error("issuer_mismatch", url, _mismatch(members, issuer))
    jwks_uri = named_jwks_uri(members, url)
    _check_jwks_uri(jwks_uri, url)
    return Discovery(issuer=issuer, jwks_uri=jwks_uri)


async def fetch_discovered_keys(
    fetcher: Fetcher, issuer: str, *, trust: Trust, deadline_s: float = DEADLINE_S
) -> FetchedKeys:
    """Fetch an issuer's discovery document and the keys that it names: both may move.

    Args:
        fetcher: for the requests.
        issuer: as for `fetch_discovery`.
        trust: what both servers must show.
        deadline_s: for both fetches.

    Raises:
        FetchError: as `fetch_discovery` and `fetch_key_set`.
    """
    ends_at = time.monotonic() + deadline_s
    discovery = await fetch_discovery(fetcher, issuer, trust=trust, deadline_s=deadline_s)
    left_s = max(ends_at - time.monotonic(), 0.001)
    return await fetch_key_set(fetcher, discovery.jwks_uri, trust=trust, deadline_s=left_s)


def discovery_members(document: Document, url: str) -> dict[str, Any]:
    """Return the members of a discovery document.

    Raises:
        FetchError: it is not an object (`not_discovery`).
    """
    members = document.json
    if not isinstance(members, dict):
        raise fetch_error(
            "not_discovery", url, f"its answer must be a JSON object, is {kind_of(members)}"
        )
    return members


def named_jwks_uri(members: dict[str, Any], url: str) -> str:
    """Return the `jwks_uri` of a discovery document; it may not be a URL.

    Raises:
        FetchError: it is missing, or not a string (`not_discovery`).
    """
    jwks_uri = members.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        received = kind_of(jwks_uri) if "jwks_uri" in members else "missing"
        raise fetch_error("not_discovery", url, f"its 'jwks_uri' must be a string, is {received}")
    return jwks_uri


def _mismatch(members: dict[str, Any], issuer: str) -> str:
    named = members.get("issuer")
    if not isinstance(named, str):
        received = kind_of(named) if "issuer" in members else "missing"
        return f"its 'issuer' must be a string, is {received}"
    if named.rstrip("/") == issuer.rstrip("/"):
        slash = "ends" if named.endswith("/") else "does not end"
        return (
            f"the issuer that it names {slash} in a slash, unlike oidc_discovery_url; "
            "they must be equal to the byte"
        )
    return (
        f"it names another issuer, {quoted(named)}, than oidc_discovery_url, {quoted(issuer)}; "
        "they must be equal to the byte; if both must stay, use jwks_url and bound_issuer"
    )


def _check_jwks_uri(jwks_uri: str, url: str) -> None:
    try:
        scheme = check_url(jwks_uri).scheme
    except FetchError:
        raise fetch_error(
            "bad_url", url, "its 'jwks_uri' is not an http or https URL with a host"
        ) from None
    # Differs from Vault, which fetches it: whoever can change answers over http chooses the keys.
    if url.lower().startswith("https:") and scheme != "https":
        raise fetch_error("bad_url", url, "its 'jwks_uri' is an http URL, but its own URL is https")
