"""Tokens with an odd encoding, header or claims: validly signed if possible, and each denied."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from tests.jwt_auth.tokens import NOW, b64url, key_for, public_jwk, raw_token, token
from tests.security.issuing import CLAIMS, check_denied, check_granted, on_every_path
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS

ROLE: dict[str, Any] = {"bound_audiences": "vault"}
GOOD = token(dict(CLAIMS))
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


def headed(text: str | bytes, *, alg: str = "RS256") -> str:
    """Return a signed token with exactly this header."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return raw_token(raw, json.dumps(dict(CLAIMS)).encode(), alg=alg)


def header(**members: Any) -> str:
    return token(dict(CLAIMS), header=members)


def claimed(text: str | bytes) -> str:
    """Return a signed token with exactly this payload."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return raw_token(b'{"alg":"RS256"}', raw)


def members(text: str) -> str:
    """Return a signed token with valid claims, followed by exactly this."""
    return claimed(json.dumps(dict(CLAIMS))[:-1] + "," + text + "}")


def changed(**claims: Any) -> str:
    return token({**CLAIMS, **claims})


def without(*names: str) -> str:
    return token({name: value for name, value in CLAIMS.items() if name not in names})


# The token -> its code.
FORMS = {
    "no text": ("", "token_missing"),
    "one dot": (".", "token_malformed"),
    "two dots": ("..", "header_invalid"),
    "a million dots": ("." * 1_000_000, "token_malformed"),
    "header alone": (HEADER, "token_malformed"),
    "header and payload": (f"{HEADER}.{PAYLOAD}", "token_malformed"),
    "no header": (f".{PAYLOAD}.{SIGNATURE}", "header_invalid"),
    "no payload": (f"{HEADER}..{SIGNATURE}", "signature_invalid"),
    "no signature": (f"{HEADER}.{PAYLOAD}.", "signature_invalid"),
    "four parts": (f"{GOOD}.", "token_malformed"),
    "five parts": (f"{GOOD}.{PAYLOAD}.{SIGNATURE}", "token_encrypted"),
    "five empty parts": ("....", "token_encrypted"),
    "six parts": (f"{GOOD}.a.b.c", "token_malformed"),
    "two tokens": (f"{GOOD},{GOOD}", "token_encrypted"),
    "2 MB in one part": ("e" * 2_000_000, "token_too_large"),
    "2 MB payload": (f"{HEADER}.{'e' * 2_000_000}.{SIGNATURE}", "token_too_large"),
    "2 MB signature": (f"{HEADER}.{PAYLOAD}.{'A' * 2_000_000}", "token_too_large"),
    "just over 1 MiB": (f"{HEADER}.{'e' * (1 << 20)}.AA", "token_too_large"),
    "just below 1 MiB": (f"{HEADER}.{'e' * (1 << 19)}.AA", "signature_invalid"),
    "2 MB of line breaks": ("\n" * 2_000_000, "token_too_large"),
    "1 MB of spaces": (" " * 1_000_000, "token_missing"),
    "padding on the header": (f"{HEADER}=.{PAYLOAD}.{SIGNATURE}", "token_malformed"),
    "padding on the payload": (f"{HEADER}.{PAYLOAD}==.{SIGNATURE}", "signature_invalid"),
    "padding on the signature": (f"{GOOD}==", "token_malformed"),
    "padding between": (f"{HEADER[:4]}={HEADER[4:]}.{PAYLOAD}.{SIGNATURE}", "token_malformed"),
    "standard alphabet": (f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-2]}+/", "token_malformed"),
    "percent encoding": (GOOD.replace(".", "%2e"), "token_malformed"),
    "NUL within": (f"{HEADER}.{PAYLOAD}\0.{SIGNATURE}", "signature_invalid"),
    "NUL behind": (f"{GOOD}\0", "token_malformed"),
    "NUL and a newline behind": (f"{GOOD}\0\n", "token_malformed"),
    "zero-width space": (f"{HEADER}\u200b.{PAYLOAD}.{SIGNATURE}", "token_malformed"),
    "byte order mark": (f"\ufeff{GOOD}", "token_malformed"),
    "soft hyphen": (f"{GOOD}\u00ad", "token_malformed"),
    "right-to-left mark": (f"{GOOD}\u200f", "token_malformed"),
    "fullwidth letters": (f"{HEADER}.{PAYLOAD}.\uff21\uff21", "token_malformed"),
    "lone surrogate": (f"{GOOD}\ud800", "token_malformed"),
    "one dot leader": (GOOD.replace(".", "\u2024"), "token_malformed"),
    "quotes": (f'"{GOOD}"', "token_malformed"),
    "apostrophes": (f"'{GOOD}'", "token_malformed"),
    "angle brackets": (f"<{GOOD}>", "token_malformed"),
    "a semicolon behind": (f"{GOOD};", "token_malformed"),
    "a colon before": (f":{GOOD}", "token_malformed"),
    "Bearer=": (f"Bearer={GOOD}", "token_malformed"),
    "impossible length": (f"{GOOD}AAA", "token_malformed"),
    "one character parts": ("e.e.e", "token_malformed"),
    "signature not base64": (f"{HEADER}.{PAYLOAD}.***", "token_malformed"),
    "header not base64": (f"***.{PAYLOAD}.{SIGNATURE}", "token_malformed"),
    "PEM": ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "token_malformed"),
    "a host's own token": ("hvs.CAESIJTbpPd7", "token_malformed"),
    "XML": ("<?xml version='1.0'?><a/>", "token_malformed"),
    "SAML in base64": ("PHNhbWxwOlJlc3BvbnNlPg", "token_malformed"),
    "JSON, flattened": (
        json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}),
        "token_json",
    ),
    "JSON, no signatures": (json.dumps({"payload": PAYLOAD, "signatures": []}), "token_json"),
    "JSON, one signature": (
        json.dumps(
            {"payload": PAYLOAD, "signatures": [{"protected": HEADER, "signature": SIGNATURE}]}
        ),
        "token_json",
    ),
    "JSON, unprotected header": (
        json.dumps({"payload": PAYLOAD, "header": {"alg": "none"}, "signature": ""}),
        "token_json",
    ),
    "JSON, a thousand signatures": (
        json.dumps({"payload": PAYLOAD, "signatures": [{"signature": SIGNATURE}] * 1000}),
        "token_json",
    ),
    "JSON, encrypted": (json.dumps({"ciphertext": "AA", "iv": "AA", "tag": "AA"}), "token_json"),
    "JSON, deep": ('{"a":' * 50_000, "token_json"),
    "JSON list": (json.dumps([GOOD]), "token_malformed"),
    "JSON after white space": ("  \n" + json.dumps({"payload": PAYLOAD}), "token_json"),
}

STRANGER = public_jwk(key_for("RS256", "stranger"))

HEADERS = {
    "empty object": (headed("{}"), "header_alg"),
    "list": (headed('["RS256"]'), "header_invalid"),
    "text": (headed('"RS256"'), "header_invalid"),
    "number": (headed("256"), "header_invalid"),
    "true": (headed("true"), "header_invalid"),
    "null": (headed("null"), "header_invalid"),
    "nothing": (headed(""), "header_invalid"),
    "not JSON": (headed("alg=RS256"), "header_invalid"),
    "YAML": (headed("alg: RS256"), "header_invalid"),
    "single quotes": (headed("{'alg':'RS256'}"), "header_invalid"),
    "no quotes": (headed("{alg:RS256}"), "header_invalid"),
    "trailing comma": (headed('{"alg":"RS256",}'), "header_invalid"),
    "comment": (headed('{"alg":"RS256"/**/}'), "header_invalid"),
    "two objects": (headed('{"alg":"RS256"}{"alg":"none"}'), "header_invalid"),
    "text behind": (headed('{"alg":"RS256"}x'), "header_invalid"),
    "NUL behind": (headed('{"alg":"RS256"}\0'), "header_invalid"),
    "raw NUL in a text": (headed('{"alg":"RS256","kid":"a\0"}'), "header_invalid"),
    "raw line break in a text": (headed('{"alg":"RS256","kid":"a\nb"}'), "header_invalid"),
    "byte order mark": (headed('\ufeff{"alg":"RS256"}'), "header_invalid"),
    "UTF-16": (headed('{"alg":"RS256"}'.encode("utf-16-le")), "header_invalid"),
    "UTF-32": (headed('{"alg":"RS256"}'.encode("utf-32-be")), "header_invalid"),
    "Latin-1": (headed(b'{"alg":"RS256","kid":"\xe9"}'), "header_invalid"),
    "overlong UTF-8": (headed(b'{"alg":"RS256","kid":"\xc0\x80"}'), "header_invalid"),
    "cut UTF-8": (headed(b'{"alg":"RS256","kid":"\xe2\x82"}'), "header_invalid"),
    "surrogate in UTF-8": (headed(b'{"alg":"RS256","kid":"\xed\xa0\x80"}'), "header_invalid"),
    "half a pair escaped": (headed('{"alg":"RS256","kid":"\\udfff"}'), "header_invalid"),
    "half a pair as a name": (headed('{"alg":"RS256","\\ud800":1}'), "header_invalid"),
    "bad escape": (headed('{"alg":"RS256","kid":"\\x41"}'), "header_invalid"),
    "NaN": (headed('{"alg":"RS256","x":NaN}'), "header_invalid"),
    "Infinity": (headed('{"alg":"RS256","x":Infinity}'), "header_invalid"),
    "1e999": (headed('{"alg":"RS256","x":1e999}'), "header_invalid"),
    "a number of 10,000 digits": (
        headed('{"alg":"RS256","x":' + "9" * 10_000 + "}"),
        "header_invalid",
    ),
    "leading zero": (headed('{"alg":"RS256","x":01}'), "header_invalid"),
    "hexadecimal": (headed('{"alg":"RS256","x":0x1}'), "header_invalid"),
    "deep list": (
        headed('{"alg":"RS256","x":' + "[" * 5000 + "]" * 5000 + "}"),
        "header_invalid",
    ),
    "deep and unclosed": (headed('{"alg":"RS256","x":' + "[" * 10_000), "header_invalid"),
    "alg twice": (headed('{"alg":"RS256","alg":"RS256"}'), "header_invalid"),
    "alg twice, none last": (headed('{"alg":"RS256","alg":"none"}'), "header_invalid"),
    "alg twice, escaped": (headed('{"alg":"RS256","\\u0061lg":"none"}'), "header_invalid"),
    "kid twice": (headed('{"alg":"RS256","kid":"a","kid":"b"}'), "header_invalid"),
    "Alg instead of alg": (headed('{"Alg":"RS256"}'), "header_alg"),
    "17 KB": (headed('{"alg":"RS256","x":"' + "x" * 17_000 + '"}'), "header_too_large"),
    "500 KB kid": (headed('{"alg":"RS256","kid":"' + "k" * 500_000 + '"}'), "header_too_large"),
    "kid number": (header(kid=1), "header_kid"),
    "kid true": (header(kid=True), "header_kid"),
    "kid list": (header(kid=["a"]), "header_kid"),
    "kid object": (header(kid={"a": "b"}), "header_kid"),
    "crit unknown": (header(crit=["exp"], exp=1), "header_crit"),
    "crit empty": (header(crit=[]), "header_crit"),
    "crit null": (header(crit=None), "header_crit"),
    "crit text": (header(crit="b64"), "header_crit"),
    "crit number": (header(crit=[1]), "header_crit"),
    "crit twice the same": (header(crit=["a", "a"], a=1), "header_crit"),
    "crit not in the header": (header(crit=["x"]), "header_crit"),
    "crit b64 true": (header(crit=["b64"], b64=True), "header_crit"),
    "crit http URL": (header(crit=["http://x.example/y"]), "header_crit"),
    "b64 false": (header(b64=False), "header_b64"),
    "b64 text": (header(b64="true"), "header_b64"),
    "b64 null": (header(b64=None), "header_b64"),
    "zip": (header(zip="DEF"), "header_zip"),
    "zip unknown": (header(zip="GZ"), "header_zip"),
}

CLAIM_SETS = {
    "nothing": (claimed(""), "claims_invalid"),
    "list": (claimed("[{}]"), "claims_invalid"),
    "text": (claimed('"{}"'), "claims_invalid"),
    "number": (claimed("1"), "claims_invalid"),
    "null": (claimed("null"), "claims_invalid"),
    "true": (claimed("true"), "claims_invalid"),
    "not JSON": (claimed("sub=me"), "claims_invalid"),
    "URL query": (claimed("sub=me&aud=vault"), "claims_invalid"),
    "NUL behind": (claimed(json.dumps(dict(CLAIMS)) + "\0"), "claims_invalid"),
    "NUL before": (claimed("\0" + json.dumps(dict(CLAIMS))), "claims_invalid"),
    "two objects": (claimed(json.dumps(dict(CLAIMS)) * 2), "claims_invalid"),
    "trailing comma": (members('"x":1,'), "claims_invalid"),
    "byte order mark": (claimed("\ufeff" + json.dumps(dict(CLAIMS))), "claims_invalid"),
    "UTF-16": (claimed(json.dumps(dict(CLAIMS)).encode("utf-16")), "claims_invalid"),
    "UTF-7": (claimed(b'{"sub":"+AG0-e"}+'), "claims_invalid"),
    "Latin-1": (claimed(b'{"sub":"\xfc"}'), "claims_invalid"),
    "overlong UTF-8": (claimed(b'{"sub":"\xc1\xa1"}'), "claims_invalid"),
    "beyond Unicode": (claimed(b'{"sub":"\xf5\x80\x80\x80"}'), "claims_invalid"),
    "surrogates in UTF-8": (
        claimed(b'{"sub":"\xed\xa0\xbd\xed\xb8\x80"}'),
        "claims_invalid",
    ),
    "half a pair": (members('"x":"\\ud83d"'), "claims_invalid"),
    "halves the wrong way round": (members('"x":"\\ude00\\ud83d"'), "claims_invalid"),
    "half a pair deep within": (members('"x":[{"y":["\\udbff"]}]'), "claims_invalid"),
    "half a pair as a name": (members('"\\udc00":1'), "claims_invalid"),
    "deflated": (claimed(zlib.compress(json.dumps(dict(CLAIMS)).encode())), "claims_invalid"),
    "gzip bomb": (
        claimed(zlib.compress(b'{"x":"' + b"x" * 10_000_000 + b'"}', wbits=31)),
        "claims_invalid",
    ),
    "a token in the token": (claimed(token(dict(CLAIMS)).encode()), "claims_invalid"),
    "sub twice": (members('"sub":"me"'), "claims_invalid"),
    "sub twice, another": (members('"sub":"root"'), "claims_invalid"),
    "aud twice": (members('"aud":["vault"]'), "claims_invalid"),
    "exp twice": (members(f'"exp":{NOW + 10**6}'), "claims_invalid"),
    "iss twice, escaped": (members('"\\u0069ss":"x"'), "claims_invalid"),
    "twice within": (members('"x":{"a":1,"a":1}'), "claims_invalid"),
    "twice within a list": (members('"x":[{"a":1,"\\u0061":1}]'), "claims_invalid"),
    "empty name twice": (members('"":1,"":2'), "claims_invalid"),
    "NaN": (members('"x":NaN'), "claims_invalid"),
    "-Infinity": (members('"x":-Infinity'), "claims_invalid"),
    "1e309": (members('"x":1e309'), "claims_invalid"),
    "-1e400": (members('"x":-1e400'), "claims_invalid"),
    "1e-5000": (members('"x":1e-5000'), "claims_invalid"),
    "exponent of 40 digits": (members(f'"x":1e{"1" * 40}'), "claims_invalid"),
    "5,000 digits": (members(f'"x":{"7" * 5000}'), "claims_invalid"),
    "300,000 digits": (members(f'"x":{"7" * 300_000}'), "claims_invalid"),
    "300,000 digits of a fraction": (members(f'"x":0.{"7" * 300_000}'), "claims_invalid"),
    "plus sign": (members('"x":+1'), "claims_invalid"),
    "leading zero": (members('"x":007'), "claims_invalid"),
    "bare fraction": (members('"x":.5'), "claims_invalid"),
    "thousands": (members('"x":1_000'), "claims_invalid"),
    "65 levels": (members('"x":' + "[" * 64 + "]" * 64), "claims_invalid"),
    "200,000 levels": (members('"x":' + "[" * 200_000 + "]" * 200_000), "claims_invalid"),
    "levels and quotes": (
        members('"x":' + '{"\\"[{":' * 30_000 + "1" + "}" * 30_000),
        "claims_invalid",
    ),
    "200,000 open levels": (members('"x":' + "[" * 200_000), "claims_invalid"),
    # Names that look like registered ones (cap#191).
    **{
        f"name {name!r}": (members(f"{json.dumps(name)}:{json.dumps(value)}"), "claim_name")
        for name, value in {
            "SUB": "root",
            "Sub": "root",
            "\u017fub": "root",
            "AUD": "vault",
            "aUd": ["vault"],
            "EXP": NOW + 10**6,
            "Nbf": 0,
            "IAT": NOW,
            "ISS": "x",
            "i\u017fs": "x",
            "i\u017f\u017f": "x",
            "JTI": "x",
        }.items()
    },
    # Types of registered claims
    **{
        f"{claim} as {kind}": (changed(**{claim: value}), "claim_type")
        for claim in ("iss", "sub", "jti")
        for kind, value in {
            "number": 1,
            "true": True,
            "list": ["me"],
            "object": {"a": "me"},
            "empty list": [],
        }.items()
    },
    **{
        f"aud as {kind}": (changed(aud=value), "claim_type")
        for kind, value in {
            "number": 1,
            "zero": 0,
            "true": True,
            "false": False,
            "null": None,
            "object": {"vault": True},
            "list of null": [None],
            "list of numbers": [1],
            "nested list": [["vault"]],
            "text and number": ["vault", 1],
            "text and null": ["vault", None],
        }.items()
    },
    **{
        f"{claim} as {kind}": (changed(**{claim: value}), "claim_type")
        for claim in ("exp", "nbf", "iat")
        for kind, value in {
            "text": str(NOW + 60),
            "an empty string": "",
            "RFC 3339": "2038-01-19T03:14:07Z",
            "true": True,
            "list": [NOW + 60],
            "object": {},
            "2^63": 2**63,
            "-2^63": -(2**63),
            "a googol": 10**100,
        }.items()
    },
    # Audiences that are not the role's
    **{
        f"aud {value!r}": (changed(aud=value), "audience_mismatch")
        for value in (
            *("vaul", "vault2", "Vault", "VAULT", " vault", "vault ", "vault\0", "vault\n"),
            *("https://vault", "other,vault", "vau*", "*", "v\u0430ult", "\uff56ault", "vault/"),
        )
    },
    "aud empty": (changed(aud=""), "audience_mismatch"),
    "aud empty list": (changed(aud=[]), "audience_missing"),
    "aud list of empty": (changed(aud=[""]), "audience_mismatch"),
    "aud list of others": (changed(aud=["a"] * 10_000), "audience_mismatch"),
    "aud missing": (without("aud"), "audience_missing"),
    # Time
    "no dates": (without("exp", "iat"), "time_missing"),
    "dates of zero": (changed(exp=0, iat=0), "time_missing"),
    "dates null": (changed(exp=None, iat=None), "time_missing"),
    "expired": (changed(exp=NOW - 61), "expired"),
    "expired long ago": (changed(exp=1), "expired"),
    "expired before 1970": (changed(exp=-1), "expired"),
    "exp in minutes": (changed(exp=NOW // 60), "expired"),
    "not yet": (changed(nbf=NOW + 61), "not_yet_valid"),
    "nbf in milliseconds": (changed(nbf=NOW * 1000), "not_yet_valid"),
    "from the future": (changed(nbf=NOW, iat=NOW + 61), "issued_in_future"),
    "iat in milliseconds": (changed(iat=NOW * 1000), "not_yet_valid"),
    "exp alone, in a year": (
        token({"sub": "me", "aud": "vault", "exp": NOW + 31_536_000}),
        "not_yet_valid",
    ),
    "iat alone, an hour ago": (token({"sub": "me", "aud": "vault", "iat": NOW - 3600}), "expired"),
    # User
    "no user": (without("sub"), "user_claim_missing"),
    "user null": (changed(sub=None), "user_claim_missing"),
    "user empty": (changed(sub=""), "user_claim_empty"),
}

EMBEDDED: dict[str, dict[str, Any]] = {
    "jwk": {"jwk": STRANGER},
    "jwk of the kid": {"jwk": STRANGER, "kid": "a"},
    "jku": {"jku": "https://evil.example/keys"},
    "jku of a file": {"jku": "file:///etc/passwd"},
    "jku of this host": {"jku": "http://127.0.0.1:8200/v1/sys/health"},
    "x5u": {"x5u": "https://evil.example/cert.pem"},
    "x5c": {"x5c": ["MIIBszCCAVmgAwIBAgIUQ"]},
    "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA"},
    "iss in the header": {"iss": "https://evil.example"},
    "epk": {"epk": STRANGER},
    "kid of a path": {"kid": "../../../../dev/null"},
    "kid of a URL": {"kid": "https://evil.example/keys"},
    "kid of SQL": {"kid": "' UNION SELECT 'secret' --"},
    "kid of a command": {"kid": "|/usr/bin/id"},
    "kid with NUL": {"kid": "a\0b"},
    "kid of 10 KB": {"kid": "k" * 10_000},
}


def test_there_are_more_than_300_with_the_signatures():
    from tests.security.test_hostile_signatures import (
        NO_ALGORITHM,
        odd_signatures,
        public_texts,
    )

    signatures = len(odd_signatures()) + len(NO_ALGORITHM) + len(public_texts())
    signatures += len(ALGORITHMS) * (len(ALGORITHMS) - 1)
    documents = len(FORMS) + len(HEADERS) + len(CLAIM_SETS) + len(EMBEDDED)
    assert documents >= 200
    assert documents + signatures >= 400


@on_every_path
def test_the_good_token_gets_in(path):
    check_granted(path, GOOD, **ROLE)


def rows(table: dict[str, Any]) -> Any:
    return pytest.mark.parametrize(("jwt", "code"), table.values(), ids=map(ascii, table))


@on_every_path
@rows(FORMS)
def test_form(path, jwt, code):
    check_denied(path, jwt, code, **ROLE)


@on_every_path
@rows(HEADERS)
def test_header(path, jwt, code):
    check_denied(path, jwt, code, **ROLE)


@on_every_path
@rows(CLAIM_SETS)
def test_claims(path, jwt, code):
    check_denied(path, jwt, code, **ROLE)


@on_every_path
@pytest.mark.parametrize("extra", EMBEDDED.values(), ids=EMBEDDED.keys())
def test_a_key_that_the_token_brings_along(path, extra):
    jwt = token(dict(CLAIMS), key=key_for("RS256", "stranger"), header=extra)
    check_denied(path, jwt, "signature_invalid", **ROLE)


@on_every_path
def test_a_payload_of_another_token_under_a_good_signature(path):
    payload = b64url(json.dumps({**CLAIMS, "sub": "root"}).encode())
    check_denied(path, f"{HEADER}.{payload}.{SIGNATURE}", "signature_invalid", **ROLE)


@on_every_path
def test_a_header_of_another_token_under_a_good_signature(path):
    other = b64url(b'{"alg":"RS256","kid":"other"}')
    check_denied(path, f"{other}.{PAYLOAD}.{SIGNATURE}", "signature_invalid", **ROLE)
