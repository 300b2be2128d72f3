"""Key sets that attackers, or tired administrators, serve: an odd key lets nobody in, and keeps
nobody out."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.jwt_auth.tokens import (
    b64url,
    key_for,
    public_jwk,
    public_pem,
    sign,
    token,
    unb64url,
)
from tests.security.issuing import (
    CLAIMS,
    NATIVE,
    Denied,
    Mounted,
    attempt,
    check_denied,
    check_granted,
    on_every_path,
)
from vault_jwt_plugin.jwt_auth.errors import FetchError

URL = "https://issuer.example/keys"
CONFIG = {"jwks_url": URL}
ROLE: dict[str, Any] = {"bound_audiences": "vault"}
PAYLOAD = b64url(json.dumps(dict(CLAIMS)).encode())

GOOD_KEY = public_jwk(key_for("ES256"), kid="good")
GOOD = token(dict(CLAIMS), alg="ES256", header={"kid": "good"})

STRANGER = key_for("RS256", "stranger")
RSA = public_jwk(STRANGER, kid="bad")
EC = public_jwk(key_for("ES256", "stranger"), kid="bad")
ED = public_jwk(key_for("EdDSA", "stranger"), kid="bad")


def by(alg: str, name: str = "stranger", **header: Any) -> str:
    """Return a token that the odd key's owner signed."""
    key = key_for(alg, name)
    return token(dict(CLAIMS), alg=alg, key=key, header={"kid": "bad"} | header)


def weak_rsa(bits: int, exponent: int = 65537) -> tuple[dict[str, Any], str]:
    """Return a key that is too small, and a token that it validly signed."""
    key = rsa.generate_private_key(exponent, bits)
    start = f"{b64url(json.dumps({'alg': 'RS256', 'kid': 'bad'}).encode())}.{PAYLOAD}"
    signature = key.sign(start.encode(), padding.PKCS1v15(), hashes.SHA256())
    return public_jwk(key, kid="bad"), f"{start}.{b64url(signature)}"


def on_secp256k1(crv: str) -> tuple[dict[str, Any], str]:
    key = ec.generate_private_key(ec.SECP256K1())
    numbers = key.public_key().public_numbers()
    start = f"{b64url(json.dumps({'alg': 'ES256', 'kid': 'bad'}).encode())}.{PAYLOAD}"
    r, s = decode_dss_signature(key.sign(start.encode(), ec.ECDSA(hashes.SHA256())))
    jwk = {"kty": "EC", "kid": "bad", "crv": crv}
    jwk |= {"x": b64url(numbers.x.to_bytes(32)), "y": b64url(numbers.y.to_bytes(32))}
    return jwk, f"{start}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def symmetric(alg: str = "HS256") -> tuple[dict[str, Any], str]:
    start = f"{b64url(json.dumps({'alg': alg, 'kid': 'bad'}).encode())}.{PAYLOAD}"
    mac = hmac.new(b"shared" * 8, start.encode(), hashlib.sha256).digest()
    return {"kty": "oct", "kid": "bad", "k": b64url(b"shared" * 8), "alg": alg}, (
        f"{start}.{b64url(mac)}"
    )


def on_ed448() -> tuple[dict[str, Any], str]:
    key = ed448.Ed448PrivateKey.generate()
    start = f"{b64url(json.dumps({'alg': 'EdDSA', 'kid': 'bad'}).encode())}.{PAYLOAD}"
    return public_jwk(key, kid="bad"), f"{start}.{b64url(key.sign(start.encode()))}"


def private(alg: str) -> dict[str, Any]:
    key = key_for(alg, "stranger")
    if alg == "RS256":
        numbers = key.private_numbers()
        parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
        return RSA | {name: b64url(value.to_bytes(256)) for name, value in parts.items()}
    if alg == "ES256":
        return EC | {"d": b64url(key.private_numbers().private_value.to_bytes(32))}
    return ED | {"d": b64url(key.private_bytes_raw())}


def x25519_jwk() -> dict[str, Any]:
    raw = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "X25519", "kid": "bad", "x": b64url(raw)}


