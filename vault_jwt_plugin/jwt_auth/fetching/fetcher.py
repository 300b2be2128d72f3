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
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest, Document
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vault_jwt_plugin.jwt_auth.fetching.connections import Connections
    from vault_jwt_plugin.jwt_auth.fetching.exchange import Exchange
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


class Session(Protocol):
    """Requests that are sent one after the other, over connections kept between them."""

    async def send(self, request: APIRequest, *, deadline_s: float, max_bytes: int) -> Document:
        """Send a request and decode the JSON that is answered with status 200.

        Redirects are refused: what is sent is for this URL only.

        Args:
            request: what to send.
            deadline_s: for this request.
            max_bytes: of the answer, decompressed.

        Raises:
            FetchError: there is no such answer in time.
        """

    def close(self) -> None:
        """Close the connections. Idempotent."""


class Fetcher(Protocol):
    """What a mount needs of HTTP."""

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

    def open(self, *, trust: Trust) -> Session:
        """Begin a session; connects to nothing yet.

        Args:
            trust: what the servers must show.
        """

    def close(self) -> None:
        """Cut off what is under way and start nothing more; does not wait."""


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
        """See `Fetcher.get_json`."""
        request = APIRequest(url=url)
        return await self._run(request, trust, None, deadline_s=deadline_s, max_bytes=max_bytes)

    def open(self, *, trust: Trust) -> Session:
        """See `Fetcher.open`."""
        return _Session(self, trust)

    async def _run(
        self,
        request: APIRequest,
        trust: Trust,
        session: _Session | None,
        *,
        deadline_s: float,
        max_bytes: int,
    ) -> Document:
        url = request.url
        check_url(url)
        work = _Work(
            request, trust=trust, session=session, deadline_s=deadline_s, max_bytes=max_bytes
        )
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
        return await self._fetcher._run(  # noqa: SLF001 - its other half
            request, self._trust, self, deadline_s=deadline_s, max_bytes=max_bytes
        )

    def close(self) -> None:
        if self.connections is not None:
            self.connections.close()


class _Work:
    """One fetch as its thread sees it; it can be aborted before it has begun."""

    def __init__(
        self,
        request: APIRequest,
        *,
        trust: Trust,
        session: _Session | None,
        deadline_s: float,
        max_bytes: int,
    ) -> None:
        self._request = request
        self._trust = trust
        self._session = session
        self._deadline_s = deadline_s
        self._ends_at = time.monotonic() + deadline_s
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._exchange: Exchange | None = None
        self._aborted = False

    def run(self) -> Document:
        """Fetch and decode.

        Raises:
            FetchError: whatever happened.
        """
        # Here, in the thread: the first import of `requests` takes longer than many a fetch.
        from vault_jwt_plugin.jwt_auth.fetching.connections import Connections
        from vault_jwt_plugin.jwt_auth.fetching.exchange import Exchange

        session = self._session
        with self._lock:
            if self._aborted:
                raise fetch_error("timeout", self._request.url, "nobody waits for it any more")
            connections = session.connections if session is not None else None
            if connections is None:
                connections = Connections(self._trust)
            if session is not None:
                session.connections = connections
            exchange = self._exchange = Exchange(
                self._request,
                follow_redirects=session is None,
                connections=connections,
                deadline_s=self._deadline_s,
                ends_at=self._ends_at,
                max_bytes=self._max_bytes,
            )
        try:
            answer = exchange.run()
        finally:
            with self._lock:
                # Nothing is left to abort: the connections may be used by the next request.
                self._exchange = None
            if session is None:
                connections.close()
        try:
            document = jsonutil.loads_strict(answer.body)
        except jsonutil.StrictJSONError as error:
            problem = f"its answer is not JSON: {_why_not(error, answer.body)}"
            raise fetch_error("not_json", self._request.url, problem) from None
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
            exchange = self._exchange
        if exchange is not None:
            exchange.abort()


def _why_not(error: jsonutil.StrictJSONError, body: bytes) -> str:
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
