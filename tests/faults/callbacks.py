"""The host's services for one mount, served by grpcio over a dict, with faults on demand."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from vault_jwt_plugin.pb import backend_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

READ_ONLY = "cannot write to readonly storage"
"""The host's text that makes OpenBao send the request to its active node."""

WRITABLE = 12288
STANDBY = 24576
"""`ReplicationState` of a node that can write, and of an OpenBao standby."""

MAX_TTL_NS = 2_764_800_000_000_000

HELD_S = 20.0
"""After this time a call that a test forgot continues, in seconds."""

GET, PUT, DELETE, LIST, LIST_PAGE = "Get", "Put", "Delete", "List", "ListPage"

_REPLIES: dict[str, Callable[..., Message]] = {
    GET: pb.StorageGetReply,
    PUT: pb.StoragePutReply,
    DELETE: pb.StorageDeleteReply,
    LIST: pb.StorageListReply,
    LIST_PAGE: pb.StorageListReply,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A call from the plugin.

    Attributes:
        method: such as `Get`.
        key: the key or the list's prefix; "" for the system view.
        serve: does the work and returns the serialised reply.
        context: grpcio's.
    """

    method: str
    key: str
    serve: Callable[[], bytes]
    context: Any


if TYPE_CHECKING:
    # The serialised reply, or any other number of messages.
    Answer = bytes | Sequence[bytes]
    Fault = Callable[[Callback], Answer]


def says(text: str) -> Fault:
    """Fail the call as hosts' storage does, with a text in the reply; do nothing else."""
    return lambda call: _REPLIES[call.method](err=text).SerializeToString()


def fails(code: grpc.StatusCode, text: str) -> Fault:
    """Fail the call with a gRPC status; do nothing else."""
    return lambda call: _abort(call, code, text)


def loses_the_answer(code: grpc.StatusCode, text: str) -> Fault:
    """Do the work, but lose the answer."""

    def fault(call: Callback) -> Answer:
        call.serve()
        return _abort(call, code, text)

    return fault


def answers(*messages: bytes) -> Fault:
    """Do nothing, and answer with these messages, whatever they are."""
    return lambda _call: messages


def slow(seconds: float) -> Fault:
    """Do the work later."""

    def fault(call: Callback) -> Answer:
        time.sleep(seconds)
        return call.serve()

    return fault


class Held:
    """A call that hangs until it is released, then continues with `then` (by default it is served).

    Attributes:
        reached: a call has arrived.
        released: calls continue.
        cancelled: the plugin has cancelled a call.
    """

    def __init__(self, then: Fault | None = None) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()
        self.cancelled = threading.Event()
        self._then = then

    def __call__(self, call: Callback) -> Answer:
        call.context.add_callback(lambda: self._over(call))
        self.reached.set()
        self.released.wait(HELD_S)
        return call.serve() if self._then is None else self._then(call)

    def wait_reached(self, timeout_s: float = 10) -> None:
        """Wait for a call to arrive."""
        assert self.reached.wait(timeout_s), "no call came"

    def _over(self, call: Callback) -> None:
        if not self.released.is_set():
            self.cancelled.set()


def _abort(call: Callback, code: grpc.StatusCode, text: str) -> bytes:
    call.context.abort(code, text)
    raise AssertionError  # `abort` has raised.


class Callbacks:
    """pb.Storage and pb.SystemView of one mount.

    Attributes:
        entries: what is stored, by key.
        state: the node's replication state.
        calls: `(method, key)` of each call to storage, in order.
    """

    def __init__(self, *, pages: bool = True) -> None:
        """`pages`: whether there is a ListPage, as on OpenBao."""
        self.entries: dict[str, bytes] = {}
        self.state = WRITABLE
        self.calls: list[tuple[str, str]] = []
        self._pages = pages
        self._faults: dict[tuple[str, str | None], Fault] = {}
        # Serve one call at a time, as a real storage does: grpcio calls from many threads.
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def faulty(self, fault: Fault, *methods: str, key: str | None = None) -> Iterator[None]:
        """Make calls of these methods fail while the body runs; `key` None means every key."""
        names = [(method, key) for method in methods]
        self._faults.update(dict.fromkeys(names, fault))
        try:
            yield
        finally:
            for name in names:
                self._faults.pop(name, None)

    @property
    def puts(self) -> list[str]:
        """Return the keys that the plugin tried to store, in order."""
        return [key for method, key in self.calls if method == PUT]

    def count(self, method: str, key: str) -> int:
        """Return how often storage was asked for this."""
        return self.calls.count((method, key))

    # grpcio's side.

    def service(self, details: Any) -> Any:
        """See `grpc.GenericRpcHandler`."""
        package, _, method = details.method.rpartition("/")
        handler = {"/pb.Storage": self._storage, "/pb.SystemView": self._system}.get(package)
        if handler is None or (method == LIST_PAGE and not self._pages):
            return None

        def answer(message: bytes, context: Any) -> Iterator[bytes]:
            key, serve = handler(method, message)
            call = Callback(method=method, key=key, serve=serve, context=context)
            fault = self._faults.get((method, key)) or self._faults.get((method, None))
            given = serve() if fault is None else fault(call)
            yield from (given,) if isinstance(given, bytes) else given

        # As a stream, so that a fault can give any number of messages.
        return grpc.unary_stream_rpc_method_handler(answer)

    def _storage(self, method: str, message: bytes) -> tuple[str, Callable[[], bytes]]:
        args: Any
        if method == GET:
            args = pb.StorageGetArgs.FromString(message)
        elif method == PUT:
            args = pb.StoragePutArgs.FromString(message).entry
        elif method == DELETE:
            args = pb.StorageDeleteArgs.FromString(message)
        else:
            args = pb.StorageListPageArgs.FromString(message)
        key: str = args.prefix if method in {LIST, LIST_PAGE} else args.key
        self.calls.append((method, key))

        def serve() -> bytes:
            with self._lock:
                return self._served(method, key, args).SerializeToString()

        return key, serve

    def _served(self, method: str, key: str, args: Any) -> Message:
        if method == GET:
            value = self.entries.get(key)
            if value is None:
                return pb.StorageGetReply()
            return pb.StorageGetReply(entry=pb.StorageEntry(key=key, value=value))
        if method == PUT:
            self.entries[key] = args.value
            return pb.StoragePutReply()
        if method == DELETE:
            self.entries.pop(key, None)
            return pb.StorageDeleteReply()
        below = (each[len(key) :] for each in self.entries if each.startswith(key))
        names = sorted({name[: name.find("/") + 1] or name for name in below})
        if method == LIST_PAGE:
            names = [name for name in names if name > args.after]
            names = names[: args.limit] if args.limit > 0 else names
        return pb.StorageListReply(keys=names)

    def _system(self, method: str, _message: bytes) -> tuple[str, Callable[[], bytes]]:
        reply: Message
        if method in {"DefaultLeaseTTL", "MaxLeaseTTL"}:
            reply = pb.TTLReply(TTL=MAX_TTL_NS)
        elif method == "ReplicationState":
            reply = pb.ReplicationStateReply(state=self.state)
        elif method == "LocalMount":
            reply = pb.LocalMountReply(local=False)
        else:
            reply = pb.PluginEnvReply()
        return "", reply.SerializeToString
