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
# Made beforehand: where there is no memory, a log record could not be put together.
_OUT_OF_MEMORY = (
    b"[ERROR] the plugin is out of memory and ends; the server starts it anew when it is needed\n"
)

HOST_LIMITS = rpc.Limits(max_concurrent_streams=10_000, max_resets_per_interval=500_000)
"""What the host may cost, who alone can connect. It passes on what its callers do, who need not be
logged in: each call that waits is a stream, each one who hangs up a reset. A connection that was
closed for either takes the broker with it, and then no mount can be made in this process."""


class Plugin(Protocol):
    """What a process serves beside go-plugin's own services."""

    @property
    def version(self) -> str:
        """Canonical semantic version with `v`: `v0.1.0`."""

    def methods(self, broker: Broker) -> rpc.Methods:
        """Its methods by full path; called once, before the event loop runs."""

    async def close(self) -> None:
        """Let go of what it holds; cut off after 150 ms."""


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
    """Serve the host until it ends us, is gone, or a signal comes.

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
        # SystemExit is how PyInstaller's importer says that it cannot read the program's file: no
        # descriptor is left, or the life thread is removing it and must not be stopped by the
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

    With a handshake line, which it refuses at once and says why; silence would cost it the start's
    timeout, and an early end only tells it that something was wrong.
    """
    stdout_fd = _take_stdout()
    life = Life(stdout_fd)
    life.watch()
    _write_line(stdout_fd, format_line(address="", certificate_der=b"").encode("ascii"))
    # Were the end of stdout to come with the line, the host would pick one of the two to report.
    time.sleep(_REFUSAL_S)
    life.end(1)


def _prepare(make_plugin: Callable[[], Plugin], request: HandshakeRequest, life: Life) -> _Parts:
    identity = tls.Identity.generate()
    server_tls = tls.server_context(identity, request.client_certificate)
    client_tls = tls.client_context(identity, request.client_certificate)
    plugin = make_plugin()
    with life.making:
        # In what a launcher unpacked: should this process be killed, the launcher removes the
        # socket.
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
    """The wish that the process ends, whoever has it.

    Attributes:
        wanted: set once somebody has.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wanted = asyncio.Event()
        self._loop = loop

    def soon(self) -> None:
        """End in a later turn of the loop, when the answer to Shutdown is on its way."""
        self._loop.call_soon_threadsafe(self.wanted.set)

    def unless_asked_to(self) -> None:
        """The broker stream has ended: end too, if the host does not ask for it anyway.

        Hosts end that stream, then call Shutdown. Without that, the connection broke: a host would
        open a new one for calls, but announces no Setup any more. It replaces a process that has
        ended, and only that.
        """
        self._loop.call_later(_HOST_LOST_S, self._lost)

    def _lost(self) -> None:
        if not self.wanted.is_set():
            _logger.error(
                "the connection to the server broke: the plugin ends; the server starts it anew "
                "when it is needed",
                extra={"fields": {"event": "host_connection_lost"}},
            )
            self.wanted.set()


async def _serve(parts: _Parts, life: Life, stdout_fd: int, sink: PipeSink) -> NoReturn:
    loop = asyncio.get_running_loop()
    stop = _Stop(loop)

    def on_fault(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if isinstance(context.get("exception"), MemoryError):
            # Nobody knows what was left half done: a connection's state, a descriptor that stays
            # readable and brings the same fault again at once, and for ever.
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
        # When the host's first calls, which the start of other plugins waits for, are done.
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
    """Keep the pipe to the host to ourselves: a stray print would end up in the protocol.

    Returns:
        A descriptor for what was stdout, which now goes nowhere.
    """
    sys.stdout.flush()
    fd = os.dup(1)
    try:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        null = os.dup(2)  # A root without /dev: a stray print goes to the host's log instead.
    os.dup2(null, 1, inheritable=False)
    os.close(null)
    return fd


def _write_line(stdout_fd: int, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # The host is gone, as the watch will notice.
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
