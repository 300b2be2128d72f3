"""Keys that are the same in every run: seeds hold tokens that were signed with them."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.jwt_auth import tokens

_P = int(
    "e41f6ec1f3984bf834743c6618d418ec4ffe9897300dde0cf30c22114a1d0d5c"
    "0dde440d484c7b94c14ff0984e0cf435f3fbfa0c63e05bb2a849c6705f8d02a9",
    16,
)
_Q = int(
    "c1f7e4d8b470874750e903a7249dfc8637f4a62cc11c7d38495e28eec7195b17"
    "08274b50b00ce818fb8ac03014b64668b0527e91f0bcfc22442d0dacfcbaa81f",
    16,
)
_E = 65537


@cache
def _rsa() -> Any:
    d = pow(_E, -1, (_P - 1) * (_Q - 1))
    return rsa.RSAPrivateNumbers(
        p=_P,
        q=_Q,
        d=d,
        dmp1=d % (_P - 1),
        dmq1=d % (_Q - 1),
        iqmp=pow(_Q, -1, _P),
        public_numbers=rsa.RSAPublicNumbers(_E, _P * _Q),
    ).private_key()


@cache
def key_for(alg: str, owner: int = 1) -> Any:
    """The pair that signs `alg`; owner 1 is the issuer, others are strangers (no RSA keys)."""
    if alg in tokens.CURVES:
        return ec.derive_private_key(0xA5A5A5A5 + owner, tokens.CURVES[alg]())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([owner]) * 32)
    return _rsa()
