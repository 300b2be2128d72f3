"""Tokens: raw ones, and ones whose header and claims are the input and whose signature is true."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.fuzz import mutation
from tests.fuzz.keys import key_for
from tests.fuzz.target import Kept, Target, check, run_async
from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS, MAX_TOKEN_CHARS
from vault_jwt_plugin.sdk import Operation, PermissionDenied, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The selector: the low bits choose the algorithm, the others are these.
RICH, STRANGER, LOOKAHEAD, OTHER_ALG = 16, 32, 64, 128

AUDIENCE = "vault"
CLAIMS: Mapping[str, Any] = {
    "iss": "https://issuer.example",
    "sub": "me",
    "aud": AUDIENCE,
    "iat": tokens.NOW,
    "nbf": tokens.NOW - 5,
    "exp": tokens.NOW + 60,
    "user": "jeff",
    "repo": "team/web",
    "ref": "refs/heads/main",
    "n": 42,
    "ok": True,
    "deep": {"groups": ["a", "b"], "list": [{"x/y~z": 7.5}], "texts": [{"x/y~z": "t"}]},
}

# A claim that is bound, one that must match a pattern, pointers, mappings, templates: all at once.
_ROLES: Mapping[str, Mapping[str, Any]] = {
    "plain": {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": AUDIENCE,
        "bound_subject": "me",
    },
    "rich": {
        "role_type": "jwt",
        "user_claim": "/user",
        "user_claim_json_pointer": True,
        "bound_audiences": f"other,{AUDIENCE}",
        "bound_claims_type": "glob",
        "bound_claims": {"repo": ["team/*", "*/w*b*"], "/ref": "refs/*/m*n"},
        "claim_mappings": {"/deep/texts/0/x~1y~0z": "escaped", "repo": "repository"},
        "groups_claim": "/deep/groups",
        "token_policies": [
            'p-{{ .repo | replace "/" "-" }}',
            "{{ range .deep.groups }}{{ . }}{{ end }}",
        ],
        "token_policies_template_claims": True,
        "clock_skew_leeway": "1m",
        "expiration_leeway": "2m",
        "not_before_leeway": "1m",
    },
}

KEY_ALGS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
_SKEWS_S = {"plain": (60, 150), "rich": (60, 120)}
"""Clock skew and leeway of each role: what a token's end may be late by."""


async def _mount() -> Mounted:
    mounted = Mounted()
    await mounted.backend.initialize()
    pems = [tokens.public_pem(key_for(alg)) for alg in KEY_ALGS]
    await mounted.write("config", {"jwt_validation_pubkeys": pems})
    for name, role in _ROLES.items():
        await mounted.write(f"role/{name}", role)
    return mounted


_world = Kept(_mount)
"""A mount with keys of all kinds and both roles: an attacker sends many tokens to one."""


def _verified_by_reference(compact: str) -> bytes | None:
    """The payload, if one of the mount's keys signed the token; the reference knows no fallacies.

    It decodes leniently, for what is asked is only whether somebody signed these very bytes.
    """
    header, payload, signature = "".join(compact.split()).split(".")

    def decoded(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    alg = json.loads(decoded(header))["alg"]
    public = key_for(alg).public_key()
    signed, given = f"{header}.{payload}".encode(), decoded(signature)
    try:
        if alg == "EdDSA":
            public.verify(given, signed)
        elif alg.startswith("ES"):
            half = len(given) // 2
            r, s = int.from_bytes(given[:half], "big"), int.from_bytes(given[half:], "big")
            scheme = ec.ECDSA(tokens.HASHES[alg[2:]])
            public.verify(encode_dss_signature(r, s), signed, scheme)
        elif alg.startswith("PS"):
            algorithm = tokens.HASHES[alg[2:]]
            pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.AUTO)
            public.verify(given, signed, pss, algorithm)
        else:
            public.verify(given, signed, padding.PKCS1v15(), tokens.HASHES[alg[2:]])
    except InvalidSignature:
        return None
    return decoded(payload)


def _check_granted(compact: str, role: str, answer: Any, *, signed: bool) -> None:
    """What was let in was signed, and meant for us, and now."""
    payload = _verified_by_reference(compact)
    check(payload is not None, "a token got in that no key of the mount signed")
    check(signed, "a token got in that a stranger signed")
    claims = json.loads(payload or b"", object_pairs_hook=_without_doubles)
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    check(
        AUDIENCE in audiences or (role == "rich" and "other" in audiences), "another's token got in"
    )
    skew_s, leeway_s = _SKEWS_S[role]
    # As Go: cut to whole seconds, and then 0 is not there.
    expires_at, issued_at, not_before = (
        int(claims.get(name) or 0) for name in ("exp", "iat", "nbf")
    )
    end = expires_at or max(issued_at, not_before) + leeway_s
    check(end + skew_s >= tokens.NOW, "an old token got in")
    name = claims["sub"] if role == "plain" else claims["user"]
    check(answer.auth.alias.name == name, "somebody else's alias was granted")
    if role == "rich":
        check(claims["repo"].startswith("team/") or "/w" in claims["repo"], "a bound claim differs")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    check(len(members) == len(pairs), "a token got in that says something twice")
    return members


