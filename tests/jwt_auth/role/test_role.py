from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jwt_auth import stored
from vault_jwt_plugin.jwt_auth.role.role import ROLE_FIELDS, Role, StoredRoleError
from vault_jwt_plugin.sdk import TokenType

SECOND = 1_000_000_000


def test_every_parameter_is_an_attribute_and_nothing_else_is():
    assert {each.name for each in ROLE_FIELDS} == {each.name for each in fields(Role)} - {"extra"}


def test_every_parameter_is_described():
    assert [each.name for each in ROLE_FIELDS if not each.description.strip()] == []


def test_vault_role():
    role = Role.from_stored("demo", stored.VAULT_ROLE)
    assert role.role_type == "jwt"
    assert role.not_before_leeway == -SECOND
    assert role.bound_audiences == ("https://vault.example", "x,y")
    assert role.bound_claims == {
        "n": Decimal("42.0"),
        "big": 12345678901234567890,
        "list": ["a", 1],
        "<tag>": True,
    }
    assert role.token_type is TokenType.SERVICE
    assert role.token_bound_cidrs == ("127.0.0.1/8",)
    assert role.oidc_scopes is None
    assert role.callback_mode == "client"
    assert role.extra == {}


def test_openbao_role():
    role = Role.from_stored("demo", stored.OPENBAO_ROLE)
    assert role.callback_mode == "device"
    assert role.bound_audiences == ()
    assert role.bound_claims is None
    assert role.token_strictly_bind_ip
    assert role.token_policies_template_claims
    assert role.oidc_disable_confirmation
    assert role.alias_metadata is None


def test_old_role_is_upgraded_in_memory():
    role = Role.from_stored("demo", stored.OLD_ROLE)
    assert role.role_type == "jwt"
    assert role.bound_claims_type == "string"
    assert role.token_policies == ("dev", "web")
    assert role.token_num_uses == 12
    assert role.token_ttl == 3600 * SECOND
    assert role.token_max_ttl == 7200 * SECOND
    assert role.token_period == 60 * SECOND
    assert role.token_bound_cidrs == ("10.0.0.0/8",)


def test_old_values_do_not_override_new_ones():
    role = Role.from_stored("demo", b'{"ttl":1000000000,"token_ttl":2000000000,"policies":["a"]}')
    assert role.token_ttl == 2 * SECOND
    assert role.token_policies == ("a",)


@pytest.mark.parametrize(
    "raw",
    [stored.VAULT_ROLE, stored.OPENBAO_ROLE],
    ids=["vault", "openbao"],
)
def test_members_survive_a_rewrite(raw):
    before = json.loads(raw, parse_float=str, parse_int=str)
    after = json.loads(Role.from_stored("demo", raw).to_stored(), parse_float=str, parse_int=str)
    assert {name: after[name] for name in before} == before


def test_unknown_members_survive_a_rewrite_verbatim():
    raw = b'{"from_the_future":{"a":1.50,"b":[null,12345678901234567890]},"role_type":"jwt"}'
    role = Role.from_stored("demo", raw)
    assert b'"from_the_future":{"a":1.50,"b":[null,12345678901234567890]}' in role.to_stored()


@pytest.mark.parametrize(
    ("token_type", "expected"),
    [
        ("0", TokenType.DEFAULT),
        ("1", TokenType.SERVICE),
        ("2", TokenType.BATCH),
        ("3", TokenType.DEFAULT_SERVICE),
        ('""', TokenType.DEFAULT),
        ("null", TokenType.DEFAULT),
        ('"default"', TokenType.DEFAULT),
        ('"service"', TokenType.SERVICE),
        ('"batch"', TokenType.BATCH),
        ('"default-batch"', TokenType.DEFAULT_BATCH),
    ],
)
def test_stored_token_types(token_type, expected):
    role = Role.from_stored("demo", b'{"token_type":%b}' % token_type.encode())
    assert role.token_type is expected
    assert json.loads(role.to_stored())["token_type"] == int(expected)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "not JSON at character 0: Expecting value"),
        (b"[]", "no JSON object"),
        (b'{"token_type":9}', "'token_type' is no token type"),
        (b'{"token_type":"weekly"}', "'token_type' is no token type"),
        (
            b'{"bound_claims":"secret"}',
            "'bound_claims' should be an object, is a string",
        ),
        (
            b'{"user_claim":["secret"]}',
            "'user_claim' should be a string, is a list",
        ),
        (
            b'{"bound_claims":{"a":1e99999999999999999999}}',
            "a number's power of ten is beyond 308",
        ),
    ],
    ids=["empty", "list", "type number", "type word", "claims", "user claim", "number"],
)
def test_what_is_stored_and_no_role(raw, text):
    with pytest.raises(StoredRoleError) as caught:
        Role.from_stored("demo", raw)
    assert caught.value.message == f'stored role "demo": {text}'
    assert caught.value.code == "stored_role_invalid"