_MODULUS = unb64url(RSA["n"])
# An odd key, and a token whose header names it, signed by its owner if that makes sense. Each key
# is
# skipped, so that the token's key is unknown.
KEYS: dict[str, tuple[Any, str]] = {
    "private RSA": (private("RS256"), by("RS256")),
    "private EC": (private("ES256"), by("ES256")),
    "private Ed25519": (private("EdDSA"), by("EdDSA")),
    "private member empty": (EC | {"d": ""}, by("ES256")),
    "private member null": (EC | {"d": None}, by("ES256")),
    "RSA with a symmetric member": (RSA | {"k": "AAAA"}, by("RS256")),
    "512 bit RSA": (
        {"kty": "RSA", "kid": "bad", "n": b64url(b"\xc1" * 64), "e": "AQAB"},
        by("RS256"),
    ),
    "1016 bit RSA": (
        {"kty": "RSA", "kid": "bad", "n": b64url(b"\xc1" * 127), "e": "AQAB"},
        by("RS256"),
    ),
    "16384 bit RSA": (RSA | {"n": b64url(b"\xc1" * 2048)}, by("RS256")),
    "8200 bit RSA": (RSA | {"n": b64url(b"\xc1" * 1025)}, by("RS256")),
    "modulus of 1 MB": (RSA | {"n": "A" * 1_000_000}, by("RS256")),
    "modulus even": (RSA | {"n": b64url(_MODULUS[:-1] + b"\0")}, by("RS256")),
    "modulus zero": (RSA | {"n": b64url(bytes(256))}, by("RS256")),
    "modulus one": (RSA | {"n": "AQ"}, by("RS256")),
    "exponent zero": (RSA | {"e": "AA"}, by("RS256")),
    "exponent one": (RSA | {"e": "AQ"}, by("RS256")),
    "exponent two": (RSA | {"e": "Ag"}, by("RS256")),
    "exponent even": (RSA | {"e": "AQAA"}, by("RS256")),
    "exponent of 33 bits": (RSA | {"e": b64url((2**32 + 1).to_bytes(5))}, by("RS256")),
    "exponent as large as the modulus": (RSA | {"e": RSA["n"]}, by("RS256")),
    "exponent a number": (RSA | {"e": 65537}, by("RS256")),
    "modulus a number": (RSA | {"n": 5}, by("RS256")),
    "modulus missing": ({"kty": "RSA", "kid": "bad", "e": "AQAB"}, by("RS256")),
    "modulus empty": (RSA | {"n": ""}, by("RS256")),
    "modulus in hexadecimal": (RSA | {"n": "0x" + _MODULUS.hex()}, by("RS256")),
    "modulus padded": (RSA | {"n": RSA["n"] + "=="}, by("RS256")),
    "modulus with white space": (RSA | {"n": " " + RSA["n"]}, by("RS256")),
    "modulus in another alphabet": (RSA | {"n": "+/" + RSA["n"][2:]}, by("RS256")),
    "modulus not ASCII": (RSA | {"n": "\u00e9" * 342}, by("RS256")),
    "symmetric": symmetric(),
    "symmetric, for RS256": symmetric("RS256"),
    "symmetric, with public members": (RSA | {"kty": "oct", "k": "AAAA"}, by("RS256")),
    "secp256k1": on_secp256k1("secp256k1"),
    "secp256k1 said to be P-256": on_secp256k1("P-256"),
    "P-256K": on_secp256k1("P-256K"),
    "P-256 said to be P-384": (EC | {"crv": "P-384"}, by("ES256")),
    "P-256 said to be P-521": (EC | {"crv": "P-521"}, by("ES256")),
    "P-256 in lower case": (EC | {"crv": "p-256"}, by("ES256")),
    "curve by its OpenSSL name": (EC | {"crv": "prime256v1"}, by("ES256")),
    "curve missing": ({name: EC[name] for name in EC if name != "crv"}, by("ES256")),
    "curve a list": (EC | {"crv": ["P-256"]}, by("ES256")),
    "curve null": (EC | {"crv": None}, by("ES256")),
    "off the curve": (EC | {"y": EC["x"]}, by("ES256")),
    "at infinity": (EC | {"x": b64url(bytes(32)), "y": b64url(bytes(32))}, by("ES256")),
    "coordinate missing": ({name: EC[name] for name in EC if name != "y"}, by("ES256")),
    "coordinate empty": (EC | {"y": ""}, by("ES256")),
    "coordinate a number": (EC | {"y": 1}, by("ES256")),
    "coordinates beyond the field": (
        EC | {"x": b64url(b"\xff" * 32), "y": b64url(b"\xff" * 32)},
        by("ES256"),
    ),
    "coordinates of 1 KB": (EC | {"x": "A" * 1364, "y": "A" * 1364}, by("ES256")),
    "Ed448": on_ed448(),
    "Ed25519 said to be Ed448": (ED | {"crv": "Ed448"}, by("EdDSA")),
    "X25519": (x25519_jwk(), by("EdDSA")),
    "Ed25519 cut": (ED | {"x": ED["x"][:-2]}, by("EdDSA")),
    "Ed25519 too long": (ED | {"x": ED["x"] + "AAAA"}, by("EdDSA")),
    "Ed25519 on P-256": (ED | {"crv": "P-256"}, by("EdDSA")),
    "Ed25519 as EC": (ED | {"kty": "EC"}, by("EdDSA")),
    "type in lower case": (RSA | {"kty": "rsa"}, by("RS256")),
    "type missing": ({name: RSA[name] for name in RSA if name != "kty"}, by("RS256")),
    "type null": (RSA | {"kty": None}, by("RS256")),
    "type a list": (RSA | {"kty": ["RSA"]}, by("RS256")),
    "type unknown": (RSA | {"kty": "AKP"}, by("RS256")),
    "kid a number": (RSA | {"kid": 5}, by("RS256")),
    "kid a list": (RSA | {"kid": ["bad"]}, by("RS256")),
    "kid of 2 KB": (RSA | {"kid": "k" * 2048}, by("RS256")),
    "kid in another case": (RSA | {"kid": "BAD"}, by("RS256")),
    "kid with a space": (RSA | {"kid": "bad "}, by("RS256")),
    "kid decomposed": (RSA | {"kid": "a\u0308"}, by("RS256", kid="\u00e4")),
    "x5c only": ({"kty": "RSA", "kid": "bad", "x5c": ["MIIB"]}, by("RS256")),
    "x5u only": ({"kty": "RSA", "kid": "bad", "x5u": "https://evil.example/"}, by("RS256")),
    "nothing": ({}, by("RS256")),
    "text": ("RSA", by("RS256")),
    "PEM": (public_pem(STRANGER), by("RS256")),
    "number": (5, by("RS256")),
    "null": (None, by("RS256")),
    "list": ([RSA], by("RS256")),
    "a set in the set": ({"keys": [RSA]}, by("RS256")),
}


