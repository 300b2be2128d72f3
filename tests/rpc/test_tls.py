"""Mutual TLS as in AutoMTLS: P-521 and P-256, ALPN h2, both roles ours."""

import asyncio
import os
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.rpc.certificates import context, self_signed
from tests.rpc.helpers import PREFACE, RawPeer, all_lost, connect, serving
from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import StatusCode

P521 = self_signed(ec.SECP521R1())
P256 = self_signed(ec.SECP256R1())
STRANGER = self_signed(ec.SECP256R1())


async def echo(stream):
    while (message := await stream.receive()) is not None:
        await stream.send(message)


METHODS = {
    "/t.T/M": rpc.unary(lambda _call, message: message),
    "/t.T/S": rpc.streaming(echo),
}


def run(scenario, server_tls, **limits):
    async def main():
        async with (
            asyncio.timeout(60),
            serving(METHODS, tls=server_tls, limits=rpc.Limits(**limits)) as (path, server),
        ):
            await scenario(path, server)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "client"), [(P256, P521), (P521, P256)], ids=["host dials us", "we dial the host"]
)
@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)
def test_both_ways_with_p521(server, client, version):
    server_tls = context(server, client, server=True)
    server_tls.maximum_version = version

    async def scenario(path, _server):
        channel = await connect(path, tls=context(client, server, server=False))
        for size in (0, 5, 16_384, 10 << 20):
            message = os.urandom(size)
            assert await channel.unary("/t.T/M", message, timeout_s=30) == message
        async with channel.stream("/t.T/S", timeout_s=None) as stream:
            for _ in range(20):
                await stream.send(message[:300_000])
                assert await stream.receive() == message[:300_000]
        await channel.close()

    run(scenario, server_tls)


def refused(client_tls, server_tls, expected):
    async def scenario(path, _server):
        with pytest.raises(rpc.RPCError) as caught:
            await connect(path, tls=client_tls)
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert expected in caught.value.message
        # The next client, with the right certificate, is accepted.
        good = await connect(path, tls=context(P521, P256, server=False))
        assert await good.unary("/t.T/M", b"x", timeout_s=5) == b"x"
        await good.close()

    run(scenario, server_tls)


@pytest.mark.parametrize("own", [None, STRANGER], ids=["no certificate", "a stranger's"])
def test_a_client_without_the_expected_certificate(own):
    refused(
        context(own, P256, server=False),
        context(P256, P521, server=True),
        "cannot connect: ",
    )


def test_a_server_with_another_certificate():
    refused(
        context(P521, STRANGER, server=False),
        context(P256, P521, server=True),
        "CERTIFICATE_VERIFY_FAILED",
    )


def test_a_peer_without_h2():
    server_tls = context(P256, P521, server=True)
    refused(
        context(P521, P256, server=False, alpn=("http/1.1",)),
        server_tls,
        "cannot connect: ",
    )


def test_a_server_name_that_is_not_in_the_certificate():
    async def scenario(path, _server):
        with pytest.raises(rpc.RPCError) as caught:
            await rpc.Channel.connect(
                path,
                tls=context(P521, P256, server=False),
                server_hostname="elsewhere",
                timeout_s=5,
            )
        assert "Hostname mismatch" in caught.value.message

    run(scenario, context(P256, P521, server=True))


def test_a_handshake_that_does_not_go_on_blocks_nobody():
    async def scenario(path, server):
        silent = await RawPeer.to(path, b"")
        half = await RawPeer.to(path, b"\x16\x03\x01\x02\x00\x01")
        noise = await RawPeer.to(path, b"GET / HTTP/1.1\r\n\r\n")
        await noise.until_closed()
        channel = await connect(path, tls=context(P521, P256, server=False))
        assert await channel.unary("/t.T/M", b"x", timeout_s=5) == b"x"
        await silent.until_closed()
        await half.until_closed()
        assert len(server._links) == 1
        await channel.close()

    run(scenario, context(P256, P521, server=True), handshake_timeout_s=0.3)


def test_both_sides_send_close_notify():
    """Check that a close_notify from either side is an orderly end, not an error."""

    async def scenario(path, server):
        channel = await connect(path, tls=context(P521, P256, server=False))
        (link,) = server._links
        await channel.close()
        await all_lost(server)
        assert link.error is None
        again = await connect(path, tls=context(P521, P256, server=False))
        await server.shutdown(1)
        await again.wait_closed()
        assert again._link.error is None

    async def main():
        tls = context(P256, P521, server=True)
        async with serving(METHODS, tls=tls) as served:
            await scenario(*served)

    asyncio.run(main())


def test_our_goodbye_is_a_close_notify():
    async def scenario(path, server):
        def read():
            client_tls = context(P521, P256, server=False)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                with client_tls.wrap_socket(
                    sock, server_hostname="localhost", suppress_ragged_eofs=False
                ) as tls:
                    tls.sendall(PREFACE)
                    greeted.set()
                    read_to_the_end(tls)

        greeted = threading.Event()
        reading = asyncio.ensure_future(asyncio.to_thread(read))
        await asyncio.to_thread(greeted.wait, 10)
        await server.shutdown(0.1)
        # Without a close_notify the reader gets an SSLEOFError.
        await reading

    run(scenario, context(P256, P521, server=True))


def read_to_the_end(tls):
    while tls.recv(65536):
        pass


def test_garbage_after_the_handshake_ends_the_connection():
    async def scenario(path, server):
        def attack():
            client_tls = context(P521, P256, server=False)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                with client_tls.wrap_socket(
                    sock, server_hostname="localhost", do_handshake_on_connect=True
                ) as tls:
                    tls.recv(10)
                    # Below the TLS layer: a record that cannot be decrypted.
                    os.write(tls.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
                    with pytest.raises(ssl.SSLError):
                        read_to_the_end(tls)

        await asyncio.to_thread(attack)
        assert not server._links

    run(scenario, context(P256, P521, server=True))
