"""Server and channel on real sockets, in one loop."""

import asyncio
import logging
import os
import socket

import pytest

from tests.rpc.helpers import connect, serving
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import StatusCode
from vault_jwt_plugin.rpc._client_link import ClientLink


async def forever(call, message):
    await asyncio.Event().wait()
    return message


async def echo_stream(stream):
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def count_stream(stream):
    request = await stream.receive()
    for number in range(int(request)):
        await stream.send(b"%d" % number)


def refuse(call, message):
    raise rpc.RPCError(StatusCode.NOT_FOUND, "no Größe at 100%\n")


async def refuse_later(call, message):
    await asyncio.sleep(0)
    refuse(call, message)


def break_down(call, message):
    raise ZeroDivisionError("secret")


async def break_down_later(call, message):
    await asyncio.sleep(0)
    break_down(call, message)


async def echo_later(call, message):
    await asyncio.sleep(0)
    return message


async def fail_amid(stream):
    await stream.send(b"one")
    raise rpc.RPCError(StatusCode.DATA_LOSS, "lost")


METHODS = {
    "/t.T/Echo": rpc.unary(lambda _call, message: message),
    "/t.T/EchoLater": rpc.unary(echo_later),
    "/t.T/Forever": rpc.unary(forever),
    "/t.T/Refuse": rpc.unary(refuse),
    "/t.T/RefuseLater": rpc.unary(refuse_later),
    "/t.T/Break": rpc.unary(break_down),
    "/t.T/BreakLater": rpc.unary(break_down_later),
    "/t.T/Metadata": rpc.unary(lambda call, _message: call.metadata["multiplex_id"].encode()),
    "/t.T/Binary": rpc.unary(lambda call, _message: rpc.decode_binary(call.metadata["x-bin"])),
    "/t.T/Stream": rpc.streaming(echo_stream),
    "/t.T/Count": rpc.streaming(count_stream),
    "/t.T/FailAmid": rpc.streaming(fail_amid),
}


def run(scenario, *, methods=METHODS, limits=None, **kwargs):
    """Run the scenario with a channel to a server; check that no task is left afterwards."""

    async def main():
        async with (
            asyncio.timeout(30),
            serving(methods, limits=limits, **kwargs) as (path, server),
        ):
            channel = await connect(path, limits=limits)
            try:
                await scenario(channel, server)
            finally:
                await channel.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=True)


async def failure(awaitable):
    with pytest.raises(rpc.RPCError) as caught:
        await awaitable
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("method", ["Echo", "EchoLater"], ids=["at once", "in a task"])
@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 100_000, 10 << 20], ids=str)
@pytest.mark.parametrize("timeout_s", [None, 50.0], ids=["no deadline", "deadline"])
def test_unary(method, size, timeout_s):
    async def scenario(channel, _server):
        message = os.urandom(size)
        assert await channel.unary(f"/t.T/{method}", message, timeout_s=timeout_s) == message

    run(scenario)


def test_many_calls_at_once():
    async def scenario(channel, _server):
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(channel.unary("/t.T/EchoLater", b"%d" % n, timeout_s=None))
                for n in range(300)
            ]
        assert [call.result() for call in calls] == [b"%d" % n for n in range(300)]

    run(scenario)


def test_calls_wait_for_the_servers_stream_limit():
    async def scenario(channel, _server):
        waiting = [
            asyncio.ensure_future(channel.unary("/t.T/Forever", b"", timeout_s=None))
            for _ in range(2)
        ]
        await asyncio.sleep(0)
        third = asyncio.ensure_future(channel.unary("/t.T/Echo", b"third", timeout_s=None))
        code, _ = await failure(channel.unary("/t.T/Echo", b"", timeout_s=0.05))
        assert code is StatusCode.DEADLINE_EXCEEDED
        assert not third.done()
        waiting.pop().cancel()
        assert await third == b"third"
        waiting.pop().cancel()

    run(scenario, limits=rpc.Limits(max_concurrent_streams=2))


