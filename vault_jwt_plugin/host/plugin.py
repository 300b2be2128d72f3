"""The adapter between the host's calls and backends: one instance per mount.

Mirrors `sdk/plugin/grpc_backend_server.go`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError

from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin import PROTOCOL_VERSION, BrokerError, multiplex_id
from vault_jwt_plugin.host import response as replies
from vault_jwt_plugin.host.callbacks import Channel, HostStorage, HostSystemView
from vault_jwt_plugin.host.faults import FaultLog, event
from vault_jwt_plugin.host.guard import harmless
from vault_jwt_plugin.host.lag import LagMonitor
from vault_jwt_plugin.host.request import OPERATIONS, RequestView
from vault_jwt_plugin.pb import backend_pb2, logical_pb2, multiplexing_pb2
from vault_jwt_plugin.sdk.backend import Backend, BackendContext, BackendFactory
from vault_jwt_plugin.sdk.errors import InternalError, LogicalError, ReadOnlyError
from vault_jwt_plugin.sdk.fields import HostFamily
from vault_jwt_plugin.sdk.request import Operation, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from vault_jwt_plugin.goplugin import Broker

_logger = logging.getLogger(__name__)

ROLLBACK_TIMEOUT_S = 80.0
"""The longest periodic work, in seconds; the host gives it 90 s."""

CLEANUP_TIMEOUT_S = 5.0
"""The longest cleanup of one mount, in seconds; the host waits for it without limit."""

LINGER_S = 3.0
"""How long a process that has no instance lives on after a failed Setup, in seconds.

