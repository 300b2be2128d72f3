"""Algorithms, keys and signatures in every wrong pairing: each denied with its own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.jwt_auth import tokens
from tests.jwt_auth.tokens import b64url, key_for, public_jwk, public_pem, sign, unb64url
from tests.security.issuing import CLAIMS, NATIVE, check_denied, check_granted, on_every_path
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS

ROLE: dict[str, Any] = {"bound_audiences": "vault"}
PAYLOAD = b64url(json.dumps(dict(CLAIMS)).encode())

_KINDS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_FITTING = {"RS": "RSA", "PS": "RSA", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_ORDERS = {
    "ES256": ec.SECP256R1().group_order,
    "ES384": ec.SECP384R1().group_order,
    "ES512": ec.SECP521R1().group_order,
}
_SIZES = {"ES256": 32, "ES384": 48, "ES512": 66}


def kind_for(alg: str) -> str:
    return _FITTING.get(alg) or _FITTING.get(alg[:2], "Ed25519")


def head(**members: Any) -> str:
    return b64url(json.dumps(members).encode())


def signed_as(header_alg: str, signing_alg: str) -> str:
    """Return a token whose header names one algorithm and whose signature is another's."""
    start = f"{head(alg=header_alg)}.{PAYLOAD}"
    return f"{start}.{b64url(sign(signing_alg, key_for(signing_alg), start.encode()))}"


def with_signature(alg: str, signature: bytes) -> str:
    return f"{head(alg=alg)}.{PAYLOAD}.{b64url(signature)}"


@on_every_path
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_each_algorithm_gets_in_with_its_own_key(path, alg):
    check_granted(path, signed_as(alg, alg), **ROLE)


@on_every_path
@pytest.mark.parametrize(("header_alg", "signing_alg"), list(permutations(ALGORITHMS, 2)))
def test_the_header_names_another_algorithm_than_signed(path, header_alg, signing_alg):
    check_denied(path, signed_as(header_alg, signing_alg), "signature_invalid", **ROLE)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_only_key_is_of_another_kind(alg, kind):
    config = {"jwt_validation_pubkeys": public_pem(key_for(_KINDS[kind]))}
    jwt = signed_as(alg, alg)
    if kind == kind_for(alg):
        check_granted(NATIVE, jwt, config=config, **ROLE)
    else:
        check_denied(NATIVE, jwt, "key_algorithm", config=config, **ROLE)


# Public values that a verifier might mistake for a shared secret (CVE-2022-29217).
@cache
def public_texts() -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    for kind, alg in _KINDS.items():
        key = key_for(alg)
        pem = public_pem(key)
        texts |= {
            f"{kind} PEM": pem.encode(),
            f"{kind} PEM stripped": pem.strip().encode(),
            f"{kind} DER": base64.b64decode("".join(pem.splitlines()[1:-1])),
            f"{kind} JWK": json.dumps(public_jwk(key)).encode(),
        }
    modulus = key_for("RS256").public_key().public_numbers().n
    pkcs1 = (
        key_for("RS256")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    )
    return texts | {
        "modulus": modulus.to_bytes(256),
        "modulus as text": str(modulus).encode(),
        "PKCS#1": pkcs1,
        "nothing": b"",
        "NUL": b"\0",
        "'secret'": b"secret",
        "issuer": CLAIMS["iss"].encode(),
    }


_HMACS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


@on_every_path
@pytest.mark.parametrize("secret", public_texts())
def test_hmac_with_something_public_as_its_secret(path, secret):
    for alg, digest in _HMACS.items():
        start = f"{head(alg=alg)}.{PAYLOAD}"
        mac = hmac.new(public_texts()[secret], start.encode(), digest).digest()
        check_denied(path, f"{start}.{b64url(mac)}", "header_alg", **ROLE)


# The same MAC under an honest-looking header.
@pytest.mark.parametrize("header_alg", ALGORITHMS)
def test_a_mac_where_a_signature_should_be(header_alg):
    start = f"{head(alg=header_alg)}.{PAYLOAD}"
    mac = hmac.new(public_texts()["RSA PEM"], start.encode(), hashlib.sha512).digest()
    check_denied(NATIVE, f"{start}.{b64url(mac)}", "signature_invalid", **ROLE)


