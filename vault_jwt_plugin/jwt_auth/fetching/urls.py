"""URLs of issuers: which are fetched, and how messages show them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.sdk.text import quoted

MAX_URL_CHARS = 2048
"""Longest URL that is fetched, in characters."""


def check_url(url: str) -> SplitResult:
    """Check that a URL can be fetched at all.

    Raises:
        FetchError: `bad_url`: no http or https, no host, a bad port, a space or control
            character in it, or too long.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise fetch_error("bad_url", url, "it is not an http or https URL with a host")
    return parts


def shown(url: str) -> str:
    """A URL as messages show it: quoted, without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "(an invalid URL)"
    if not parts.scheme or not host:
        return "(an invalid URL)"
    if ":" in host:
        host = f"[{host}]"
    return quoted(urlunsplit((parts.scheme, host + port, parts.path, "", "")))


def fetch_error(code: str, url: str, problem: str, *, status: int | None = None) -> FetchError:
    """A `FetchError` that says which URL and what to do."""
    at = shown(url)
    return FetchError(code, f"can't use {at}: {problem}", url=at, problem=problem, status=status)