The host reports such a failure but does not end the process.
"""

_EMPTY = b""
_TYPE_CREDENTIAL = 2
_TYPE_REPLY = backend_pb2.TypeReply(type=_TYPE_CREDENTIAL).SerializeToString()
_MULTIPLEXED = multiplexing_pb2.MultiplexingSupportResponse(supported=True).SerializeToString()

_M = TypeVar("_M", bound="Message")


@dataclass(slots=True, kw_only=True)
class Instance:
    """One Setup of one mount.

    Attributes:
        backend: answers the mount's requests.
        channel: the connection to the host's storage and system view for this mount.
        special_paths: serialised `SpecialPathsReply`.
        faults: the errors of its requests.
    """

    backend: Backend
    channel: Channel
    special_paths: bytes
    faults: FaultLog

    async def close(self) -> None:
        """Close the backend, then its connection; log what fails, within `CLEANUP_TIMEOUT_S` each.

        The connection is always closed: the host waits until it is gone.
        """
        for end in (self.backend.cleanup, self.channel.close):
            try:
                async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                    await end()
            except Exception:
                _logger.exception("cleanup failed", extra=event("cleanup_failed"))


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class BackendPlugin:
    """Serve a backend to Vault or OpenBao; implements `goplugin.Plugin`.

    Attributes:
        version: canonical semantic version with `v`, which the host shows in its catalog.
    """

    def __init__(
        self,
        factory: BackendFactory,
        *,
        version: str,
        end_process: Callable[[], None] = _end_process,
        linger_s: float = LINGER_S,
    ) -> None:
        """Store the settings; nothing runs before the first call.

        Args:
            factory: makes a mount's backend during its Setup.
            version: such as `v0.1.0`.
            end_process: requests an orderly end of the process.
            linger_s: see `LINGER_S`.
        """
        self.version = version
        self._factory = factory
        self._end_process = end_process
        self._linger_s = linger_s
        self._instances: dict[str, Instance] = {}
        self._broker: Broker | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._setups = 0
        self._end_timer: asyncio.TimerHandle | None = None
        self._lag = LagMonitor()
        self._version_reply = logical_pb2.VersionReply(plugin_version=version).SerializeToString()

    def methods(self, broker: Broker) -> rpc.Methods:
        """Return the plugin's methods by full path.

        Args:
            broker: connects to the host's services for one Setup.
        """
        self._broker = broker
        unary = rpc.unary
        return {
            "/pb.Backend/Setup": unary(self._setup),
            "/pb.Backend/Type": unary(self._type),
            "/pb.Backend/SpecialPaths": unary(self._special_paths),
            "/pb.Backend/Initialize": unary(self._initialize),
            "/pb.Backend/HandleExistenceCheck": unary(self._handle_existence_check),
            "/pb.Backend/HandleRequest": unary(self._handle_request),
            "/pb.Backend/InvalidateKey": unary(self._invalidate_key),
            "/pb.Backend/Cleanup": unary(self._cleanup),
            # These two need no metadata. If Version answers with any status except OK, the host
            # panics.
            "/logical.PluginVersion/Version": unary(lambda _call, _message: self._version_reply),
            "/pluginutil.multiplexing.PluginMultiplexing/MultiplexingSupport": unary(
                lambda _call, _message: _MULTIPLEXED
            ),
        }

    async def close(self) -> None:
        """Close every instance; called at the end of the process."""
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._lag.stop()
        instances = list(self._instances.values())
        self._instances.clear()
        await asyncio.gather(*(instance.close() for instance in instances), *self._closing)

    def _instance(self, call: rpc.Call) -> Instance:
        instance = self._instances.get(call.metadata.get("multiplex_id", ""))
        if instance is None:
            multiplex_id(call)
            raise rpc.RPCError(rpc.StatusCode.UNKNOWN, "no backend instance found")
        return instance

    # Setup and cleanup

    async def _setup(self, call: rpc.Call, message: bytes) -> bytes:
        instance_id = multiplex_id(call)
        args = _parse(backend_pb2.SetupArgs, message)
        self._setups += 1
        self._lag.start()
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
        try:
            failure = await self._set_up(instance_id, args)
        finally:
            self._setups -= 1
            if not self._instances and not self._setups:
                loop = asyncio.get_running_loop()
                self._end_timer = loop.call_later(self._linger_s, self._end_if_unused)
        return backend_pb2.SetupReply(err=failure).SerializeToString()

    async def _set_up(self, instance_id: str, args: backend_pb2.SetupArgs) -> str:
        """Make the instance; return the error for the operator, or an empty string."""
        assert self._broker is not None  # noqa: S101 - methods() gave it before any call
        try:
            channel = await self._broker.dial(args.broker_id)
        except BrokerError as error:
            _logger.exception("setup failed", extra=event("setup_failed"))
            return harmless(f"setup failed: {error}")
        try:
            backend = self._factory(self._context(channel, args))
        except Exception as error:
            _logger.exception("setup failed", extra=event("setup_failed"))
            with suppress(Exception):
                await channel.close()
            known = isinstance(error, LogicalError) and error.message
            return harmless(f"setup failed: {known or replies.FAULT_TEXT}")
        except BaseException:
            await channel.close()
            raise
        previous = self._instances.get(instance_id)
        self._instances[instance_id] = Instance(
            backend=backend,
            channel=channel,
            special_paths=_special_paths_reply(backend),
            faults=FaultLog(args.backendUUID),
        )
        if previous is not None:
            self._close_soon(previous)
        return ""

    def _context(self, channel: Channel, args: backend_pb2.SetupArgs) -> BackendContext:
        return BackendContext(
            storage=HostStorage(channel),
            system=HostSystemView(channel),
            logger=_logger_of(args.backendUUID),
            config=dict(args.Config),
            backend_uuid=args.backendUUID,
            version=self.version,
            host_family=_host_family(),
            protocol_version=PROTOCOL_VERSION,
            loop_lag=self._lag.read,
        )

    def _end_if_unused(self) -> None:
        if not self._instances and not self._setups:
            _logger.warning(
                "no mount is left after a failed setup: the process ends",
                extra=event("process_unused"),
            )
            self._end_process()

    def _cleanup(self, call: rpc.Call, _message: bytes) -> bytes | Awaitable[bytes]:
        # If the process survives, a second Cleanup for the same mount follows.
        instance = self._instances.pop(multiplex_id(call), None)
        if instance is None:
            return _EMPTY
        return self._cleaned_up(self._close_soon(instance))

    def _close_soon(self, instance: Instance) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(instance.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _cleaned_up(self, task: asyncio.Task[None]) -> bytes:
        # If the host stops waiting, the connection and the backend's threads must still be closed.
        await asyncio.shield(task)
        return _EMPTY

    async def _initialize(self, call: rpc.Call, _message: bytes) -> bytes:
        backend = self._instance(call).backend
        try:
            await backend.initialize()
        except ReadOnlyError:
            # This is a standby; its mount must start all the same.
            _logger.debug("initialize: storage is read-only here")
        except LogicalError as error:
            return _initialize_failed(replies.error_to_pb(error))
        except Exception:
            _logger.exception("initialize failed", extra=event("initialize_failed"))
            return _initialize_failed(replies.fault_to_pb())
        return _EMPTY

    # Description of a mount

    def _type(self, call: rpc.Call, _message: bytes) -> bytes:
        self._instance(call)
        return _TYPE_REPLY

    def _special_paths(self, call: rpc.Call, _message: bytes) -> bytes:
        return self._instance(call).special_paths

    def _invalidate_key(self, call: rpc.Call, message: bytes) -> bytes:
        backend = self._instance(call).backend
        key = _parse(backend_pb2.InvalidateKeyArgs, message).key
        try:
            backend.invalidate_key(key)
        except Exception:
            _logger.exception("invalidation failed", extra=event("invalidation_failed", key=key))
        return _EMPTY

    # Requests

    def _handle_existence_check(self, call: rpc.Call, message: bytes) -> bytes | Awaitable[bytes]:
        instance = self._instance(call)
        request = _parse(backend_pb2.HandleExistenceCheckArgs, message).request
        operation = OPERATIONS.get(request.operation, Operation.UPDATE)
        view = RequestView(request, operation)
        try:
            exists = instance.backend.handle_existence_check(view)
        except Exception as error:  # noqa: BLE001 - `FaultLog` tells the errors apart and logs them
            return instance.faults.check_failed(error, view)
        if exists is None:
            return replies.NO_CHECK_REPLY
        if isinstance(exists, bool):
            return replies.EXISTENCE_REPLIES[exists]
        return _check_later(exists, view, instance.faults)

    def _handle_request(self, call: rpc.Call, message: bytes) -> bytes | Awaitable[bytes]:
        instance = self._instance(call)
        request = _parse(backend_pb2.HandleRequestArgs, message).request
        operation = OPERATIONS.get(request.operation)
        if operation is None:
            return replies.UNSUPPORTED_OPERATION_REPLY
        view = RequestView(request, operation)
        stored = request.auth if operation is Operation.RENEW else None
        if operation is Operation.ROLLBACK:
            # The host calls this about every minute.
            instance.faults.flush()
        try:
            answer = instance.backend.handle_request(view)
            if answer is None or isinstance(answer, Response):
                return replies.reply(answer, operation, stored)
        except Exception as error:  # noqa: BLE001 - `FaultLog` tells the errors apart and logs them
            return instance.faults.request_failed(error, view)
        return _answer_later(answer, view, stored, instance.faults)


def _parse(kind: type[_M], message: bytes) -> _M:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        text = f"not a {kind.DESCRIPTOR.full_name}"
        raise rpc.RPCError(rpc.StatusCode.INTERNAL, text) from error


def _logger_of(backend_uuid: str) -> logging.Logger:
    """Make a logger that goes away with the mount: `getLogger` keeps its loggers for ever."""
    parent = logging.getLogger("vault_jwt_plugin.backend")
    if not backend_uuid:
        return parent
    logger = logging.Logger(f"{parent.name}.{backend_uuid}")  # noqa: LOG001 - see above
    logger.parent = parent
    return logger


def _host_family() -> HostFamily:
    """Return the server's family: only OpenBao names its variables a second time."""
    return HostFamily.OPENBAO if "BAO_VERSION" in os.environ else HostFamily.VAULT


