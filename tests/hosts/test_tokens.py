"""The tests' own tokens are what they say: joserfc, which does not make them, reads them."""

from __future__ import annotations

import pytest
from joserfc import jwk as jose_jwk
from joserfc import jws

from tests.hosts.tokens import jwk, make_jwt, public_pem

ALGORITHMS = {
    "RS256": "rsa",
    "PS512": "rsa",
    "ES256": "ec256",
    "ES384": "ec384",
    "ES512": "ec521",
}


@pytest.mark.parametrize(("alg", "key"), ALGORITHMS.items(), ids=ALGORITHMS.keys())
def test_a_signature_verifies_with_the_pem_and_with_the_jwk(alg: str, key: str):
    compact = make_jwt({"sub": "x"}, key=key, alg=alg)
    keys = jose_jwk.RSAKey if key == "rsa" else jose_jwk.ECKey
    for public in (keys.import_key(jwk(key)), keys.import_key(public_pem(key))):
        decoded = jws.deserialize_compact(compact, public, algorithms=[alg])
        assert decoded.payload == b'{"sub": "x"}'


def test_a_header_member_can_be_added_and_removed():
    compact = make_jwt({}, header={"kid": "a", "typ": None})
    header = jws.extract_compact(compact.encode()).protected
    assert header == {"alg": "RS256", "kid": "a"}


def test_equal_names_are_one_key_and_others_are_not():
    assert public_pem("rsa") == public_pem("rsa")
    assert public_pem("rsa") != public_pem("rsa-other")
