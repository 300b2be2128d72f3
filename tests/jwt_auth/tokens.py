"""Keys and signed tokens for tests, made with none of our code."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_700_000_000

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES: dict[str, Any] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def verified(claims: Mapping[str, Any]) -> VerifiedClaims:
    """Claims as if a key had verified them."""
    return VerifiedClaims(dict(claims))


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@cache
def private_key(alg: str, name: str = "a") -> Any:
    """One key pair per algorithm family and name, made once per run."""
    del name
    if alg in CURVES:
        return ec.generate_private_key(CURVES[alg]())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def key_for(alg: str, name: str = "a") -> Any:
    """The pair that signs `alg`; all RSA algorithms share one."""
    return private_key("RSA" if alg[:2] in {"RS", "PS"} else alg, name)


def sign(alg: str, key: Any, signing_input: bytes) -> Any:
    if alg == "EdDSA":
        return key.sign(signing_input)
    algorithm = HASHES[alg[2:]]
    if alg.startswith("RS"):
        return key.sign(signing_input, padding.PKCS1v15(), algorithm)
    if alg.startswith("PS"):
        pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.DIGEST_LENGTH)
        return key.sign(signing_input, pss, algorithm)
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(algorithm)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def raw_token(header: bytes, payload: bytes, *, alg: str = "RS256", key: Any = None) -> str:
    """A token of these very bytes, truly signed."""
    signing_input = f"{b64url(header)}.{b64url(payload)}"
    signature = sign(alg, key or key_for(alg), signing_input.encode())
    return f"{signing_input}.{b64url(signature)}"


def token(
    claims: Any, *, alg: str = "RS256", key: Any = None, header: dict[str, Any] | None = None
) -> str:
    return raw_token(
        json.dumps({"alg": alg, **(header or {})}).encode(),
        claims if isinstance(claims, bytes) else json.dumps(claims).encode(),
        alg=alg,
        key=key,
    )


def public_pem(key: Any) -> Any:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _uint(number: int, size: int | None = None) -> str:
    return b64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        jwk: dict[str, Any] = {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        size = (public.curve.key_size + 7) // 8
        names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        jwk = {"kty": "EC", "crv": names.get(public.curve.name, public.curve.name)}
        jwk |= {"x": _uint(point.x, size), "y": _uint(point.y, size)}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        crv = {32: "Ed25519", 57: "Ed448"}[len(raw)]
        jwk = {"kty": "OKP", "crv": crv, "x": b64url(raw)}
    return jwk | members
