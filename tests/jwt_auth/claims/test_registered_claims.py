"""Registered claims: kinds, names, issuer, subject, and audiences in every shape."""

from __future__ import annotations

from decimal import Decimal

import pytest

from vault_jwt_plugin.jwt_auth.claims.registered_claims import (
    check_bound_audience,
    check_claim_names,
    check_issuer,
    check_registered_types,
    check_subject,
    check_unbound_audience,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied


def denial(check, *args) -> tuple[str, str] | None:
    try:
        check(*args)
    except LoginDenied as denied:
        return denied.code, denied.message
    return None


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("SUB", "sub"),
        ("Sub", "sub"),
        ("\u017fub", "sub"),
        ("i\u017f\u017f", "iss"),
        ("i\u00df", "iss"),
        ("AUD", "aud"),
        ("eXp", "exp"),
        ("NBF", "nbf"),
        ("Iat", "iat"),
        ("jTI", "jti"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("others", [{}, {"sub": "a", "iss": "b"}], ids=["alone", "beside"])
def test_names_that_fold_to_a_registered_one(name, registered, others):
    assert denial(check_claim_names, {**others, name: "x"}) == (
        "claim_name",
        f'the token has a claim whose name differs from "{registered}" only by case',
    )


@pytest.mark.parametrize(
    "name",
    ["sub", "subject", "s\u00fcb", "su", "\u0441ub", "sub ", "sub\0", "", "Email", "GROUPS"],
    ids=ascii,
)
def test_other_names_pass(name):
    assert denial(check_claim_names, {name: 1}) is None


@pytest.mark.parametrize(
    ("claims", "audience"),
    [
        ({}, None),
        ({"iss": None, "sub": None, "jti": None}, None),
        ({"iss": "", "sub": "x", "jti": "y"}, None),
        ({"aud": "a"}, ["a"]),
        ({"aud": ""}, [""]),
        ({"aud": []}, []),
        ({"aud": ["a", "b"]}, ["a", "b"]),
    ],
    ids=str,
)
def test_kinds_accepted(claims, audience):
    assert check_registered_types(claims) == audience


@pytest.mark.parametrize(
    ("claims", "expected", "received"),
    [
        ({"iss": 1}, "a string", "a number"),
        ({"iss": ["x"]}, "a string", "a list"),
        ({"sub": True}, "a string", "a boolean"),
        ({"sub": {}}, "a string", "an object"),
        ({"jti": Decimal("1.5")}, "a string", "a number"),
        ({"aud": None}, "a string or a list of strings", "null"),
        ({"aud": 7}, "a string or a list of strings", "a number"),
        ({"aud": False}, "a string or a list of strings", "a boolean"),
        ({"aud": {"a": 1}}, "a string or a list of strings", "an object"),
        ({"aud": ["a", 7]}, "a string or a list of strings", "a list with a number"),
        ({"aud": [None]}, "a string or a list of strings", "a list with null"),
        ({"aud": [["a"]]}, "a string or a list of strings", "a list with a list"),
    ],
    ids=str,
)
def test_kinds_refused(claims, expected, received):
    name = next(iter(claims))
    assert denial(check_registered_types, claims) == (
        "claim_type",
        f'claim "{name}" must be {expected}, is {received}',
    )


@pytest.mark.parametrize(
    "which",
    [
        (check_issuer, "iss", "issuer_mismatch", "the configured bound_issuer"),
        (check_subject, "sub", "subject_mismatch", "the role's bound_subject"),
    ],
    ids=["iss", "sub"],
)
@pytest.mark.parametrize(
    ("value", "bound", "passes"),
    [
        ("https://a/", "https://a/", True),
        ("https://a", "https://a/", False),
        ("https://a/", "https://a", False),
        ("a", "", True),
        (None, "", True),
        (None, "a", False),
        ("", "a", False),
        ("A", "a", False),
        ("xax", "a", False),
    ],
    ids=str,
)
def test_issuer_and_subject_are_compared_whole(which, value, bound, passes):
    check, claim, code, expected = which
    claims = {} if value is None else {claim: value}
    if passes:
        assert denial(check, claims, bound) is None
    else:
        problem = f"is not {expected}" if value is not None else "is missing"
        assert denial(check, claims, bound) == (code, f'claim "{claim}" {problem}')


UNBOUND = (
    "audience_unbound",
    "audience claim found in JWT but no audiences bound to the role",
)
MISSING = ("audience_missing", 'claim "aud" is missing, and the role has bound_audiences')
MISMATCH = ("audience_mismatch", 'claim "aud" does not match any of the role\'s bound_audiences')


@pytest.mark.parametrize(
    ("audience", "bound", "expected"),
    [
        (None, [], None),
        ([], [], None),
        (["a"], [], UNBOUND),
        ([""], [], UNBOUND),
        (["a", "b"], [], UNBOUND),
        (None, ["a"], MISSING),
        ([], ["a"], MISSING),
        (["a"], ["a"], None),
        (["x", "a"], ["a", "b"], None),
        (["A"], ["a"], MISMATCH),
        (["a/"], ["a"], MISMATCH),
        ([""], ["a"], MISMATCH),
        ([""], [""], None),
        (["b", "c"], ["a"], MISMATCH),
    ],
    ids=str,
)
def test_audiences(audience, bound, expected):
    bound = frozenset(bound)
    assert (
        denial(check_bound_audience, audience, bound)
        or denial(check_unbound_audience, audience, bound)
    ) == expected
