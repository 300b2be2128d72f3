"""The compact form, taken apart; RFC 7515's and RFC 8037's own examples."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jwt_auth.tokens import b64url, token, unb64url
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose import jws
from vault_jwt_plugin.jwt_auth.jose.jwks import parse_key_set
from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader, decode_base64url, decode_claims, parse
from vault_jwt_plugin.jwt_auth.jose.keys import verify_signature

VECTORS = json.loads((Path(__file__).parent / "fixtures" / "rfc_jws.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_rfc_examples_verify(vector):
    parsed = parse(vector["compact"])
    assert parsed.header == JoseHeader(alg=vector["alg"])
    (key,) = parse_key_set({"keys": [vector["key"]]}).keys
    assert key.kind == vector["kind"]
    assert verify_signature(parsed, [key]) is key
    assert decode_base64url(parsed.unverified_payload) == vector["payload"].encode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("part", [1, 2], ids=["payload", "signature"])
def test_rfc_examples_changed_by_one_bit_do_not(vector, part):
    parts = vector["compact"].split(".")
    changed = bytearray(unb64url(parts[part]))
    changed[3] ^= 1
    parts[part] = b64url(bytes(changed))
    keys = parse_key_set({"keys": [vector["key"]]}).keys
    with pytest.raises(LoginDenied) as denied:
        verify_signature(parse(".".join(parts)), keys)
    assert denied.value.code == "signature_invalid"


def header_of(header: object) -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{b64url(raw)}.e30.AA"


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
def test_all_ten_algorithms(alg):
    assert parse(header_of({"alg": alg})).header == JoseHeader(alg=alg)


@pytest.mark.parametrize(
    ("header", "kid"),
    [
        ({"alg": "RS256"}, None),
        ({"alg": "RS256", "kid": None}, None),
        ({"alg": "RS256", "kid": ""}, None),
        ({"alg": "RS256", "kid": "a b/ü"}, "a b/ü"),
        ({"alg": "RS256", "typ": "JWT", "cty": 3, "x5c": [], "jwk": {"kty": "oct"}}, None),
        ({"alg": "RS256", "kid": "1", "b64": True}, "1"),
        ({"alg": "RS256", "zip": None}, None),
        ({"alg": "RS256", "big": "x" * 12000}, None),
    ],
    ids=["none", "null", "empty", "text", "unknown members", "b64 true", "zip null", "12 KB"],
)
def test_headers_accepted(header, kid):
    assert parse(header_of(header)).header == JoseHeader(alg="RS256", kid=kid)


SUPPORTED = "RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512, EdDSA"


@pytest.mark.parametrize(
    ("header", "code", "message"),
    [
        (
            {"alg": "HS256"},
            "header_alg",
            (
                "the token can't be verified: its algorithm is symmetric (HS256, HS384, HS512); "
                f"supported: {SUPPORTED}"
            ),
        ),
        (
            {"alg": "none"},
            "header_alg",
            (
                "the token can't be verified: it is not signed (algorithm none); "
                f"supported: {SUPPORTED}"
            ),
        ),
        (
            {"alg": "NoNe"},
            "header_alg",
            (
                "the token can't be verified: it is not signed (algorithm none); "
                f"supported: {SUPPORTED}"
            ),
        ),
        (
            {"alg": "ES256K"},
            "header_alg",
            f"the token can't be verified: its algorithm is unknown; supported: {SUPPORTED}",
        ),
        (
            {"alg": "rs256"},
            "header_alg",
            f"the token can't be verified: its algorithm is unknown; supported: {SUPPORTED}",
        ),
        (
            {"alg": ["RS256"]},
            "header_alg",
            (
                "the token can't be verified: the algorithm in its header (alg) must be a string, "
                f"is a list; supported: {SUPPORTED}"
            ),
        ),
        (
            {},
            "header_alg",
            (
                "the token can't be verified: the algorithm in its header (alg) must be a string, "
                f"is missing; supported: {SUPPORTED}"
            ),
        ),
        (
            {"alg": "RS256", "kid": 1},
            "header_kid",
            "the key id in the token's header (kid) must be a string, is a number",
        ),
        (
            {"alg": "RS256", "crit": ["exp"], "exp": 1},
            "header_crit",
            "the token's header names critical extensions (crit), none is supported",
        ),
        (
            {"alg": "RS256", "crit": []},
            "header_crit",
            "the token's header names critical extensions (crit), none is supported",
        ),
        (
            {"alg": "RS256", "crit": ["b64"], "b64": False},
            "header_crit",
            "the token's header names critical extensions (crit), none is supported",
        ),
        (
            {"alg": "RS256", "b64": False},
            "header_b64",
            "the token's payload is not base64url (b64), a JWT's must be",
        ),
        (
            {"alg": "RS256", "zip": "DEF"},
            "header_zip",
            "the token is compressed (zip), which signed tokens can't be",
        ),
        (
            b'["RS256"]',
            "header_invalid",
            "the token's header must be a JSON object, is a list",
        ),
        (
            b'{"alg":"none","alg":"RS256"}',
            "header_invalid",
            "the token's header can't be read: it holds the member \"alg\" twice",
        ),
        (
            b'{"alg":"RS256","x":NaN}',
            "header_invalid",
            "the token's header can't be read: it holds NaN or Infinity, which JSON does not have",
        ),
        (
            b'{"alg":"RS256","kid":"\\ud800"}',
            "header_invalid",
            "the token's header can't be read: it holds half of a surrogate pair",
        ),
        (
            '{"alg":"RS256"}'.encode("utf-16"),
            "header_invalid",
            "the token's header can't be read: it is not UTF-8",
        ),
        (
            b'{"alg":"RS256","x":' + b"[" * 100 + b"]" * 100 + b"}",
            "header_invalid",
            "the token's header can't be read: it is nested deeper than 64 levels",
        ),
        (
            b'{"alg":"RS256","x":"' + b"x" * 16384 + b'"}',
            "header_too_large",
            "the token's header is longer than 16 KiB",
        ),
        (b"", "header_invalid", "the token's header can't be read: it is not JSON"),
    ],
    ids=lambda value: str(value)[:32],
)
def test_headers_refused(header, code, message):
    with pytest.raises(LoginDenied) as denied:
        parse(header_of(header))
    assert (denied.value.code, denied.value.message) == (code, message)


MALFORMED = "the token is malformed: its parts must be base64url without padding"
NOT_THREE = "the token is malformed: it must have three parts (header.payload.signature)"
H = b64url(b'{"alg":"RS256"}')


@pytest.mark.parametrize(
    ("compact", "code", "message"),
    [
        ("", "token_missing", "missing token"),
        (" \n", "token_missing", "missing token"),
        ("x" * (1024 * 1024 + 1), "token_too_large", "the token is longer than 1 MiB"),
        (
            '{"payload": "e30", "signatures": []}',
            "token_json",
            (
                "the token is in JSON serialization; send it in compact form "
                "(header.payload.signature)"
            ),
        ),
        (
            f"{H}.a.b.c.d",
            "token_encrypted",
            "the token is encrypted (JWE); only signed tokens are supported",
        ),
        ("." * 1000, "token_malformed", NOT_THREE),
        ("abc", "token_malformed", NOT_THREE),
        (f"{H}.e30", "token_malformed", NOT_THREE),
        (f"{H}.e30.AA.AA", "token_malformed", NOT_THREE),
        (f"{H}.e30.AA==", "token_malformed", MALFORMED),
        (f"{H}.e30.A+A_", "token_malformed", MALFORMED),
        (f"{H}.e30.AA/A", "token_malformed", MALFORMED),
        (f"{H}.e30.AAAAA", "token_malformed", MALFORMED),
        (f"{H}.e30.A!", "token_malformed", MALFORMED),
        (f"{H}=.e30.AA", "token_malformed", MALFORMED),
        (f"{H}.é30.AA", "token_malformed", MALFORMED),
        (f"{H}.e30.AA\x00A", "token_malformed", MALFORMED),
        ("..", "header_invalid", "the token's header can't be read: it is not JSON"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_tokens_refused(compact, code, message):
    with pytest.raises(LoginDenied) as denied:
        parse(compact)
    assert (denied.value.code, denied.value.message) == (code, message)


def test_white_space_anywhere_is_ignored():
    compact = token({"a": 1})
    broken = f"\n {compact[:30]}\r\n\u2028{compact[30:90]}\t\v{compact[90:]}\u00a0\n"
    assert parse(broken) == parse(compact)
    assert parse(compact + "\n") == parse(compact)


def test_what_only_python_calls_white_space_is_not():
    with pytest.raises(LoginDenied) as denied:
        parse(f"{H}.e30.AA\x1cAA")
    assert denied.value.code == "token_malformed"


def test_unused_bits_of_the_last_character_may_be_anything_as_in_go_jose():
    assert decode_base64url(b"QQ") == decode_base64url(b"QR") == b"A"


def test_empty_signature_is_parsed_and_never_verifies():
    parsed = parse(f"{H}.e30.")
    assert parsed.signature == b""


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"[]", "the token's claims must be a JSON object, are a list"),
        (b'"x"', "the token's claims must be a JSON object, are a string"),
        (b"", "the token's claims can't be read: it is not JSON"),
        (
            b'{"sub":"a","sub":"b"}',
            "the token's claims can't be read: it holds the member \"sub\" twice",
        ),
        (b"\xff", "the token's claims can't be read: it is not UTF-8"),
    ],
)
def test_claims_refused(payload, message):
    with pytest.raises(LoginDenied) as denied:
        decode_claims(b64url(payload).encode())
    assert (denied.value.code, denied.value.message) == ("claims_invalid", message)


def test_claims_that_are_no_base64url():
    with pytest.raises(LoginDenied) as denied:
        decode_claims(b"A")
    assert denied.value.message == ("the token's claims can't be read: they are not base64url")


def test_headers_are_kept_only_while_small():
    jws._cached_header.cache_clear()
    parse(header_of({"alg": "RS256"}))
    parse(header_of({"alg": "RS256"}))
    parse(header_of({"alg": "RS256", "x": "y" * 600}))
    info = jws._cached_header.cache_info()
    assert (info.hits, info.currsize, info.maxsize) == (1, 1, 256)


def test_the_largest_garbage_is_refused_quickly():
    for piece in ("\n", ".", "\u2028", "é", "A", " ."):
        started_at = time.perf_counter()
        with pytest.raises(LoginDenied):
            parse(piece * (1024 * 1024 // len(piece)))
        assert time.perf_counter() - started_at < 5.0


@given(st.text(max_size=120) | st.from_regex(r"\A[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\Z"))
def test_any_text_is_a_token_or_a_denial(text):
    with suppress(LoginDenied):
        parse(text)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_give_header_and_claims_or_a_denial(header, payload):
    with suppress(LoginDenied):
        parse(f"{b64url(header)}.{b64url(payload)}.AA")
    with suppress(LoginDenied):
        decode_claims(b64url(payload).encode())