async def both(path: Any, jwt: str, *, key: Any, first: bool) -> Any:
    """Return the hostile token's result; the valid one is accepted before and after."""
    async with Mounted() as mounted:
        keys = [key, GOOD_KEY] if first else [GOOD_KEY, key]
        mounted.fetcher.documents[URL] = {"keys": keys}
        await mounted.write("config", CONFIG)
        await path.write_role(mounted, **ROLE)
        assert not isinstance(await attempt(path, mounted, GOOD), Denied)
        outcome = await attempt(path, mounted, jwt)
        assert not isinstance(await attempt(path, mounted, GOOD), Denied)
        return outcome


@on_every_path
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("key", "jwt"), KEYS.values(), ids=KEYS.keys())
def test_an_odd_key_lets_nobody_in_and_keeps_nobody_out(path, key, jwt, first):
    code = "header_alg" if jwt.startswith(b64url(b'{"alg": "HS')) else "key_unknown"
    check_denied(path, jwt, code, run=both, key=key, first=first)


DOCUMENTS: dict[str, Any] = {
    "list": [GOOD_KEY],
    "text": "keys",
    "number": 5,
    "no keys": {},
    "keys null": {"keys": None},
    "keys an object": {"keys": {"good": GOOD_KEY}},
    "keys text": {"keys": json.dumps([GOOD_KEY])},
    "Keys": {"Keys": [GOOD_KEY]},
    "one key": GOOD_KEY,
    "discovery instead": {"issuer": "https://issuer.example", "jwks_uri": URL},
    "certificates by kid": {"good": public_pem(STRANGER)},
}


@on_every_path
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_no_key_set_is_refused_and_the_keys_at_hand_stay(path, document):
    async def run() -> None:
        async with Mounted() as mounted:
            mounted.fetcher.documents[URL] = {"keys": [GOOD_KEY]}
            await mounted.write("config", CONFIG)
            await path.write_role(mounted, **ROLE)
            stored = mounted.storage.entries["config"]
            mounted.fetcher.documents[URL] = document
            with pytest.raises(FetchError) as refused:
                await mounted.write("config", CONFIG)
            assert refused.value.code == "not_a_key_set"
            assert mounted.storage.entries["config"] == stored
            # A refetch for an unknown token does not replace them either.
            strange = await attempt(path, mounted, by("ES256"))
            assert isinstance(strange, Denied)
            assert strange.code == "key_unknown"
            assert not isinstance(await attempt(path, mounted, GOOD), Denied)

    asyncio.run(run())


