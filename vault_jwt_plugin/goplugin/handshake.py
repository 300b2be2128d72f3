"""What the host passes in the environment, and the one line that the plugin answers.

Mirrors go-plugin `server.go` (`Serve`, `protocolVersion`) as read by its `client.go` (`Start`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_jwt_plugin.goplugin.errors import (
    ClientCertificateError,
    ContainerRuntimeError,
    DatabaseProbeError,
    MagicCookieError,
    ProtocolVersionError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CORE_VERSION = 1
"""go-plugin's `CoreProtocolVersion`; hosts accept no other."""

PROTOCOL_VERSION = 5
"""The one application protocol that is supported: AutoMTLS and multiplexing.

Versions 3 and 4 are not offered: a host tries 5 first, and after a transient failure there it would
fall back to their plaintext metadata mode.
"""

MAGIC_COOKIE = ("VAULT_BACKEND_PLUGIN", "6669da05-b1c8-4f49-97d9-c8e5bed98e20")
"""Name and value (both hosts' `sdk/plugin/serve.go`). They guard against people, not attackers."""

_DATABASE_COOKIE = ("VAULT_DATABASE_PLUGIN", "926a0820-aea2-be28-51d6-83cdf00e8edb")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRequest:
    """What a host asks of the process that it starts.

    Attributes:
        client_certificate: the host's certificate in PEM, the only peer to accept and to trust.
        socket_dir: the folder in which the socket must lie; None lets us choose.
        socket_group: id or name of the group that may connect, or None.
        mlock: the host wants the plugin's memory kept out of swap.
    """

    client_certificate: str
    socket_dir: str | None = None
    socket_group: str | None = None
    mlock: bool = False


def read_environment(environ: Mapping[str, str]) -> HandshakeRequest:
    """Read the host's side of the handshake.

    `*_PLUGIN_METADATA_MODE` and `*_PLUGIN_AUTOMTLS_ENABLED` are not read: OpenBao lets its own
    environment override them, so they prove nothing.

    Raises:
        DatabaseProbeError: the program was started as a database plugin.
        MagicCookieError: no host started the program.
        ProtocolVersionError: the host does not offer version 5.
        ContainerRuntimeError: the host asks for gRPC inside yamux.
        ClientCertificateError: there is no AutoMTLS. Version 5 hosts always use it, so serving in
            plaintext would only help someone who imitates one.
    """
    _check_cookie(environ)
    offered = environ.get("PLUGIN_PROTOCOL_VERSIONS", "")
    if str(PROTOCOL_VERSION) not in (version.strip() for version in offered.split(",")):
        raise ProtocolVersionError(
            f"the host offers plugin protocol versions {offered[:64]!r}, "
            f"this plugin speaks only version {PROTOCOL_VERSION}",
            offered=offered,
        )
    if environ.get("PLUGIN_MULTIPLEX_GRPC"):
        raise ContainerRuntimeError(
            "this plugin does not support the container runtime (PLUGIN_MULTIPLEX_GRPC is set): "
            "register it as a command, without an OCI image"
        )
    certificate = environ.get("PLUGIN_CLIENT_CERT", "")
    if not certificate:
        raise ClientCertificateError(
            "the host sent no certificate (PLUGIN_CLIENT_CERT is not set): "
            "this plugin serves only with mutual TLS"
        )
    return HandshakeRequest(
        client_certificate=certificate,
        socket_dir=environ.get("PLUGIN_UNIX_SOCKET_DIR") or None,
        socket_group=environ.get("PLUGIN_UNIX_SOCKET_GROUP") or None,
        mlock=_wants_mlock(environ),
    )


def format_line(*, address: str, certificate_der: bytes) -> str:
    r"""Return the handshake line, including its `\n`.

    Args:
        address: path of the Unix socket; it must contain neither `|` nor a newline.
        certificate_der: our certificate; empty means none, which only a refusal sends.
    """
    # Go decodes this with base64.RawStdEncoding, which treats padding as an error.
    certificate = base64.b64encode(certificate_der).decode("ascii").rstrip("=")
    return f"{CORE_VERSION}|{PROTOCOL_VERSION}|unix|{address}|grpc|{certificate}\n"


def _check_cookie(environ: Mapping[str, str]) -> None:
    name, value = MAGIC_COOKIE
    cookie = environ.get(name, "")
    if cookie == value:
        return
    database_name, database_value = _DATABASE_COOKIE
    # `plugin register` without a type first tries the program as a database plugin, up to twice,
    # and
    # holds the whole catalog until the program has ended.
    if environ.get(database_name) == database_value:
        raise DatabaseProbeError("this is not a database plugin")
    raise MagicCookieError(
        f"{name} is set, but not to the value that Vault and OpenBao give it"
        if cookie
        else f"{name} is not set: no server started this program",
        wrong_value=bool(cookie),
    )


def _wants_mlock(environ: Mapping[str, str]) -> bool:
    # OpenBao sets each variable under two names; Go plugins read BAO_X first, even if it is empty.
    asked = environ.get("BAO_PLUGIN_MLOCK_ENABLED", environ.get("VAULT_PLUGIN_MLOCK_ENABLED", ""))
    return asked == "true"
