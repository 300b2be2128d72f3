"""token_* parameters and their deprecated aliases (helper/tokenutil)."""

from __future__ import annotations

from typing import Any

import pytest

from vault_jwt_plugin.sdk import (
    ALIASES,
    NS_PER_S,
    AliasedTokenParams,
    CIDRError,
    FieldData,
    TokenParams,
    TokenParamsError,
    TokenType,
    apply_aliases,
    by_name,
    fields_of,
    parse_token_fields,
    read_token_params,
    sanitize_policies,
    token_auth,
    upgrade_loaded,
)
from vault_jwt_plugin.sdk.tokenutil import token_type_of_stored

FIELDS = by_name(fields_of(AliasedTokenParams))
H = 3600 * NS_PER_S


def data(**sent):
    return FieldData(FIELDS, sent)


def write(params=None, **sent):
    sent_data = data(**sent)
    parsed = parse_token_fields(params or AliasedTokenParams(), sent_data)
    return apply_aliases(parsed, sent_data)


def aliases(params):
    return {old: getattr(params, old) for old in ALIASES}


NO_ALIASES = aliases(AliasedTokenParams())


def test_everything_sent():
    params = write(
        token_bound_cidrs="127.0.0.1/32, 10.0.0.0/8",
        token_explicit_max_ttl="3h",
        token_max_ttl="2h",
        token_no_default_policy="true",
        token_period=60,
        token_policies=["A", "b "],
        token_type="service",
        token_ttl="1h",
        token_num_uses=3,
    )
    assert params == AliasedTokenParams(
        token_bound_cidrs=("127.0.0.1", "10.0.0.0/8"),
        token_explicit_max_ttl=3 * H,
        token_max_ttl=2 * H,
        token_no_default_policy=True,
        token_period=60 * NS_PER_S,
        token_policies=("A", "b"),
        token_type=TokenType.SERVICE,
        token_ttl=H,
        token_num_uses=3,
    )
    assert aliases(params) == NO_ALIASES
    assert read_token_params(params) == {
        "token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"],
        "token_explicit_max_ttl": 10800,
        "token_max_ttl": 7200,
        "token_no_default_policy": True,
        "token_period": 60,
        "token_policies": ["A", "b"],
        "token_type": "service",
        "token_ttl": 3600,
        "token_num_uses": 3,
        "token_strictly_bind_ip": False,
    }
    auth = token_auth(params)
    assert auth.renewable
    assert (auth.ttl_ns, auth.max_ttl_ns, auth.period_ns) == (H, 2 * H, 60 * NS_PER_S)
    assert auth.bound_cidrs == ("127.0.0.1", "10.0.0.0/8")


def test_nothing_sent_changes_nothing():
    stored = AliasedTokenParams(token_ttl=H, token_policies=("a",), ttl=H)
    assert write(stored) == stored
    assert read_token_params(TokenParams())["token_policies"] == []
    assert read_token_params(TokenParams())["token_type"] == "default"


