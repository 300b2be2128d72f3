"""Tokens of attackers: each is denied, with its own code, and nothing of it in the message.

Every token here is for a role and a time that a good token passes; where it can be, it is truly
signed, so that it is the check in question that denies it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jwt_auth.login.walking import authenticate
from tests.jwt_auth.tokens import (
    NOW,
    b64url,
    key_for,
    private_key,
    public_jwk,
    public_pem,
    raw_token,
    sign,
    token,
)
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.keys import from_public_key
from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
from vault_jwt_plugin.jwt_auth.role.role import Role

MARK = "sEcReT-mArK"
GOOD = {"sub": "me", "aud": "vault", "exp": NOW + 60, "mark": MARK}
ROLE = PreparedRole.of(
    "demo",
    Role(
        role_type="jwt",
        bound_claims_type="string",
        bound_audiences=("vault",),
        bound_subject="me",
        user_claim="sub",
    ),
)
KEYS = tuple(
    from_public_key(key_for(alg).public_key(), kid="k")
    for alg in ("RS256", "ES256", "ES384", "EdDSA")
)


def attempt(compact: str, *, keys=KEYS, config: Config | None = None) -> None:
    authenticate(compact, ROLE, config or Config(), keys, NOW, None)


def payload(text: str) -> str:
    """A signed token whose payload is this very JSON text."""
    return raw_token(b'{"alg":"RS256"}', text.encode("utf-8", "surrogatepass"))


def members(text: str) -> str:
    """A signed token with good claims and these members after them."""
    return payload(json.dumps(GOOD)[:-1] + "," + text + "}")


def head(**members: object) -> str:
    return b64url(json.dumps(members).encode())


def hmac_token(secret: bytes, alg: str = "HS256") -> str:
    signing_input = f"{head(alg=alg)}.{b64url(json.dumps(GOOD).encode())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    mac = hmac.new(secret, signing_input.encode(), digest).digest()
    return f"{signing_input}.{b64url(mac)}"


def unsigned(header: dict[str, object], signature: str = "") -> str:
    return f"{head(**header)}.{b64url(json.dumps(GOOD).encode())}.{signature}"


def swapped_payload() -> str:
    header, _, signature = token(GOOD).split(".")
    return f"{header}.{b64url(json.dumps({**GOOD, 'sub': 'root'}).encode())}.{signature}"


def swapped_header() -> str:
    _, body, signature = token(GOOD).split(".")
    return f"{head(alg='RS256', kid='k')}.{body}.{signature}"


def detached_payload() -> str:
    header, _, signature = token(GOOD).split(".")
    return f"{header}..{signature}"


def stripped_signature() -> str:
    return token(GOOD).rsplit(".", 1)[0] + "."


def json_serialised(signatures: int = 1) -> str:
    header, body, signature = token(GOOD).split(".")
    each = {"protected": header, "signature": signature}
    if signatures == 1:
        return json.dumps({"payload": body, **each})
    return json.dumps({"payload": body, "signatures": [each] * signatures})


def der_signature() -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    start = f"{head(alg='ES256')}.{b64url(json.dumps(GOOD).encode())}"
    der = private_key("ES256").sign(start.encode(), ec.ECDSA(hashes.SHA256()))
    return f"{start}.{b64url(der)}"


def embedded(**header: object) -> str:
    """Signed by a stranger, who brings a key along."""
    return token(GOOD, key=key_for("RS256", "b"), header=header)


def mixed(header_alg: str, signing_alg: str) -> str:
    start = f"{head(alg=header_alg)}.{b64url(json.dumps(GOOD).encode())}"
    signature = sign(signing_alg, key_for(signing_alg), start.encode())
    return f"{start}.{b64url(signature)}"


STRANGER = public_jwk(key_for("RS256", "b"))
RSA_PEM = public_pem(key_for("RS256")).encode()
RSA_DER = base64.b64decode("".join(public_pem(key_for("RS256")).splitlines()[1:-1]))

HOSTILE = [
    # Algorithms.
    ("none", unsigned({"alg": "none"}), "header_alg"),
    ("None", unsigned({"alg": "None"}), "header_alg"),
    ("nOnE with signature", unsigned({"alg": "nOnE"}, "AAAA"), "header_alg"),
    ("empty alg", unsigned({"alg": ""}), "header_alg"),
    ("null alg", unsigned({"alg": None}), "header_alg"),
    ("list alg", unsigned({"alg": ["RS256", "none"]}), "header_alg"),
    ("object alg", unsigned({"alg": {}}), "header_alg"),
    ("alg with NUL", unsigned({"alg": "RS256\0"}), "header_alg"),
    ("alg with space", unsigned({"alg": " RS256"}), "header_alg"),
    ("full-width alg", unsigned({"alg": "\uff32S256"}), "header_alg"),
    ("ES256K", unsigned({"alg": "ES256K"}), "header_alg"),
    ("RS1", unsigned({"alg": "RS1"}), "header_alg"),
    ("Ed448 by name", unsigned({"alg": "Ed448"}), "header_alg"),
    ("JWE alg", unsigned({"alg": "RSA-OAEP"}), "header_alg"),
    ("HS256 with the PEM", hmac_token(RSA_PEM), "header_alg"),
    ("HS256 with the PEM, stripped", hmac_token(RSA_PEM.strip()), "header_alg"),
    ("HS256 with the DER", hmac_token(RSA_DER), "header_alg"),
    ("HS384 with the DER", hmac_token(RSA_DER, "HS384"), "header_alg"),
    ("HS512 with nothing", hmac_token(b"", "HS512"), "header_alg"),
    ("ES512 without such a key", token(GOOD, alg="ES512"), "key_algorithm"),
    # Signatures.
    ("no signature", stripped_signature(), "signature_invalid"),
    ("signature of zeros", unsigned({"alg": "ES256"}, b64url(b"\0" * 64)), "signature_invalid"),
    ("signature of ones", unsigned({"alg": "RS256"}, b64url(b"\xff" * 256)), "signature_invalid"),
    ("short signature", unsigned({"alg": "EdDSA"}, b64url(b"\1" * 63)), "signature_invalid"),
    ("huge signature", unsigned({"alg": "RS256"}, "A" * 500_000), "signature_invalid"),
    ("DER signature", der_signature(), "signature_invalid"),
    ("another payload", swapped_payload(), "signature_invalid"),
    ("another header", swapped_header(), "signature_invalid"),
    ("detached payload", detached_payload(), "signature_invalid"),
    ("stranger's key", embedded(), "signature_invalid"),
    ("stranger's jwk in the header", embedded(jwk=STRANGER), "signature_invalid"),
    ("stranger's jku", embedded(jku="https://evil.example/keys"), "signature_invalid"),
    ("stranger's x5u", embedded(x5u="https://evil.example/cert"), "signature_invalid"),
    ("stranger's x5c", embedded(x5c=["MIIB"]), "signature_invalid"),
    ("kid as a path", embedded(kid="../../../dev/null"), "signature_invalid"),
    ("kid as SQL", embedded(kid="' OR 1=1 --"), "signature_invalid"),
    # Form.
    ("empty", "", "token_missing"),
    ("dots", "..", "header_invalid"),
    ("one part", b64url(b"{}"), "token_malformed"),
    ("four parts", token(GOOD) + ".AAAA", "token_malformed"),
    ("five parts", token(GOOD) + ".AAAA.AAAA", "token_encrypted"),
    ("200,000 dots", "." * 200_000, "token_malformed"),
    ("2 MB", "A" * 2_000_000, "token_too_large"),
    ("2 MB of white space", " " * 2_000_000, "token_too_large"),
    ("JSON, flattened", json_serialised(), "token_json"),
    ("JSON, two signatures", json_serialised(2), "token_json"),
    ("padding", token(GOOD) + "=", "token_malformed"),
    ("standard alphabet", token(GOOD)[:-3] + "+/A", "token_malformed"),
    ("quotes", f'"{token(GOOD)}"', "token_malformed"),
    ("Bearer", f"Bearer!{token(GOOD)}", "token_malformed"),
    ("NUL", token(GOOD) + "\0", "token_malformed"),
    ("lone surrogate", token(GOOD) + "\ud800", "token_malformed"),
    ("full-width dots", token(GOOD).replace(".", "\uff0e"), "token_malformed"),
    # Headers.
    ("header is a string", b64url(b'"RS256"') + ".e30.AA", "header_invalid"),
    ("header is null", b64url(b"null") + ".e30.AA", "header_invalid"),
    ("header alg twice", raw_token(b'{"alg":"none","alg":"RS256"}', b"{}"), "header_invalid"),
    ("header in UTF-16", raw_token('{"alg":"RS256"}'.encode("utf-16"), b"{}"), "header_invalid"),
    ("header with BOM", raw_token(b'\xef\xbb\xbf{"alg":"RS256"}', b"{}"), "header_invalid"),
    ("header with NaN", raw_token(b'{"alg":"RS256","x":NaN}', b"{}"), "header_invalid"),
    ("header with half a pair", token(GOOD, header={"kid": "\ud800"}), "header_invalid"),
    (
        "header nested",
        raw_token(b'{"alg":"RS256","x":' + b"[" * 5000 + b"}", b"{}"),
        "header_invalid",
    ),
    ("header of 20 KB", token(GOOD, header={"x": "x" * 20_000}), "header_too_large"),
    ("crit unknown", token(GOOD, header={"crit": ["x"], "x": 1}), "header_crit"),
    ("crit empty", token(GOOD, header={"crit": []}), "header_crit"),
    ("crit null", token(GOOD, header={"crit": None}), "header_crit"),
    ("crit registered", token(GOOD, header={"crit": ["alg"]}), "header_crit"),
    ("crit b64", token(GOOD, header={"crit": ["b64"], "b64": False}), "header_crit"),
    ("b64 alone", token(GOOD, header={"b64": False}), "header_b64"),
    ("b64 as number", token(GOOD, header={"b64": 0}), "header_b64"),
    (
        "compressed",
        token(zlib.compress(json.dumps(GOOD).encode()), header={"zip": "DEF"}),
        "header_zip",
    ),
    ("kid as number", token(GOOD, header={"kid": 7}), "header_kid"),
    ("kid as list", token(GOOD, header={"kid": ["k"]}), "header_kid"),
    # Payloads, truly signed.
    ("compressed, unnamed", token(zlib.compress(json.dumps(GOOD).encode())), "claims_invalid"),
    ("empty payload", token(b""), "claims_invalid"),
    ("payload is a list", payload("[]"), "claims_invalid"),
    ("payload is a string", payload('"me"'), "claims_invalid"),
    ("payload is a number", payload("1"), "claims_invalid"),
    ("nested token", token(token(GOOD).encode(), header={"cty": "JWT"}), "claims_invalid"),
    ("sub twice", members('"sub":"root"'), "claims_invalid"),
    ("sub twice, escaped", members('"s\\u0075b":"root"'), "claims_invalid"),
    ("inner member twice", members('"a":{"b":1,"b":2}'), "claims_invalid"),
    ("NaN exp", members('"nbf":NaN'), "claims_invalid"),
    ("Infinity", members('"nbf":-Infinity'), "claims_invalid"),
    ("1e400", members('"nbf":1e400'), "claims_invalid"),
    ("1e999999999", members('"nbf":1e999999999'), "claims_invalid"),
    ("exponent of 30 digits", members(f'"nbf":1e{"9" * 30}'), "claims_invalid"),
    ("integer of 100,000 digits", members(f'"nbf":{"9" * 100_000}'), "claims_invalid"),
    ("fraction of 100,000 digits", members(f'"nbf":0.{"9" * 100_000}'), "claims_invalid"),
    ("100,000 levels", members('"x":' + "[" * 100_000 + "]" * 100_000), "claims_invalid"),
    (
        "1,000 levels of objects",
        members('"x":' + '{"a":' * 1000 + "1" + "}" * 1000),
        "claims_invalid",
    ),
    ("half a pair", members('"x":"\\ud800"'), "claims_invalid"),
    ("half a pair as a name", members('"\\udc00":1'), "claims_invalid"),
    ("half a pair in UTF-8", members('"x":"\ud800"'), "claims_invalid"),
    ("overlong UTF-8", token(b'{"sub":"\xc0\xaf"}'), "claims_invalid"),
    ("Latin-1", token('{"sub":"é"}'.encode("latin-1")), "claims_invalid"),
    ("text after the object", payload(json.dumps(GOOD) + "{}"), "claims_invalid"),
    ("comment", payload("/**/" + json.dumps(GOOD)), "claims_invalid"),
    # Claims.
    ("SUB", members('"SUB":"root"'), "claim_name"),
    ("long s", members('"\u017fub":"root"'), "claim_name"),
    ("Aud", members('"Aud":"x"'), "claim_name"),
    ("sub as list", token({**GOOD, "sub": ["me"]}), "claim_type"),
    ("sub as number", token({**GOOD, "sub": 1}), "claim_type"),
    ("sub with NUL", token({**GOOD, "sub": "me\0"}), "subject_mismatch"),
    ("sub with a space", token({**GOOD, "sub": "me "}), "subject_mismatch"),
    ("sub empty", token({**GOOD, "sub": ""}), "subject_mismatch"),
    ("aud as number", token({**GOOD, "aud": 1}), "claim_type"),
    ("aud as object", token({**GOOD, "aud": {"vault": 1}}), "claim_type"),
    ("aud null", token({**GOOD, "aud": None}), "claim_type"),
    ("aud mixed", token({**GOOD, "aud": ["vault", None]}), "claim_type"),
    ("aud nested", token({**GOOD, "aud": [["vault"]]}), "claim_type"),
    ("aud joined", token({**GOOD, "aud": "other,vault"}), "audience_mismatch"),
    ("aud prefix", token({**GOOD, "aud": "vault2"}), "audience_mismatch"),
    ("exp quoted", token({**GOOD, "exp": str(NOW + 60)}), "claim_type"),
    ("exp true", token({**GOOD, "exp": True}), "claim_type"),
    ("exp beyond 64 bits", token({**GOOD, "exp": 2**64}), "claim_type"),
    ("exp 1e300", payload(json.dumps(GOOD).replace(str(NOW + 60), "1e300")), "claim_type"),
    ("exp negative", token({**GOOD, "exp": -1}), "expired"),
    ("exp as milliseconds ago", token({**GOOD, "exp": NOW // 1000}), "expired"),
    ("no date", token({"sub": "me", "aud": "vault"}), "time_missing"),
    ("nbf in milliseconds", token({**GOOD, "nbf": NOW * 1000}), "not_yet_valid"),
    ("iat tomorrow", token({**GOOD, "nbf": NOW, "iat": NOW + 86400}), "issued_in_future"),
]


def test_the_good_token_passes():
    attempt(token(GOOD))


def test_there_are_many():
    assert len(HOSTILE) >= 110
    assert len({name for name, *_ in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize(
    ("compact", "code"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_hostile_tokens_are_denied(compact, code):
    started_at = time.perf_counter()
    with pytest.raises(LoginDenied) as denied:
        attempt(compact)
    assert denied.value.code == code
    assert time.perf_counter() - started_at < 5.0
    assert len(denied.value.message) < 250
    assert MARK not in denied.value.message
    assert not any(
        part and part in denied.value.message for part in compact.split(".") if len(part) > 6
    )


ALGS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")


@pytest.mark.parametrize("signing_alg", ALGS)
@pytest.mark.parametrize("header_alg", ALGS)
def test_confused_algorithms_in_every_pairing(header_alg, signing_alg):
    if header_alg == signing_alg:
        attempt(mixed(header_alg, signing_alg))
        return
    with pytest.raises(LoginDenied) as denied:
        attempt(mixed(header_alg, signing_alg))
    assert denied.value.code == "signature_invalid"


@given(st.text(max_size=200) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_denied(text):
    with pytest.raises(LoginDenied):
        attempt(text)


_names = st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "jti", "iss", "SUB", "x", "a/b"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names, _json, max_size=6))
def test_any_signed_claims_pass_or_are_denied(claims):
    with suppress(LoginDenied):
        attempt(token({**GOOD, **claims}, alg="EdDSA"))


@given(st.binary(max_size=120))
def test_any_signed_bytes_are_denied(raw):
    with pytest.raises(LoginDenied):
        attempt(token(raw, alg="EdDSA"))
