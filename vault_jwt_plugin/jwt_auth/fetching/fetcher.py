"""Fetching an issuer's documents without holding up anyone.

`requests` blocks, so it runs in threads; a fetch that outlives its deadline is
cut off, and whoever waits is told so at the deadline even if the thread hangs
(in the resolver, which nothing can interrupt).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error
from vault_jwt_plugin.jwt_auth.jose import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from vault_jwt_plugin.jwt_auth.fetching.connections import Connections
    from vault_jwt_plugin.jwt_auth.fetching.exchange import Get
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

DEADLINE_S = 9.5
"""How long one fetch may take, redirects included, in seconds: with its way back, a write to
the config is answered within 10 s whatever the issuer does."""

KEY_SET_MAX_BYTES = 1024 * 1024
"""Largest key set, in bytes after decompression."""

DISCOVERY_MAX_BYTES = 256 * 1024
"""Largest discovery document, in bytes after decompression."""

MAX_THREADS = 48
"""Fetches at a time. A source never has more than one under way; logins call providers' APIs."""

MAX_THREADS_PER_SERVER = 32
"""Fetches at a time from one server, those that nobody waits for any more included: one that
hangs, or whose name can't be resolved, leaves threads for the others."""

_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?([0-9]{1,10})(?![0-9])', re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|[,\s])(?:no-cache|no-store)(?:$|[,\s])", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class APIRequest:
    """One call of an API. Redirects are refused: what is sent is for this URL only.

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


class Fetcher(Protocol):
    """What key sources need of HTTP."""

    async def get_json(
        self, url: str, *, trust: Trust, deadline_s: float, max_bytes: int
    ) -> Document:
        """Fetch and decode a JSON document.

        Args:
            url: http or https.
            trust: what the servers must show.
            deadline_s: for everything.
            max_bytes: of the document, decompressed.

        Raises:
            FetchError: it can't be had in time, or is not JSON.
        """


class APISession(Protocol):
    """Calls that are made one after the other, over connections kept between them."""

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Document:
        """Send a request, decode the JSON that is answered with status 200.

        Args:
            request: what to send.
            deadline_s: for this request.
            max_bytes: of the answer, decompressed.

        Raises:
            FetchError: there is no such answer in time.
        """

    def close(self) -> None:
        """Close the connections. Idempotent."""


class APIFetcher(Protocol):
    """What providers need of HTTP."""

    def open(self, *, trust: Trust) -> APISession:
        """Begin a session; connects to nothing yet.

        Args:
            trust: what the servers must show.
        """


class HTTPFetcher:
    """The fetcher on `requests`. Its threads start when they are needed.

    Args:
        max_threads: fetches at a time; more wait, within their deadlines.
        max_per_server: fetches at a time from one server.
    """

    def __init__(
        self, *, max_threads: int = MAX_THREADS, max_per_server: int = MAX_THREADS_PER_SERVER
    ) -> None:
        self._pool = ThreadPoolExecutor(max_threads, thread_name_prefix="fetch")
        self._max_per_server = max_per_server
        # Free places, by server; one that nobody fetches from is forgotten.
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._under_way: set[_Work] = set()

    async def get_json(
        self, url: str, *, trust: Trust, deadline_s: float, max_bytes: int
    ) -> Document:
        """Fetch and decode a JSON document; see `Fetcher.get_json`."""
        check_url(url)
        return await self._run(
            _Work(url, trust=trust, deadline_s=deadline_s, max_bytes=max_bytes), url, deadline_s
        )

    def open(self, *, trust: Trust) -> APISession:
        """Begin a session; see `APIFetcher.open`."""
        return _Session(self, trust)

    async def _run(self, work: _Work, url: str, deadline_s: float) -> Document:
        self._under_way.add(work)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._in_thread(work, url)
        except TimeoutError:
            raise fetch_error(
                "timeout", url, f"it did not answer completely within {deadline_s:.3g} s"
            ) from None
        finally:
            # Done, late or cancelled: what still runs is of no use to anyone.
            work.abort()
            self._under_way.discard(work)

    async def _in_thread(self, work: _Work, url: str) -> Document:
        server = urlsplit(url).netloc.lower()
        places = self._places.get(server)
        if places is None:
            places = self._places[server] = asyncio.Semaphore(self._max_per_server)
        await places.acquire()
        loop = asyncio.get_running_loop()

        def ended(_future: Future[Document]) -> None:
            # The thread, not the wait for it: what hangs in the resolver can't be interrupted.
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(places.release)

        try:
            future = self._pool.submit(work.run)
        except RuntimeError:
            places.release()
            raise
        future.add_done_callback(ended)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Cut off what is under way and start nothing more; does not wait."""
        for work in self._under_way:
            work.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Session:
    """A session of `HTTPFetcher`; its requests may not overlap."""

    def __init__(self, fetcher: HTTPFetcher, trust: Trust) -> None:
        self._fetcher = fetcher
        self._trust = trust
        # Made by the first request, in its thread.
        self.connections: Connections | None = None

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Document:
        check_url(request.url)
        work = _Work(
            request.url,
            trust=self._trust,
            deadline_s=deadline_s,
            max_bytes=max_bytes,
            request=request,
            session=self,
        )
        return await self._fetcher._run(work, request.url, deadline_s)  # noqa: SLF001 - its other half

    def close(self) -> None:
        if self.connections is not None:
            self.connections.close()


