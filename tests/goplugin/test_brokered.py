"""A brokered channel over connections that are lost."""

import asyncio
import logging
import socket

import pytest

from tests.goplugin.test_broker import settle
from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin.brokered import BrokeredChannel

LOST = rpc.RPCError(rpc.StatusCode.UNAVAILABLE, "the connection was lost")
NOBODY = rpc.RPCError(rpc.StatusCode.UNAVAILABLE, "cannot connect: nobody there")


class FakeChannel:
    def __init__(self, name):
        self.name = name
        self.closed = False
        self.calls = []
        self.ended = 0

    async def unary(self, path, message, *, timeout_s, metadata=()):
        self.calls.append((path, message, timeout_s, metadata))
        if self.closed:
            raise LOST
        return self.name

    async def close(self):
        self.closed = True
        self.ended += 1


class Connector:
    """Connect when allowed; each connection is named by its number."""

    def __init__(self):
        self.channels = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.attempts = 0

    async def __call__(self):
        self.attempts += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.channels.append(FakeChannel(b"%d" % (len(self.channels) + 1)))
        return self.channels[-1]


async def brokered():
    connector = Connector()
    return BrokeredChannel(await connector(), connector), connector


async def ask(channel):
    return await channel.unary("/p", b"m", timeout_s=3, metadata=(("a", "b"),))


def test_a_lost_connection_is_replaced_at_the_next_call(caplog):
    async def go():
        channel, connector = await brokered()
        assert await ask(channel) == b"1"
        assert connector.channels[0].calls == [("/p", b"m", 3, (("a", "b"),))]
        connector.channels[0].closed = True
        await settle()
        assert connector.attempts == 1
        assert await ask(channel) == b"2"
        assert await ask(channel) == b"2"
        assert connector.attempts == 2

    asyncio.run(go())
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.fields == {"event": "storage_reconnected"}


def test_what_was_under_way_fails_and_is_not_repeated():
    async def go():
        channel, connector = await brokered()
        first = connector.channels[0]

        async def lost(*_args, **_keywords):
            first.closed = True
            raise LOST

        first.unary = lost
        with pytest.raises(rpc.RPCError) as caught:
            await ask(channel)
        assert caught.value is LOST
        assert connector.attempts == 1
        assert await ask(channel) == b"2"

    asyncio.run(go())


def test_callers_share_an_attempt_and_its_failure():
    async def go():
        channel, connector = await brokered()
        connector.channels[0].closed = True
        connector.gate.clear()
        waiting = [asyncio.create_task(ask(channel)) for _ in range(3)]
        await settle()
        waiting[0].cancel()
        connector.error = NOBODY
        connector.gate.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1:] == [NOBODY, NOBODY]
        assert connector.attempts == 2
        connector.error = None
        assert await ask(channel) == b"2"

    asyncio.run(go())


def test_a_failure_that_nobody_waits_for_is_no_noise(caplog):
    async def go():
        channel, connector = await brokered()
        connector.channels[0].closed = True
        connector.gate.clear()
        connector.error = NOBODY
        waiting = asyncio.create_task(ask(channel))
        await settle()
        waiting.cancel()
        connector.gate.set()
        await settle()

    asyncio.run(go())
    assert caplog.records == []


def test_a_closed_channel_connects_no_more():
    async def go():
        channel, connector = await brokered()
        await channel.close()
        await channel.close()
        with pytest.raises(rpc.RPCError) as caught:
            await ask(channel)
        assert caught.value is LOST
        assert connector.attempts == 1

    asyncio.run(go())


def test_closing_ends_an_attempt_and_whoever_waits_for_it():
    async def go():
        channel, connector = await brokered()
        connector.channels[0].closed = True
        connector.gate.clear()
        waiting = asyncio.create_task(ask(channel))
        await settle()
        await channel.close()
        with pytest.raises(rpc.RPCError) as caught:
            await waiting
        assert caught.value is LOST
        assert len(connector.channels) == 1

    asyncio.run(asyncio.wait_for(go(), 5))


def test_over_real_connections(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def go():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.setblocking(False)
            listener.bind("host")
            listener.listen()

            async def serve():
                server = rpc.Server({"/toy.Host/Hello": rpc.unary(lambda _call, _message: b"hi")})
                server.start(listener.dup())
                return server

            async def connect():
                return await rpc.Channel.connect(
                    "host", tls=None, server_hostname="localhost", timeout_s=5
                )

            server = await serve()
            channel = BrokeredChannel(await connect(), connect)
            for _ in range(2):
                assert await channel.unary("/toy.Host/Hello", b"", timeout_s=5) == b"hi"
                await server.shutdown(1)
                server = await serve()
            await channel.close()
            await server.shutdown(1)

    asyncio.run(asyncio.wait_for(go(), 20))
