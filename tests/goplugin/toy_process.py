"""A plugin process with methods that misbehave on request; run as a module."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

from vault_jwt_plugin import goplugin, rpc

PROGRAM = goplugin.Program(
    name="toy",
    version="v1.2.3",
    summary="a toy",
    plugin_type="auth",
    plugin_name="toy",
)


class Toy:
    version = PROGRAM.version

    def __init__(self) -> None:
        self._broker: goplugin.Broker | None = None

    def methods(self, broker: goplugin.Broker) -> rpc.Methods:
        self._broker = broker
        return {
            "/toy.Toy/Echo": rpc.unary(lambda call, message: message),
            "/toy.Toy/Instance": rpc.unary(lambda call, _: goplugin.multiplex_id(call).encode()),
            "/toy.Toy/Facts": rpc.unary(lambda call, _: _facts()),
            "/toy.Toy/Print": rpc.unary(_print),
            "/toy.Toy/Log": rpc.unary(_log),
            "/toy.Toy/Stick": rpc.unary(_stick),
            "/toy.Toy/Wait": rpc.unary(_wait),
            "/toy.Toy/Exhaust": rpc.unary(_exhaust),
            "/toy.Toy/AskHost": rpc.unary(self._ask_host),
        }

    async def _ask_host(self, call: rpc.Call, message: bytes) -> bytes:
        """Dial the numbered connection and pass its answer on."""
        assert self._broker is not None
        channel = await self._broker.dial(int(message))
        try:
            return await channel.unary("/toy.Host/Hello", b"plugin", timeout_s=5)
        finally:
            await channel.close()

    async def close(self) -> None:
        behaviour = os.environ.get("TOY_CLOSE")
        if behaviour == "hang":
            await asyncio.Event().wait()
        if behaviour == "stick":
            _stick_fast()
        if behaviour == "fail":
            raise RuntimeError("will not close")


def _facts() -> bytes:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    umask = os.umask(0)
    os.umask(umask)
    return json.dumps(
        {
            "umask": umask,
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
            "locked": status["VmLck"],
            "modules": sorted(sys.modules),
        }
    ).encode()


def _print(_call: rpc.Call, message: bytes) -> bytes:
    print(message.decode(), flush=True)
    assert sys.__stdout__ is not None
    sys.__stdout__.write("the old object\n")
    sys.__stdout__.flush()
    os.write(1, b"from C\n")
    return b""


def _log(_call: rpc.Call, message: bytes) -> bytes:
    logging.getLogger("vault_jwt_plugin.toy").info(
        "asked to", extra={"fields": json.loads(message)}
    )
    logging.getLogger("urllib3").debug("GET /?code=secret")
    return b""


def _stick(_call: rpc.Call, _message: bytes) -> bytes:
    logging.getLogger("vault_jwt_plugin.toy").info("about to stick")
    _stick_fast()
    return b""


def _stick_fast() -> None:
    time.sleep(60)


async def _wait(_call: rpc.Call, _message: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


def _exhaust(_call: rpc.Call, _message: bytes) -> bytes:
    """Make the event loop itself run out of memory."""
    asyncio.get_running_loop().call_soon(_allocate)
    return b""


def _allocate() -> None:
    raise MemoryError


def make_toy() -> Toy:
    fault = os.environ.get("TOY_FAULT")
    if fault:
        raise RuntimeError(fault)
    return Toy()


if __name__ == "__main__":
    sys.exit(goplugin.serve(make_toy, program=PROGRAM))
