"""One process that serves one host, from the handshake line to the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin import hclog, tls
from vault_jwt_plugin.goplugin._stderr import PipeSink
from vault_jwt_plugin.goplugin.broker import Broker
from vault_jwt_plugin.goplugin.errors import StartError
from vault_jwt_plugin.goplugin.handshake import format_line
from vault_jwt_plugin.goplugin.hardening import harden, lock_memory
from vault_jwt_plugin.goplugin.life import EXIT_WITHIN_S, Life
from vault_jwt_plugin.goplugin.listener import Listener, listen, sweep
from vault_jwt_plugin.goplugin.program import bundle_dir
from vault_jwt_plugin.goplugin.services import own_methods

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from vault_jwt_plugin.goplugin.handshake import HandshakeRequest
    from vault_jwt_plugin.goplugin.program import Program

_logger = logging.getLogger(__name__)

_PLUGIN_CLOSE_S = 0.15
_SERVER_GRACE_S = 0.1
_LOG_FLUSH_S = 0.05
_REFUSAL_S = 1.0
_SWEEP_DELAY_S = 5.0
_HOST_LOST_S = 0.25
# Formatted in advance: without memory a log record could not be built.
_OUT_OF_MEMORY = (
    b"[ERROR] the plugin is out of memory and ends; the server starts it again when it is needed\n"
)

HOST_LIMITS = rpc.Limits(max_concurrent_streams=10_000, max_resets_per_interval=500_000)
"""The limits for the host, which alone can connect. It passes on what its callers do, and they need
not be logged in: each waiting call is a stream, and each caller who hangs up causes a reset. If the
connection were closed for either, the broker would be lost, and this process could serve no new
mount.
"""


class Plugin(Protocol):
    """What a process serves in addition to go-plugin's own services."""

    @property
    def version(self) -> str:
        """Return the canonical semantic version with `v`: `v0.1.0`."""

    def methods(self, broker: Broker) -> rpc.Methods:
        """Return the methods by full path; called once, before the event loop runs."""

    async def close(self) -> None:
        """Release all resources; cancelled after 150 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    plugin: Plugin
    listener: Listener
    server_tls: ssl.SSLContext
    client_tls: ssl.SSLContext
    line: bytes


def serve_host(
    make_plugin: Callable[[], Plugin], *, request: HandshakeRequest, program: Program
) -> NoReturn:
    """Serve the host until it ends the process, it is gone, or a signal arrives.

    Args:
        make_plugin: called once, before the handshake line.
        request: what the host asked for.
        program: for the log.
    """
    stdout_fd = _take_stdout()
    sink = PipeSink.on(sys.stderr.fileno(), hclog.dropped_line)
    _log_to(sink)
    life = Life(stdout_fd)
    life.watch()
    harden()
    try:
        if request.mlock:
            lock_memory()
        parts = _prepare(make_plugin, request, life)
        asyncio.run(_serve(parts, life, stdout_fd, sink))
    except StartError as error:
        _logger.critical(
            error.message, extra={"fields": {"event": "start_failed", "code": error.code}}
        )
    except MemoryError:
        _end_without_memory(life, sink)
    except (Exception, SystemExit):
        # SystemExit is how PyInstaller's importer says that it cannot read the program's file:
        # there is no
        # free descriptor, or the life thread is removing the file and must not be stopped by the
        # interpreter's end.
        _logger.exception(
            "the plugin could not start",
            extra={"fields": {"event": "start_fault", "version": program.version}},
        )
    finally:
        sink.flush(_LOG_FLUSH_S)
        life.end(1)


def refuse_version() -> NoReturn:
    """Answer a host that does not offer our protocol version, then end.

    The handshake line makes the host refuse at once and say why. Without an answer it would wait
    until
    its start timeout, and an early end would only tell it that something failed.
    """
    stdout_fd = _take_stdout()
    life = Life(stdout_fd)
    life.watch()
    _write_line(stdout_fd, format_line(address="", certificate_der=b"").encode("ascii"))
    # If stdout ended together with the line, the host would report either of the two.
    time.sleep(_REFUSAL_S)
    life.end(1)


def _prepare(make_plugin: Callable[[], Plugin], request: HandshakeRequest, life: Life) -> _Parts:
    identity = tls.Identity.generate()
    server_tls = tls.server_context(identity, request.client_certificate)
    client_tls = tls.client_context(identity, request.client_certificate)
    plugin = make_plugin()
    with life.making:
        # The socket goes into the folder that a launcher unpacked: if this process is killed, the
        # launcher
        # removes the socket.
        listener = listen(
            socket_dir=request.socket_dir,
            group=request.socket_group,
            own_dir=bundle_dir(),
        )
        life.leaves(listener.remains)
    if listener.remark:
        _logger.warning(listener.remark, extra={"fields": {"event": "socket_elsewhere"}})
    line = format_line(address=str(listener.path), certificate_der=identity.certificate_der)
    return _Parts(
        plugin=plugin,
        listener=listener,
        server_tls=server_tls,
        client_tls=client_tls,
        line=os.fsencode(line),
    )


class _Stop:
    """The request to end the process, whoever makes it.

    Attributes:
        wanted: set once somebody has asked.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wanted = asyncio.Event()
        self._loop = loop

    def soon(self) -> None:
        """End in a later turn of the loop, after the answer to Shutdown has been sent."""
        self._loop.call_soon_threadsafe(self.wanted.set)

    def unless_asked_to(self) -> None:
        """End because the broker stream has ended, unless the host calls Shutdown anyway.

        Hosts end that stream and then call Shutdown. If no Shutdown comes, the connection broke:
        the host
        would open a new one for calls, but would announce no new mount on it. It replaces a process
        only
        once that has ended.
        """
        self._loop.call_later(_HOST_LOST_S, self._lost)

    def _lost(self) -> None:
        if not self.wanted.is_set():
            _logger.error(
                "the connection to the server broke: the plugin ends; the server starts it again "
                "when it is needed",
                extra={"fields": {"event": "host_connection_lost"}},
            )
            self.wanted.set()


