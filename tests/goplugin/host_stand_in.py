"""A stand-in for a host: certificate, environment, pipes, two TLS roles.

It does what go-plugin's client does, but uses only `ssl` and `subprocess`.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
import select
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COOKIE = "6669da05-b1c8-4f49-97d9-c8e5bed98e20"
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdentity:
    """A host's self-signed certificate (go-plugin mtls.go, generateCert)."""

    certificate_pem: str
    key_pem: bytes = field(repr=False)

    @classmethod
    def generate(cls, curve: ec.EllipticCurve | None = None):
        """Make a new one; None means P-521, which hosts use but grpcio cannot."""
        key = ec.generate_private_key(curve or ec.SECP521R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"),
            ]
        )
        now = dt.datetime.now(dt.UTC)
        usage = x509.KeyUsage(
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
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(seconds=30))
            .not_valid_after(now + dt.timedelta(hours=262_980))
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA512())
        )
        return cls(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key_pem=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )

    def context(self, plugin_certificate_der: bytes, *, server: bool) -> ssl.SSLContext:
        """Make the TLS context for dialling the plugin, or for serving it a brokered connection."""
        kind = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(kind)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=plugin_certificate_der)
        context.set_alpn_protocols(["h2"])
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.key_pem + self.certificate_pem.encode())
            file.flush()
            context.load_cert_chain(file.name)
        return context


def host_environment(identity: HostIdentity | None = None, **more: str) -> dict[str, str]:
    """Return what a host adds to its own environment."""
    environ = {
        **{name: value for name, value in os.environ.items() if "PLUGIN" not in name},
        "PYTHONPATH": str(REPOSITORY),
        "VAULT_BACKEND_PLUGIN": COOKIE,
        "PLUGIN_PROTOCOL_VERSIONS": "5",
        "PLUGIN_MIN_PORT": "10000",
        "PLUGIN_MAX_PORT": "25000",
        "VAULT_VERSION": "1.21.4",
        **more,
    }
    if identity is not None:
        environ["PLUGIN_CLIENT_CERT"] = identity.certificate_pem
    return environ


TOY = [sys.executable, "-m", "tests.goplugin.toy_process"]


@dataclass(kw_only=True)
class StartedPlugin:
    """A plugin process and the contents of its handshake line."""

    process: subprocess.Popen[bytes]
    identity: HostIdentity
    line: bytes
    handshake_s: float

    @property
    def address(self) -> str:
        return os.fsdecode(self.line.split(b"|")[3])

    @property
    def certificate_der(self) -> bytes:
        text = self.line.rstrip(b"\n").split(b"|")[5]
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)

    def client_context(self) -> ssl.SSLContext:
        return self.identity.context(self.certificate_der, server=False)

    def server_context(self) -> ssl.SSLContext:
        return self.identity.context(self.certificate_der, server=True)

    def wait_gone(self, timeout_s: float) -> float:
        """Wait like a host for the process and the end of both pipes; return the seconds taken."""
        started = time.monotonic()
        for stream in (self.process.stdout, self.process.stderr):
            rest(stream, timeout_s - (time.monotonic() - started))
        self.process.wait(max(0.01, timeout_s - (time.monotonic() - started)))
        return time.monotonic() - started


def rest(stream, timeout_s: float) -> bytes:
    """Return everything left in the pipe up to its end, which must come in time."""
    data = b""
    deadline = time.monotonic() + timeout_s
    while True:
        ready, _, _ = select.select([stream], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no end of file within {timeout_s} s"
        chunk = os.read(stream.fileno(), 65536)
        if not chunk:
            return data
        data += chunk


@contextlib.contextmanager
def started(command=None, *, identity=None, **environ):
    """Start a plugin process, read its handshake line, and stop the process at the end."""
    identity = identity or HostIdentity.generate()
    began = time.monotonic()
    with subprocess.Popen(
        command or TOY,
        env=host_environment(identity, **environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            ready, _, _ = select.select([process.stdout], [], [], 30)
            assert ready, "no handshake line"
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.stderr.read().decode(errors="replace"))
            yield StartedPlugin(
                process=process,
                identity=identity,
                line=line,
                handshake_s=time.monotonic() - began,
            )
        finally:
            process.kill()
            process.wait()
