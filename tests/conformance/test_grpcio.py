"""Interoperability with grpcio: as client of our server, and as server of our channel."""

import asyncio
import contextlib
import os
import socket
import threading

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.grpcio_peer import OPTIONS, grpcio_server
from tests.rpc.certificates import context, self_signed
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import StatusCode

OURS = self_signed(ec.SECP256R1())
THEIRS = self_signed(ec.SECP256R1())
TEN_MIB = 10 << 20
TEXTS = ["plain", "100% of Größe\n", "\N{SNOWMAN}" * 300, "ends with a space "]


class Ours:
    """Run our server in its own thread, so that grpcio's blocking calls can be made."""

    def __init__(self, address, tls):
        self.cancelled = threading.Event()
        self.methods = {
            "/t.T/Echo": rpc.unary(lambda _call, message: message),
            "/t.T/EchoLater": rpc.unary(self.echo_later),
            "/t.T/Refuse": rpc.unary(self.refuse),
            "/t.T/Forever": rpc.unary(self.forever),
            "/t.T/ForeverStream": rpc.streaming(self.forever_stream),
            "/t.T/Metadata": rpc.unary(self.metadata),
            "/t.T/Deadline": rpc.unary(self.deadline),
            "/t.T/Count": rpc.streaming(self.count),
            "/t.T/Sum": rpc.streaming(self.sum),
            "/t.T/Chat": rpc.streaming(self.chat),
        }
        self.address = address
        self.tls = tls
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))

    async def main(self):
        self.loop = asyncio.get_running_loop()
        self.stop = asyncio.Event()
        if isinstance(self.address, str):
            listener = socket.socket(socket.AF_UNIX)
        else:
            listener = socket.socket()
        listener.bind(self.address)
        listener.listen()
        listener.setblocking(False)
        self.bound = listener.getsockname()
        server = rpc.Server(self.methods, tls=self.tls)
        server.start(listener)
        self.ready.set()
        await self.stop.wait()
        await server.shutdown(1)

    async def echo_later(self, _call, message):
        await asyncio.sleep(0)
        return message

    def refuse(self, _call, message):
        raise rpc.RPCError(StatusCode.FAILED_PRECONDITION, message.decode())

    async def forever(self, _call, message):
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return message

    async def forever_stream(self, stream):
        await stream.send(b"first")
        await self.forever(stream.call, b"")

    def metadata(self, call, _message):
        given = rpc.decode_binary(call.metadata["x-bin"])
        return call.metadata["multiplex_id"].encode() + b" " + given

    def deadline(self, call, _message):
        return b"none" if call.deadline is None else b"some"

    async def count(self, stream):
        for number in range(int(await stream.receive())):
            await stream.send(b"%d" % number)

    async def sum(self, stream):
        total = 0
        while (message := await stream.receive()) is not None:
            total += int(message)
        await stream.send(b"%d" % total)

    async def chat(self, stream):
        while (message := await stream.receive()) is not None:
            await stream.send(message)


@pytest.fixture(params=["unix", "tcp", "tls"])
def channel(request, tmp_path):
    """Yield a grpcio channel to our server, and the server."""
    address = str(tmp_path / "s") if request.param == "unix" else ("127.0.0.1", 0)
    tls = context(OURS, THEIRS, server=True) if request.param == "tls" else None
    ours = Ours(address, tls)
    ours.thread.start()
    ours.ready.wait()
    if request.param == "unix":
        made = grpc.insecure_channel(f"unix:{address}", OPTIONS)
    elif request.param == "tcp":
        made = grpc.insecure_channel(f"127.0.0.1:{ours.bound[1]}", OPTIONS)
    else:
        credentials = grpc.ssl_channel_credentials(OURS[0], THEIRS[1], THEIRS[0])
        options = [*OPTIONS, ("grpc.ssl_target_name_override", "localhost")]
        made = grpc.secure_channel(f"127.0.0.1:{ours.bound[1]}", credentials, options)
    with made:
        yield made, ours
    ours.loop.call_soon_threadsafe(ours.stop.set)
    ours.thread.join(10)
    assert not ours.thread.is_alive()


