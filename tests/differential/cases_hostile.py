"""Hostile tokens on both methods: what the builtin one refuses ours refuses too, and more."""

from __future__ import annotations

import json
from typing import Any

from tests.differential.steps import (
    AUDIENCE,
    CLAIMS,
    SUBJECT,
    Case,
    Login,
    Now,
    config,
    demo,
    logins,
    story,
)

_TIMELESS = {name: value for name, value in CLAIMS.items() if not isinstance(value, Now)}
_GOOD = json.dumps(_TIMELESS | {"iat": 1_600_000_000, "exp": 9_999_999_999})
_ALL_KEYS = config(jwt_validation_pubkeys=[f"$pem:{key}" for key in ("rsa", "ec256", "ec384")])


def members(text: str) -> bytes:
    """Good claims, and after them exactly this."""
    return f"{_GOOD[:-1]},{text}}}".encode("utf-8", "surrogatepass")


def header(text: str) -> bytes:
    """A header with exactly this after the algorithm."""
    return f'{{"alg":"RS256"{text}}}'.encode("utf-8", "surrogatepass")


_HEADERS: dict[str, bytes] = {
    "alg-twice": header(',"alg":"RS256"'),
    "alg-twice-none-last": header(',"alg":"none"'),
    "kid-twice": header(',"kid":"a","kid":"b"'),
    "kid-number": header(',"kid":5'),
    "kid-null": header(',"kid":null'),
    "kid-list": header(',"kid":["a"]'),
    "kid-object": header(',"kid":{}'),
    "typ-number": header(',"typ":5'),
    "nan": header(',"x":NaN'),
    "huge-number": header(',"x":1e999'),
    "half-a-pair": header(',"kid":"\\ud800"'),
    "deep": header(',"x":' + "[" * 200 + "]" * 200),
    "very-deep": header(',"x":' + "[" * 20_000 + "]" * 20_000),
    "text-behind": header("") + b"x",
    "trailing-comma": b'{"alg":"RS256",}',
    "byte-order-mark": b"\xef\xbb\xbf" + header(""),
    "latin-1": b'{"alg":"RS256","kid":"\xe9"}',
    "list": b'["RS256"]',
    "text": b'"RS256"',
    "null": b"null",
    "nothing": b"",
    "alg-in-capitals": b'{"ALG":"RS256"}',
    "crit-null": header(',"crit":null'),
    "crit-text": header(',"crit":"exp"'),
    "crit-b64-true": header(',"crit":["b64"],"b64":true'),
    "b64-false": header(',"b64":false'),
    "b64-text": header(',"b64":"x"'),
    "zip": header(',"zip":"DEF"'),
    "jwk": header(',"jwk":{"kty":"oct","k":"AAAA"}'),
    "x5c": header(',"x5c":["AAAA"]'),
    "17-kilobytes": header(',"x":"' + "x" * 17_000 + '"'),
}

_PAYLOADS: dict[str, bytes] = {
    "name-twice": members('"color":"red"'),
    "sub-twice": members('"sub":"root"'),
    "aud-twice": members('"aud":"x"'),
    "exp-twice": members('"exp":1'),
    "twice-within": members('"x":{"a":1,"a":2}'),
    "SUB": members('"SUB":"root"'),
    "long-s": members('"\u017fub":"root"'),
    "Aud": members('"Aud":"x"'),
    "EXP": members('"EXP":1'),
    "nan": members('"x":NaN'),
    "huge-number": members('"x":1e999'),
    "tiny-number": members('"x":1e-5000'),
    "many-digits": members('"x":' + "7" * 5000),
    "leading-zero": members('"x":01'),
    "deep": members('"x":' + "[" * 200 + "]" * 200),
    "very-deep": members('"x":' + "[" * 20_000 + "]" * 20_000),
    "half-a-pair": members('"x":"\\ud800"'),
    "half-a-pair-as-a-name": members('"\\udc00":1'),
    "surrogate-in-utf-8": members('"x":"\ud800"'),
    "latin-1": b'{"sub":"\xe9"}',
    "byte-order-mark": b"\xef\xbb\xbf" + _GOOD.encode(),
    "text-behind": _GOOD.encode() + b"x",
    "two-objects": _GOOD.encode() * 2,
    "nul-behind": _GOOD.encode() + b"\0",
    "nul-within": members('"x":"\\u0000"'),
    "raw-nul": members('"x":"\0"'),
    "trailing-comma": _GOOD[:-1].encode() + b",}",
    "comment": b"/**/" + _GOOD.encode(),
    "number": b"5",
    "true": b"true",
    "text": b'"{}"',
}

