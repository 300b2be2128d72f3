"""A host without a server: grpcio on both of its sides, so that every callback can go wrong.

It starts the plugin's program as hosts do (`tests.goplugin.host_stand_in`), with a certificate
that grpcio can use, and serves each mount's storage on a socket of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import ssl
import sys
import threading
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from tests.build.world import is_empty
from tests.conformance.grpcio_peer import OPTIONS
from tests.faults.callbacks import Callbacks
from tests.faults.relay import Relay
from tests.faults.world import role, token
from tests.goplugin.host_stand_in import HostIdentity, StartedPlugin, started
from tests.hosts.tokens import public_pem
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.pb import multiplexing_pb2, plugin_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hosts.plugin import Plugin

IDENTITY = HostIdentity.generate(ec.SECP256R1())
TIMEOUT_S = 10.0
"""For a call that nothing keeps; hosts give no deadline."""

_ERROR_STATUS = {0: 500, 1: 500, 2: 500, 4: 400, 5: 405, 6: 404, 7: 400, 8: 403}
_THREADS = 32


class Outcome(NamedTuple):
    """What the host makes of an answer.

    Attributes:
        status: the HTTP status.
        body: the response's data, or the text of an error.
    """

    status: int
    body: Any


DONE = Outcome(204, None)


def failed(text: str) -> Outcome:
    """An error that is not the caller's, with this text."""
    return Outcome(500, text)


def _outcome(reply: pb.HandleRequestReply, operation: str) -> Outcome:
    if reply.HasField("err"):
        error = reply.err
        status = error.err_code if error.err_type == 3 else _ERROR_STATUS[error.err_type]
        assert not reply.HasField("response"), reply
        return Outcome(status, error.err_msg)
    if not reply.HasField("response"):
        return Outcome(404, None) if operation in {"read", "list"} else DONE
    data = json.loads(reply.response.data)
    if data is not None and data.keys() == {"error"}:
        return Outcome(400, data["error"])
    if reply.response.HasField("auth"):
        return Outcome(200, reply.response.auth)
    return Outcome(200, data)


