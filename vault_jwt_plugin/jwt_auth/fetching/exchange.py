"""Send one HTTP request with `requests`, bounded in time and bytes, in a thread.

`requests` does the HTTP, the TLS and the proxies. Where its behaviour is unsafe here, it is
bypassed, in this module and in `connections`:

* Its timeout bounds each operation of a socket, not the whole, so a server that drips bytes
  could hold a thread for ever. Here one deadline holds for everything: it is looked at after
  each piece of a body, and another thread can shut the connections down (`Exchange.abort`).
  For that, `connections` has pools that note their sockets.
* `requests.Session` adds credentials from .netrc and roots from REQUESTS_CA_BUNDLE, and the
  usual adapter adds certifi's roots to our TLS context. So requests go to our own adapter,
  which uses our context and nothing else. The environment is read for proxies only.
* `requests.Session` follows redirects anywhere and reads the whole body of each. Here at most
  `MAX_REDIRECTS` are followed, by hand, never from https to http, and never with credentials.
* It inflates a body before its size is known. Here gzip is inflated by hand, in bounded pieces.

`fetcher` imports this module at the first fetch: importing `requests` costs more time than the
rest of the start.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import time
import zlib
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.certificates import PeerRefusedError
from vault_jwt_plugin.jwt_auth.fetching.messages import Answer
from vault_jwt_plugin.jwt_auth.fetching.trust import BadCAError
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests.adapters import HTTPAdapter

    from vault_jwt_plugin.jwt_auth.fetching.connections import Connections
    from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest

MAX_REDIRECTS = 5
"""How many redirects are followed."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024
# No `Accept`, as in Go: a server that offers only application/jwk-set+json, as every Kubernetes API
# server does for its keys, must answer a request for application/json with 406.
_HEADERS = {
    "Accept-Encoding": "gzip",
    "User-Agent": "vault-jwt-plugin",
}
# X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h).
_NAME_MISMATCHES = frozenset({62, 64})
# X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED, of any certificate of the chain.
_OUT_OF_DATE = frozenset({9, 10})


