"""A gRPC server on an event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from vault_jwt_plugin.rpc._server_link import ServerLink
from vault_jwt_plugin.rpc.limits import Limits

if TYPE_CHECKING:
    import socket
    import ssl

    from vault_jwt_plugin.rpc._calls import Methods

_log = logging.getLogger(__name__)

_DEFAULT_LIMITS: Final = Limits()
_ACCEPT_PAUSE_S: Final = 1.0
_REFUSAL_LOGGED_EVERY_S: Final = 60.0


class Server:
    """Serve methods on the connections of one listening socket.

    With TLS, ALPN must select "h2", and the context decides about certificates. Without TLS,
    clients
    must start HTTP/2 with prior knowledge.

    Args:
        methods: the methods to serve, by full path. Do not change it: connections remember the
            paths
            that they have seen.
        tls: server-side context with ALPN protocols ["h2"]; None means plaintext.
        limits: what a peer may cost.
    """

    def __init__(
        self,
        methods: Methods,
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._methods = methods
        self._tls = tls
        self._limits = limits
        self._links: set[ServerLink] = set()
        self._ended: set[ServerLink] = set()
        self._all_lost: asyncio.Future[None] | None = None
        self._listener: socket.socket | None = None
        self._refused = 0
        self._refusal_logged_at = float("-inf")

    def start(self, listener: socket.socket) -> None:
        """Accept connections from now on. Call this in a running event loop.

        Args:
            listener: listening and non-blocking; `shutdown` closes it.
        """
        if self._listener is not None:
            raise RuntimeError("the server has been started")
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)

    async def shutdown(self, grace_s: float) -> None:
        """Stop accepting, send GOAWAY to the clients, let running calls finish, close.

        A call that is not finished after `grace_s` seconds ends with UNAVAILABLE; then its handler
        is
        cancelled and awaited. Returns when no connection and no task is left. A streaming call that
        stays
        open uses up the grace period, so end it first. A handler that calls this ends its own call.
        """
        loop = asyncio.get_running_loop()
        if self._listener is not None and self._listener.fileno() >= 0:
            loop.remove_reader(self._listener.fileno())
            self._listener.close()
        links = list(self._links)
        if links:
            self._all_lost = loop.create_future()
            for link in links:
                link.shut_down()
            await asyncio.wait((self._all_lost,), timeout=grace_s)
            for link in list(self._links):
                link.stop_waiting()
            # A peer that reads nothing keeps its connection from closing: do not wait long for it.
            if self._links:
                await asyncio.wait((self._all_lost,), timeout=min(grace_s, 0.1))
            for link in list(self._links):
                link.abort(TimeoutError("the peer reads nothing"))
        for link in links + list(self._ended):
            await link.tasks_done()
        self._ended.clear()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        listener = self._listener
        assert listener is not None  # noqa: S101 - for mypy; set by start
        # A burst is accepted in pieces so that running calls get their turn.
        for _ in range(16):
            try:
                sock, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # The process is probably out of descriptors, and the event would come again at
                # once.
                _log.exception("accept failed", extra={"fields": {"event": "accept_failed"}})
                loop.remove_reader(listener.fileno())
                loop.call_later(_ACCEPT_PAUSE_S, self._resume_accepting)
                return
            if len(self._links) >= self._limits.max_connections:
                sock.close()
                self._note_refusal(loop.time())
                continue
            link = ServerLink(
                sock,
                self._methods,
                tls=self._tls,
                limits=self._limits,
                on_lost=self._lost,
            )
            self._links.add(link)
            link.start()

    def _note_refusal(self, now: float) -> None:
        # Anyone who can reach the socket decides how often this happens; it must not fill the log.
        self._refused += 1
        if now - self._refusal_logged_at < _REFUSAL_LOGGED_EVERY_S:
            return
        _log.warning(
            "connections are refused: %d are open",
            len(self._links),
            extra={"fields": {"event": "connections_full", "refused": self._refused}},
        )
        self._refused = 0
        self._refusal_logged_at = now

    def _resume_accepting(self) -> None:
        if self._listener is not None and self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _lost(self, link: ServerLink) -> None:
        self._links.discard(link)
        if link.has_tasks:
            self._ended = {one for one in self._ended if one.has_tasks} | {link}
        if not self._links and self._all_lost is not None and not self._all_lost.done():
            self._all_lost.set_result(None)
        if not link.established:
            # A failed TLS handshake is usually the client's mistake.
            _log.debug("connection ended before HTTP/2 began: %r", link.error)
