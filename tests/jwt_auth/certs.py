"""Certificates for tests."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = dt.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: str, public_key: Any, *, expired: bool = False) -> Any:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now - _DAY if expired else now + _DAY)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def self_signed(key: Any, *, expired: bool = False) -> str:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = _builder("test", "test", key.public_key(), expired=expired)
    return _pem(builder.sign(key, algorithm))


class Authority:
    """A CA that issues server certificates; `pem` is what to trust.

    Args:
        name: its subject.
        issuer: who signed it; None = itself.
        critical: OIDs of critical extensions that nobody knows.
    """

    def __init__(
        self,
        name: str = "test CA",
        *,
        issuer: Authority | None = None,
        critical: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        signer = issuer or self
        builder = _builder(name, signer._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        certificate = _with(builder, critical).sign(signer._key, hashes.SHA256())
        self.pem = _pem(certificate)
        # What a server sends beside its own certificate.
        self.chain: str = "" if issuer is None else self.pem + issuer.chain

    def issue(
        self,
        *names: str,
        expired: bool = False,
        critical: Sequence[str] = (),
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> str:
        """A certificate for host names and IP addresses, its chain and key, as one PEM text.

        Args:
            names: at least one.
            expired: since yesterday.
            critical: OIDs of critical extensions that nobody knows.
            extensions: more critical ones.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        builder = _builder(names[0], self._name, key.public_key(), expired=expired).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        certificate = _with(builder, critical).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(certificate) + self.chain + private.decode()


def _with(builder: Any, critical: Sequence[str]) -> Any:
    for oid in critical:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    return builder