@pytest.mark.parametrize(
    ("stored", "sent", "message"),
    [
        ({"token_max_ttl": -1}, {}, "'token_max_ttl' cannot be negative"),
        ({"token_period": -1}, {}, "'token_period' cannot be negative"),
        # The bounds come before the type, the type before the uses.
        ({"token_period": -1}, {"token_type": "x"}, "'token_period' cannot be negative"),
        (
            {},
            {"token_type": "x", "token_num_uses": -1},
            "invalid 'token_type' value \"x\"; allowed are 'default', 'service' and 'batch'",
        ),
        (
            {},
            {"token_type": "default-service"},
            (
                "invalid 'token_type' value \"default-service\"; allowed are 'default', 'service' "
                "and 'batch'"
            ),
        ),
        ({}, {"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
        (
            {},
            {"token_type": "batch", "token_period": 1, "token_num_uses": 1},
            (
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate "
                "periodic tokens"
            ),
        ),
        (
            {"token_type": TokenType.BATCH},
            {"token_num_uses": 1},
            (
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate "
                "tokens with limited use count"
            ),
        ),
        ({"token_ttl": -1}, {}, "'token_ttl' cannot be negative"),
        (
            {"token_ttl": 2 * H},
            {"token_max_ttl": "1h"},
            "'token_ttl' cannot be greater than 'token_max_ttl'",
        ),
        (
            {"token_strictly_bind_ip": True},
            {"token_bound_cidrs": "10.0.0.0/8"},
            "'token_strictly_bind_ip' and 'token_bound_cidrs' cannot be used together",
        ),
    ],
)
def test_refuses(stored, sent, message):
    with pytest.raises(TokenParamsError) as caught:
        write(AliasedTokenParams(**stored), **sent)
    assert caught.value.message == message
    assert caught.value.code == "token_params_invalid"


def test_cidrs_are_checked_first():
    with pytest.raises(CIDRError, match="error parsing address"):
        write(AliasedTokenParams(token_max_ttl=-1), token_bound_cidrs="nope")
    with pytest.raises(CIDRError):
        write(bound_cidrs="nope")


SENT = {
    "policies": ("B,a,b", ("a", "b")),
    "bound_cidrs": ("10.0.0.0/8", ("10.0.0.0/8",)),
    "num_uses": (4, 4),
    "ttl": ("1h", H),
    "max_ttl": ("2h", 2 * H),
    "period": (60, 60 * NS_PER_S),
}


@pytest.mark.parametrize("old", ALIASES)
def test_only_the_old_one(old):
    given, value = SENT[old]
    params = write(**{old: given})
    assert getattr(params, ALIASES[old]) == value
    assert getattr(params, old) == value


@pytest.mark.parametrize("old", ALIASES)
def test_only_the_new_one_clears_the_old(old):
    given, _ = SENT[old]
    changes: dict[str, Any] = {old: SENT[old][1]}
    params = write(AliasedTokenParams(**changes), **{ALIASES[old]: given})
    assert aliases(params) == NO_ALIASES


@pytest.mark.parametrize("old", ALIASES)
def test_both_new_wins_and_old_follows(old):
    given, _ = SENT[old]
    other = {"policies": "zzz", "bound_cidrs": "1.1.1.1"}.get(old, 1)
    params = write(**{ALIASES[old]: given, old: other})
    new = getattr(params, ALIASES[old])
    assert new
    assert getattr(params, old) == new
    assert new not in (other, ("zzz",), ("1.1.1.1",), NS_PER_S, 1)


def test_token_policies_keep_their_case_and_order():
    params = write(token_policies="B,a,b")
    assert params.token_policies == ("B", "a", "b")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"num_uses": -1}, "'token_num_uses' cannot be negative"),
        (
            {"period": 5, "token_type": "batch"},
            (
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate "
                "periodic tokens"
            ),
        ),
        (
            {"bound_cidrs": "10.0.0.1", "token_strictly_bind_ip": True},
            "'token_strictly_bind_ip' and 'token_bound_cidrs' cannot be used together",
        ),
        (
            {"ttl": 2, "max_ttl": 1},
            "'token_ttl' cannot be greater than 'token_max_ttl'",
        ),
    ],
)
def test_aliases_cannot_smuggle(sent, message):
    with pytest.raises(TokenParamsError) as caught:
        write(**sent)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("policies", "sane"),
    [
        (["B", " a", "b", ""], ("a", "b")),
        (["x", "ROOT"], ("root",)),
        ([], ()),
    ],
)
def test_sanitize_policies(policies, sane):
    assert sanitize_policies(policies) == sane


def test_load_takes_old_values_where_new_ones_are_empty():
    loaded = AliasedTokenParams(token_num_uses=5, ttl=H, policies=("a",), num_uses=2)
    params = upgrade_loaded(loaded)
    assert (params.token_ttl, params.token_policies, params.token_num_uses) == (H, ("a",), 5)
    same = AliasedTokenParams()
    assert upgrade_loaded(same) is same


def test_read_of_deprecated():
    params = AliasedTokenParams(
        token_policies=("X",),
        token_bound_cidrs=("1.1.1.1",),
        token_ttl=7,
        policies=("a",),
        bound_cidrs=("2.2.2.2",),
        ttl=H,
        num_uses=1,
    )
    read = read_token_params(params)
    assert {old: read[old] for old in ALIASES if old in read} == {
        "policies": ["X"],
        "bound_cidrs": ["1.1.1.1"],
        "ttl": 3600,
        "num_uses": 1,
    }
    assert not ALIASES.keys() & read_token_params(AliasedTokenParams()).keys()


@pytest.mark.parametrize(
    ("stored", "token_type"),
    [
        (0, TokenType.DEFAULT),
        (2, TokenType.BATCH),
        ("", TokenType.DEFAULT),
        ("service", TokenType.SERVICE),
        ("default-service", TokenType.DEFAULT_SERVICE),
        (None, TokenType.DEFAULT),
    ],
)
def test_stored_token_type(stored, token_type):
    assert token_type_of_stored(stored) is token_type


@pytest.mark.parametrize("stored", ["x", 9, [1]])
def test_stored_token_type_refused(stored):
    with pytest.raises(ValueError, match=r"^is no token type$"):
        token_type_of_stored(stored)
