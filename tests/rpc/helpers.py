"""A recording listener, two cores joined in memory, and servers on sockets."""

import asyncio
import contextlib
import socket
import struct
import tempfile
from typing import ClassVar

import hpack

from vault_jwt_plugin import rpc
from vault_jwt_plugin.rpc import _frames
from vault_jwt_plugin.rpc.http2 import Connection

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/t.T/M"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)
RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)

PREFACE = _frames.PREFACE + _frames.settings({})
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 0x20


class Recorder:
    """Record every call of the core as a tuple; adjacent ones are not merged."""

    def __init__(self, take=True):
        self.events = []
        self.streams = {}
        self.core: Connection
        self.take = take

    def headers_received(self, stream, fields, *, ended):
        self.streams[stream.id] = stream
        pairs = (*fields.pseudo.items(), *fields.metadata.items())
        self.events.append(("headers", stream.id, pairs, ended))

    def content_received(self, stream, data, *, ended):
        self.events.append(("content", stream.id, data, ended))
        if self.take:
            self.core.return_window(stream, len(data))

    def trailers_received(self, stream, fields):
        self.events.append(("trailers", stream.id, tuple(fields.metadata.items())))

    def stream_reset(self, stream, code):
        self.events.append(("reset", stream.id, code))

    def stream_drained(self, stream):
        self.events.append(("drained", stream.id))

    def settings_received(self):
        self.events.append(("settings",))

    def goaway_received(self, code, debug):
        self.events.append(("goaway", code, debug))

    def shutdown_acknowledged(self):
        self.events.append(("shutdown acknowledged",))

    def content(self, stream_id):
        return b"".join(e[2] for e in self.events if e[0] == "content" and e[1] == stream_id)

    def named(self, *names):
        return [event for event in self.events if event[0] in names]


def core(*, client=False, clock=lambda: 0.0, take=True, started=True, **limits):
    """Make a core and its recorder; a server has already received the client's preface."""
    recorder = Recorder(take)
    limits.setdefault("ping_ack_delay_s", 0)
    connection = Connection(recorder, client=client, limits=rpc.Limits(**limits), clock=clock)
    recorder.core = connection
    connection.start()
    if started:
        connection.receive_data(_frames.settings({}) if client else PREFACE)
        connection.data_to_send()
        recorder.events.clear()
    return connection, recorder


def pair(**limits):
    """Make a client core and a server core that have exchanged prefaces, each with its recorder."""
    client, client_seen = core(client=True, started=False, **limits)
    server, server_seen = core(started=False, **limits)
    exchange(client, server)
    client_seen.events.clear()
    server_seen.events.clear()
    return client, client_seen, server, server_seen


def exchange(one, other):
    """Carry bytes both ways until neither core has any."""
    while True:
        there, back = one.data_to_send(), other.data_to_send()
        if not there and not back:
            return
        other.receive_data(there)
        one.receive_data(back)


def frame(kind, flags, stream_id, payload=b""):
    return _frames.frame(kind, flags, stream_id, payload)


def block(headers=REQUEST, encoder=None):
    return (encoder or hpack.Encoder()).encode(headers)


def request(stream_id=1, headers=REQUEST, *, end=False, encoder=None):
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream_id, block(headers, encoder))


def number(value):
    return struct.pack(">L", value)


def frames(data):
    """Return (type, flags, stream, payload) of each whole frame."""
    found = []
    while data:
        word, flags, stream_id = _frames.HEADER.unpack_from(data)
        stop = 9 + (word >> 8)
        assert len(data) >= stop
        found.append((word & 0xFF, flags, stream_id, data[9:stop]))
        data = data[stop:]
    return found


def resets(data):
    """Return (stream, error code) of each RST_STREAM."""
    return [(f[2], int.from_bytes(f[3], "big")) for f in frames(data) if f[0] == RST]


@contextlib.asynccontextmanager
async def serving(methods, *, tls=None, limits=None, grace_s=1.0):
    """Start our server on a unix socket; yield the socket's path and the server."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        listener.setblocking(False)
        server = rpc.Server(methods, tls=tls, limits=limits or rpc.Limits())
        server.start(listener)
        try:
            yield path, server
        finally:
            while RawPeer.opened:
                await RawPeer.opened.pop().close()
            await server.shutdown(grace_s)


async def all_lost(server):
    """Wait until the server has no connection."""
    if server._links:
        server._all_lost = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(server._all_lost, 10)


async def connect(path, *, tls=None, limits=None, timeout_s=5.0):
    return await rpc.Channel.connect(
        path,
        tls=tls,
        server_hostname="localhost",
        limits=limits or rpc.Limits(),
        timeout_s=timeout_s,
    )


class RawPeer:
    """A socket that sends what a test tells it, frame by frame."""

    # `serving` closes them, even if the test failed: no socket may be left to the garbage
    # collector.
    opened: ClassVar[list["RawPeer"]] = []

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, path, hello=PREFACE):
        reader, writer = await asyncio.open_unix_connection(path)
        peer = cls(reader, writer)
        cls.opened.append(peer)
        await peer.send(hello)
        return peer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def next(self, *kinds):
        """Return the next frame of one of these types, as (type, flags, stream, payload)."""
        while True:
            head = await asyncio.wait_for(self.reader.readexactly(9), 10)
            word, flags, stream_id = _frames.HEADER.unpack(head)
            payload = await asyncio.wait_for(self.reader.readexactly(word >> 8), 10)
            if not kinds or word & 0xFF in kinds:
                return word & 0xFF, flags, stream_id, payload

    async def until_closed(self):
        """Return everything until the other side closes; ConnectionResetError counts as closing."""
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(), 10)
        return b""

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