async def _serve(parts: _Parts, life: Life, stdout_fd: int, sink: PipeSink) -> NoReturn:
    loop = asyncio.get_running_loop()
    stop = _Stop(loop)

    def on_fault(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if isinstance(context.get("exception"), MemoryError):
            # Nobody knows what was left half done: a connection's state, for example, or a
            # descriptor that stays
            # readable and causes the same fault again and again.
            _end_without_memory(life, sink)
        loop.default_exception_handler(context)

    loop.set_exception_handler(on_fault)
    broker = Broker(parts.client_tls)
    methods = {
        **parts.plugin.methods(broker),
        **own_methods(
            broker, shutdown=stop.soon, stopping=stop.wanted, host_lost=stop.unless_asked_to
        ),
    }
    server = rpc.Server(methods, tls=parts.server_tls, limits=HOST_LIMITS)
    server.start(parts.listener.socket)
    life.on_stop = stop.soon
    _write_line(stdout_fd, parts.line)
    if parts.listener.remains != parts.listener.path:
        # By then the host's first calls, which delay the start of other plugins, are done.
        loop.call_later(_SWEEP_DELAY_S, sweep, parts.listener.remains.parent)
    await stop.wanted.wait()
    life.end_within(EXIT_WITHIN_S)
    try:
        async with asyncio.timeout(_PLUGIN_CLOSE_S):
            await parts.plugin.close()
    except Exception:
        _logger.exception(
            "the plugin did not close cleanly", extra={"fields": {"event": "close_failed"}}
        )
    with contextlib.suppress(Exception):  # The host may be gone already.
        await server.shutdown(_SERVER_GRACE_S)
    sink.flush(_LOG_FLUSH_S)
    life.end(0)


def _end_without_memory(life: Life, sink: PipeSink) -> NoReturn:
    with contextlib.suppress(Exception):
        sink.write(_OUT_OF_MEMORY)
        sink.flush(_LOG_FLUSH_S)
    life.end(1)


def _take_stdout() -> int:
    """Keep the pipe to the host to ourselves: a stray print would corrupt the protocol.

    Returns:
        A descriptor for the original stdout; stdout itself now discards everything.
    """
    sys.stdout.flush()
    fd = os.dup(1)
    try:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        null = os.dup(2)  # The root has no /dev, so a stray print goes to the host's log instead.
    os.dup2(null, 1, inheritable=False)
    os.close(null)
    return fd


def _write_line(stdout_fd: int, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # The host is gone; the watching thread will notice.
        os.write(stdout_fd, line)


def _log_to(sink: PipeSink) -> None:
    """Send everything that Python would print about faults to the host's log, in its format."""
    root = logging.getLogger()
    root.handlers[:] = [hclog.Handler(sink)]
    root.setLevel(logging.WARNING)  # HTTP libraries log addresses at Debug.
    logging.getLogger(__package__.partition(".")[0]).setLevel(logging.DEBUG)  # The host filters.
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False
    sys.excepthook = lambda kind, error, trace: root.critical(
        "uncaught exception", exc_info=(kind, error, trace)
    )
    sys.unraisablehook = lambda fault: root.error(
        "exception that could not be raised: %s", fault.err_msg, exc_info=fault.exc_value
    )
    threading.excepthook = lambda fault: root.error(
        "uncaught exception in a thread", exc_info=fault.exc_value
    )