@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("Refuse", StatusCode.NOT_FOUND, "no Größe at 100%\n"),
        ("RefuseLater", StatusCode.NOT_FOUND, "no Größe at 100%\n"),
        ("Break", StatusCode.UNKNOWN, "internal error"),
        ("BreakLater", StatusCode.UNKNOWN, "internal error"),
        ("Nothing", StatusCode.UNIMPLEMENTED, "unknown method Nothing for service t.T"),
        ("Stream", StatusCode.INTERNAL, "a unary call got 0 messages instead of one"),
    ],
)
@pytest.mark.parametrize("size", [0, 100_000], ids=["small", "large"])
def test_statuses(method, code, message, size, caplog):
    async def scenario(channel, _server):
        if method == "Stream":
            async with channel.stream("/t.T/Count", timeout_s=None) as stream:
                await stream.send(b"0")
                assert await stream.receive() is None
            call = channel.unary("/t.T/Count", b"0", timeout_s=None)
        else:
            call = channel.unary(f"/t.T/{method}", bytes(size), timeout_s=None)
        assert await failure(call) == (code, message)

    run(scenario)
    broken = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert bool(broken) == method.startswith("Break")


def test_a_second_answer_to_a_unary_call_is_refused():
    async def scenario(channel, _server):
        for count in (b"2", b"100000"):
            code, message = await failure(channel.unary("/t.T/Count", count, timeout_s=None))
            assert code is StatusCode.INTERNAL
            assert message.startswith("a unary call got ")

    run(scenario)


def test_metadata():
    async def scenario(channel, _server):
        metadata = [("multiplex_id", "abc"), ("x-bin", rpc.encode_binary(b"\0\xff"))]
        for path, answer in (("/t.T/Metadata", b"abc"), ("/t.T/Binary", b"\0\xff")):
            assert await channel.unary(path, b"", timeout_s=None, metadata=metadata) == answer

    run(scenario)


def test_metadata_that_is_not_allowed_sends_nothing():
    async def scenario(channel, _server):
        with pytest.raises(ValueError, match="invalid metadata name"):
            await channel.unary("/t.T/Echo", b"", timeout_s=None, metadata=[("A", "b")])

    run(scenario)


def test_a_deadline_cancels_the_handler():
    async def scenario(channel, server):
        call = channel.unary("/t.T/Forever", b"", timeout_s=0.02)
        assert await failure(call) == (StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
        (link,) = server._links
        await asyncio.wait_for(link.tasks_done(), 5)

    run(scenario)


def test_the_servers_own_clock_ends_a_call_too():
    """Send grpc-timeout from a client that then waits for the status."""
    cancelled = asyncio.Event()

    async def note(call, message):
        assert call.deadline is not None
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def scenario(channel, _server):
        channel._headers["/t.T/Note"] = (
            *channel._head("/t.T/Note", None, ()),
            (b"grpc-timeout", b"20m"),
        )
        call = channel.unary("/t.T/Note", b"", timeout_s=None)
        assert await failure(call) == (StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
        await asyncio.wait_for(cancelled.wait(), 5)

    run(scenario, methods={"/t.T/Note": rpc.unary(note)})


@pytest.mark.parametrize("timeout", [b"soon", b"1h", b""])
def test_malformed_grpc_timeout(timeout):
    async def scenario(channel, _server):
        channel._headers["/t.T/Echo"] = (
            *channel._head("/t.T/Echo", None, ()),
            (b"grpc-timeout", timeout),
        )
        call = channel.unary("/t.T/Echo", b"", timeout_s=None)
        assert await failure(call) == (StatusCode.INTERNAL, "malformed grpc-timeout")

    run(scenario)


def test_compression_is_refused():
    async def scenario(channel, _server):
        channel._headers["/t.T/Echo"] = (
            *channel._head("/t.T/Echo", None, ()),
            (b"grpc-encoding", b"gzip"),
        )
        call = channel.unary("/t.T/Echo", b"", timeout_s=None)
        assert await failure(call) == (StatusCode.UNIMPLEMENTED, "no compression is supported")

    run(scenario)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(b"content-type", b"text/html", "415"), (b":method", b"GET", "405")],
    ids=["content-type", "method"],
)
def test_what_is_not_grpc_gets_an_http_status(name, value, status):
    async def scenario(channel, _server):
        channel._headers["/t.T/Echo"] = tuple(
            (key, value if key == name else old)
            for key, old in channel._head("/t.T/Echo", None, ())
        )
        code, message = await failure(channel.unary("/t.T/Echo", bytes(3_000_000), timeout_s=None))
        assert code is StatusCode.UNKNOWN
        assert message == f"the peer answered with HTTP status {status}"

    run(scenario)


def test_cancelling_the_caller_cancels_the_handler():
    async def scenario(channel, _server):
        call = asyncio.ensure_future(channel.unary("/t.T/Note", b"", timeout_s=None))
        await asyncio.wait_for(begun.wait(), 5)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        assert await channel.unary("/t.T/Echo", b"next", timeout_s=None) == b"next"

    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def note(call, message):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    run(scenario, methods=METHODS | {"/t.T/Note": rpc.unary(note)})


