"""PEM: public keys, CA bundles, and credentials that hold them."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.fuzz.keys import key_for
from tests.fuzz.target import Target, check
from tests.jwt_auth import tokens
from tests.jwt_auth.certs import Authority
from vault_jwt_plugin.jwt_auth.errors import PublicKeyError
from vault_jwt_plugin.jwt_auth.fetching.certificates import PeerRefusedError, check_extensions
from vault_jwt_plugin.jwt_auth.fetching.trust import BadCAError, Trust, client_context
from vault_jwt_plugin.jwt_auth.jose.keys import parse_public_key_pem
from vault_jwt_plugin.jwt_auth.providers import ProviderError
from vault_jwt_plugin.jwt_auth.providers._google_credentials import parse_credentials


def _pem(data: bytes) -> None:
    """First byte: what it is for; then the text, or for 3 and 4 the DER that it holds."""
    kind = (data[0] if data else 0) % 5
    if kind > 2:
        _der(data[1:], "PUBLIC KEY" if kind == 3 else "CERTIFICATE")
        return
    text = data[1:].decode("utf-8", "surrogateescape")
    if kind == 0:
        try:
            key = parse_public_key_pem(text)
        except PublicKeyError as error:
            check(len(error.message) < 300, "a message as long as the PEM")
            return
        check(key.verifiers, "a key that verifies nothing")
        _check_key(text, set(key.verifiers))
    elif kind == 1:
        with contextlib.suppress(BadCAError):
            context = client_context(Trust(ca_pem=text)) if text else None
            check(
                context is None or context.verify_mode.name == "CERT_REQUIRED", "nothing is checked"
            )
    else:
        with contextlib.suppress(ProviderError):
            parse_credentials(data[1:], where="it")


def _der(der: bytes, label: str) -> None:
    """A key in a PEM block, and a certificate that a server shows."""
    encoded = base64.encodebytes(der).decode()
    text = f"-----BEGIN {label}-----\n{encoded}-----END {label}-----\n"
    with contextlib.suppress(PublicKeyError):
        _check_key(text, set(parse_public_key_pem(text).verifiers))
    with contextlib.suppress(PeerRefusedError):
        check_extensions([der], frozenset({"2.5.29.19"}))


def _check_key(text: str, algs: set[str]) -> None:
    """The reference: cryptography's own PEM reader, where it can read the text too."""
    raw = text.encode("utf-8", "surrogateescape")
    public: Any = None
    with contextlib.suppress(Exception):
        public = serialization.load_pem_public_key(raw)
    if public is None:
        with contextlib.suppress(Exception):
            public = x509.load_pem_x509_certificate(raw).public_key()
    if public is None:
        return
    expected = {"rsa": "RS256", "ed25519": "EdDSA", "secp256r1": "ES256", "secp384r1": "ES384"}
    expected["secp521r1"] = "ES512"
    kind = getattr(public, "curve", None)
    name = (
        kind.name if kind is not None else type(public).__name__.removesuffix("PublicKey").lower()
    )
    check(expected[name] in algs, "a key of another kind was read")


def _pems() -> dict[str, bytes]:
    keys = {
        alg: tokens.public_pem(key_for(alg)).encode()
        for alg in ("RS256", "ES256", "ES512", "EdDSA")
    }
    private = key_for("ES256").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    traditional = (
        key_for("RS256")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    )
    credentials = {
        "type": "service_account",
        "token_uri": "https://oauth2.googleapis.com/token",
        "client_email": "a@b",
        "private_key": "x",
    }
    made = {f"key-{alg.lower()}": b"\0" + pem for alg, pem in keys.items()}
    for alg, pem in keys.items():
        made[f"der-{alg.lower()}"] = b"\3" + base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    return made | {
        "key-crlf": b"\0" + keys["EdDSA"].replace(b"\n", b"\r\n"),
        "key-headers": b"\0" + keys["EdDSA"].replace(b"-\nM", b"-\nProc-Type: 4\n\nM", 1),
        "key-two": b"\0" + keys["EdDSA"] * 2,
        "key-escaped": b"\0" + keys["EdDSA"].replace(b"\n", b"\\n"),
        "private": b"\0" + private,
        "pkcs1": b"\0" + traditional,
        "credentials": b"\2" + json.dumps(credentials).encode(),
        "refresh": b'\2{"type":"authorized_user","client_id":"a","client_secret":"b",'
        b'"refresh_token":"c"}',
    }


@functools.cache
def _certificates() -> dict[str, bytes]:
    """Made once per run: certificates hold dates and random numbers, so seeds hold them as kept."""
    pem = Authority("a").pem.encode()
    issued = Authority("b").issue("127.0.0.1", "a.example").partition("-----END")[0]
    server = base64.b64decode("".join(issued.splitlines()[1:]))
    return {
        "der-certificate": b"\4" + server,
        "der-version-4": b"\4" + server.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\3", 1),
        "certificate": b"\0" + pem,
        "ca": b"\1" + pem,
        "ca-two": b"\1# roots\n" + pem + pem,
    }


TARGETS = (
    Target(
        name="pem",
        run=_pem,
        examples=lambda: _pems() | _certificates(),
        words=(b"-----BEGIN PUBLIC KEY-----\n", b"-----END PUBLIC KEY-----\n", b"MII", b"\r\n"),
    ),
)
