"""gRPC on both ends of a connection: calls, messages, budgets, statuses."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from tests.fuzz import mutation
from tests.fuzz.http2 import BARE, ENDING, SMALL, answers, limits_of, pieces, requests, selected
from tests.fuzz.target import Target, check, run_async
from tests.rpc.helpers import PREFACE, REQUEST
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc._client_link import ClientCall, ClientLink
from vault_jwt_plugin.rpc._server_link import ServerLink


async def _echo_later(_call: rpc.Call, message: bytes) -> bytes:
    await asyncio.sleep(0)
    return message


async def _echo_stream(stream: rpc.ServerStream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


def _fail(_call: rpc.Call, _message: bytes) -> bytes:
    raise rpc.RPCError(rpc.StatusCode.NOT_FOUND, "nothing %\n\u00e9")


METHODS = {
    "/t.T/M": rpc.unary(lambda _call, message: message),
    "/t.T/Later": rpc.unary(_echo_later),
    "/t.T/Stream": rpc.streaming(_echo_stream),
    "/t.T/Fail": rpc.unary(_fail),
}


async def _link_fed(link: Any, peer: socket.socket, data: bytes) -> None:
    peer.setblocking(False)
    link.connection_made()
    for piece in pieces(data, whole=False):
        link.data_received(piece)
        link.flush()
        for _ in range(3):
            await asyncio.sleep(0)
        check(0 <= link.budget.held <= link.limits.max_buffered_bytes, "the budget is wrong")
        try:
            while peer.recv(1 << 16):
                pass
        except OSError:
            pass


async def _serve(data: bytes) -> None:
    selector, body = data[0] if data else 0, data[1:]
    mine, peer = socket.socketpair()
    lost: list[ServerLink] = []
    link = ServerLink(
        mine, METHODS, tls=None, limits=limits_of(selector | SMALL), on_lost=lost.append
    )
    try:
        await _link_fed(link, peer, body if selector & BARE else PREFACE + body)
        if selector & ENDING:
            link.shut_down()
        link.abort(ConnectionResetError("the test is over"))
        await link.tasks_done()
        check(lost == [link], "the end is not reported once")
        check(link.budget.held == 0, "bytes are held after the end")
    finally:
        peer.close()
        mine.close()


async def _call(data: bytes) -> None:
    selector, body = data[0] if data else 0, data[1:]
    mine, peer = socket.socketpair()
    link = ClientLink(
        mine, tls=None, server_hostname="localhost", limits=limits_of(selector | SMALL)
    )

    async def one(unary: bool) -> list[bytes]:
        call = ClientCall(link, None, unary=unary)
        try:
            await call.start(REQUEST)
            if unary:
                return [await call.single(b"question")]
            await call.send(b"question")
            call.end()
            received = []
            while (message := await call.receive()) is not None:
                received.append(message)
            return received
        finally:
            call.close()

    tasks = [asyncio.ensure_future(one(unary)) for unary in (True, False, True)]
    try:
        await asyncio.sleep(0)
        await _link_fed(link, peer, body if selector & BARE else _frames.settings({}) + body)
        link.abort(ConnectionResetError("the test is over"))
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                check(isinstance(result, rpc.RPCError), f"a call ended with {result!r}")
        if link.ready.done():
            link.ready.exception()
        check(link.budget.held == 0, "bytes are held after the end")
    finally:
        peer.close()
        mine.close()


def _run_serve(data: bytes) -> None:
    run_async(_serve(data))


def _run_call(data: bytes) -> None:
    run_async(_call(data))


TARGETS = (
    Target(
        name="grpc_server",
        run=_run_serve,
        examples=lambda: selected(requests(), 0, ENDING),
        mutate=mutation.frames,
        max_bytes=40_000,
    ),
    Target(
        name="grpc_client",
        run=_run_call,
        examples=lambda: selected(answers(), 0),
        mutate=mutation.frames,
        max_bytes=40_000,
    ),
)
