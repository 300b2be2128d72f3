"""Announcements and dials in either order, and all their errors."""

import asyncio
import contextlib
import logging
import os
import socket

import pytest

from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin import broker as broker_module
from vault_jwt_plugin.goplugin.broker import Broker
from vault_jwt_plugin.goplugin.errors import BrokerError
from vault_jwt_plugin.pb import plugin_pb2


class Stream:
    """A StartStream call whose messages the test sends."""

    call = rpc.Call("/plugin.GRPCBroker/StartStream", {}, None)

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def announce(self, service_id, **info):
        message = plugin_pb2.ConnInfo(service_id=service_id, **info)
        self._messages.put_nowait(message.SerializeToString())

    def put(self, message):
        self._messages.put_nowait(message)

    async def send(self, message):
        pytest.fail("a plugin announces nothing")

    async def receive(self):
        return await self._messages.get()


@contextlib.asynccontextmanager
async def serving(listener, wait_s=5.0):
    """Start a broker that reads a stream, and a host that answers at the listener's address."""
    server = rpc.Server({"/toy.Host/Hello": rpc.unary(lambda call, message: b"hello")})
    server.start(listener)
    broker, stream = Broker(None, wait_s=wait_s), Stream()
    reading = asyncio.create_task(broker.serve_stream(stream))
    try:
        yield broker, stream
    finally:
        stream.put(None)
        await reading
        await server.shutdown(1)


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # A relative path is short enough wherever the tests run.
    with socket.socket(socket.AF_UNIX) as made:
        made.setblocking(False)
        made.bind("host")
        made.listen()
        yield made


@pytest.fixture
def tcp_listener():
    with socket.socket() as made:
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


async def settle():
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hello(channel):
    try:
        return await channel.unary("/toy.Host/Hello", b"", timeout_s=5)
    finally:
        await channel.close()


def test_announced_before_the_dial(listener):
    async def go():
        async with serving(listener) as (broker, stream):
            stream.announce(3, network="unix", address="host")
            await settle()
            assert await hello(await broker.dial(3)) == b"hello"

    asyncio.run(go())


def test_announced_after_the_dial(listener):
    async def go():
        async with serving(listener) as (broker, stream):
            dialling = asyncio.create_task(broker.dial(3))
            await settle()
            stream.announce(4, network="unix", address="another")
            stream.announce(3, network="unix", address="host")
            assert await hello(await dialling) == b"hello"

    asyncio.run(go())


def test_a_tcp_address(tcp_listener):
    async def go():
        async with serving(tcp_listener) as (broker, stream):
            port = tcp_listener.getsockname()[1]
            stream.announce(3, network="tcp", address=f"127.0.0.1:{port}")
            assert await hello(await broker.dial(3)) == b"hello"

    asyncio.run(go())


def test_the_first_announcement_of_a_number_counts(listener):
    async def go():
        async with serving(listener) as (broker, stream):
            stream.announce(3, network="unix", address="host")
            stream.announce(3, network="unix", address="another")
            assert await hello(await broker.dial(3)) == b"hello"

    asyncio.run(go())


def test_a_number_never_announced(listener):
    async def go():
        async with serving(listener, wait_s=0.01) as (broker, _):
            with pytest.raises(BrokerError) as caught:
                await broker.dial(3)
            assert caught.value.code == "broker"
            assert caught.value.service_id == 3
            assert str(caught.value) == "the host did not announce connection 3 within 0.01 s"
            assert broker._announced == {}

    asyncio.run(go())


def test_an_announcement_that_nobody_wants_is_forgotten(listener):
    async def go():
        async with serving(listener, wait_s=0.01) as (broker, stream):
            stream.announce(3, network="unix", address="host")
            await settle()
            assert list(broker._announced) == [3]
            await asyncio.sleep(0.02)  # A timer that ends later: by then the broker's has ended.
            assert broker._announced == {}

    asyncio.run(go())


def test_forgetting_one_leaves_its_successor(listener):
    async def go():
        async with serving(listener, wait_s=0.05) as (broker, stream):
            stream.announce(3, network="unix", address="host")
            await settle()
            old = broker._announced[3]
            await hello(await broker.dial(3))
            stream.announce(3, network="unix", address="host")
            await settle()
            broker._forget(3, old)
            assert list(broker._announced) == [3]

    asyncio.run(go())


def test_a_cancelled_dial_leaves_nothing(listener):
    async def go():
        async with serving(listener) as (broker, _):
            dialling = asyncio.create_task(broker.dial(3))
            await settle()
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            assert broker._announced == {}

    asyncio.run(go())


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("unix", ""),
        ("", "host"),
        ("unixpacket", "host"),
        ("tcp", "127.0.0.1"),
        ("tcp", ":80"),
        ("tcp", "127.0.0.1:"),
        ("tcp", "127.0.0.1:0"),
        ("tcp", "127.0.0.1:65536"),
        ("tcp", "127.0.0.1:-1"),
        ("tcp", "127.0.0.1:8²"),
    ],
)
def test_addresses_that_cannot_be_used(listener, network, address):
    async def go():
        async with serving(listener) as (broker, stream):
            stream.announce(3, network=network, address=address)
            with pytest.raises(BrokerError) as caught:
                await broker.dial(3)
            assert str(caught.value) == (
                "the host announced connection 3 on an address that cannot be used: "
                f"{network!r} {address!r}"
            )

    asyncio.run(go())


def test_nobody_listens_there(listener):
    async def go():
        async with serving(listener) as (broker, stream):
            stream.announce(3, network="unix", address="nobody")
            with pytest.raises(BrokerError) as caught:
                await broker.dial(3)
            assert str(caught.value).startswith("connection 3 to the host failed: ")
            assert os.strerror(2) in str(caught.value)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("message", "level", "text"),
    [
        pytest.param(
            b"\xff\xff",
            logging.WARNING,
            "the broker stream carried a message that is not a ConnInfo",
            id="malformed",
        ),
        pytest.param(
            plugin_pb2.ConnInfo(
                service_id=3, knock=plugin_pb2.ConnInfo.Knock(knock=True)
            ).SerializeToString(),
            logging.DEBUG,
            "knock ignored",
            id="knock",
        ),
    ],
)
def test_messages_that_announce_nothing(listener, caplog, message, level, text):
    async def go():
        async with serving(listener) as (broker, stream):
            stream.put(message)
            await settle()
            assert broker._announced == {}
            # The stream goes on.
            stream.announce(4, network="unix", address="host")
            assert await hello(await broker.dial(4)) == b"hello"

    with caplog.at_level(logging.DEBUG, logger="vault_jwt_plugin.goplugin"):
        asyncio.run(go())
    assert (broker_module.__name__, level, text) in caplog.record_tuples


def test_announcements_are_limited(listener, caplog, monkeypatch):
    monkeypatch.setattr(broker_module, "_MAX_UNCLAIMED", 2)

    async def go():
        async with serving(listener) as (broker, stream):
            for number in range(3):
                stream.announce(number, network="unix", address="host")
            await settle()
            assert list(broker._announced) == [0, 1]
            assert await hello(await broker.dial(1)) == b"hello"

    asyncio.run(go())
    assert "announcement ignored: 2 already wait for a dial" in caplog.messages
