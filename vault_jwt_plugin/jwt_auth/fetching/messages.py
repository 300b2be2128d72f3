"""What is sent to an issuer or a provider, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class APIRequest:
    """A request; whether its redirects are followed is for the fetcher to say.

    Attributes:
        url: http or https.
        method: of HTTP.
        headers: sent beside the usual ones; credentials, mostly.
        body: None sends none.
        direct: past any proxy of the environment.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    direct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sent with status 200.

    Attributes:
        body: decompressed.
        cache_control: the header's value; "" if the server sent none.
        link: the values of the Link headers (RFC 8288), joined by commas; "" if there are none.
    """

    body: bytes
    cache_control: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A fetched document.

    Attributes:
        json: decoded.
        digest: SHA-256 of its bytes: the same digest, the same document.
        max_age_s: how long its server says it is fresh; None if it does not say.
        link: the values of its Link headers (RFC 8288), joined by commas; "" if none.
    """

    json: Any
    digest: bytes
    max_age_s: int | None
    link: str = ""