def serving(*keys: Any) -> dict[str, Any]:
    return {"config": CONFIG, "documents": {URL: {"keys": list(keys)}}}


@on_every_path
def test_of_keys_with_one_kid_each_is_tried(path):
    others = [public_jwk(key_for("ES256", f"other {n}"), kid="good") for n in range(20)]
    check_granted(path, GOOD, **serving(*others, GOOD_KEY), **ROLE)
    check_denied(path, GOOD, "signature_invalid", **serving(*others), **ROLE)


@on_every_path
def test_a_thousand_keys_cost_no_more_than_some(path):
    keys = [public_jwk(key_for("ES256", "other"), kid=f"k{n}") for n in range(1000)]
    check_granted(path, GOOD, **serving(GOOD_KEY, *keys), **ROLE)
    stranger = token(dict(CLAIMS), alg="ES256", key=key_for("ES256", "stranger"))
    check_denied(path, stranger, "signature_invalid", **serving(GOOD_KEY, *keys), **ROLE)


@on_every_path
def test_a_long_token_without_kid_is_not_hashed_with_every_key(path):
    keys = [public_jwk(key_for("ES256", "other"), kid=f"k{n}") for n in range(250)]
    jwt = token({**CLAIMS, "x": "x" * 700_000}, alg="ES256", key=key_for("ES256", "stranger"))
    check_denied(path, jwt, "too_many_keys", **serving(*keys), **ROLE)


@on_every_path
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES384", "ES512", "EdDSA"])
def test_the_set_has_no_key_for_the_algorithm(path, alg):
    jwt = token(dict(CLAIMS), alg=alg, header={"kid": "good"})
    check_denied(path, jwt, "key_algorithm", **serving(GOOD_KEY), **ROLE)


@on_every_path
@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": "sig", "key_ops": ["encrypt"]},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"x5c": ["no certificate"]},
        {"x5t": "AA"},
        {"n": "AQAB", "e": "AQ"},
        {"unknown": {"deep": [1, None]}},
    ],
    ids=str,
)
def test_members_that_mean_nothing_spoil_no_key(path, members):
    # `use` and `alg` are ignored as in Go: the key's type decides what it verifies.
    check_granted(path, GOOD, **serving(GOOD_KEY | members), **ROLE)


@on_every_path
def test_a_set_without_usable_keys_lets_nobody_in(path):
    sets: list[list[Any]] = [[], [{}], [symmetric()[0]]]
    for keys in sets:
        check_denied(path, GOOD, "key_unknown", **serving(*keys), **ROLE)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_a_signature_made_by_hand_is_what_the_helper_makes(alg):
    start = f"{b64url(json.dumps({'alg': alg, 'kid': 'bad'}).encode())}.{PAYLOAD}"
    jwt = f"{start}.{b64url(sign(alg, key_for(alg, 'stranger'), start.encode()))}"
    public = public_jwk(key_for(alg, "stranger"), kid="bad")
    check_granted(NATIVE, jwt, **serving(public), **ROLE)


# The points that libsodium lists, also with the sign bit set.
SMALL_ORDER = [
    "00" * 32,
    "00" * 31 + "80",
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ec" + "ff" * 30 + "7f",
    "ec" + "ff" * 31,
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point[:4] + point[-2:])
def test_an_ed25519_key_of_small_order_is_no_key(point):
    """Check that such a key is refused: with it in a set, anybody could sign."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "bad", "x": b64url(bytes.fromhex(point))}
    for count in range(8):
        header = b64url(json.dumps({"alg": "EdDSA", "kid": "bad", "n": count}).encode())
        jwt = f"{header}.{PAYLOAD}.{b64url(bytes(64))}"
        check_denied(NATIVE, jwt, "key_unknown", run=both, key=jwk, first=True)


def test_ed25519_is_what_the_tests_think_it_is():
    assert isinstance(key_for("EdDSA", "stranger"), ed25519.Ed25519PrivateKey)
