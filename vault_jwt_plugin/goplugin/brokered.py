"""A channel to what the host serves for one mount; it survives the loss of its connection.

Go plugins call the host through grpc-go's channels, which reconnect by themselves. Without this,
ours would stay closed: no role could be written and no cold login could succeed until the plugin
is reloaded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin import rpc

_logger = logging.getLogger(__name__)


class BrokeredChannel:
    """Call the host's methods, over a new connection once the last one is lost.

    Calls that were under way at that moment fail, because nobody knows whether the host has done
    the
    work. The connection is made again only when somebody calls.

    Args:
        channel: a connected channel.
        connect: makes another channel within seconds, or raises RPCError.
    """

    def __init__(self, channel: rpc.Channel, connect: Callable[[], Awaitable[rpc.Channel]]) -> None:
        self._channel = channel
        self._connect = connect
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False

    async def unary(
        self,
        path: str,
        message: bytes,
        *,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """See `rpc.Channel.unary`. The time for a new connection is not part of `timeout_s`."""
        if self._channel.closed and not self._closed:
            await self._reconnected()
        return await self._channel.unary(path, message, timeout_s=timeout_s, metadata=metadata)

    async def close(self) -> None:
        """Close in order and never connect again. Calling this twice does no harm."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._channel.close()

    async def _reconnected(self) -> None:
        connecting = self._connecting
        if connecting is None:
            connecting = asyncio.get_running_loop().create_task(self._reconnect(), name="reconnect")
            connecting.add_done_callback(self._over)
            self._connecting = connecting
        # All callers wait for the same new connection, and none cancels it for the others.
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            connecting.result()

    async def _reconnect(self) -> None:
        self._channel = await self._connect()
        _logger.warning(
            "the connection to the server's storage was lost and has been replaced",
            extra={"fields": {"event": "storage_reconnected"}},
        )

    def _over(self, connecting: asyncio.Task[None]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            # Reading the exception keeps asyncio from logging that nobody has read it.
            connecting.exception()