READ_UNSET = {
    "role_type": "jwt",
    "expiration_leeway": 0,
    "not_before_leeway": 0,
    "clock_skew_leeway": 0,
    "bound_audiences": None,
    "bound_subject": "",
    "bound_claims_type": "string",
    "bound_claims": None,
    "claim_mappings": None,
    "user_claim": "",
    "user_claim_json_pointer": False,
    "groups_claim": "",
    "oidc_scopes": None,
    "allowed_redirect_uris": None,
    "verbose_oidc_logging": False,
    "max_age": 0,
    "oauth2_metadata": None,
    "callback_mode": "client",
    "oidc_disable_confirmation": False,
    "token_policies_template_claims": False,
    "alias_metadata": {},
    "token_bound_cidrs": [],
    "token_explicit_max_ttl": 0,
    "token_max_ttl": 0,
    "token_no_default_policy": False,
    "token_num_uses": 0,
    "token_period": 0,
    "token_policies": [],
    "token_strictly_bind_ip": False,
    "token_ttl": 0,
    "token_type": "default",
}


def test_reading_an_empty_role():
    assert Role.from_stored("demo", b"{}").read_data() == READ_UNSET


@pytest.mark.parametrize(
    ("raw", "differs"),
    [
        (b'{"bound_audiences":[],"oidc_scopes":[]}', {"bound_audiences": [], "oidc_scopes": []}),
        (b'{"poll_interval":7}', {"poll_interval": 7}),
        (b'{"poll_interval":-7}', {}),
        (b'{"not_before_leeway":-1000000000}', {"not_before_leeway": -1}),
        (b'{"max_age":1999999999}', {"max_age": 1}),
        (
            b'{"policies":["a"],"token_policies":["b"]}',
            {"policies": ["b"], "token_policies": ["b"]},
        ),
        (
            b'{"bound_cidrs":["1.1.1.1"],"token_bound_cidrs":["2.2.2.2/8"]}',
            {"bound_cidrs": ["2.2.2.2/8"], "token_bound_cidrs": ["2.2.2.2/8"]},
        ),
        (b'{"ttl":1000000000,"token_ttl":2000000000}', {"ttl": 1, "token_ttl": 2}),
        (b'{"token_ttl":2000000000}', {"token_ttl": 2}),
        (b'{"num_uses":3}', {"num_uses": 3, "token_num_uses": 3}),
        (b'{"token_type":3}', {"token_type": "default-service"}),
        (b'{"surprise":1}', {}),
    ],
)
def test_reading_what_is_set(raw, differs):
    assert Role.from_stored("demo", raw).read_data() == READ_UNSET | differs


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = texts.map(str.strip)
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
lists = st.none() | st.lists(words, max_size=3).map(tuple)
maps = st.none() | st.dictionaries(texts, texts, max_size=3)
durations = st.integers(min_value=0, max_value=2**62)
NAMES = {each.name for each in ROLE_FIELDS}

roles = st.builds(
    Role,
    role_type=st.sampled_from(["jwt", "oidc"]),
    expiration_leeway=st.integers(-(2**62), 2**62),
    bound_audiences=lists,
    bound_subject=texts,
    bound_claims_type=st.sampled_from(["string", "glob"]),
    bound_claims=st.none() | st.dictionaries(texts, values, max_size=3),
    claim_mappings=maps,
    alias_metadata=maps,
    user_claim=texts,
    user_claim_json_pointer=st.booleans(),
    oidc_scopes=lists,
    allowed_redirect_uris=lists,
    callback_mode=st.sampled_from(["client", "direct", "device"]),
    poll_interval=st.integers(0, 100),
    token_bound_cidrs=st.none() | st.just(("10.0.0.0/8",)),
    token_ttl=durations,
    token_policies=lists,
    token_type=st.sampled_from(TokenType),
    extra=st.dictionaries(texts.filter(lambda name: name not in NAMES), values, max_size=2),
)


@given(roles)
def test_round_trip(role):
    assert Role.from_stored("demo", role.to_stored()) == role
