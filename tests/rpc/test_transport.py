"""The transport's edge cases; test_calls, test_faults and test_tls cover the rest."""

import asyncio
import socket

from vault_jwt_plugin.rpc import Limits
from vault_jwt_plugin.rpc._transport import Transport


class User:
    """Send one piece of data, and record how the connection ends."""

    def __init__(self):
        self.out = b""
        self.ends = []

    def connection_made(self):
        pass

    def data_received(self, data):
        pass

    def data_to_send(self):
        out, self.out = self.out, b""
        return out

    def writable(self):
        pass

    def connection_lost(self, error):
        self.ends.append(type(error))


def test_closing_with_data_left_for_a_peer_that_is_gone():
    async def scenario():
        ours, theirs = socket.socketpair()
        user = User()
        transport = Transport(
            ours, user, tls=None, server_side=True, server_hostname=None, limits=Limits()
        )
        transport.start()
        theirs.close()
        user.out = b"goodbye"
        transport.close()
        transport.close()
        assert user.ends == [BrokenPipeError]

    asyncio.run(scenario())