def test_streams_both_ways():
    async def scenario(channel, _server):
        async with channel.stream("/t.T/Stream", timeout_s=5.0) as stream:
            for size in (0, 1, 100_000, 3 << 20):
                message = os.urandom(size)
                sending = asyncio.ensure_future(stream.send(message))
                assert await stream.receive() == message
                await sending
            await stream.end()
            await stream.end()
            assert await stream.receive() is None
            assert await stream.receive() is None
        async with channel.stream("/t.T/Count", timeout_s=None) as stream:
            await stream.send(b"1000")
            await stream.end()
            found = [await stream.receive() for _ in range(1001)]
            assert found == [b"%d" % number for number in range(1000)] + [None]

    run(scenario)


def test_a_stream_that_fails_gives_its_messages_first():
    async def scenario(channel, _server):
        async with channel.stream("/t.T/FailAmid", timeout_s=None) as stream:
            assert await stream.receive() == b"one"
            assert await failure(stream.receive()) == (StatusCode.DATA_LOSS, "lost")
            assert await failure(stream.send(b"x")) == (StatusCode.DATA_LOSS, "lost")

    run(scenario)


def test_sending_to_a_call_that_ended_well():
    async def scenario(channel, _server):
        async with channel.stream("/t.T/Count", timeout_s=None) as stream:
            await stream.send(b"0")
            assert await stream.receive() is None
            assert await failure(stream.send(b"x")) == (
                StatusCode.CANCELLED,
                "the server has ended the call",
            )

    run(scenario)


def test_leaving_a_stream_early_cancels_the_handler():
    cancelled = asyncio.Event()

    async def note(stream):
        try:
            await echo_stream(stream)
        except asyncio.CancelledError:
            with pytest.raises(rpc.RPCError, match="the call is over"):
                await stream.send(b"late")
            cancelled.set()
            raise

    async def scenario(channel, _server):
        async with channel.stream("/t.T/Note", timeout_s=None) as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
        await asyncio.wait_for(cancelled.wait(), 5)

    run(scenario, methods={"/t.T/Note": rpc.streaming(note)})


def test_a_stream_outside_its_context_is_our_fault():
    async def scenario(channel, _server):
        stream = channel.stream("/t.T/Stream", timeout_s=None)
        with pytest.raises(RuntimeError, match="use `async with`"):
            await stream.receive()

    run(scenario)


def test_a_slow_reader_slows_the_sender():
    async def flood(stream):
        for _ in range(200):
            await stream.send(bytes(100_000))
            sent.append(1)

    sent: list[int] = []

    async def scenario(channel, _server):
        async with channel.stream("/t.T/Flood", timeout_s=None) as stream:
            assert len(await stream.receive()) == 100_000
            # There is nothing to wait for: the test checks that nothing more happens.
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert len(sent) < 40
            for _ in range(199):
                assert len(await stream.receive()) == 100_000
            assert await stream.receive() is None

    run(scenario, methods={"/t.T/Flood": rpc.streaming(flood)})


def test_large_messages_wait_for_a_slow_reader():
    """Check that a second message over the window does not pile up behind an unread first."""

    async def flood(stream):
        for _ in range(10):
            await stream.send(bytes(2_000_000))
            sent.append(1)

    sent: list[int] = []

    async def scenario(channel, _server):
        async with channel.stream("/t.T/Flood", timeout_s=None) as stream:
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert len(sent) <= 2
            for _ in range(10):
                assert len(await stream.receive()) == 2_000_000

    run(scenario, methods={"/t.T/Flood": rpc.streaming(flood)})


def test_shutdown_lets_running_calls_finish():
    async def scenario(channel, server):
        call = asyncio.ensure_future(channel.unary("/t.T/Wait", b"x", timeout_s=None))
        await asyncio.wait_for(begun.wait(), 5)
        link = channel._link

        def note(code, debug):
            ClientLink.goaway_received(link, code, debug)
            told.set()

        link.goaway_received = note
        stopping = asyncio.ensure_future(server.shutdown(10))
        await asyncio.wait_for(told.wait(), 5)
        code, message = await failure(channel.unary("/t.T/Wait", b"", timeout_s=None))
        assert code is StatusCode.UNAVAILABLE
        assert message == "the server said GOAWAY (code 0, '')"
        go_on.set()
        assert await call == b"x"
        await stopping
        await channel.wait_closed()

    begun, told, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(call, message):
        begun.set()
        await go_on.wait()
        return message

    run(scenario, methods={"/t.T/Wait": rpc.unary(wait)})