_KINDS: dict[str, Any] = {
    "false": False,
    "zero": 0,
    "negative": -5,
    "float": 1.5,
    "list": ["x"],
    "empty-list": [],
    "object": {"a": "b"},
    "empty-text": "",
    "null": None,
    "text": "x",
}

_CLAIM_ROLES: dict[str, dict[str, Any]] = {
    "iss": {},
    "sub": {"bound_subject": SUBJECT},
    "jti": {},
}

_EDITS: dict[str, tuple[str, str]] = {
    "white-space-in-the-header": (r"^", "\t"),
    "white-space-in-the-middle": (r"\.", ".\n "),
    "no-break-space": (r"$", "\u00a0"),
    "zero-width-space": (r"$", "\u200b"),
    "nul": (r"$", "\0"),
    "byte-order-mark": (r"^", "\ufeff"),
    "quotes": (r"^", '"'),
    "bearer": (r"^", "Bearer "),
    "percent": (r"\.", "%2e"),
    "five-parts": (r"$", ".AAAA.AAAA"),
    "no-header": (r"^[^.]*", ""),
    "no-payload": (r"\.[^.]*\.", ".."),
    "padding-in-the-payload": (r"\.([^.]*)\.", r".\1=."),
    "standard-alphabet": (r"..$", "+/"),
    "unused-bits": (r".$", "Z"),
    "signature-longer": (r"$", "AA"),
    "signature-doubled": (r"\.([^.]*)$", r".\1\1"),
    "signature-impossible": (r"$", "AAA"),
}

CASES: tuple[Case, ...] = (
    *(logins(f"hostile-header-{name}", Login(header=raw)) for name, raw in _HEADERS.items()),
    *(logins(f"hostile-payload-{name}", Login(payload=raw)) for name, raw in _PAYLOADS.items()),
    *(logins(f"hostile-form-{name}", Login(edit=edit)) for name, edit in _EDITS.items()),
    # Every pairing of what the header says and how it is signed, all keys being there.
    *(
        story(
            f"hostile-{said}-signed-as-{alg}",
            _ALL_KEYS,
            demo(),
            Login(key=key, alg=alg, header={"alg": said}),
        )
        for said in ("RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA")
        for alg, key in (("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec256"), ("ES384", "ec384"))
        if said != alg
    ),
    *(
        logins(f"hostile-alg-{name}", Login(header={"alg": alg}))
        for name, alg in {
            "None": "None",
            "nOnE": "nOnE",
            "empty": "",
            "space": "RS256 ",
            "lower": "rs256",
            "HS256": "HS256",
            "ES256K": "ES256K",
            "RSA-OAEP": "RSA-OAEP",
            "list": ["RS256"],
            "number": 256,
        }.items()
    ),
    *(
        logins(f"hostile-{alg}-with-the-public-key", Login(alg=alg))
        for alg in ("HS256", "HS384", "HS512")
    ),
    logins("hostile-json-general", Login(jwt='{"payload":"e30","signatures":[]}')),
    logins("hostile-json-deep", Login(jwt='{"a":' * 1000)),
    logins("hostile-dots", Login(jwt="." * 10_000)),
    logins("hostile-half-a-megabyte", Login(jwt="e" * 500_000)),
    # Registered claims of every type.
    *(
        logins(f"hostile-{claim}-{kind}", Login(claims={claim: value}), **role)
        for claim, role in _CLAIM_ROLES.items()
        for kind, value in _KINDS.items()
    ),
    *(
        logins(f"hostile-aud-{kind}", Login(claims={"aud": value}))
        for kind, value in (_KINDS | {"list-of-null": [None], "nested": [[AUDIENCE]]}).items()
    ),
    *(
        logins(f"hostile-{claim}-{kind}", Login(claims={claim: value}))
        for claim in ("exp", "nbf", "iat")
        for kind, value in _KINDS.items()
    ),
    *(
        logins(f"hostile-audience-{name}", Login(claims={"aud": aud}))
        for name, aud in {
            "prefix": AUDIENCE[:-1],
            "longer": f"{AUDIENCE}x",
            "space": f" {AUDIENCE}",
            "nul": f"{AUDIENCE}\0",
            "comma": f"x,{AUDIENCE}",
            "star": "*",
            "long-list": ["x"] * 1000,
        }.items()
    ),
)
