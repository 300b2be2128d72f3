"""Verification keys: reading them, the algorithms of each, and verifying signatures.

A key is bound to the algorithms of its type (RFC 7518 3, RFC 8037 3.1), so that no header can make
it verify another: this prevents every confusion of algorithms. cryptography verifies; joserfc reads
JWKs, one at a time.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import LoginDenied, PublicKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader, UnverifiedToken

MIN_RSA_BITS = 1024
"""Smallest RSA modulus, as Go's crypto/rsa since 1.24."""

MAX_RSA_BITS = 8192
"""Largest RSA modulus: verifying one of 16384 bits takes milliseconds."""

MAX_RSA_EXPONENT = 2**31 - 1
"""Largest public exponent, as in Go: a huge one makes every verification slow."""

MAX_TRIED_BYTES = 16 * 1024 * 1024
"""Most bytes that are hashed for one token, over all keys tried: a token of a megabyte without kid
would otherwise be hashed once for each key of a set."""

Verifier = Callable[[bytes, bytes], None]
"""Takes signature and signing input; raises InvalidSignature (cryptography) on a mismatch."""

# JWK names of the curves, algorithm, bytes of one coordinate (RFC 7518 3.4).
_CURVES = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
    "secp521r1": ("P-521", "ES512", 66),
}

# Encodings of the points of order 8 and less, their sign bit cleared: with such a key a signature
# of zeros verifies many inputs, so anybody could sign (libsodium's `has_small_order`).
_SMALL_ORDER = frozenset(
    bytes.fromhex(encoded)
    for encoded in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)

MAX_PEM_CHARS = 64 * 1024
"""Longest PEM of one key, in characters."""

# encoding/pem: BEGIN at the start of a line, optional "Key: value" headers and an empty line,
# base64, END with the same label.
_BLOCK = re.compile(
    r"^-----BEGIN (?P<label>[^\n]*?)-----[ \t\r]*\n"
    r"(?:(?:[^\n:]+:[^\n]*\n)+[ \t\r]*\n)?"
    r"(?P<body>[A-Za-z0-9+/=\s]*?)"
    r"^-----END (?P=label)-----[ \t\r]*$",
    re.MULTILINE,
)

_INTEGER = 0x02
_SEQUENCE = 0x30


class UnusableKeyError(ValueError):
    """A key can verify nothing; the text says why and quotes nothing of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key and the algorithms it can verify.

    Attributes:
        kid: the key's id in its set; None if it has none.
        kind: "RSA", "P-256", "P-384", "P-521" or "Ed25519".
        verifiers: one for each algorithm that fits.
    """

    kid: str | None
    kind: str
    verifiers: Mapping[str, Verifier] = field(repr=False)


def verify_signature(
    token: UnverifiedToken, candidates: Sequence[VerificationKey]
) -> VerificationKey:
    """Return the key that signed the token; all that fit are tried.

    Raises:
        LoginDenied: `key_unknown` (no candidate), `key_algorithm` (none fits the header's
            algorithm), `signature_invalid`, `too_many_keys`.
    """
    from cryptography.exceptions import InvalidSignature

    alg = token.header.alg
    work = 0
    for key in candidates:
        verifier = key.verifiers.get(alg)
        if verifier is None:
            continue
        if work > MAX_TRIED_BYTES:
            raise LoginDenied(
                "too_many_keys",
                "the token is too long to be tried with every key; it must name its key (kid)",
            )
        work += len(token.signing_input)
        try:
            verifier(token.signature, token.signing_input)
        except InvalidSignature:
            continue
        return key
    if work:
        raise LoginDenied(
            "signature_invalid", "the token's signature was made by none of the configured keys"
        )
    if candidates:
        raise LoginDenied(
            "key_algorithm",
            "the token's algorithm fits none of the keys that it may be signed with",
        )
    if token.header.kid is None:
        raise LoginDenied("key_unknown", "there is no key to verify the token with")
    raise LoginDenied("key_unknown", "the token's key id (kid) is none of the configured keys' ids")


def matching(keys: Sequence[VerificationKey], header: JoseHeader) -> Sequence[VerificationKey]:
    """Return the keys of a set that have the header's kid; all, if it has none.

    As go-oidc (`RemoteKeySet.verify`). `use`, `alg` and `key_ops` of a JWK are
    ignored, as there: the key's type decides what it can verify.
    """
    if header.kid is None:
        return keys
    return [key for key in keys if key.kid == header.kid]


