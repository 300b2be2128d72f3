"""What each key verifies, and which keys an operator may configure."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa

from tests.jwt_auth.certs import self_signed
from tests.jwt_auth.tokens import b64url, key_for, private_key, public_pem, sign, token
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, PublicKeyError
from vault_jwt_plugin.jwt_auth.jose import jws
from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader, parse
from vault_jwt_plugin.jwt_auth.jose.keys import (
    UnusableKeyError,
    VerificationKey,
    from_public_key,
    matching,
    parse_public_key_pem,
    verify_signature,
)

ONE_OF_EACH = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


def verification_key(alg: str, name: str = "a", kid: str | None = None) -> VerificationKey:
    return from_public_key(key_for(alg, name).public_key(), kid=kid)


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
def test_each_algorithm_verifies_with_its_own_key(alg):
    key = verification_key(alg)
    assert verify_signature(parse(token({}, alg=alg)), [key]) is key
    key.verifiers[alg](sign(alg, key_for(alg), b"input"), b"input")


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
@pytest.mark.parametrize("key_alg", ONE_OF_EACH)
def test_no_header_makes_a_key_verify_another_algorithm(alg, key_alg):
    key = verification_key(key_alg)
    fits = alg in key.verifiers
    assert fits == (alg[:2] in {"RS", "PS"} if key_alg == "RS256" else alg == key_alg)
    if fits:
        return
    signed = token({}, alg=alg)
    with pytest.raises(LoginDenied) as denied:
        verify_signature(parse(signed), [key])
    assert denied.value.code == "key_algorithm"
    assert denied.value.message == (
        "the token's algorithm fits none of the keys that it may be signed with"
    )


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
def test_another_key_of_the_kind_does_not_verify(alg):
    with pytest.raises(LoginDenied) as denied:
        verify_signature(parse(token({}, alg=alg)), [verification_key(alg, "b")])
    assert denied.value.code == "signature_invalid"
    assert denied.value.message == ("the token's signature was made by none of the configured keys")


def test_all_candidates_are_tried():
    keys = [verification_key("ES256"), verification_key("RS256", "b"), verification_key("RS256")]
    assert verify_signature(parse(token({})), keys) is keys[2]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "there is no key to verify the token with"),
        ({"kid": "x"}, "the token's key id (kid) is none of the configured keys' ids"),
    ],
)
def test_no_candidates(header, message):
    with pytest.raises(LoginDenied) as denied:
        verify_signature(parse(token({}, header=header)), [])
    assert (denied.value.code, denied.value.message) == ("key_unknown", message)


def test_a_long_token_is_not_hashed_for_every_key_of_a_large_set():
    long = parse(token({"x": "y" * 600_000}, key=key_for("RS256", "b")))
    with pytest.raises(LoginDenied) as denied:
        verify_signature(long, [verification_key("RS256")] * 256)
    assert denied.value.code == "too_many_keys"
    assert denied.value.message == (
        "the token is too long to be tried with every key; it must name its key (kid)"
    )
    short = parse(token({}))
    keys = [verification_key("RS256", "b")] * 255 + [verification_key("RS256")]
    assert verify_signature(short, keys) is keys[-1]


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0", b"\0" * 64, b"\xff" * 64, b"\0" * 256, b"\xff" * 256, b"\xff" * 4096],
    ids=lambda signature: f"{len(signature)} bytes {signature[:1].hex()}",
)
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES512", "EdDSA"])
def test_odd_signatures_are_invalid_and_nothing_else(alg, signature):
    with pytest.raises(InvalidSignature):
        verification_key(alg).verifiers[alg](signature, b"input")


def test_an_ecdsa_signature_in_der_is_invalid():
    der = private_key("ES256").sign(b"input", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        verification_key("ES256").verifiers["ES256"](der, b"input")


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_an_ecdsa_signature_has_one_length(alg):
    signature = sign(alg, key_for(alg), b"input")
    half = len(signature) // 2
    key = verification_key(alg)
    key.verifiers[alg](signature, b"input")
    for other in (
        signature + b"\0",
        b"\0" + signature,
        signature[:half] + b"\0" + signature[half:],
        b"\0" + signature[:half] + b"\0" + signature[half:],
    ):
        with pytest.raises(InvalidSignature):
            key.verifiers[alg](other, b"input")


def test_pss_with_another_salt_length_verifies_as_in_go():
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=20)
    signature = key_for("PS256").sign(b"input", pss, hashes.SHA256())
    verification_key("PS256").verifiers["PS256"](signature, b"input")


def test_pss_with_another_hash_in_its_mask_does_not():
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA1()), salt_length=32)
    signature = key_for("PS256").sign(b"input", pss, hashes.SHA256())
    with pytest.raises(InvalidSignature):
        verification_key("PS256").verifiers["PS256"](signature, b"input")


@pytest.mark.parametrize(
    ("kid", "expected"), [(None, ["1", "2", "1", None]), ("1", ["1", "1"]), ("3", [])]
)
def test_candidates_are_those_with_the_kid_and_all_without_one(kid, expected):
    key = verification_key("ES256")
    keys = [
        VerificationKey(kid=each, kind=key.kind, verifiers=key.verifiers)
        for each in ("1", "2", "1", None)
    ]
    chosen = matching(keys, JoseHeader(alg="ES256", kid=kid))
    assert [each.kid for each in chosen] == expected


def pem_of(der: bytes, label: str) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def spki(key: Any) -> Any:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pkcs1(key: Any) -> Any:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )


RSA_PEM = public_pem(key_for("RS256"))


@pytest.mark.parametrize(
    ("pem", "kind"),
    [
        (RSA_PEM, "RSA"),
        (public_pem(private_key("ES256")), "P-256"),
        (public_pem(private_key("ES384")), "P-384"),
        (public_pem(private_key("ES512")), "P-521"),
        (public_pem(private_key("EdDSA")), "Ed25519"),
        (self_signed(private_key("ES256")), "P-256"),
        (self_signed(key_for("RS256"), expired=True), "RSA"),
        (pem_of(spki(key_for("RS256")), "ANY LABEL"), "RSA"),
        (f"comment\nanother\n{RSA_PEM}\n \t\r\n", "RSA"),
        (RSA_PEM.replace("\n", "\r\n"), "RSA"),
        (RSA_PEM.strip(), "RSA"),
        (RSA_PEM.replace("KEY-----\n", "KEY-----\nComment: x\nA: b\n\n", 1), "RSA"),
        ("-----BEGIN X-----\nnonsense!\n-----END X-----\n" + RSA_PEM, "RSA"),
    ],
    ids=[
        "rsa",
        "p256",
        "p384",
        "p521",
        "ed25519",
        "certificate",
        "expired certificate",
        "label ignored",
        "text before, blanks after",
        "crlf",
        "no last newline",
        "headers",
        "after a block that is none",
    ],
)
def test_pems_accepted(pem, kind):
    key = parse_public_key_pem(pem)
    assert (key.kid, key.kind) == (None, kind)


def small_rsa(bits: int, exponent: int = 65537) -> Any:
    modulus = key_for("RS256").public_key().public_numbers().n
    modulus = (1 << (bits - 1)) | (modulus % (1 << (bits - 1))) | 1
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def public_der(public: Any) -> Any:
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_der(key: Any, form: serialization.PrivateFormat) -> Any:
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def version_4() -> str:
    """A certificate of a version that there is not: cryptography has an error of its own for it."""
    der = x509.load_pem_x509_certificate(self_signed(key_for("ES256")).encode()).public_bytes(
        serialization.Encoding.DER
    )
    return pem_of(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1), "CERTIFICATE")


PKCS1_PROBLEM = (
    "it is in PKCS#1 form (RSA PUBLIC KEY) or no public key; convert it with: "
    "openssl rsa -RSAPublicKey_in -pubout"
)
PRIVATE_PROBLEM = "it is a private key; give the public key, and replace this one"


@pytest.mark.parametrize(
    ("pem", "problem"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (
            "rsa.pem",
            "it is not PEM: there is no '-----BEGIN' line; in a command, NAME=@FILE sends a file",
        ),
        (
            ' {"kty":"RSA","n":"AQ","e":"AQAB"}',
            "it is JSON, not PEM: convert the JWK, or give the URL of its set as jwks_url",
        ),
        (
            RSA_PEM.replace("\n", "\\n"),
            "it is not PEM: its line breaks are written as backslash and n",
        ),
        (
            RSA_PEM.replace("END PUBLIC", "END PRIVATE"),
            "it is not PEM: its BEGIN and END lines do not fit or are not lines of their own",
        ),
        (
            RSA_PEM.replace("\n", " "),
            "it is not PEM: its BEGIN and END lines do not fit or are not lines of their own",
        ),
        (
            RSA_PEM + RSA_PEM,
            "there is more text after its PEM block; give each key as an element of its own",
        ),
        (
            RSA_PEM + "x",
            "there is more text after its PEM block; give each key as an element of its own",
        ),
        ("-----BEGIN X-----\nAAA\n-----END X-----", "its PEM block is not base64"),
        (
            "-----BEGIN X-----\nAAAA\n-----END X-----",
            "its PEM block holds neither a public key nor a certificate",
        ),
        (
            "-----BEGIN X-----\n-----END X-----",
            "its PEM block holds neither a public key nor a certificate",
        ),
        (
            pem_of(spki(key_for("RS256")) + b"\0", "PUBLIC KEY"),
            "its PEM block holds neither a public key nor a certificate",
        ),
        (version_4(), "its PEM block holds neither a public key nor a certificate"),
        (pem_of(pkcs1(key_for("RS256")), "RSA PUBLIC KEY"), PKCS1_PROBLEM),
        (pem_of(pkcs1(key_for("RS256")), "PUBLIC KEY"), PKCS1_PROBLEM),
        (
            pem_of(private_der(key_for("RS256"), serialization.PrivateFormat.PKCS8), "PRIVATE KEY"),
            PRIVATE_PROBLEM,
        ),
        (
            pem_of(
                private_der(key_for("ES256"), serialization.PrivateFormat.TraditionalOpenSSL),
                "EC PRIVATE KEY",
            ),
            PRIVATE_PROBLEM,
        ),
        (
            public_pem(ec.generate_private_key(ec.SECP256K1())),
            "its curve is none of P-256, P-384, P-521",
        ),
        (
            public_pem(ec.generate_private_key(ec.SECP224R1())),
            "its curve is none of P-256, P-384, P-521",
        ),
        (public_pem(ed448.Ed448PrivateKey.generate()), "it is none of RSA, ECDSA, Ed25519"),
        (
            pem_of(public_der(small_rsa(1016)), "PUBLIC KEY"),
            "its RSA modulus has 1016 bits, should have 1024 to 8192",
        ),
        (
            pem_of(public_der(small_rsa(2048, 2**31 + 1)), "PUBLIC KEY"),
            "its RSA exponent is too large",
        ),
        ("x" * 70000, "it is longer than 64 KiB"),
    ],
    ids=[
        "empty",
        "blank",
        "a file's name",
        "jwk",
        "escaped newlines",
        "labels differ",
        "one line",
        "two keys",
        "text after",
        "bad base64",
        "nonsense",
        "empty block",
        "bytes after the key",
        "certificate of version 4",
        "pkcs1",
        "pkcs1 mislabelled",
        "pkcs8 private",
        "sec1 private",
        "secp256k1",
        "p224",
        "ed448",
        "small rsa",
        "large exponent",
        "too long",
    ],
)
def test_pems_refused(pem, problem):
    with pytest.raises(PublicKeyError) as refused:
        parse_public_key_pem(pem, index=2)
    assert refused.value.message == (
        f"public key 2 of jwt_validation_pubkeys can't be used: {problem}"
    )
    assert (refused.value.code, refused.value.index) == ("public_key_invalid", 2)


def test_rsa_of_17000_bits_is_refused():
    with pytest.raises(UnusableKeyError, match="has 17000 bits"):
        from_public_key(small_rsa(17000))


def test_an_x509_certificate_is_what_the_helper_makes():
    certificate = x509.load_pem_x509_certificate(self_signed(private_key("ES256")).encode())
    assert certificate.subject == certificate.issuer


def test_a_key_shows_nothing_of_itself():
    key = verification_key("ES256", kid="k")
    assert repr(key) == "VerificationKey(kid='k', kind='P-256')"
    assert b64url(b"x") not in repr(key)
