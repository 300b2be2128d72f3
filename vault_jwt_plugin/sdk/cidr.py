"""Bound addresses: IPv4 and IPv6 with an optional prefix, as go-sockaddr reads them."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_jwt_plugin.sdk.errors import UserError
from vault_jwt_plugin.sdk.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

# Barracuda's VPN client writes `192.168.3.51/00ffffff` (go-sockaddr, ipv4addr.go).
_HEX_NETMASK = re.compile(r"/[0f]{8}$", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,3}", re.ASCII)
_V4_PORT = re.compile(r"([0-9.]+):([0-9]{1,5})", re.ASCII)
_V6_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\]:([0-9]{1,5})", re.ASCII)
_V4_MAPPED = bytes(10) + b"\xff\xff"
_MAX_PORT = 65535


class CIDRError(UserError):
    """A string that is not an address, network or Unix socket path."""

    code = "cidr_invalid"


@dataclass(frozen=True, slots=True)
class _Network:
    """One parsed entry. `bits` is 32 or 128, or 0 for a Unix socket, which matches no client."""

    text: str
    bits: int = 0
    address: int = 0
    prefix: int = 0


def parse_cidrs(texts: Iterable[str]) -> tuple[str, ...]:
    """Check bound addresses and return the strings to store.

    Host bits are kept (`127.0.0.1/8`), and a full-length prefix is dropped. Any other string that
    contains `/` or starts with `.` is accepted as a Unix socket and then matches no client
    (go-sockaddr `NewSockAddr`).

    Raises:
        CIDRError: an entry is none of these.
    """
    return tuple(_parse(text).text for text in texts)


def _parse(text: str) -> _Network:
    network = _ip_network(text)
    if network is not None:
        return network
    if len(text) > 1 and (text[0] == "." or "/" in text):
        return _Network(text)
    shown = quoted(text)
    raise CIDRError(
        f"error parsing address {shown}: "
        f"Unable to convert {shown} to an IPv4 or IPv6 address, or a UNIX Socket"
    )


def _ip_network(text: str) -> _Network | None:
    stripped = _HEX_NETMASK.sub("", text)
    host, slash, prefix_text = stripped.partition("/")
    if not slash:
        return _with_port(stripped) or _network(_packed(_bare(stripped)), None)
    if not _PREFIX.fullmatch(prefix_text):
        return None
    return _network(_packed(host), int(prefix_text))


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == "[" and text[-1] == "]" else text


def _packed(text: str) -> bytes | None:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):
        return None


def _network(packed: bytes | None, prefix: int | None, port: str = "") -> _Network | None:
    if packed is None:
        return None
    bits = len(packed) * 8
    if prefix is not None and prefix > bits:
        return None
    if bits == 128 and packed.startswith(_V4_MAPPED):
        # An IPv4-mapped IPv6 address is IPv4; if its prefix is below 96, Go keeps a host mask.
        packed = packed[12:]
        prefix = prefix - 96 if prefix is not None and prefix >= 96 else None
        bits = 32
    if prefix is None:
        prefix = bits
    host = socket.inet_ntop(socket.AF_INET, packed) if bits == 32 else _v6_text(packed)
    if port:
        host = f"{host}:{port}" if bits == 32 else f"[{host}]:{port}"
    elif prefix != bits:
        host = f"{host}/{prefix}"
    return _Network(host, bits, int.from_bytes(packed, "big"), prefix)


def _v6_text(packed: bytes) -> str:
    # `inet_ntop` will not do: C libraries write `::1.2.3.4` where Go writes `::102:304`.
    from ipaddress import IPv6Address

    return str(IPv6Address(packed))


def _with_port(text: str) -> _Network | None:
    match = _V4_PORT.fullmatch(text) or _V6_PORT.fullmatch(text)
    if match is None or int(match.group(2)) > _MAX_PORT:
        return None
    port = int(match.group(2))
    return _network(_packed(match.group(1)), None, str(port) if port else "")


@dataclass(frozen=True, slots=True)
class CIDRSet:
    """Bound addresses, parsed once; a login calls `allows`.

    Attributes:
        texts: the entries as stored.
    """

    texts: tuple[str, ...]
    _v4: tuple[tuple[int, int], ...]
    _v6: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> CIDRSet:
        """Parse stored entries.

        Raises:
            CIDRError: an entry is not an address, network or Unix socket path.
        """
        networks = [_parse(text) for text in texts]
        return cls(
            texts=tuple(network.text for network in networks),
            _v4=tuple(_shifted(network) for network in networks if network.bits == 32),
            _v6=tuple(_shifted(network) for network in networks if network.bits == 128),
        )

    def allows(self, remote_addr: str) -> bool:
        """Return whether a client's address is in the set; an empty set allows everyone.

        Args:
            remote_addr: an IP address. Anything else is never in the set (SDK
                `cidrutil.RemoteAddrIsOk`).
        """
        if not self.texts:
            return True
        packed = _packed(remote_addr)
        if packed is None:
            return False
        if len(packed) == 16 and packed.startswith(_V4_MAPPED):
            packed = packed[12:]
        address = int.from_bytes(packed, "big")
        networks = self._v4 if len(packed) == 4 else self._v6
        return any(address >> shift == network for network, shift in networks)


def _shifted(network: _Network) -> tuple[int, int]:
    shift = network.bits - network.prefix
    return network.address >> shift, shift
