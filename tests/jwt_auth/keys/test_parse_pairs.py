"""The parameter `jwks_pairs`."""

from __future__ import annotations

from typing import Any

import pytest

from vault_jwt_plugin.jwt_auth.keys.jwks_pairs import JWKSPair, parse_pairs
from vault_jwt_plugin.sdk import UserError

ACCEPTED: dict[str, tuple[Any, JWKSPair]] = {
    "both": (
        {"jwks_url": "u", "jwks_ca_pem": "c"},
        JWKSPair(jwks_url="u", jwks_ca_pem="c"),
    ),
    "url alone": ({"jwks_url": "u"}, JWKSPair(jwks_url="u")),
    "null ca": ({"jwks_url": "u", "jwks_ca_pem": None}, JWKSPair(jwks_url="u")),
    "other case": (
        {"JWKS_URL": "u", "Jwks_Ca_Pem": "c"},
        JWKSPair(jwks_url="u", jwks_ca_pem="c"),
    ),
    "exact before other case": (
        {"JWKS_URL": "x", "jwks_url": "u"},
        JWKSPair(jwks_url="u"),
    ),
    "more members": ({"jwks_url": "u", "kid": [1]}, JWKSPair(jwks_url="u")),
}


@pytest.mark.parametrize(("pair", "expected"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(pair, expected):
    assert parse_pairs([pair, {"jwks_url": "v"}]) == (expected, JWKSPair(jwks_url="v"))


def test_none():
    assert parse_pairs([]) == ()


REFUSED: dict[str, tuple[Any, str]] = {
    "text": (
        "hush",
        (
            "it must be a list of objects with the members 'jwks_url' and 'jwks_ca_pem', but "
            "element 2 is a string"
        ),
    ),
    "null": (
        None,
        (
            "it must be a list of objects with the members 'jwks_url' and 'jwks_ca_pem', but "
            "element 2 is null"
        ),
    ),
    "empty": ({}, "element 2 has no 'jwks_url'"),
    "empty url": ({"jwks_url": ""}, "element 2 has no 'jwks_url'"),
    "null url": ({"jwks_url": None}, "element 2 has no 'jwks_url'"),
    "null before other case": (
        {"JWKS_URL": "u", "jwks_url": None},
        "element 2 has no 'jwks_url'",
    ),
    "number": ({"jwks_url": 7}, "'jwks_url' of element 2 must be a string, is a number"),
    "list": (
        {"jwks_url": "u", "jwks_ca_pem": ["hush"]},
        "'jwks_ca_pem' of element 2 must be a string, is a list",
    ),
}


@pytest.mark.parametrize(("pair", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(pair, text):
    with pytest.raises(UserError) as caught:
        parse_pairs([{"jwks_url": "u"}, pair])
    assert caught.value.message == f"invalid jwks_pairs: {text}"
