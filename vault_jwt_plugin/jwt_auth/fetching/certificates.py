"""What a TLS server's certificates are checked for beyond what OpenSSL can be told.

Two things that operators may allow: certificates for other names than the URL's
host, and critical extensions that OpenSSL does not know. OpenSSL checks one name
only, and can ignore all critical extensions or none (`X509_V_FLAG_IGNORE_CRITICAL`).
So those checks are made here, within the handshake: nothing of a request is sent
before them, and every client that uses the context has them.
"""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IGNORE_CRITICAL = 0x10
"""X509_V_FLAG_IGNORE_CRITICAL (openssl/x509_vfy.h), which Python does not name."""

KNOWN_EXTENSIONS = frozenset(
    {
        "2.5.29.15",  # key usage
        "2.5.29.17",  # subject alternative name
        "2.5.29.19",  # basic constraints
        "2.5.29.30",  # name constraints
        "2.5.29.31",  # CRL distribution points
        "2.5.29.32",  # certificate policies
        "2.5.29.33",  # policy mappings
        "2.5.29.36",  # policy constraints
        "2.5.29.37",  # extended key usage
        "2.5.29.54",  # inhibit anyPolicy
        "1.3.6.1.5.5.7.1.7",  # IP address blocks
        "1.3.6.1.5.5.7.1.8",  # autonomous system numbers
        "1.3.6.1.5.5.7.48.1.5",  # OCSP nocheck
        "2.16.840.1.113730.1.1",  # Netscape certificate type
    }
)
"""Extensions that OpenSSL accepts as critical by itself (`X509_supported_extension`)."""


class PeerRefusedError(ssl.SSLError):
    """A server's certificates are not acceptable.

    Attributes:
        code: stable: `tls_name` or `tls_critical_extension`.
        problem: what is wrong, in words that name no URL.
    """

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem


def enforce(
    context: ssl.SSLContext, *, server_names: Sequence[str], critical_extensions: Sequence[str]
) -> None:
    """Have every handshake of the context end with the checks that these settings need.

    Args:
        context: of a client, which checks certificate and host name.
        server_names: names and addresses that the certificate may carry instead of the
            host's.
        critical_extensions: dotted OIDs of critical extensions that are tolerated in any
            certificate of the chain.
    """
    if not (server_names or critical_extensions):
        return
    names = tuple(server_names)
    tolerated = KNOWN_EXTENSIONS | {canonical_oid(each) for each in critical_extensions}
    if names:
        context.check_hostname = False
    if critical_extensions:
        context.verify_flags |= IGNORE_CRITICAL

    def check(connection: Any) -> None:
        if names:
            # Differs from OpenBao, which takes these names only, but for a few calls only: where
            # it goes by the host, a mount that was taken over would lose its keys.
            accepted = (connection.server_hostname, *names)
            check_names(connection.getpeercert() or {}, accepted)
        if critical_extensions:
            check_extensions(verified_chain(connection), tolerated)

    class CheckedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's
            super().do_handshake(block)
            check(self)

    class CheckedObject(ssl.SSLObject):
        """TLS within the TLS of a proxy."""

        def do_handshake(self) -> None:
            super().do_handshake()
            check(self)

    context.sslsocket_class = CheckedSocket
    context.sslobject_class = CheckedObject


def verified_chain(connection: Any) -> list[bytes]:
    """The certificates that vouch for the server, DER, from its own to the trusted one."""
    public = getattr(connection, "get_verified_chain", None)
    if public is not None:  # Python 3.13
        return list(public())
    der = 2  # _ssl.ENCODING_DER
    chain = connection._sslobj.get_verified_chain()  # noqa: SLF001 - there since 3.10, public later
    return [certificate.public_bytes(der) for certificate in chain]


def check_names(certificate: dict[str, Any], accepted: Iterable[str]) -> None:
    """The certificate is for one of these names or addresses (RFC 6125 6.4, Go's VerifyHostname).

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` shows it.
        accepted: host names and IP addresses; an empty one matches nothing.

    Raises:
        PeerRefusedError: `tls_name`.
    """
    alternatives = certificate.get("subjectAltName", ())
    names = [value for kind, value in alternatives if kind == "DNS"]
    addresses = [value for kind, value in alternatives if kind == "IP Address"]
    for each in accepted:
        address = _address(each)
        if address is None:
            if any(_covers(name, each) for name in names):
                return
        elif any(_address(value) == address for value in addresses):
            return
    raise PeerRefusedError(
        "tls_name",
        "its certificate is neither for its host nor for one of override_allowed_server_names",
    )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _covers(pattern: str, host: str) -> bool:
    """Whether a certificate's DNS name is for a host: `*` stands for its whole first label."""
    pattern_labels = pattern.lower().split(".")
    host_labels = host.lower().removesuffix(".").split(".")
    if not all(pattern_labels) or not all(host_labels):
        return False
    if pattern_labels[0] == "*" and len(pattern_labels) > 1:
        pattern_labels[0] = host_labels[0]
    return pattern_labels == host_labels


def check_extensions(chain: Iterable[bytes], tolerated: frozenset[str]) -> None:
    """No certificate of the chain has a critical extension other than these (RFC 5280 4.2).

    Args:
        chain: certificates, DER.
        tolerated: dotted OIDs.

    Raises:
        PeerRefusedError: `tls_critical_extension`, naming the first.
    """
    from cryptography import x509

    unreadable = (
        ValueError,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    )
    for der in chain:
        try:
            extensions = x509.load_der_x509_certificate(der).extensions
        except unreadable:
            # What can't be read can't be tolerated.
            raise PeerRefusedError(
                "tls_critical_extension",
                "the extensions of one of the server's certificates can't be read",
            ) from None
        for extension in extensions:
            oid = extension.oid.dotted_string
            if extension.critical and oid not in tolerated:
                raise PeerRefusedError(
                    "tls_critical_extension",
                    f"one of the server's certificates has the critical extension {oid}, "
                    "which is not one of unsupported_critical_cert_extensions",
                )


def canonical_oid(text: str) -> str:
    """An OID without leading zeros; text that is none stays, and equals no OID."""
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in text.split("."))