class Exchange:
    """One request and its answer; `run` blocks a thread, `abort` ends it from another.

    Args:
        request: what to send.
        follow_redirects: only for a plain GET: credentials and a body are for their own URL.
        connections: to send it over.
        deadline_s: for everything, as messages name it.
        ends_at: when that is over, by `time.monotonic`.
        max_bytes: of the body, decompressed.
    """

    def __init__(
        self,
        request: APIRequest,
        *,
        follow_redirects: bool,
        connections: Connections,
        deadline_s: float,
        ends_at: float,
        max_bytes: int,
    ) -> None:
        self._request = request
        self._follow_redirects = follow_redirects
        self._connections = connections
        self._deadline_s = deadline_s
        self._ends_at = ends_at
        self._max_bytes = max_bytes

    def abort(self) -> None:
        """Make `run` end soon, with whatever error; from any thread, at any time."""
        self._connections.shut_down()

    def run(self) -> Answer:
        """Send the request; follow its redirects if that is allowed.

        Raises:
            FetchError: whatever happened.
        """
        url = self._request.url
        try:
            adapter = self._connections.adapter()
            for _ in range(MAX_REDIRECTS + 1):
                with self._send(adapter, url) as response:
                    if response.status_code not in _REDIRECTS:
                        return self._answer(response, url)
                    url = self._redirected(response, url)
            raise fetch_error(
                "redirect_refused",
                self._request.url,
                f"it redirects more than {MAX_REDIRECTS} times; give the final URL",
            )
        except FetchError:
            raise
        except BadCAError:
            raise fetch_error(
                "bad_ca_pem",
                self._request.url,
                "the CA PEM configured for it can't be read; give one or more certificates in PEM "
                "format",
            ) from None
        except Exception as error:  # noqa: BLE001 - four libraries' errors, each becomes ours
            self._explain(error, url)

    def _send(self, adapter: HTTPAdapter, url: str) -> requests.Response:
        asked = self._request
        prepared = requests.Request(
            asked.method, url, headers={**_HEADERS, **asked.headers}, data=asked.body
        ).prepare()
        direct = asked.direct or _is_loopback(url)
        return adapter.send(
            prepared,
            stream=True,
            timeout=self._remaining(url),
            proxies={} if direct else requests.utils.get_environ_proxies(url),
        )

    def _remaining(self, url: str) -> float:
        remaining = self._ends_at - time.monotonic()
        if remaining <= 0:
            raise self._late(url)
        return remaining

    def _late(self, url: str) -> FetchError:
        return fetch_error(
            "timeout", url, f"it did not answer completely within {self._deadline_s:.3g} s"
        )

    def _redirected(self, response: requests.Response, url: str) -> str:
        if not self._follow_redirects:
            raise fetch_error(
                "redirect_refused", url, "it redirects, which is not followed with credentials"
            )
        try:
            target = urljoin(url, response.headers.get("Location", ""))
            check_url(target)
        except (FetchError, ValueError):
            raise fetch_error(
                "redirect_refused",
                url,
                "it redirects to something that is not an http or https URL",
            ) from None
        if url.lower().startswith("https:") and not target.lower().startswith("https:"):
            raise fetch_error(
                "redirect_refused", url, f"it redirects from https to http ({shown(target)})"
            )
        return target

    def _answer(self, response: requests.Response, url: str) -> Answer:
        if response.status_code != 200:
            raise fetch_error(
                "http_status",
                url,
                f"it answered with HTTP status {response.status_code}, 200 is needed",
                status=response.status_code,
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in {"", "identity"}:
            chunks = self._raw_chunks(response, url)
        elif encoding in {"gzip", "x-gzip"}:
            chunks = self._gunzipped(self._raw_chunks(response, url))
        else:
            raise fetch_error("not_json", url, "its answer is compressed in a way not asked for")
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > self._max_bytes:
                raise fetch_error(
                    "too_large", url, f"its answer is larger than {self._max_bytes // 1024} KiB"
                )
        return Answer(
            body=bytes(body),
            cache_control=response.headers.get("Cache-Control", ""),
            link=response.headers.get("Link", ""),
        )

    def _raw_chunks(self, response: requests.Response, url: str) -> Iterator[bytes]:
        # read1 returns what has come: a server that drips bytes can't hold one read for long.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            self._remaining(url)
            yield chunk

    def _gunzipped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        for chunk in chunks:
            yield inflater.decompress(chunk, self._max_bytes + 1)
            if inflater.unconsumed_tail:
                yield inflater.decompress(inflater.unconsumed_tail, self._max_bytes + 1)

    def _explain(self, error: Exception, url: str) -> NoReturn:
        """Say what an exception of requests, urllib3, ssl or socket means to an operator."""
        causes = list(_causes(error))
        if time.monotonic() >= self._ends_at or any(map(_is_timeout, causes)):
            raise self._late(url) from error
        # The most telling first: others wrap it.
        for cause in causes:
            if isinstance(cause, PeerRefusedError):
                raise fetch_error(cause.code, url, cause.problem) from error
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise _untrusted(cause, url) from error
        for cause in causes:
            if isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError):
                raise fetch_error(
                    "tls_failed",
                    url,
                    "no TLS connection could be made; check that it serves https there",
                ) from error
            if isinstance(cause, socket.gaierror | urllib3.exceptions.NameResolutionError):
                raise fetch_error(
                    "dns", url, "its host name can't be resolved; check the name and the resolver"
                ) from error
        if any(isinstance(each, requests.exceptions.InvalidURL | UnicodeError) for each in causes):
            raise fetch_error("bad_url", url, "it is not a usable http or https URL") from error
        through = (
            " through the proxy of the environment"
            if any(isinstance(each, urllib3.exceptions.ProxyError) for each in causes)
            else ""
        )
        number = next((each.errno for each in causes if isinstance(each, OSError) if each.errno), 0)
        reason = f" ({os.strerror(number).lower()})" if number else ""
        if not number and any(
            isinstance(
                each, http.client.HTTPException | zlib.error | urllib3.exceptions.ProtocolError
            )
            for each in causes
        ):
            reason = " (the answer broke off, or is not HTTP)"
        raise fetch_error(
            "unreachable", url, f"it can't be reached{through}{reason}; check address and port"
        ) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it wraps as cause, context, `reason` or argument."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)


def _is_loopback(url: str) -> bool:
    """Return whether a URL's host is this one, which Go asks no proxy for (`httpproxy`)."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_timeout(error: BaseException) -> bool:
    # urllib3 derives "no connection" from "connection timed out"; they are not the same.
    return isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    )


def _untrusted(cause: ssl.SSLCertVerificationError, url: str) -> FetchError:
    if cause.verify_code in _NAME_MISMATCHES:
        return fetch_error(
            "tls_name",
            url,
            "its certificate is for another name; check the URL's host, or give the certificate's "
            "name as override_allowed_server_names",
        )
    if cause.verify_code in _OUT_OF_DATE:
        return fetch_error(
            "tls_untrusted",
            url,
            f"its certificate is not trusted ({cause.verify_message}); it or one of its CAs has "
            "to be renewed, or this machine's clock is wrong",
        )
    return fetch_error(
        "tls_untrusted",
        url,
        f"its certificate is not trusted ({cause.verify_message}); give the certificate of the "
        "CA that issued it (jwks_ca_pem, oidc_discovery_ca_pem)",
    )
