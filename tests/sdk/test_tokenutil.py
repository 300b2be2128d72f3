"""token_* parameters and their deprecated aliases (helper/tokenutil)."""

from __future__ import annotations

from typing import Any

import pytest

from vault_jwt_plugin.sdk import (
    ALIASES,
    DEPRECATED_FIELDS,
    NS_PER_S,
    TOKEN_FIELDS,
    CIDRError,
    DeprecatedParams,
    FieldData,
    TokenParams,
    TokenParamsError,
    TokenType,
    apply_aliases,
    by_name,
    parse_token_fields,
    read_deprecated,
    read_token_params,
    sanitize_policies,
    token_auth,
    token_type_of_stored,
    upgrade_loaded,
)

FIELDS = by_name(TOKEN_FIELDS + DEPRECATED_FIELDS)
H = 3600 * NS_PER_S


def data(**sent):
    return FieldData(FIELDS, sent)


def write(params=None, deprecated=None, **sent):
    sent_data = data(**sent)
    parsed = parse_token_fields(params or TokenParams(), sent_data)
    return apply_aliases(parsed, deprecated or DeprecatedParams(), sent_data)


def test_everything_sent():
    params, deprecated = write(
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
    assert params == TokenParams(
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
    assert deprecated == DeprecatedParams()
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
    stored = TokenParams(token_ttl=H, token_policies=("a",))
    old = DeprecatedParams(ttl=H)
    assert write(stored, old) == (stored, old)
    assert read_token_params(TokenParams())["token_policies"] == []
    assert read_token_params(TokenParams())["token_type"] == "default"


@pytest.mark.parametrize(
    ("stored", "sent", "message"),
    [
        ({"token_max_ttl": -1}, {}, "'token_max_ttl' cannot be negative"),
        ({"token_period": -1}, {}, "'token_period' cannot be negative"),
        # The bounds come before the type, the type before the uses.
        ({"token_period": -1}, {"token_type": "x"}, "'token_period' cannot be negative"),
        ({}, {"token_type": "x", "token_num_uses": -1}, "invalid 'token_type' value \"x\""),
        (
            {},
            {"token_type": "default-service"},
            "invalid 'token_type' value \"default-service\"",
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
        write(TokenParams(**stored), **sent)
    assert caught.value.message == message
    assert caught.value.code == "token_params_invalid"


def test_cidrs_are_checked_first():
    with pytest.raises(CIDRError, match="error parsing address"):
        write(TokenParams(token_max_ttl=-1), token_bound_cidrs="nope")
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
    params, deprecated = write(**{old: given})
    assert getattr(params, ALIASES[old]) == value
    assert getattr(deprecated, old) == value


@pytest.mark.parametrize("old", ALIASES)
def test_only_the_new_one_clears_the_old(old):
    given, _ = SENT[old]
    changes: dict[str, Any] = {old: SENT[old][1]}
    stored = DeprecatedParams(**changes)
    _params, deprecated = write(None, stored, **{ALIASES[old]: given})
    assert deprecated == DeprecatedParams()


@pytest.mark.parametrize("old", ALIASES)
def test_both_new_wins_and_old_follows(old):
    given, _ = SENT[old]
    other = {"policies": "zzz", "bound_cidrs": "1.1.1.1"}.get(old, 1)
    params, deprecated = write(**{ALIASES[old]: given, old: other})
    new = getattr(params, ALIASES[old])
    assert new
    assert getattr(deprecated, old) == new
    assert new not in (other, ("zzz",), ("1.1.1.1",), NS_PER_S, 1)


def test_token_policies_keep_their_case_and_order():
    params, _ = write(token_policies="B,a,b")
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
    old = DeprecatedParams(ttl=H, policies=("a",), num_uses=2)
    params = upgrade_loaded(TokenParams(token_num_uses=5), old)
    assert (params.token_ttl, params.token_policies, params.token_num_uses) == (H, ("a",), 5)
    same = TokenParams()
    assert upgrade_loaded(same, DeprecatedParams()) is same


def test_read_of_deprecated():
    params = TokenParams(token_policies=("X",), token_bound_cidrs=("1.1.1.1",), token_ttl=7)
    old = DeprecatedParams(policies=("a",), bound_cidrs=("2.2.2.2",), ttl=H, num_uses=1)
    assert read_deprecated(params, old) == {
        "policies": ["X"],
        "bound_cidrs": ["1.1.1.1"],
        "ttl": 3600,
        "num_uses": 1,
    }
    assert read_deprecated(params, DeprecatedParams()) == {}


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
    with pytest.raises(ValueError):
        token_type_of_stored(stored)