NO_ALGORITHM = {
    **{f"text {name!r}": name for name in ("none", "None", "NONE", "nOnE", "", " ", "none ")},
    **{f"text {name!r}": name for name in (" none", "none\0", "\tnone", "n\u0585ne", "\uff4eone")},
    **{f"text {name!r}": name for name in ("rs256", "Rs256", "RS256 ", " RS256", "RS256\n")},
    **{f"text {name!r}": name for name in ("RS256\0", "RS256,none", "RS128", "RS1", "RSA")},
    **{f"text {name!r}": name for name in ("ES256K", "ES256k", "es256", "ESP256", "ES1")},
    **{f"text {name!r}": name for name in ("EDDSA", "eddsa", "Ed25519", "Ed448", "EdDSA\u200b")},
    **{f"text {name!r}": name for name in ("HS256", "HS384", "HS512", "hs256", "HS1", "HMAC")},
    **{f"text {name!r}": name for name in ("dir", "A128KW", "RSA-OAEP", "RSA1_5", "A256GCM")},
    **{f"text {name!r}": name for name in ("ML-DSA-44", "http://www.w3.org/2001/04/xmldsig#none")},
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "number": 256,
    "fraction": 2.56,
    "empty list": [],
    "list": ["RS256"],
    "list with none": ["none", "RS256"],
    "object": {"alg": "RS256"},
}


def header_of(alg: Any, *, is_signed: bool = True) -> str:
    """Return a token whose header has this as its algorithm, signed as RS256 if at all."""
    start = f"{head(alg=alg)}.{PAYLOAD}"
    signature = sign("RS256", key_for("RS256"), start.encode()) if is_signed else b""
    return f"{start}.{b64url(signature)}"


@on_every_path
@pytest.mark.parametrize("alg", NO_ALGORITHM.values(), ids=NO_ALGORITHM.keys())
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
def test_no_algorithm(path, alg, is_signed):
    check_denied(path, header_of(alg, is_signed=is_signed), "header_alg", **ROLE)


def ecdsa(alg: str, r: int, s: int) -> str:
    size = _SIZES[alg]
    return with_signature(alg, r.to_bytes(size) + s.to_bytes(size))


def psychic() -> dict[str, str]:
    """Return signatures of the CVE-2022-21449 kind: r and s at the edges of their range."""
    found: dict[str, str] = {}
    for alg, n in _ORDERS.items():
        numbers = {"0,0": (0, 0), "0,1": (0, 1), "1,0": (1, 0), "1,1": (1, 1)}
        numbers |= {"n,n": (n, n), "n,1": (n, 1), "n-1,n-1": (n - 1, n - 1), "n,0": (n, 0)}
        found |= {f"{alg} {edge}": ecdsa(alg, r, s) for edge, (r, s) in numbers.items()}
    return found


