"""Keys, and JWTs signed with them: right ones and, for the tests, every kind of wrong one.

The compact form is put together here and not by a JOSE library, since a library refuses to make
most of what a login has to refuse.
"""

from __future__ import annotations

import base64
import functools
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_CURVES: Mapping[str, ec.EllipticCurve] = {
    "ec256": ec.SECP256R1(),
    "ec384": ec.SECP384R1(),
    "ec521": ec.SECP521R1(),
}
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def b64(raw: bytes) -> str:
    """Base64url without padding, RFC 7515 2."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@functools.cache
def private_key(name: str) -> PrivateKeyTypes:
    """The key of this name, made at its first use: `rsa`, `rsa2`, `ec256`, `ed`, ... `-other`.

    The part before a dash or digit suffix names the kind; equal names are one key.
    """
    kind = name.partition("-")[0]
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind])


def public_pem(name: str, form: str = "pkix") -> str:
    """The key's public half: `pkix` (SubjectPublicKeyInfo) or `pkcs1` (RSA PUBLIC KEY)."""
    encoding = (
        serialization.PublicFormat.PKCS1
        if form == "pkcs1"
        else serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = private_key(name).public_key()
    return public.public_bytes(serialization.Encoding.PEM, encoding).decode()


def jwk(name: str, **members: Any) -> dict[str, Any]:
    """The key's public half as a JWK, RFC 7517 and 8037, `kid` its name unless given."""
    key = private_key(name)
    found: dict[str, Any]
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        found = {"kty": "RSA", "n": _unsigned(numbers.n), "e": _unsigned(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[key.curve.key_size]
        found = {
            "kty": "EC",
            "crv": curve,
            "x": b64(point.x.to_bytes(size)),
            "y": b64(point.y.to_bytes(size)),
        }
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes_raw()
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    else:
        raise TypeError(f"no JWK form for {type(key).__name__}")
    merged = found | {"kid": name} | members
    return {member: value for member, value in merged.items() if value is not None}


def _unsigned(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))


def sign(alg: str, key_name: str, signed: bytes) -> bytes:
    """The JWS signature of `signed`, RFC 7518 3; HS256 takes the key's public PEM as its secret."""
    if alg == "none":
        return b""
    digest = _HASHES.get(alg[2:])
    if alg.startswith("HS"):
        assert digest is not None
        keyed = hmac.HMAC(public_pem(key_name).encode(), digest)
        keyed.update(signed)
        return keyed.finalize()
    key = private_key(key_name)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    assert digest is not None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
        return r.to_bytes(size) + s.to_bytes(size)
    assert isinstance(key, rsa.RSAPrivateKey)
    if alg.startswith("PS"):
        salt = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return key.sign(signed, salt, digest)
    return key.sign(signed, padding.PKCS1v15(), digest)


def make_jwt(
    claims: Mapping[str, Any] | bytes,
    *,
    key: str = "rsa",
    alg: str = "RS256",
    header: Mapping[str, Any] | bytes | None = None,
) -> str:
    """A signed compact JWT.

    Args:
        claims: The claim set, or the payload's bytes as they are.
        key: Name of the signing key.
        alg: How to sign, and what the header says unless `header` overrides it.
        header: Members beside or instead of `alg` and `typ`, a None removes one; or the
            header's bytes as they are.
    """
    if not isinstance(header, bytes):
        members = {"alg": alg, "typ": "JWT"} | dict(header or {})
        header = json.dumps({k: v for k, v in members.items() if v is not None}).encode()
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(sign(alg, key, signed.encode()))}"
