"""How much of the window an inbox returns, and when."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import StatusCode
from vault_jwt_plugin.rpc._inbox import Budget, Inbox
from vault_jwt_plugin.rpc.framing import encode_message


class Host:
    """Count the returned window; acts as its own core."""

    def __init__(self, **limits):
        self.core = self
        self.limits = rpc.Limits(**limits)
        self.budget = Budget(self.limits.max_buffered_bytes)
        self.returned = 0
        self.flushed = 0

    def return_window(self, _stream, size):
        self.returned += size
        return True

    def flush_soon(self):
        self.flushed += 1


def inbox(**limits):
    host: Any = Host(**limits)
    stream: Any = object()
    return host, Inbox(host, stream)


def test_an_unfinished_message_gives_back_as_it_grows():
    host, box = inbox()
    message = encode_message(bytes(100))
    box.feed(message[:50])
    assert host.returned == 50
    box.feed(message[50:])
    assert (host.returned, host.flushed, host.budget.held) == (50, 1, 105)
    assert box.take_all() == [bytes(100)]
    assert (host.returned, host.budget.held) == (105, 0)


def test_behind_an_unread_message_nothing_is_given_back():
    host, box = inbox()
    box.feed(encode_message(b"a") + encode_message(b"b") + encode_message(bytes(100))[:50])
    assert host.returned == 0
    assert asyncio.run(box.receive()) == b"a"
    assert host.returned == 6
    assert asyncio.run(box.receive()) == b"b"
    # No message waits any more, so the incomplete one may grow.
    assert host.returned == 62


@settings(deadline=None)
@given(st.lists(st.integers(0, 60)), st.lists(st.integers(1, 50)), st.data())
def test_no_byte_is_given_back_twice_or_kept(sizes, cuts, data):
    host, box = inbox()
    wire = b"".join(encode_message(bytes(size)) for size in sizes)
    fed = 0
    taken: list[bytes] = []
    while fed < len(wire):
        size = cuts.pop() if cuts else len(wire)
        box.feed(wire[fed : fed + size])
        fed = min(fed + size, len(wire))
        assert host.returned <= fed
        if data.draw(st.booleans()):
            taken += box.take_all()
            assert host.returned == fed
    taken += box.take_all()
    assert [len(message) for message in taken] == sizes
    assert host.returned == len(wire)
    assert host.budget.held == 0


def test_the_end_comes_after_the_messages():
    _, box = inbox()
    box.feed(encode_message(b"a"))
    box.end(rpc.RPCError(StatusCode.ABORTED, "x"))
    box.end()
    assert asyncio.run(box.receive()) == b"a"
    with pytest.raises(rpc.RPCError, match="ABORTED: x"):
        asyncio.run(box.receive())


def test_an_end_inside_a_message():
    _, box = inbox()
    box.feed(b"\0\0")
    box.end()
    with pytest.raises(rpc.RPCError, match="INTERNAL: the stream ended inside a message"):
        asyncio.run(box.receive())


def test_one_reader_at_a_time():
    async def main():
        _, box = inbox()
        first = asyncio.ensure_future(box.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two readers of one stream"):
            await box.receive()
        box.end()
        assert await first is None

    asyncio.run(main())


def test_what_is_discarded_is_not_held():
    host, box = inbox(max_buffered_bytes=100)
    box.feed(encode_message(bytes(50)))
    with pytest.raises(rpc.RPCError, match="RESOURCE_EXHAUSTED"):
        box.feed(bytes(50))
    box.discard()
    assert host.budget.held == 0