def test_shutdown_ends_what_does_not_finish():
    async def scenario(channel, server):
        call = asyncio.ensure_future(channel.unary("/t.T/Forever", b"x", timeout_s=None))
        async with channel.stream("/t.T/Stream", timeout_s=None) as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            began = asyncio.get_running_loop().time()
            await server.shutdown(0.05)
            assert asyncio.get_running_loop().time() - began < 2
            assert await failure(call) == (StatusCode.UNAVAILABLE, "the server is shutting down")
            assert (await failure(stream.receive()))[0] is StatusCode.UNAVAILABLE

    run(scenario)


def test_losing_the_connection_fails_the_calls():
    async def scenario(channel, server):
        call = asyncio.ensure_future(channel.unary("/t.T/Forever", b"", timeout_s=None))
        await asyncio.sleep(0.01)
        (link,) = server._links
        link.abort(ConnectionResetError("gone"))
        assert (await failure(call))[0] is StatusCode.UNAVAILABLE
        await channel.wait_closed()
        assert channel.closed
        assert not server._links
        code, _ = await failure(channel.unary("/t.T/Echo", b"", timeout_s=None))
        assert code is StatusCode.UNAVAILABLE

    run(scenario)


def test_closing_a_channel_gives_running_calls_their_grace():
    async def scenario(channel, _server):
        quick = asyncio.ensure_future(channel.unary("/t.T/EchoLater", b"x", timeout_s=None))
        slow = asyncio.ensure_future(channel.unary("/t.T/Forever", b"x", timeout_s=None))
        await asyncio.sleep(0)
        await channel.close()
        assert await quick == b"x"
        assert await failure(slow) == (StatusCode.UNAVAILABLE, "the channel is closed")

    run(scenario)


def test_nobody_listens(tmp_path):
    async def main():
        with pytest.raises(rpc.RPCError) as caught:
            await connect(str(tmp_path / "nothing"))
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert "cannot connect: FileNotFoundError" in caught.value.message
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = silent.getsockname()
            with pytest.raises(rpc.RPCError) as caught:
                await connect(address, timeout_s=0.05)
            assert str(caught.value) == "UNAVAILABLE: cannot connect: TimeoutError"

    asyncio.run(main())


def test_over_tcp():
    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        server = rpc.Server(METHODS)
        server.start(listener)
        with pytest.raises(RuntimeError, match="has been started"):
            server.start(listener)
        channel = await connect(listener.getsockname())
        assert await channel.unary("/t.T/Echo", b"x", timeout_s=None) == b"x"
        await channel.close()
        await server.shutdown(1)

    asyncio.run(main())


def test_a_handler_that_shuts_its_server_down():
    async def scenario(channel, server):
        async def stop(call, message):
            await server.shutdown(0.05)
            return message

        methods["/t.T/Stop"] = rpc.unary(stop)
        code, _ = await failure(channel.unary("/t.T/Stop", b"x", timeout_s=5))
        assert code is StatusCode.UNAVAILABLE
        await channel.wait_closed()

    methods: dict[str, rpc.Method] = {}
    run(scenario, methods=methods)


def test_two_senders_on_one_stream_both_proceed():
    async def scenario(channel, _server):
        async with channel.stream("/t.T/Stream", timeout_s=None) as stream:
            sending = [asyncio.ensure_future(stream.send(bytes(3_000_000))) for _ in range(3)]
            await asyncio.sleep(0)
            sending.pop().cancel()
            for _ in range(3):
                assert len(await stream.receive()) == 3_000_000
            await asyncio.wait_for(asyncio.gather(*sending), 5)

    run(scenario)


def test_a_turn_given_to_a_cancelled_call_is_passed_on():
    async def scenario(channel, _server):
        running = asyncio.ensure_future(channel.unary("/t.T/Forever", b"", timeout_s=None))
        await asyncio.sleep(0)
        leaving, staying = (
            asyncio.ensure_future(channel.unary("/t.T/Echo", text, timeout_s=None))
            for text in (b"leaving", b"staying")
        )
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        # Its turn has come, but it has not run yet.
        leaving.cancel()
        assert await asyncio.wait_for(staying, 5) == b"staying"

    run(scenario, limits=rpc.Limits(max_concurrent_streams=1))
