"""What issuers serve: key sets and discovery documents; and key sets as we store them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature

from tests.fuzz import mutation
from tests.fuzz.answers import (
    API,
    ISSUER,
    TOKEN_KEYS,
    URL,
    WORDS,
    Answers,
    Files,
    document_of,
    lines_of,
)
from tests.fuzz.keys import key_for
from tests.fuzz.target import FoundError, Target, check, run_async
from tests.jwt_auth import tokens
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jws import parse
from vault_jwt_plugin.jwt_auth.jose.keys import matching, verify_signature
from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys, fetch_discovery, read_key_set
from vault_jwt_plugin.jwt_auth.keys.kubernetes import fetch_cluster_keys
from vault_jwt_plugin.jwt_auth.keys.stored import Origin, StoredKeys, StoredKeysError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.jose.jwks import KeySet

# Key sets.


def _try_keys(key_set: KeySet) -> None:
    """Keys verify what their owners signed, and nothing else."""
    check(len(key_set.keys) == len(key_set.jwks) <= 256, "more keys than allowed")
    for jwk in key_set.jwks:
        check(_is_public(jwk), "a private member is kept")
    for key in key_set.keys[:8]:
        for alg, verify in key.verifiers.items():
            try:
                verify(b"\0" * 64, b"signed")
            except InvalidSignature:
                continue
            raise FoundError(f"{key.kind} verifies zeros as {alg}")


def _is_public(jwk: Mapping[str, str]) -> bool:
    return set(jwk) <= {"kty", "kid", "n", "e", "crv", "x", "y"}


def _members_of(key: Any) -> dict[str, str]:
    """The reference: the members that a public key of ours has."""
    return {str(name): str(value) for name, value in tokens.public_jwk(key).items()}


def _try_token(key_set: KeySet) -> None:
    """A token of an issuer gets in if, and only if, the issuer's key is in the set."""
    for alg in TOKEN_KEYS:
        key = key_for(alg)
        token = parse(tokens.token({"sub": "me"}, alg=alg, key=key))
        try:
            verify_signature(token, matching(key_set.keys, token.header))
        except LoginDenied:
            found = False
        else:
            found = True
        if found:
            wanted = key.public_key().public_numbers() if alg != "EdDSA" else None
            same = [each for each in key_set.jwks if _is_same(each, key, wanted)]
            check(same, "a key verifies that is not in the set")


def _is_same(jwk: Mapping[str, str], key: Any, numbers: Any) -> bool:
    """Whether a JWK says the same key, padded in whatever way."""

    def number(name: str) -> int:
        return int.from_bytes(tokens.unb64url(jwk.get(name, "")), "big")

    members = _members_of(key)
    if jwk["kty"] != members["kty"]:
        return False
    if numbers is None:
        return tokens.unb64url(jwk["x"]) == tokens.unb64url(members["x"])
    names = ("n", "e") if members["kty"] == "RSA" else ("x", "y")
    return all(number(name) == getattr(numbers, name) for name in names)


async def _read_keys(raw: bytes) -> None:
    try:
        document = document_of(raw)
        fetched = await read_key_set(document, URL)
    except FetchError as error:
        check(error.code in {"not_json", "not_a_key_set"}, f"another error: {error.code}")
        return
    key_set = fetched.key_set
    _try_keys(key_set)
    if raw.find(b'"AgIC') < 0:  # Strangers' sets alone are usual, and signing takes time.
        _try_token(key_set)
    # What is stored of a set is the same set.
    origin = Origin(kind="jwks", url=URL)
    stored = StoredKeys(fetched=fetched, fetched_at=1e9)
    again = StoredKeys.from_stored(stored.to_stored(origin), origin)
    check(again.fetched.key_set.jwks == key_set.jwks, "a stored set has other keys")
    kids = [key.kid for key in key_set.keys]
    check([key.kid for key in again.fetched.key_set.keys] == kids, "a stored set has other ids")


def _jwks(data: bytes) -> None:
    run_async(_read_keys(data))


def _jwks_examples() -> dict[str, bytes]:
    jwks = {alg: tokens.public_jwk(key_for(alg), kid=alg) for alg in TOKEN_KEYS}
    rsa, ec, ed = jwks["RS256"], jwks["ES256"], jwks["EdDSA"]

    def made(*keys: Any) -> bytes:
        return json.dumps({"keys": keys}).encode()

    return {
        "all": made(*jwks.values()),
        "rsa": made(rsa | {"use": "sig", "alg": "RS256", "x5c": ["MII"]}),
        "odd": made(1, {}, {"kty": "oct", "k": "AA"}, rsa | {"d": "AQ"}, ec | {"crv": "P-192"}, ed),
        "weak": made(rsa | {"e": "AQ"}, rsa | {"n": "AQAB"}, rsa | {"e": "Ag"}),
        "no-point": made(ec | {"x": ec["y"]}, ed | {"x": "A" * 43}),
        "padded": made(rsa | {"n": "AA" + rsa["n"]}, rsa | {"n": rsa["n"] + "=="}),
        "many": made(*[{"kty": "EC"}] * 300),
        "other": b'{"keys":{"a":[]}}',
        "error": b'{"error":"not found"}',
    }