async def _log_in(compact: str, selector: int, *, signed: bool) -> None:
    mounted = await _world.get()
    role = "rich" if selector & RICH else "plain"
    operation = Operation.ALIAS_LOOKAHEAD if selector & LOOKAHEAD else Operation.UPDATE
    try:
        answer = await mounted.ask(operation, "login", {"role": role, "jwt": compact})
    except (UserError, PermissionDenied) as error:
        check(len(error.message) < 1000, "a denial as long as the token")
        return
    _check_granted(compact, role, answer, signed=signed)


def _raw(data: bytes) -> None:
    selector = data[0] if data else 0
    compact = data[1:].decode("utf-8", "replace")
    run_async(_log_in(compact, selector, signed=True))


def _signed(data: bytes) -> None:
    """Selector, header, NUL, payload."""
    selector = data[0] if data else 0
    header, _, payload = data[1:].partition(b"\0")
    alg = ALGORITHMS[(selector & 15) % len(ALGORITHMS)]
    stranger = bool(selector & STRANGER) and not alg.startswith(("RS", "PS"))
    key = key_for(alg, 2 if stranger else 1)
    if alg in {"RS512", "PS512", "PS384"}:
        alg = "RS256"  # A key of 1024 bits is too short for them.
    if selector & OTHER_ALG:
        header = header.replace(b'"EdDSA"', json.dumps(alg).encode())
    signing_input = f"{tokens.b64url(header)}.{tokens.b64url(payload)}"
    signature = tokens.b64url(tokens.sign(alg, key, signing_input.encode()))
    compact = f"{signing_input}.{signature}"
    check(len(compact) < MAX_TOKEN_CHARS, "the fuzzer makes longer inputs than it should")
    run_async(_log_in(compact, selector, signed=not stranger))


def _token(alg: str, claims: Mapping[str, Any] = CLAIMS, **header: Any) -> bytes:
    return tokens.token(dict(claims), alg=alg, key=key_for(alg), header=header).encode()


def _raw_examples() -> dict[str, bytes]:
    ed = _token("EdDSA")
    header, payload, signature = ed.split(b".")
    none = tokens.b64url(b'{"alg":"none"}').encode()
    hmac = tokens.b64url(b'{"alg":"HS256"}').encode()
    return {
        "plain": b"\0" + ed,
        "rich": bytes((RICH,)) + ed,
        "lookahead": bytes((LOOKAHEAD,)) + ed,
        "rsa": b"\0" + _token("RS256", kid="a", typ="JWT"),
        "none": b"\0" + none + b"." + payload + b".",
        "hmac": b"\0" + hmac + b"." + payload + b"." + signature,
        "cut": b"\0" + ed[:-4],
        "spaces": b"\0 " + header + b"\n." + payload + b".\xc2\x85" + signature,
        "padded": b"\0" + ed + b"==",
        "json": b'\0{"payload":"","signatures":[]}',
        "encrypted": b"\0" + b".".join((header, b"", payload, signature, b"")),
    }


def _signed_examples() -> dict[str, bytes]:
    algs = {alg: ALGORITHMS.index(alg) for alg in KEY_ALGS}

    def made(alg: str, bits: int, claims: Any, **header: Any) -> bytes:
        members = json.dumps({"alg": alg, **header}).encode()
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return bytes((algs[alg] | bits,)) + members + b"\0" + payload

    every = dict(CLAIMS)
    return {
        "plain": made("EdDSA", 0, every),
        "rich": made("EdDSA", RICH, every, kid="a"),
        "lookahead": made("EdDSA", LOOKAHEAD | RICH, every),
        "es256": made("ES256", 0, every, typ="JWT", jku="https://attacker.example"),
        "es512": made("ES512", RICH, every),
        "rsa": made("RS256", RICH, every),
        "stranger": made("EdDSA", STRANGER, every),
        "critical": made("EdDSA", 0, every, crit=["b64"], b64=True),
        "audiences": made("EdDSA", RICH, {**every, "aud": ["other", "x"]}),
        "no-dates": made("EdDSA", 0, {"sub": "me", "aud": "vault", "user": "u"}),
        "dates": made(
            "EdDSA", 0, b'{"sub":"me","aud":"vault","exp":1700000060.5,"nbf":1e3,"iat":17e8}'
        ),
        "half-a-second": made("EdDSA", 0, b'{"sub":"me","aud":"vault","exp":0.5,"iat":17e8}'),
        "doubles": made("EdDSA", 0, b'{"sub":"me","aud":"vault","exp":1700000060,"sub":"you"}'),
        "surrogates": made("EdDSA", 0, b'{"sub":"\\ud800","aud":"vault","exp":1700000060}'),
    }


_WORDS = (
    *tuple(
        rb"""
    "kid" "crit" "b64" "zip" "alg" "other" "team/web" "me" "vault" 1700000000 1699999999
    1700000060 1.7e9 "/" "groups"
    """.split()
    ),
    *(json.dumps(name).encode() for name in CLAIMS),
    *(json.dumps(alg).encode() for alg in ALGORITHMS),
)

TARGETS = (
    Target(name="token_raw", run=_raw, examples=_raw_examples, words=_WORDS),
    Target(
        name="token_signed",
        run=_signed,
        examples=_signed_examples,
        words=_WORDS,
        mutate=mutation.documents,
    ),
)