def _special_paths_reply(backend: Backend) -> bytes:
    paths = backend_pb2.Paths(
        root=backend.root,
        unauthenticated=backend.unauthenticated,
        local_storage=backend.local_storage,
        seal_wrap_storage=backend.seal_wrap_storage,
    )
    return backend_pb2.SpecialPathsReply(paths=paths).SerializeToString()


def _initialize_failed(error: backend_pb2.ProtoError) -> bytes:
    return backend_pb2.InitializeReply(err=error).SerializeToString()


async def _check_later(
    pending: Awaitable[bool | None], view: RequestView, faults: FaultLog
) -> bytes:
    try:
        exists = await pending
    except Exception as error:  # noqa: BLE001 - `FaultLog` tells the errors apart and logs them
        return faults.check_failed(error, view)
    return replies.NO_CHECK_REPLY if exists is None else replies.EXISTENCE_REPLIES[exists]


async def _answer_later(
    pending: Awaitable[Response | None],
    view: RequestView,
    stored: backend_pb2.Auth | None,
    faults: FaultLog,
) -> bytes:
    try:
        if view.operation is Operation.ROLLBACK:
            answer = await _in_time(pending)
        else:
            answer = await pending
        return replies.reply(answer, view.operation, stored)
    except Exception as error:  # noqa: BLE001 - `FaultLog` tells the errors apart and logs them
        return faults.request_failed(error, view)


async def _in_time(pending: Awaitable[Response | None]) -> Response | None:
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
            return await pending
    except TimeoutError:
        text = f"periodic work took longer than {ROLLBACK_TIMEOUT_S:g} s"
        raise InternalError(text, code="periodic_timeout") from None
