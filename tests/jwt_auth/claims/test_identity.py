"""Alias, metadata and groups of a token's bearer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.jwt_auth.tokens import verified
from vault_jwt_plugin.jwt_auth.claims.identity import alias_name, group_aliases, mapped_metadata
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import Alias

KINDS = [
    (1, "a number"),
    (Decimal("1.5"), "a number"),
    (True, "a boolean"),
    ({}, "an object"),
]


@pytest.mark.parametrize(
    "name", ["me", "a b", "e\u0301", "\u00e9", "\u017f", "x" * 5000, "a\0b"], ids=ascii
)
def test_alias_names_go_through_byte_for_byte(name):
    assert alias_name(verified({"sub": name}), ClaimPath.of("sub")) == name


@pytest.mark.parametrize(
    ("claims", "code", "problem"),
    [
        ({}, "user_claim_missing", "is missing"),
        ({"u": None}, "user_claim_missing", "is missing"),
        ({"u": ""}, "user_claim_empty", "must not be empty"),
        ({"u": ["x"]}, "user_claim_type", "must be a string, is a list"),
        *(
            ({"u": value}, "user_claim_type", f"must be a string, is {kind}")
            for value, kind in KINDS
        ),
    ],
    ids=str,
)
def test_user_claims_refused(claims, code, problem):
    with pytest.raises(LoginDenied) as denied:
        alias_name(verified(claims), ClaimPath.of("u"))
    assert (denied.value.code, denied.value.claim) == (code, "u")
    assert denied.value.message == f'claim "u" (the role\'s user_claim) {problem}'


def test_a_user_claim_is_a_pointer_only_when_the_role_says_so():
    claims = {"/a/b": "literal", "a": {"b": "deep"}}
    assert alias_name(verified(claims), ClaimPath.of("/a/b", pointer=False)) == "literal"
    assert alias_name(verified(claims), ClaimPath.of("/a/b")) == "deep"


def mappings(**names: str) -> list[tuple[ClaimPath, str]]:
    return [(ClaimPath.of(claim), key) for claim, key in names.items()]


def test_mapped_metadata():
    claims = {"a": "1", "b": "", "c": None, "role": "admin"}
    assert mapped_metadata(
        verified(claims), mappings(a="x", b="y", c="z", d="w", role="role"), "demo"
    ) == {
        "x": "1",
        "y": "",
        "role": "demo",
    }


@pytest.mark.parametrize(("value", "kind"), [*KINDS, (["x"], "a list")], ids=str)
def test_mapped_claims_of_another_kind(value, kind):
    with pytest.raises(LoginDenied) as denied:
        mapped_metadata(verified({"a": value}), mappings(a="x"), "demo")
    assert (denied.value.code, denied.value.message) == (
        "mapped_claim_type",
        f'claim "a" (one of claim_mappings) must be a string, is {kind}',
    )


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "", "a"], ["a", "a"]),
        ("a,b", ["a,b"]),
        ("", []),
        ([], []),
        ([""], []),
    ],
    ids=str,
)
def test_groups(value, groups):
    aliases = group_aliases(verified({"g": value}), ClaimPath.of("g"))
    assert aliases == tuple(Alias(name=group) for group in groups)


def test_no_groups_claim_no_groups():
    assert group_aliases(verified({"groups": ["a"]}), None) == ()


@pytest.mark.parametrize(
    ("claims", "code", "problem"),
    [
        ({}, "groups_claim_missing", "is missing"),
        ({"g": None}, "groups_claim_missing", "is missing"),
        *(
            (
                {"g": value},
                "groups_claim_type",
                f"must be a list of strings, or a string, is {kind}",
            )
            for value, kind in KINDS
        ),
        *(
            ({"g": ["a", value]}, "groups_claim_type", f"must be a list of strings, holds {kind}")
            for value, kind in KINDS
        ),
        ({"g": [None]}, "groups_claim_type", "must be a list of strings, holds null"),
    ],
    ids=str,
)
def test_groups_refused(claims, code, problem):
    with pytest.raises(LoginDenied) as denied:
        group_aliases(verified(claims), ClaimPath.of("g"))
    assert denied.value.code == code
    assert denied.value.message == f'claim "g" (the role\'s groups_claim) {problem}'