class _Work:
    """One fetch, from the thread's side; it can be aborted before it has begun."""

    def __init__(
        self,
        url: str,
        *,
        trust: Trust,
        deadline_s: float,
        max_bytes: int,
        request: APIRequest | None = None,
        session: _Session | None = None,
    ) -> None:
        self._url = url
        self._trust = trust
        self._request = request
        self._session = session
        self._deadline_s = deadline_s
        self._ends_at = time.monotonic() + deadline_s
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._get: Get | None = None
        self._aborted = False

    def run(self) -> Document:
        """Fetch and decode.

        Raises:
            FetchError: whatever happened.
        """
        # Here, in the thread: the first import of `requests` takes longer than many a fetch.
        from vault_jwt_plugin.jwt_auth.fetching.connections import Connections
        from vault_jwt_plugin.jwt_auth.fetching.exchange import Get

        session = self._session
        with self._lock:
            if self._aborted:
                raise fetch_error("timeout", self._url, "nobody waits for it any more")
            connections = session.connections if session is not None else None
            if connections is None:
                connections = Connections(self._trust)
            if session is not None:
                session.connections = connections
            get = self._get = Get(
                self._url,
                connections=connections,
                deadline_s=self._deadline_s,
                ends_at=self._ends_at,
                max_bytes=self._max_bytes,
                request=self._request,
            )
        try:
            answer = get.run()
        finally:
            with self._lock:
                # Nothing is left to abort: the connections may be used by the next request.
                self._get = None
            if session is None:
                connections.close()
        try:
            document = strict_json.loads(answer.body)
        except strict_json.StrictJSONError as error:
            problem = f"its answer is not JSON: {_why_not(error, answer.body)}"
            raise fetch_error("not_json", self._url, problem) from None
        return Document(
            json=document,
            digest=hashlib.sha256(answer.body).digest(),
            max_age_s=max_age_s(answer.cache_control),
            link=answer.link,
        )

    def abort(self) -> None:
        """Make `run` end soon."""
        with self._lock:
            self._aborted = True
            get = self._get
        if get is not None:
            get.abort()


def _why_not(error: strict_json.StrictJSONError, body: bytes) -> str:
    """What is wrong with a document, in words that tell the usual mistakes apart."""
    if not body.strip():
        return "it is empty"
    if error.code != "syntax":
        return str(error)
    if body.lstrip().startswith(b"<"):
        return "it begins with '<' like HTML; is it a login or error page?"
    return "it can't be parsed"


def max_age_s(cache_control: str) -> int | None:
    """How long a document is fresh (RFC 9111 5.2.2); 0 = not at all, None = not said."""
    if _NO_CACHE.search(cache_control):
        return 0
    match = _MAX_AGE.search(cache_control)
    return int(match.group(1)) if match else None
