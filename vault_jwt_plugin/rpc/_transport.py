"""A socket with or without TLS, driven by the event loop.

asyncio's own transports are not used because their TLS costs as much per call as all of HTTP/2
here. This one reads what is available, passes it on, and writes the whole result with one `send`.
TLS is OpenSSL between two memory buffers, so partial writes and half records never mix.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from vault_jwt_plugin.rpc.limits import Limits

# Several TLS records (16 KiB) per system call.
_READ_BYTES: Final = 65_536
_RECORD_BYTES: Final = 16_384
# Plaintext is encrypted in pieces of this size as the socket takes them.
_ENCRYPT_BYTES: Final = 262_144


class TransportUser(Protocol):
    """The protocol on top of a transport. No method may raise."""

    def connection_made(self) -> None:
        """Handle the end of the handshake; writing is possible from now on."""

    def data_received(self, data: bytes) -> None:
        """Take plaintext from the peer."""

    def data_to_send(self) -> bytes:
        """Return the bytes to write. The transport asks after each batch that it read."""

    def writable(self) -> None:
        """Handle that the backlog has fallen below the high-water mark again."""

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the end; called once. None means that either side closed in order."""


class Transport:
    """One connected socket, owned by its `TransportUser`, on one event loop.

    Attributes:
        congested: more than `Limits.write_high_water_bytes` wait for the socket.
    """

    def __init__(
        self,
        sock: socket.socket,
        user: TransportUser,
        *,
        tls: ssl.SSLContext | None,
        server_side: bool,
        server_hostname: str | None,
        limits: Limits,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._user = user
        self._limits = limits
        self._plain = bytearray()
        self._cipher = b""
        self._closing = False
        self._lost = False
        self._reading = False
        self._ready = tls is None
        self._timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self.congested = False
        # The loop's time since which the socket takes nothing; None if nothing waits.
        self._blocked_at: float | None = None
        self._tls: ssl.SSLObject | None = None
        if tls is not None:
            self._incoming = ssl.MemoryBIO()
            self._outgoing = ssl.MemoryBIO()
            self._tls = tls.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_side,
                server_hostname=None if server_side else server_hostname,
            )
        sock.setblocking(False)  # noqa: FBT003 - the socket API
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Start reading and the TLS handshake, which may take at most `handshake_timeout_s`."""
        self._resume_reading()
        if self._ready:
            self._user.connection_made()
            self.flush()
            return
        self._timer = self._loop.call_later(
            self._limits.handshake_timeout_s,
            self._lose,
            TimeoutError("no TLS handshake in time"),
        )
        self._shake_hands()

    def flush(self) -> None:
        """Write what the user has to send."""
        if self._ready and not self._lost:
            self._write(self._user.data_to_send())

    def close(self) -> None:
        """Write what is left, send TLS close_notify, close."""
        if self._lost or self._closing:
            return
        self.flush()
        self._closing = True
        self._pause_reading()
        if not self._plain and not self._cipher:
            self._goodbye()

    def abort(self, error: Exception | None = None) -> None:
        """Close at once and drop what waits."""
        self._lose(error)

    # Reading

    def _resume_reading(self) -> None:
        if not self._reading and not self._lost and not self._closing:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if self._tls is None:
            if not data:
                self._lose(None)
                return
            self._user.data_received(data)
            self.flush()
            return
        if not data:
            self._lose(None if self._ready else ConnectionResetError("closed during the handshake"))
            return
        self._incoming.write(data)
        if self._ready:
            self._decrypt()
        else:
            self._shake_hands()

    def _decrypt(self) -> None:
        """Pass on every whole record that has arrived, then write the result."""
        tls = self._tls
        assert tls is not None  # noqa: S101 - for mypy; only called with TLS
        incoming = self._incoming
        try:
            # This check saves the exception that says "no more data", which costs 2 us.
            while incoming.pending or tls.pending():
                data = tls.read(_RECORD_BYTES)
                if not data:
                    self.flush()
                    self._lose(None)
                    return
                self._user.data_received(data)
                if self._lost:
                    return
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.flush()
            self._lose(None)
            return
        except ssl.SSLError as error:
            self._send_cipher()
            self._lose(error)
            return
        self.flush()
        if self._outgoing.pending:
            # OpenSSL's own output: an answer to a key update, or an alert.
            self._send_cipher()

    def _shake_hands(self) -> None:
        tls = self._tls
        assert tls is not None  # noqa: S101 - for mypy; only called with TLS
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_cipher()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            # The alert tells the peer why.
            self._send_cipher()
            self._lose(error)
            return
        self._send_cipher()
        if tls.selected_alpn_protocol() != "h2":
            self._lose(ssl.SSLError("the peer did not select the ALPN protocol h2"))
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost:
            return
        self._ready = True
        self._user.connection_made()
        self.flush()
        if self._ready and not self._lost:
            self._decrypt()

    # Writing

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._plain or self._cipher:
            self._plain += data
            self._note_backlog()
            return
        if self._tls is None:
            rest = self._send(data)
            if rest:
                self._plain += rest
                self._note_backlog()
        elif len(data) <= _ENCRYPT_BYTES:
            self._encrypt(data)
            self._send_cipher()
        else:
            self._plain += data
            self._on_writable()

    def _encrypt(self, data: bytes) -> None:
        assert self._tls is not None  # noqa: S101 - for mypy; only called with TLS
        try:
            # A memory buffer takes everything at once, so there are no partial writes.
            self._tls.write(data)
        except ssl.SSLError as error:
            self._lose(error)

    def _send(self, data: bytes) -> bytes:
        """Send data; return what the socket did not take."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as error:
            self._lose(error)
            return b""
        return data[sent:] if sent < len(data) else b""

    def _send_cipher(self) -> None:
        data = self._outgoing.read()
        if self._cipher:
            self._cipher += data
        elif data:
            self._cipher = self._send(data)
            if self._cipher:
                self._note_backlog()

    def _note_backlog(self) -> None:
        """Watch a socket that has a backlog, and stop reading if the backlog is too large."""
        if self._lost:
            return
        if self._blocked_at is None:
            self._blocked_at = self._loop.time()
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
            self._watch_stall(self._limits.stall_timeout_s)
        if len(self._plain) + len(self._cipher) > self._limits.write_high_water_bytes:
            self.congested = True
            self._pause_reading()

    def _watch_stall(self, delay: float) -> None:
        if self._stall_timer is None:
            self._stall_timer = self._loop.call_later(delay, self._check_stall)

    def _check_stall(self) -> None:
        self._stall_timer = None
        if self._blocked_at is None:
            return
        left = self._blocked_at + self._limits.stall_timeout_s - self._loop.time()
        if left <= 0:
            self._lose(TimeoutError("the peer reads nothing"))
        else:
            self._watch_stall(left)

    def _on_writable(self) -> None:
        """Send until nothing is left or the socket is full."""
        while self._cipher or self._plain:
            if not self._send_backlog():
                self._note_backlog()
                return
        self._backlog_gone()

    def _send_backlog(self) -> bool:
        """Send the oldest waiting piece; return whether the socket took all of it."""
        if not self._cipher:
            piece = bytes(memoryview(self._plain)[:_ENCRYPT_BYTES])
            del self._plain[:_ENCRYPT_BYTES]
            if self._tls is None:
                self._cipher = piece
            else:
                self._encrypt(piece)
                self._cipher = self._outgoing.read()
        rest = self._send(self._cipher)
        if len(rest) < len(self._cipher) and self._blocked_at is not None:
            self._blocked_at = self._loop.time()
        self._cipher = rest
        return not rest

    def _backlog_gone(self) -> None:
        if self._lost:
            return
        if self._blocked_at is not None:
            self._blocked_at = None
            self._loop.remove_writer(self._sock.fileno())
        if self._closing:
            self._goodbye()
            return
        if self.congested:
            self.congested = False
            self._resume_reading()
            self._user.writable()
            self.flush()

    # Closing

    def _goodbye(self) -> None:
        if self._tls is not None and self._ready:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            with contextlib.suppress(OSError):
                self._sock.send(self._outgoing.read())
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._reading = False
        for timer in (self._timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        descriptor = self._sock.fileno()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._sock.close()
        self._plain.clear()
        self._cipher = b""
        self._user.connection_lost(error)