# Discovery documents, of issuers and of clusters.


async def _discover(data: bytes) -> None:
    """First byte: whose document; the document; another line, the key set."""
    answers = Answers(lines_of(data[1:]))
    if data[:1] == b"k":
        await _discover_cluster(answers)
        return
    issuer = ISSUER if data[:1] != b"/" else ISSUER + "/"
    try:
        found = await fetch_discovery(answers, issuer, trust=Trust())
    except FetchError as error:
        known = {"not_json", "not_discovery", "issuer_mismatch", "bad_url", "http_status"}
        check(error.code in known, f"another error: {error.code}")
        return
    check(found.issuer == issuer, "another issuer's document is taken")
    check(urlsplit(found.jwks_uri).scheme.lower() == "https", "keys would be fetched over http")
    check(urlsplit(found.jwks_uri).hostname, "keys would be fetched from nowhere")


async def _discover_cluster(answers: Answers) -> None:
    try:
        fetched = await fetch_cluster_keys(
            answers, Files.pod(), trust=lambda pem: Trust(ca_pem=pem), deadline_s=5
        )
        check(isinstance(fetched, FetchedKeys), "no keys")
    except FetchError:
        pass
    for request in answers.asked:
        parts = urlsplit(request.url)
        check(parts.scheme == "https", "a cluster is asked over http")
        if request.headers:
            check(
                (parts.hostname, parts.port or 443) == ("10.96.0.1", 443),
                "the pod's token is sent elsewhere",
            )


def _discovery(data: bytes) -> None:
    run_async(_discover(data))


def _discovery_examples() -> dict[str, bytes]:
    def made(issuer: Any, jwks_uri: Any, **more: Any) -> bytes:
        return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri, **more}).encode()

    keys = json.dumps({"keys": [tokens.public_jwk(key_for("ES256"), kid="a")]}).encode()
    return {
        "issuer": b"i" + made(ISSUER, URL, response_types_supported=["id_token"]),
        "slash": b"/" + made(ISSUER + "/", URL),
        "http": b"i" + made(ISSUER, "http://issuer.example/keys"),
        "mismatch": b"i" + made("https://other.example", URL),
        "kinds": b"i" + made(ISSUER, ["https://issuer.example/keys"]),
        "cluster": b"k" + made("x", f"{API}:443/openid/v1/jwks") + b"\n" + keys,
        "cluster-elsewhere": b"k" + made("x", "https://10.96.0.1@keys.example/x") + b"\n" + keys,
        "cluster-path": b"k" + made("x", "https://[::1]:6443/openid/v1/jwks") + b"\n" + keys,
    }


# Copies of keys in storage.


def _stored_keys(data: bytes) -> None:
    origin = Origin(kind="jwks", url=URL)
    try:
        stored = StoredKeys.from_stored(data, origin)
    except StoredKeysError:
        return
    _try_keys(stored.fetched.key_set)
    again = StoredKeys.from_stored(stored.to_stored(origin), origin)
    check(again.fetched.key_set.jwks == stored.fetched.key_set.jwks, "a copy's copy differs")
    stored.content  # noqa: B018 - what the archive computes of each


def _stored_keys_examples() -> dict[str, bytes]:
    origin = Origin(kind="jwks", url=URL)

    async def made(raw: bytes) -> bytes:
        fetched = await read_key_set(document_of(raw), URL)
        return StoredKeys(fetched=fetched, fetched_at=1_700_000_000.5).to_stored(origin)

    examples = _jwks_examples()
    good = run_async(made(examples["rsa"]))
    huge = good.replace(b'"max_age":null', b'"max_age":1' + b"0" * 400)
    usual = {name: run_async(made(examples[name])) for name in ("all", "odd", "weak")}
    return usual | {"huge-number": huge}


TARGETS = (
    Target(
        name="jwks",
        run=_jwks,
        examples=_jwks_examples,
        words=WORDS,
        mutate=mutation.documents,
        max_bytes=32_768,
    ),
    Target(
        name="discovery",
        run=_discovery,
        examples=_discovery_examples,
        words=WORDS,
        mutate=mutation.documents,
    ),
    Target(
        name="stored_keys",
        run=_stored_keys,
        examples=_stored_keys_examples,
        words=WORDS,
        mutate=mutation.documents,
        max_bytes=32_768,
    ),
)