@pytest.mark.parametrize("method", ["Echo", "EchoLater"])
@pytest.mark.parametrize("size", [0, 1, 20_000, TEN_MIB], ids=str)
def test_unary_of_ours(channel, method, size):
    message = os.urandom(size)
    call = channel[0].unary_unary(f"/t.T/{method}")
    for _ in range(3):
        assert call(message, timeout=30) == message


def test_streams_of_ours(channel):
    channel, _ = channel
    assert list(channel.unary_stream("/t.T/Count")(b"500", timeout=30)) == [
        b"%d" % number for number in range(500)
    ]
    numbers = (b"%d" % number for number in range(100))
    assert channel.stream_unary("/t.T/Sum")(numbers, timeout=30) == b"4950"
    messages = [b"", b"x", os.urandom(TEN_MIB), b"y" * 100_000]
    assert list(channel.stream_stream("/t.T/Chat")(iter(messages), timeout=30)) == messages


@pytest.mark.parametrize("text", TEXTS, ids=["plain", "escaped", "long", "space"])
def test_statuses_of_ours(channel, text):
    with pytest.raises(grpc.RpcError) as caught:
        channel[0].unary_unary("/t.T/Refuse")(text.encode(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == text


def test_a_method_that_we_do_not_have(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel[0].unary_unary("/t.T/Nothing")(b"x", timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "unknown method Nothing for service t.T"


def test_compression_that_we_do_not_have(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel[0].unary_unary("/t.T/Echo")(
            bytes(10_000), timeout=30, compression=grpc.Compression.Gzip
        )
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metadata_and_deadlines_reach_us(channel):
    channel, _ = channel
    metadata = [("multiplex_id", "abc"), ("x-bin", b"\0\1\xff")]
    call = channel.unary_unary("/t.T/Metadata")
    for _ in range(3):
        assert call(b"", metadata=metadata, timeout=30) == b"abc \0\1\xff"
    assert channel.unary_unary("/t.T/Deadline")(b"") == b"none"
    assert channel.unary_unary("/t.T/Deadline")(b"", timeout=30) == b"some"


def test_a_deadline_cancels_our_handler(channel):
    channel, ours = channel
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.T/Forever")(b"", timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ours.cancelled.wait(10)


def test_a_cancellation_reaches_our_handler(channel):
    channel, ours = channel
    call = channel.unary_stream("/t.T/ForeverStream")(b"")
    assert next(call) == b"first"
    call.cancel()
    assert ours.cancelled.wait(10)
    assert channel.unary_unary("/t.T/Echo")(b"on", timeout=30) == b"on"


def test_many_threads_call_ours(channel):
    channel, _ = channel
    calls = [
        channel.unary_unary("/t.T/EchoLater").future(b"%d" % number, timeout=30)
        for number in range(300)
    ]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]


# Our channel, grpcio's server


@contextlib.asynccontextmanager
async def connected(kind, folder):
    """Connect our channel to a grpcio server; yield it and the server's service."""
    credentials = tls = None
    address = "127.0.0.1:0"
    if kind == "unix":
        address = f"unix:{folder}/s"
    if kind == "tls":
        credentials = grpc.ssl_server_credentials(
            [(THEIRS[1], THEIRS[0])], OURS[0], require_client_auth=True
        )
        tls = context(OURS, THEIRS, server=False)
    with grpcio_server(address, credentials) as (service, port):
        channel = await rpc.Channel.connect(
            f"{folder}/s" if kind == "unix" else ("127.0.0.1", port),
            tls=tls,
            server_hostname="localhost",
            timeout_s=10,
        )
        try:
            yield channel, service
        finally:
            await channel.close()


@pytest.fixture(params=["unix", "tcp", "tls"])
def run(request, tmp_path):
    def run_scenario(scenario):
        async def main():
            async with (
                asyncio.timeout(60),
                connected(request.param, tmp_path) as (channel, service),
            ):
                await scenario(channel, service)

        asyncio.run(main())

    return run_scenario


@pytest.mark.parametrize("size", [0, 1, 20_000, TEN_MIB], ids=str)
def test_unary_of_theirs(run, size):
    async def scenario(channel, _service):
        message = os.urandom(size)
        for timeout_s in (None, 30, 30):
            assert await channel.unary("/t.T/Echo", message, timeout_s=timeout_s) == message

    run(scenario)


def test_streams_of_theirs(run):
    async def scenario(channel, _service):
        async with channel.stream("/t.T/Count", timeout_s=30) as stream:
            await stream.send(b"500")
            await stream.end()
            found = [await stream.receive() for _ in range(501)]
            assert found == [b"%d" % number for number in range(500)] + [None]
        async with channel.stream("/t.T/Sum", timeout_s=30) as stream:
            for number in range(100):
                await stream.send(b"%d" % number)
            await stream.end()
            assert await stream.receive() == b"4950"
            assert await stream.receive() is None
        async with channel.stream("/t.T/Chat", timeout_s=30) as stream:
            for message in (b"", b"x", os.urandom(TEN_MIB), b"y"):
                sending = asyncio.ensure_future(stream.send(message))
                assert await stream.receive() == message
                await sending
            await stream.end()
            assert await stream.receive() is None

    run(scenario)


@pytest.mark.parametrize("text", TEXTS, ids=["plain", "escaped", "long", "space"])
def test_statuses_of_theirs(run, text):
    async def scenario(channel, _service):
        with pytest.raises(rpc.RPCError) as caught:
            await channel.unary("/t.T/Refuse", text.encode(), timeout_s=30)
        assert caught.value.code is StatusCode.FAILED_PRECONDITION
        assert caught.value.message == text
        with pytest.raises(rpc.RPCError) as caught:
            await channel.unary("/t.T/Nothing", b"", timeout_s=30)
        assert caught.value.code is StatusCode.UNIMPLEMENTED

    run(scenario)


def test_metadata_reaches_them(run):
    async def scenario(channel, service):
        metadata = [("multiplex_id", "abc"), ("x-bin", rpc.encode_binary(b"\0\1\xff"))]
        await channel.unary("/t.T/Echo", b"", timeout_s=30, metadata=metadata)
        assert service.seen["multiplex_id"] == "abc"
        assert service.seen["x-bin"] == b"\0\1\xff"

    run(scenario)


def test_deadlines_and_cancellations_reach_them(run):
    async def scenario(channel, service):
        with pytest.raises(rpc.RPCError) as caught:
            await channel.unary("/t.T/Forever", b"", timeout_s=0.1)
        assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
        assert await asyncio.to_thread(service.cancelled.wait, 10)
        service.cancelled.clear()
        call = asyncio.ensure_future(channel.unary("/t.T/Forever", b"", timeout_s=None))
        await asyncio.sleep(0.05)
        call.cancel()
        assert await asyncio.to_thread(service.cancelled.wait, 10)

    run(scenario)


def test_their_shutdown_is_answered(tmp_path):
    async def main():
        with grpcio_server(f"unix:{tmp_path}/s"):
            channel = await rpc.Channel.connect(
                f"{tmp_path}/s", tls=None, server_hostname="localhost", timeout_s=10
            )
            assert await channel.unary("/t.T/Echo", b"x", timeout_s=30) == b"x"
        async with asyncio.timeout(10):
            await channel.wait_closed()
        with pytest.raises(rpc.RPCError) as caught:
            await channel.unary("/t.T/Echo", b"x", timeout_s=30)
        assert caught.value.code is StatusCode.UNAVAILABLE

    asyncio.run(main())
