"""Key sets: good keys are used whatever is beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from tests.jwt_auth.tokens import b64url, key_for, private_key, public_jwk, token
from vault_jwt_plugin.jwt_auth.jose.jwks import (
    MAX_KEYS,
    KeySet,
    NotAKeySetError,
    UnusableKey,
    parse_key_set,
)
from vault_jwt_plugin.jwt_auth.jose.jws import parse
from vault_jwt_plugin.jwt_auth.jose.keys import verify_signature

RFC = json.loads((Path(__file__).parent / "fixtures" / "rfc_jwks.json").read_text())
RSA = public_jwk(key_for("RS256"))
EC = public_jwk(private_key("ES256"))
ED = public_jwk(private_key("EdDSA"))


def test_rfc_7517_a1():
    key_set = parse_key_set(RFC["set"])
    assert [[key.kid, key.kind] for key in key_set.keys] == RFC["keys"]
    assert key_set.unusable == ()


def test_a_set_gives_back_what_it_used():
    jwks = [{**RSA, "kid": "a", "use": "sig", "x5c": ["…"]}, {"kty": "oct"}, {**EC, "kid": ""}, ED]
    key_set = parse_key_set({"keys": jwks})
    assert key_set.jwks == ({**RSA, "kid": "a"}, EC, ED)
    again = parse_key_set({"keys": list(key_set.jwks)})
    assert [key.kid for key in again.keys] == ["a", None, None]
    assert (again.jwks, again.unusable) == (key_set.jwks, ())


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_imported_keys_verify(alg):
    keys = parse_key_set({"keys": [public_jwk(key_for(alg), kid="k")]}).keys
    assert verify_signature(parse(token({}, alg=alg)), keys).kid == "k"


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"alg": "PS512"},
        {"alg": 3, "use": [], "key_ops": "nothing"},
        {"x5c": ["nonsense"], "x5t": 1, "ext": "no", "": None},
        {"kid": None},
    ],
    ids=str,
)
def test_other_members_mean_nothing(members):
    (key,) = parse_key_set({"keys": [{**RSA, **members}]}).keys
    assert key.kind == "RSA"


def off_curve() -> dict[str, str]:
    return {**EC, "y": EC["x"]}


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        ("x", "it must be a JSON object, is a string"),
        (None, "it must be a JSON object, is null"),
        ({}, "it names no key type (kty)"),
        ({"kty": 1}, "it names no key type (kty)"),
        ({"kty": "AKP"}, "its key type (kty) is none of RSA, EC, OKP"),
        ({"kty": "rsa"}, "its key type (kty) is none of RSA, EC, OKP"),
        (
            {"kty": "oct", "k": "c2VjcmV0"},
            "it is symmetric (oct): whoever reads the set could sign",
        ),
        ({**RSA, "d": "AQ"}, "it holds a private key: whoever reads the set could sign"),
        ({**EC, "d": ""}, "it holds a private key: whoever reads the set could sign"),
        ({**RSA, "k": "AQ"}, "it holds a private key: whoever reads the set could sign"),
        ({**RSA, "kid": 1}, "its key id (kid) must be a string of at most 1024"),
        ({**RSA, "kid": "x" * 1025}, "its key id (kid) must be a string of at most 1024"),
        ({"kty": "RSA", "e": "AQAB"}, "its member 'n' must be a string, is missing"),
        ({**RSA, "n": 3}, "its member 'n' must be a string, is a number"),
        ({**RSA, "n": ""}, "its member 'n' must be a string, is an empty string"),
        ({**RSA, "n": RSA["n"] + "="}, "its member 'n' is not base64url or is too long"),
        ({**RSA, "n": "é"}, "its member 'n' is not base64url or is too long"),
        ({**RSA, "n": "A" * 1_000_000}, "its member 'n' is not base64url or is too long"),
        ({**RSA, "e": "AQ"}, "its members are not a valid RSA key"),
        ({**RSA, "e": "Ag"}, "its members are not a valid RSA key"),
        ({**RSA, "e": RSA["n"]}, "its members are not a valid RSA key"),
        ({**RSA, "e": b64url(b"\x01" * 5)}, "its RSA exponent is too large"),
        (
            {**RSA, "n": b64url(b"\x81" * 64)},
            "its RSA modulus has 512 bits, should have 1024 to 8192",
        ),
        ({**EC, "crv": "P-384"}, "its members are not a valid EC key"),
        ({**EC, "crv": "secp256k1"}, "its curve (crv) is none of P-256, P-384, P-521"),
        ({**EC, "crv": ["P-256"]}, "its member 'crv' must be a string, is a list"),
        (off_curve(), "its members are not a valid EC key"),
        ({**EC, "x": "AA", "y": "AA"}, "its members are not a valid EC key"),
        (
            public_jwk(ec.generate_private_key(ec.SECP256K1())),
            "its curve (crv) is none of P-256, P-384, P-521",
        ),
        (public_jwk(ed448.Ed448PrivateKey.generate()), "its curve (crv) is none of Ed25519"),
        ({**ED, "crv": "X25519"}, "its curve (crv) is none of Ed25519"),
        ({**ED, "x": ED["x"][:-4]}, "its members are not a valid OKP key"),
    ],
)
def test_keys_skipped(jwk, reason):
    key_set = parse_key_set({"keys": [jwk]})
    assert key_set == KeySet(unusable=(UnusableKey(position=1, reason=reason),))


def test_a_bad_key_spoils_no_set():
    key_set = parse_key_set(
        {"keys": [{"kty": "oct", "k": "AA"}, EC | {"kid": "a"}, 5, RSA, EC | {"kid": "a"}]}
    )
    assert [(key.kid, key.kind) for key in key_set.keys] == [
        ("a", "P-256"),
        (None, "RSA"),
        ("a", "P-256"),
    ]
    assert key_set.unusable == (
        UnusableKey(position=1, reason="it is symmetric (oct): whoever reads the set could sign"),
        UnusableKey(position=3, reason="it must be a JSON object, is a number"),
    )


def test_an_empty_set_is_a_set():
    assert parse_key_set({"keys": []}).keys == ()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "it must be a JSON object, is a list"),
        ("x", "it must be a JSON object, is a string"),
        ({}, "its member 'keys' must be a list, is missing"),
        ({"keys": {}}, "its member 'keys' must be a list, is an object"),
        ({"keys": None}, "its member 'keys' must be a list, is null"),
    ],
    ids=str,
)
def test_no_sets(document, reason):
    with pytest.raises(NotAKeySetError) as refused:
        parse_key_set(document)
    assert str(refused.value) == reason


def test_too_many_keys_are_reported():
    key_set = parse_key_set({"keys": [ED] * (MAX_KEYS + 4)})
    assert len(key_set.keys) == MAX_KEYS
    assert key_set.unusable == (
        UnusableKey(position=257, reason="only the first 256 keys of 260 are used"),
    )
