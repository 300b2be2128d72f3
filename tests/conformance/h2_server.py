"""Our gRPC server, in plaintext on the loopback, for suites that test HTTP/2 servers.

`python -m tests.conformance.h2_server PORT` serves until it is killed; port 0 picks a free one.
When it listens, it prints its address.
"""

import asyncio
import socket
import sys

from vault_jwt_plugin import rpc


async def serve(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    server = rpc.Server({"/echo.Echo/Unary": rpc.unary(lambda _call, message: message)})
    server.start(listener)
    host, bound = listener.getsockname()
    print(f"listening on {host}:{bound}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