class Mount:
    """One mount of ours, and the storage that it is given.

    Attributes:
        storage: what the plugin is served, with its faults.
        relay: passes the plugin's connection on, or breaks it.
        last_request: the id of the request sent last.
    """

    def __init__(self, host: StandIn, number: int, folder: Path, *, pages: bool) -> None:
        self.storage = Callbacks(pages=pages)
        self.last_request = ""
        self._host = host
        self._id = f"mount{number:05d}"
        self._uuid = f"uuid-{number}"
        self._requests = itertools.count(1)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(_THREADS), (self.storage,), options=OPTIONS
        )
        credentials = grpc.ssl_server_credentials(
            [(IDENTITY.key_pem, IDENTITY.certificate_pem.encode())],
            root_certificates=host.plugin_pem,
            require_client_auth=True,
        )
        address = folder / f"storage{number}"
        self._server.add_secure_port(f"unix:{address}", credentials)
        self._server.start()
        self.relay = Relay(folder / f"mount{number}", str(address)).__enter__()
        host.announce(number, self.relay.path)
        args = pb.SetupArgs(broker_id=number, backendUUID=self._uuid)
        reply = self.call("pb.Backend/Setup", args, pb.SetupReply)
        assert reply.err == ""

    def initialize(self) -> str:
        """As the host does once storage can be written; the error's text."""
        reply = self.call("pb.Backend/Initialize", pb.InitializeArgs(), pb.InitializeReply)
        text: str = reply.err.err_msg
        return text

    def configured(self) -> Mount:
        """With a key and the roles `demo` and `other`, which `token` may use."""
        assert self.initialize() == ""
        assert self.write("config", jwt_validation_pubkeys=public_pem("rsa")) == DONE
        for name in ("demo", "other"):
            assert self.write(f"role/{name}", **role()) == DONE
        return self

    # Calls.

    def call(self, method: str, message: Any, reply: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """One call; grpc.RpcError for every status but OK."""
        return reply.FromString(self._begin(method, message, timeout_s).result())

    def _begin(self, method: str, message: Any, timeout_s: float) -> Any:
        call = self._host.channel.unary_unary(f"/{method}")
        metadata = (("multiplex_id", self._id),)
        return call.future(message.SerializeToString(), timeout=timeout_s, metadata=metadata)

    def begin(
        self, operation: str, path: str, timeout_s: float = TIMEOUT_S, **fields: Any
    ) -> Pending:
        """Send a request without waiting for its answer. `data` is a dict, or absent."""
        data = json.dumps(fields.pop("data", None))
        connection = pb.Connection(remote_addr="127.0.0.1")
        self.last_request = f"{self._id}-{next(self._requests)}"
        request = pb.Request(
            id=self.last_request, operation=operation, path=path, data=data, connection=connection
        )
        if "auth" in fields:
            request.auth.CopyFrom(fields["auth"])
        args = pb.HandleRequestArgs(request=request)
        return Pending(self._begin("pb.Backend/HandleRequest", args, timeout_s), operation)

    def request(self, operation: str, path: str, **fields: Any) -> Outcome:
        """A request and what comes of it."""
        return self.begin(operation, path, **fields).outcome()

    def read(self, path: str) -> Outcome:
        """A GET."""
        return self.request("read", path)

    def list(self, path: str, **data: Any) -> Outcome:
        """A LIST."""
        return self.request("list", path, data=data)

    def delete(self, path: str) -> Outcome:
        """A DELETE."""
        return self.request("delete", path)

    def patch(self, path: str, **data: Any) -> Outcome:
        """A PATCH."""
        return self.request("patch", path, data=data)

    def write(self, path: str, **data: Any) -> Outcome:
        """A POST: what exists is asked first; where that fails its text is what hosts log."""
        exists = self.exists(path, **data)
        if exists.HasField("err") and exists.err.err_type != 6:
            return Outcome(500, f"existence check: {exists.err.err_msg}")
        is_new = exists.check_found and not exists.exists
        return self.request("create" if is_new else "update", path, data=data)

    def exists(self, path: str, **data: Any) -> pb.HandleExistenceCheckReply:
        """The existence check before a POST."""
        request = pb.Request(operation="update", path=path, data=json.dumps(data))
        args = pb.HandleExistenceCheckArgs(request=request)
        reply = self.call("pb.Backend/HandleExistenceCheck", args, pb.HandleExistenceCheckReply)
        assert isinstance(reply, pb.HandleExistenceCheckReply)
        return reply

    def login(self, name: str = "demo", path: str = "login") -> Outcome:
        """A login with a good token; the auth, or what is wrong."""
        return self.request("update", path, data={"role": name, "jwt": token()})

    def begin_login(self, name: str = "demo") -> Pending:
        """A login whose answer is not waited for."""
        return self.begin("update", "login", data={"role": name, "jwt": token()})

    def renew(self, auth: pb.Auth) -> Outcome:
        """A renewal of what a login gave."""
        return self.request("renew", "login", auth=auth)

    def rollback(self) -> Outcome:
        """The minute's tick."""
        return self.request("rollback", "")

    def invalidate(self, key: str) -> None:
        """As on a standby when another node has written."""
        self.call("pb.Backend/InvalidateKey", pb.InvalidateKeyArgs(key=key), pb.Empty)

    def logged_failure(self) -> tuple[str, str]:
        """Code and text that the log has of the last request."""
        line = self._host.wait_logged("request_failed", request=self.last_request)
        return line["code"], line["error"]

    def wait_logged(self, event: str) -> dict[str, Any]:
        """The last line of this mount with this event, once there is one."""
        module = f"vault_jwt_plugin.backend.{self._uuid}"
        return self._host.wait_logged(event, **{"@module": module})

    def close(self) -> None:
        """As when the mount is disabled: cleanup, then the end of what serves it; idempotent."""
        with contextlib.suppress(grpc.RpcError):
            self.call("pb.Backend/Cleanup", pb.Empty(), pb.Empty)
        self._server.stop(0).wait(5)
        self.relay.__exit__()


class Pending:
    """A request under way."""

    def __init__(self, future: Any, operation: str) -> None:
        self._future = future
        self._operation = operation

    def outcome(self) -> Outcome:
        """What came of it; a gRPC status is a 500, as with hosts."""
        try:
            reply = pb.HandleRequestReply.FromString(self._future.result())
        except grpc.RpcError as error:
            status: Any = error
            return failed(f"rpc error: {status.code().name}: {status.details()}")
        return _outcome(reply, self._operation)

    def cancel(self) -> None:
        """As when the host's own caller has gone away."""
        self._future.cancel()

    @property
    def waiting(self) -> bool:
        """Whether there is no answer yet."""
        return not self._future.done()


class StandIn:
    """A host with one plugin process.

    Attributes:
        plugin: the process, and what its handshake line said.
        channel: grpcio's, to the plugin.
        relay: passes that connection on, or breaks it.
        log: the process's log lines so far.
    """

    def __init__(self, plugin: StartedPlugin, folder: Path) -> None:
        self.plugin = plugin
        self.plugin_pem = ssl.DER_cert_to_PEM_cert(plugin.certificate_der).encode()
        self.log: list[dict[str, Any]] = []
        self._folder = folder
        self._numbers = itertools.count(1)
        self._mounts: list[Mount] = []
        self._logged = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.relay = Relay(folder / "plugin", plugin.address).__enter__()
        credentials = grpc.ssl_channel_credentials(
            self.plugin_pem, IDENTITY.key_pem, IDENTITY.certificate_pem.encode()
        )
        # Hosts do not reconnect: a process that they lose is replaced.
        options = [*OPTIONS, ("grpc.ssl_target_name_override", "localhost")]
        self.channel = grpc.secure_channel(f"unix:{self.relay.path}", credentials, options)
        self._announcements: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        start_stream = self.channel.stream_stream("/plugin.GRPCBroker/StartStream")
        self._broker = start_stream(iter(self._announcements.get, None))
        stream_stdio = self.channel.unary_stream("/plugin.GRPCStdio/StreamStdio")
        self._stdio = stream_stdio(b"")
        support = "/pluginutil.multiplexing.PluginMultiplexing/MultiplexingSupport"
        answer = self.channel.unary_unary(support)(b"", timeout=TIMEOUT_S)
        assert multiplexing_pb2.MultiplexingSupportResponse.FromString(answer).supported

    def mount(self, *, pages: bool = True) -> Mount:
        """Make a mount, as far as its Setup; `pages`: as on OpenBao, see `Callbacks`."""
        mount = Mount(self, next(self._numbers), self._folder, pages=pages)
        self._mounts.append(mount)
        return mount

    def announce(self, number: int, path: Path) -> None:
        """Tell the plugin where a mount is served."""
        info = plugin_pb2.ConnInfo(service_id=number, network="unix", address=str(path))
        self._announcements.put(info.SerializeToString())

    def end_broker_stream(self) -> None:
        """End the stream of announcements, as hosts do before they ask for the end."""
        self._announcements.put(None)

    def shut_down(self) -> None:
        """Ask for the end, as hosts do."""
        self.end_broker_stream()
        with contextlib.suppress(grpc.RpcError):
            self.channel.unary_unary("/plugin.GRPCController/Shutdown")(b"", timeout=TIMEOUT_S)

    def wait_ended(self, within_s: float) -> float:
        """The seconds until the process and both its pipes are at their end."""
        began = time.monotonic()
        self.plugin.process.wait(within_s)
        self._reader.join(max(0.0, within_s - (time.monotonic() - began)))
        assert not self._reader.is_alive(), "the end of the log is missing"
        return time.monotonic() - began

    def wait_logged(self, event: str, **fields: str) -> dict[str, Any]:
        """The last line with this event and these fields, once there is one."""
        wanted = {"event": event} | fields

        def found() -> dict[str, Any] | None:
            return next((line for line in reversed(self.log) if wanted.items() <= line.items()), {})

        with self._logged:
            line = self._logged.wait_for(found, TIMEOUT_S)
        assert line, f"{wanted} is not in the log: {self.log[-20:]}"
        return line

    def _read_log(self) -> None:
        assert self.plugin.process.stderr is not None
        for raw in self.plugin.process.stderr:
            with self._logged:
                self.log.append(_log_line(raw))
                self._logged.notify_all()

    def close(self) -> None:
        """End the process if it still runs, and everything of ours."""
        for mount in self._mounts:
            mount.close()
        if self.plugin.process.poll() is None:
            self.shut_down()
        self.end_broker_stream()
        self.channel.close()
        self.relay.__exit__()


def _log_line(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except ValueError:
        return {"raw": raw}
    assert isinstance(line, dict)
    return line


@contextlib.contextmanager
def standing_in(plugin: Plugin, folder: Path) -> Iterator[StandIn]:
    """A host with the plugin started; nothing of it may be left.

    Args:
        plugin: what to start.
        folder: an empty one with a short name, for sockets and the process's own.
    """
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "vault_jwt_plugin"] if plugin.path is None else [plugin.path]
    with started([str(part) for part in command], identity=IDENTITY, TMPDIR=str(temporary)) as one:
        host = StandIn(one, folder)
        try:
            yield host
        finally:
            host.close()
            host.wait_ended(5)
        assert is_empty(temporary)
