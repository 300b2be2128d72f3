"""AutoMTLS: both ends sign their own certificate, and each trusts only the other's.

Mirrors go-plugin `mtls.go` (`generateCert`), `client.go` (`Start`) and `server.go` (`Serve`).
Python's `ssl` (OpenSSL) does the handshakes: hosts use ECDSA P-521, which BoringSSL refuses.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vault_jwt_plugin.goplugin.errors import ClientCertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

SERVER_NAME = "localhost"
"""The name in both ends' certificates."""

_ALPN = ["h2"]  # grpc-go refuses a peer that selects no protocol.
_CLOCK_SKEW = dt.timedelta(seconds=30)
_LIFETIME = dt.timedelta(hours=262_980)  # Like go-plugin's: 30 years.


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Our certificate and its key. They exist only in memory, for one process.

    Attributes:
        certificate_der: the self-signed certificate, as the handshake line carries it.
        certificate_pem: the same in PEM.
        key_pem: its private key in PEM. Secret.
    """

    certificate_der: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a key (ECDSA P-256) and sign a certificate like those that hosts make."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"),
            ]
        )
        now = dt.datetime.now(dt.UTC)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + _LIFETIME)
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return cls(
            certificate_der=certificate.public_bytes(serialization.Encoding.DER),
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            key_pem=key_pem,
        )


def server_context(identity: Identity, host_certificate: str) -> ssl.SSLContext:
    """Make the TLS context for the main listener: only the host may connect.

    Args:
        identity: our certificate and key.
        host_certificate: `PLUGIN_CLIENT_CERT`, one certificate in PEM.

    Raises:
        ClientCertificateError: `host_certificate` is not one certificate in PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    # There is one connection per process, so nothing is ever resumed.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _configure(context, identity, host_certificate)
    return context


def client_context(identity: Identity, host_certificate: str) -> ssl.SSLContext:
    """Make the TLS context for brokered connections to the host, which shows the same certificate.

    Args:
        identity: our certificate and key; the host accepts no other.
        host_certificate: `PLUGIN_CLIENT_CERT`, one certificate in PEM.

    Raises:
        ClientCertificateError: `host_certificate` is not one certificate in PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    _configure(context, identity, host_certificate)
    return context


def _configure(context: ssl.SSLContext, identity: Identity, host_certificate: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # The root is a leaf certificate: trust it as it is, whatever its basic constraints say.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(_ALPN)
    try:
        context.load_verify_locations(cadata=host_certificate)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: not ASCII.
        raise ClientCertificateError("PLUGIN_CLIENT_CERT holds no certificate in PEM") from error
    if len(context.get_ca_certs()) != 1:
        raise ClientCertificateError("PLUGIN_CLIENT_CERT holds more than one certificate")
    _load_chain(context, identity)


def _load_chain(context: ssl.SSLContext, identity: Identity) -> None:
    """Pass the key to OpenSSL, whose API wants files, without touching a disk.

    This uses pipes, not memfds: Python builds for old glibc versions have no `memfd_create`.
    """
    with _piped(identity.certificate_pem) as certificate, _piped(identity.key_pem) as key:
        context.load_cert_chain(certificate, key)


@contextlib.contextmanager
def _piped(data: bytes) -> Iterator[str]:
    """Provide a path that reads as `data`, once; `data` must fit into a pipe's 64 KiB."""
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, data)
        finally:
            os.close(writer)
        yield f"/proc/self/fd/{reader}"
    finally:
        os.close(reader)


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_agreement=True,
        key_cert_sign=True,
        content_commitment=False,
        data_encipherment=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