def odd_signatures() -> dict[str, str]:
    start = f"{head(alg='RS256')}.{PAYLOAD}"
    good = sign("RS256", key_for("RS256"), start.encode())
    numbers = key_for("RS256").public_key().public_numbers()
    whole = int.from_bytes(good)
    ed_start = f"{head(alg='EdDSA')}.{PAYLOAD}"
    ed = sign("EdDSA", key_for("EdDSA"), ed_start.encode())
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(ed[32:], "little") + order
    ec_start = f"{head(alg='ES256')}.{PAYLOAD}"
    der = key_for("ES256").sign(ec_start.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    return {
        "RSA empty": with_signature("RS256", b""),
        "RSA one byte": with_signature("RS256", b"\1"),
        "RSA zero": with_signature("RS256", bytes(256)),
        "RSA one": with_signature("RS256", (1).to_bytes(256)),
        "RSA n-1": with_signature("RS256", (numbers.n - 1).to_bytes(256)),
        "RSA n": with_signature("RS256", numbers.n.to_bytes(256)),
        "RSA plus n": with_signature("RS256", (whole + numbers.n).to_bytes(257)),
        "RSA with a zero before": with_signature("RS256", b"\0" + good),
        "RSA cut": with_signature("RS256", good[:-1]),
        "RSA longer": with_signature("RS256", good + b"\0"),
        "RSA of 64 KiB": with_signature("RS256", b"\1" * 65536),
        "RSA reversed": with_signature("RS256", good[::-1]),
        "RSA bit flipped": with_signature("RS256", bytes([good[0] ^ 1]) + good[1:]),
        "PS512 as RS512": signed_as("RS512", "PS512"),
        "Ed25519 empty": with_signature("EdDSA", b""),
        "Ed25519 zero": with_signature("EdDSA", bytes(64)),
        "Ed25519 cut": with_signature("EdDSA", ed[:-1]),
        "Ed25519 longer": with_signature("EdDSA", ed + b"\0"),
        "Ed25519 swapped": with_signature("EdDSA", ed[32:] + ed[:32]),
        # RFC 8032 8.4: S must be below the group's order.
        "Ed25519 S plus order": with_signature("EdDSA", ed[:32] + scalar.to_bytes(32, "little")),
        "ECDSA in DER": with_signature("ES256", der),
        "ECDSA swapped": ecdsa("ES256", s, r),
        "ECDSA r plus n": with_signature(
            "ES256", (r + _ORDERS["ES256"]).to_bytes(33) + s.to_bytes(33)
        ),
        "ECDSA of half the length": with_signature("ES256", r.to_bytes(32)),
        "ECDSA of twice the length": with_signature("ES256", r.to_bytes(64) + s.to_bytes(64)),
        "ECDSA with a zero between": with_signature(
            "ES256", r.to_bytes(32) + b"\0" + s.to_bytes(32)
        ),
        **psychic(),
    }


@on_every_path
@pytest.mark.parametrize("name", odd_signatures())
def test_an_odd_signature(path, name):
    check_denied(path, odd_signatures()[name], "signature_invalid", **ROLE)


def forged_with_exponent_3() -> tuple[str, str]:
    """Forge as in Bleichenbacher 2006: a cube root that begins like a signature, then garbage."""
    key = rsa.generate_private_key(3, 2048)
    start = f"{head(alg='RS256')}.{PAYLOAD}"
    info = bytes.fromhex("3031300d060960864801650304020105000420")
    block = b"\0\1\xff\0" + info + hashlib.sha256(start.encode()).digest()
    wanted = int.from_bytes(block + bytes(256 - len(block)))
    low, high = 1, 1 << (2048 // 3 + 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < wanted else (low, middle)
    assert low**3 >> (8 * (256 - len(block))) == int.from_bytes(block), "no such cube root"
    return public_pem(key), f"{start}.{b64url(low.to_bytes(256))}"


def test_a_cube_root_is_no_signature():
    pem, jwt = forged_with_exponent_3()
    config = {"jwt_validation_pubkeys": pem}
    check_denied(NATIVE, jwt, "signature_invalid", config=config, **ROLE)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_of_the_same_kind_is_another_key(alg):
    jwt = tokens.token(dict(CLAIMS), alg=alg, key=key_for(alg, "stranger"))
    check_denied(NATIVE, jwt, "signature_invalid", **ROLE)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_algorithm_that_is_not_among_those_configured(alg):
    others = [name for name in ALGORITHMS if name != alg]
    pem = public_pem(key_for(alg))
    for allowed in ([others[0]], others):
        config = {"jwt_validation_pubkeys": pem, "jwt_supported_algs": allowed}
        check_denied(NATIVE, signed_as(alg, alg), "algorithm_not_allowed", config=config, **ROLE)


@pytest.mark.parametrize("part", [0, 1], ids=["header", "payload"])
def test_any_byte_that_changes_spoils_the_signature(part):
    parts = signed_as("EdDSA", "EdDSA").split(".")
    raw = unb64url(parts[part])
    # White space in JSON changes the bytes but not the meaning.
    parts[part] = b64url(raw.replace(b": ", b":", 1))
    check_denied(NATIVE, ".".join(parts), "signature_invalid", **ROLE)