def from_public_key(public_key: Any, *, kid: str | None = None) -> VerificationKey:
    """Bind a public key of cryptography to the algorithms that fit it.

    Raises:
        UnusableKeyError: no algorithm fits its type, curve or size.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public_key, rsa.RSAPublicKey):
        return VerificationKey(kid=kid, kind="RSA", verifiers=_rsa_verifiers(public_key))
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        curve = _CURVES.get(public_key.curve.name)
        if curve is None:
            raise UnusableKeyError("its curve is none of P-256, P-384, P-521")
        kind, alg, size = curve
        verifier = _ecdsa_verifier(public_key, alg, size)
        return VerificationKey(kid=kid, kind=kind, verifiers={alg: verifier})
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        raw = public_key.public_bytes_raw()
        # Differs from Vault: Go's crypto/ed25519 takes these.
        if raw[:31] + bytes((raw[31] & 0x7F,)) in _SMALL_ORDER:
            raise UnusableKeyError("it is a point of small order: anybody could sign with it")
        return VerificationKey(kid=kid, kind="Ed25519", verifiers={"EdDSA": public_key.verify})
    raise UnusableKeyError("it is none of RSA, ECDSA, Ed25519")


def _rsa_verifiers(key: RSAPublicKey) -> dict[str, Verifier]:
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise UnusableKeyError(
            f"its RSA modulus has {key.key_size} bits, should have {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    numbers = key.public_numbers()
    if numbers.n % 2 == 0:
        raise UnusableKeyError("its RSA modulus is even")
    if numbers.e > MAX_RSA_EXPONENT:
        raise UnusableKeyError("its RSA exponent is too large")
    verifiers: dict[str, Verifier] = {}
    for alg, (padding, algorithm) in _rsa_schemes().items():

        def verify(
            signature: bytes,
            signing_input: bytes,
            padding: AsymmetricPadding = padding,
            algorithm: HashAlgorithm = algorithm,
        ) -> None:
            key.verify(signature, signing_input, padding, algorithm)

        verifiers[alg] = verify
    return verifiers


@cache
def _hashes() -> dict[str, HashAlgorithm]:
    from cryptography.hazmat.primitives import hashes

    return {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@cache
def _rsa_schemes() -> dict[str, tuple[AsymmetricPadding, HashAlgorithm]]:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15

    schemes: dict[str, tuple[AsymmetricPadding, HashAlgorithm]] = {}
    for size, algorithm in _hashes().items():
        schemes[f"RS{size}"] = (PKCS1v15(), algorithm)
        # Any salt length, as in Go (`rsa.VerifyPSS` without options); RFC 7518 3.5 asks signers
        # for the hash's length, and a verifier gains nothing from insisting.
        schemes[f"PS{size}"] = (PSS(mgf=MGF1(algorithm), salt_length=PSS.AUTO), algorithm)
    return schemes


def _ecdsa_verifier(key: EllipticCurvePublicKey, alg: str, size: int) -> Verifier:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    scheme = ECDSA(_hashes()[alg[2:]])

    def verify(signature: bytes, signing_input: bytes) -> None:
        if len(signature) != 2 * size:  # RFC 7518 3.4: R and S at full length
            raise InvalidSignature
        r = int.from_bytes(signature[:size], "big")
        s = int.from_bytes(signature[size:], "big")
        key.verify(encode_dss_signature(r, s), signing_input, scheme)

    return verify


def parse_public_key_pem(pem: str, *, index: int = 1) -> VerificationKey:
    """Read one of the configuration's public keys (`jwt_validation_pubkeys`).

    As in Go (`jwt.ParsePublicKeyPEM` of cap), the first PEM block counts, whatever its label; it
    holds a SubjectPublicKeyInfo or a certificate, whose key is used.

    Args:
        pem: one key.
        index: its place in the list, counted from 1, for the message.

    Raises:
        PublicKeyError: it is not one PEM block with a usable key.
    """
    try:
        return _load_pem(pem)
    except UnusableKeyError as error:
        raise PublicKeyError(
            f"public key {index} of jwt_validation_pubkeys can't be used: {error}", index=index
        ) from None


def _load_pem(pem: str) -> VerificationKey:
    if len(pem) > MAX_PEM_CHARS:
        raise UnusableKeyError("it is longer than 64 KiB")
    block = _BLOCK.search(pem)
    if block is None:
        raise UnusableKeyError(_no_block(pem))
    if pem[block.end() :].strip():
        raise UnusableKeyError(
            "there is more text after its PEM block; give each key as an element of its own"
        )
    try:
        der = binascii.a2b_base64("".join(block["body"].split()), strict_mode=True)
    except ValueError:
        raise UnusableKeyError("its PEM block is not base64") from None
    return from_public_key(_public_key(der, block["label"]))


def _no_block(pem: str) -> str:
    if not pem.strip():
        return "it is empty"
    if "\\n" in pem and "\n" not in pem.strip():
        return "it is not PEM: its line breaks are written as backslash and n"
    if "-----BEGIN " in pem:
        return "it is not PEM: its BEGIN and END lines do not fit or are not lines of their own"
    if pem.lstrip().startswith("{"):
        return "it is JSON, not PEM: convert the JWK, or give the URL of its set as jwks_url"
    return "it is not PEM: there is no '-----BEGIN' line; in a command, NAME=@FILE sends a file"


def _public_key(der: bytes, label: str) -> object:
    """Return the key in a SubjectPublicKeyInfo (RFC 5280 4.1) or a certificate."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    # Both start with a sequence in a sequence. A number there means a private key or PKCS#1, which
    # cryptography would read and Go does not.
    if _first_inner_tag(der) == _INTEGER:
        if "PRIVATE" in label:
            raise UnusableKeyError("it is a private key; give the public key, and replace this one")
        raise UnusableKeyError(
            "it is in PKCS#1 form (RSA PUBLIC KEY) or no public key; "
            "convert it with: openssl rsa -RSAPublicKey_in -pubout"
        )
    try:
        return load_der_public_key(der)
    except UnsupportedAlgorithm:
        raise UnusableKeyError("its type or curve is not supported") from None
    except (ValueError, TypeError):
        pass
    try:
        return x509.load_der_x509_certificate(der).public_key()
    except UnsupportedAlgorithm:
        raise UnusableKeyError("its certificate's key type or curve is not supported") from None
    except (ValueError, TypeError, x509.InvalidVersion):
        raise UnusableKeyError(
            "its PEM block holds neither a public key nor a certificate"
        ) from None


def _first_inner_tag(der: bytes) -> int | None:
    """Return the tag of the first element inside the outer sequence, if there is one."""
    if len(der) < 2 or der[0] != _SEQUENCE:
        return None
    length_bytes = der[1] & 0x7F if der[1] & 0x80 else 0
    inner = 2 + length_bytes
    return der[inner] if inner < len(der) else None
