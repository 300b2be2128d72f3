"""Connections of `requests` that another thread can end, with our TLS settings.

`exchange` says why `requests` needs them. Imported at the first fetch, as `exchange` is.
"""

from __future__ import annotations

import functools
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from vault_jwt_plugin.jwt_auth.fetching.trust import KeptContexts

if TYPE_CHECKING:
    import ssl

    import requests

    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust


# Of the process: one for each mount would cost a megabyte for each.
_contexts = KeptContexts()


class Connections:
    """Connections that requests with the same trust may use one after the other.

    Args:
        trust: what servers must show.
    """

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._sockets = _Sockets()
        self._adapter: _Adapter | None = None

    def adapter(self) -> _Adapter:
        """What sends over them.

        Raises:
            BadCAError: as `trust.KeptContexts.of`.
        """
        if self._adapter is None:
            self._adapter = _Adapter(_contexts.of(self._trust), self._sockets)
        return self._adapter

    def shut_down(self) -> None:
        """Make whatever uses them fail soon; from any thread, at any time."""
        self._sockets.shut_down()

    def close(self) -> None:
        """Close those that nobody uses, forget the others. Idempotent."""
        if self._adapter is not None:
            self._adapter.close()
        self._sockets.forget()


class _Sockets:
    """Second handles to connections, by which another thread can shut them down.

    A duplicate, because wrapping a socket in TLS detaches it from its descriptor.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._duplicates: list[socket.socket] = []
        self._shut_down = False

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            if self._shut_down:
                connection.close()
                raise TimeoutError
            self._duplicates.append(connection.dup())

    def shut_down(self) -> None:
        with self._lock:
            self._shut_down = True
            for duplicate in self._duplicates:
                try:
                    duplicate.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The peer was faster.
                    continue

    def forget(self) -> None:
        with self._lock:
            for duplicate in self._duplicates:
                duplicate.close()
            self._duplicates.clear()


# Classes of the module, not of each adapter: a class is part of cycles, and what a fetch leaves to
# the collector of garbage is there for minutes.
class _Plain(HTTPConnection):
    def __init__(self, *args: Any, sockets: _Sockets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._sockets.add(connection)
        return connection


class _Encrypted(HTTPSConnection):
    def __init__(self, *args: Any, sockets: _Sockets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._sockets.add(connection)
        return connection


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class _Adapter(HTTPAdapter):
    """Connections with our TLS settings and nothing of certifi's, noted in `sockets`."""

    def __init__(self, context: ssl.SSLContext, sockets: _Sockets) -> None:
        self._context = context
        # What a pool does not know it passes on to its connections.
        self._pools = {
            "http": functools.partial(_PlainPool, sockets=sockets),
            "https": functools.partial(_EncryptedPool, sockets=sockets),
        }
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        del verify, cert
        parts = urlsplit(request.url or "")
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        if parts.scheme != "https":
            return host, {}
        tls: dict[str, Any] = {"ssl_context": self._context}
        if not self._context.check_hostname:
            # The context checks the names that are accepted instead of the host's.
            tls["assert_hostname"] = False
        return host, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context alone: `requests` would add certifi's roots to it."""
