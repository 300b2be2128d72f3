"""Numbered connections that the plugin makes back to the host.

Mirrors go-plugin `grpc_broker.go` (`GRPCBroker.Run`, `Dial`). The host announces each of its
listeners on one stream, shortly before or after the call that names the listener's number.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin.brokered import BrokeredChannel
from vault_jwt_plugin.goplugin.errors import BrokerError
from vault_jwt_plugin.goplugin.tls import SERVER_NAME
from vault_jwt_plugin.pb import plugin_pb2

if TYPE_CHECKING:
    import ssl

_logger = logging.getLogger(__name__)

WAIT_S = 5.0
"""How long a dial waits for its announcement, and an announcement for its dial, in seconds."""

_CONNECT_TIMEOUT_S = 5.0
_MAX_UNCLAIMED = 1_000


class Broker:
    """The plugin's end of the broker: it reads announcements and opens channels to the host."""

    def __init__(self, tls: ssl.SSLContext | None, *, wait_s: float = WAIT_S) -> None:
        """Create a broker that knows of no listener yet.

        Args:
            tls: for the connections to the host; None means plaintext, in tests.
            wait_s: see `WAIT_S`.
        """
        self._tls = tls
        self._wait_s = wait_s
        self._announced: dict[int, asyncio.Future[plugin_pb2.ConnInfo]] = {}

    async def dial(self, service_id: int) -> BrokeredChannel:
        """Connect to what the host serves under this number; works once per number.

        Raises:
            BrokerError: the host did not announce the number in time or announced it in a way that
                we
                do not support, or nobody answers there.
        """
        announcement = self._expect(service_id)
        try:
            async with asyncio.timeout(self._wait_s):
                info = await announcement
        except TimeoutError as error:
            raise BrokerError(
                f"the host did not announce connection {service_id} within {self._wait_s:g} s",
                service_id=service_id,
            ) from error
        finally:
            self._announced.pop(service_id, None)
        address = _address(info)

        async def connect() -> rpc.Channel:
            return await rpc.Channel.connect(
                address,
                tls=self._tls,
                server_hostname=SERVER_NAME,
                timeout_s=_CONNECT_TIMEOUT_S,
            )

        try:
            return BrokeredChannel(await connect(), connect)
        except rpc.RPCError as error:
            raise BrokerError(
                f"connection {service_id} to the host failed: {error.message}",
                service_id=service_id,
            ) from error

    async def serve_stream(self, stream: rpc.ServerStream) -> None:
        """Handle `/plugin.GRPCBroker/StartStream`: read announcements until the host ends it.

        We announce nothing, because hosts never dial a plugin's brokered listener.
        """
        while (message := await stream.receive()) is not None:
            try:
                info = plugin_pb2.ConnInfo.FromString(message)
            except DecodeError:
                _logger.warning(
                    "the broker stream carried a message that is not a ConnInfo",
                    extra={"fields": {"event": "broker_message_ignored"}},
                )
                continue
            self._announce(info)

    def _announce(self, info: plugin_pb2.ConnInfo) -> None:
        if info.HasField("knock"):
            # Knocks belong to the container runtime, which we refuse.
            _logger.debug("knock ignored", extra={"fields": {"service_id": info.service_id}})
            return
        if info.service_id not in self._announced and len(self._announced) >= _MAX_UNCLAIMED:
            _logger.warning(
                "announcement ignored: %d already wait for a dial",
                _MAX_UNCLAIMED,
                extra={"fields": {"event": "broker_announcement_ignored"}},
            )
            return
        announcement = self._expect(info.service_id)
        if not announcement.done():
            announcement.set_result(info)
            # A dial that waits now has taken it by then; a later dial does not find it.
            asyncio.get_running_loop().call_later(
                self._wait_s, self._forget, info.service_id, announcement
            )

    def _expect(self, service_id: int) -> asyncio.Future[plugin_pb2.ConnInfo]:
        future = self._announced.get(service_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._announced[service_id] = future
        return future

    def _forget(self, service_id: int, announcement: asyncio.Future[plugin_pb2.ConnInfo]) -> None:
        if self._announced.get(service_id) is announcement:
            del self._announced[service_id]


def _address(info: plugin_pb2.ConnInfo) -> str | tuple[str, int]:
    if info.network == "unix" and info.address:
        return info.address
    if info.network == "tcp":
        host, _, port = info.address.rpartition(":")
        if host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536:
            return host, int(port)
    raise BrokerError(
        f"the host announced connection {info.service_id} on an address that cannot be used: "
        f"{info.network[:16]!r} {info.address[:128]!r}",
        service_id=info.service_id,
    )
