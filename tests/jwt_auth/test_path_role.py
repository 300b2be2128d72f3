from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.jwt_auth import stored
from vault_jwt_plugin.jwt_auth.path_role import (
    WARN_MAX_TTL,
    WARN_VERBOSE_LOGGING,
    merge,
    warnings_of,
)
from vault_jwt_plugin.jwt_auth.role import Role
from vault_jwt_plugin.jwt_auth.role_fields import NAME_FIELD, ROLE_FIELDS
from vault_jwt_plugin.sdk import FieldData, InternalError, TokenType, UserError, by_name

SECOND = 1_000_000_000
MAX_LEASE = 2_764_800 * SECOND
FIELDS = by_name((NAME_FIELD, *ROLE_FIELDS))
LEAST = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"}


def written(sent, before=None):
    return merge(before, FieldData(FIELDS, sent), max_lease_ttl_ns=MAX_LEASE)


def test_the_least_role():
    assert written(LEAST) == Role(
        role_type="jwt",
        user_claim="sub",
        bound_audiences=("vault",),
        bound_claims_type="string",
        callback_mode="client",
        alias_metadata={},
    )


ACCEPTED = [
    # what is sent beside LEAST, and the attributes that it makes
    ({"bound_audiences": ["a,b", " c "]}, {"bound_audiences": ("a,b", "c")}),
    ({"bound_audiences": "a, b"}, {"bound_audiences": ("a", "b")}),
    ({"bound_audiences": "", "bound_subject": "me"}, {"bound_audiences": ()}),
    ({"bound_subject": "me"}, {"bound_subject": "me"}),
    ({"bound_claims": {"n": Decimal("1.50")}}, {"bound_claims": {"n": Decimal("1.50")}}),
    ({"bound_claims": {"deep": {"any": None}}}, {"bound_claims": {"deep": {"any": None}}}),
    ({"bound_claims": {}}, {"bound_claims": {}}),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": "x*", "b": ["y*", "z"], "c": []}},
        {"bound_claims_type": "glob", "bound_claims": {"a": "x*", "b": ["y*", "z"], "c": []}},
    ),
    ({"claim_mappings": {"/a/b": "ab", "c": "d"}}, {"claim_mappings": {"/a/b": "ab", "c": "d"}}),
    ({"claim_mappings": "a=b"}, {"claim_mappings": {"a": "b"}}),
    ({"claim_mappings": {}}, {"claim_mappings": {}}),
    ({"user_claim": "/a", "user_claim_json_pointer": "true"}, {"user_claim_json_pointer": True}),
    ({"groups_claim": "groups"}, {"groups_claim": "groups"}),
    ({"oidc_scopes": "profile,email"}, {"oidc_scopes": ("profile", "email")}),
    ({"role_type": "oidc", "allowed_redirect_uris": "u"}, {"role_type": "oidc"}),
    ({"role_type": "", "allowed_redirect_uris": ["u"]}, {"role_type": "oidc"}),
    ({"expiration_leeway": "-1s"}, {"expiration_leeway": -SECOND}),
    ({"not_before_leeway": 90}, {"not_before_leeway": 90 * SECOND}),
    ({"clock_skew_leeway": "1m30s"}, {"clock_skew_leeway": 90 * SECOND}),
    ({"clock_skew_leeway": None}, {"clock_skew_leeway": 0}),
    ({"max_age": "1h"}, {"max_age": 3600 * SECOND}),
    ({"verbose_oidc_logging": 1}, {"verbose_oidc_logging": True}),
    (
        {"oauth2_metadata": "id_token,access_token"},
        {"oauth2_metadata": ("id_token", "access_token")},
    ),
    ({"callback_mode": "device"}, {"callback_mode": "device"}),
    ({"callback_mode": "direct"}, {"callback_mode": "direct"}),
    ({"poll_interval": "9"}, {"poll_interval": 9}),
    ({"oidc_disable_confirmation": True}, {"oidc_disable_confirmation": True}),
    ({"alias_metadata": {"k": "v"}}, {"alias_metadata": {"k": "v"}}),
    ({"token_bound_cidrs": "127.0.0.1/8,::1/128"}, {"token_bound_cidrs": ("127.0.0.1/8", "::1")}),
    ({"token_policies": "A,b,A"}, {"token_policies": ("A", "b", "A")}),
    ({"token_ttl": 60, "token_max_ttl": "2m"}, {"token_ttl": 60 * SECOND}),
    ({"token_explicit_max_ttl": "1d"}, {"token_explicit_max_ttl": 86400 * SECOND}),
    ({"token_period": "768h"}, {"token_period": MAX_LEASE}),
    ({"token_num_uses": 5}, {"token_num_uses": 5}),
    ({"token_no_default_policy": "1"}, {"token_no_default_policy": True}),
    ({"token_strictly_bind_ip": True}, {"token_strictly_bind_ip": True}),
    ({"token_type": "batch"}, {"token_type": TokenType.BATCH}),
    ({"token_type": "service"}, {"token_type": TokenType.SERVICE}),
    ({"token_type": "default"}, {"token_type": TokenType.DEFAULT}),
    ({"token_type": ""}, {"token_type": TokenType.DEFAULT}),
    (
        {"token_policies_template_claims": True, "token_policies": "dev-{{ .sub }},fixed"},
        {"token_policies_template_claims": True, "token_policies": ("dev-{{ .sub }}", "fixed")},
    ),
    ({"token_policies": "{{"}, {"token_policies": ("{{",)}),
    ({"policies": "B,a,a"}, {"policies": ("a", "b"), "token_policies": ("a", "b")}),
    ({"policies": "x,Root"}, {"policies": ("root",), "token_policies": ("root",)}),
    ({"policies": "x", "token_policies": "Y"}, {"policies": ("Y",), "token_policies": ("Y",)}),
    ({"ttl": 5}, {"ttl": 5 * SECOND, "token_ttl": 5 * SECOND}),
    ({"max_ttl": 5}, {"max_ttl": 5 * SECOND, "token_max_ttl": 5 * SECOND}),
    ({"period": 5}, {"period": 5 * SECOND, "token_period": 5 * SECOND}),
    ({"num_uses": 5, "token_num_uses": 6}, {"num_uses": 6, "token_num_uses": 6}),
    (
        {"bound_cidrs": ["10.0.0.1"]},
        {"bound_cidrs": ("10.0.0.1",), "token_bound_cidrs": ("10.0.0.1",)},
    ),
]


@pytest.mark.parametrize(("sent", "made"), ACCEPTED, ids=[str(sent) for sent, _ in ACCEPTED])
def test_accepted(sent, made):
    role = written(LEAST | sent)
    assert {name: getattr(role, name) for name in made} == made


@pytest.mark.parametrize(
    "bound",
    [
        {"bound_audiences": "a"},
        {"bound_subject": "a"},
        {"bound_claims": {"a": 1}},
        {"token_bound_cidrs": "10.0.0.0/8"},
        {"bound_cidrs": "10.0.0.0/8"},
    ],
    ids=lambda bound: next(iter(bound)),
)
def test_one_bound_constraint_is_enough(bound):
    assert written({"role_type": "jwt", "user_claim": "sub"} | bound)


REFUSED = [
    # In the order of the checks: each row also breaks a later one, which must not be reported.
    (
        {"role_type": "JWT", "token_type": "x"},
        "invalid 'role_type': \"JWT\"; it must be 'jwt' or 'oidc'",
    ),
    (
        {"token_bound_cidrs": "300.1.1.1", "token_type": "x"},
        (
            'error parsing address "300.1.1.1": Unable to convert "300.1.1.1" to an IPv4 or IPv6 '
            "address, or a UNIX Socket"
        ),
    ),
    (
        {"token_type": "default-service", "user_claim": ""},
        "invalid 'token_type' value \"default-service\"",
    ),
    ({"token_num_uses": -1, "user_claim": ""}, "'token_num_uses' cannot be negative"),
    (
        {"token_type": "batch", "token_period": 1, "token_num_uses": 1},
        "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
    ),
    (
        {"token_type": "batch", "token_num_uses": 1, "bound_claims_type": ""},
        (
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with "
            "limited use count"
        ),
    ),
    (
        {"token_ttl": 2, "token_max_ttl": 1, "bound_claims_type": ""},
        "'token_ttl' cannot be greater than 'token_max_ttl'",
    ),
    (
        {"token_strictly_bind_ip": True, "token_bound_cidrs": "::1", "bound_claims_type": ""},
        "'token_strictly_bind_ip' and 'token_bound_cidrs' cannot be used together",
    ),
    (
        {"bound_cidrs": "nowhere", "bound_claims_type": ""},
        (
            'error parsing address "nowhere": Unable to convert "nowhere" to an IPv4 or IPv6 '
            "address, or a UNIX Socket"
        ),
    ),
    ({"num_uses": -1, "bound_claims_type": ""}, "'token_num_uses' cannot be negative"),
    (
        {"ttl": 2, "max_ttl": 1, "bound_claims_type": ""},
        "'token_ttl' cannot be greater than 'token_max_ttl'",
    ),
    (
        {"period": 1, "token_type": "batch", "bound_claims_type": ""},
        "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
    ),
    (
        {"token_strictly_bind_ip": True, "bound_cidrs": "::1", "bound_claims_type": ""},
        "'token_strictly_bind_ip' and 'token_bound_cidrs' cannot be used together",
    ),
    (
        {"token_period": 2_764_801, "bound_claims_type": ""},
        (
            "'token_period' of 2764801 seconds is greater than the mount's maximum lease TTL of "
            "2764800 seconds"
        ),
    ),
    (
        {"period": 2_764_801, "bound_claims_type": ""},
        (
            "'token_period' of 2764801 seconds is greater than the mount's maximum lease TTL of "
            "2764800 seconds"
        ),
    ),
    (
        {"bound_claims_type": "", "claim_mappings": {"a": "role"}},
        "invalid 'bound_claims_type': \"\"; it must be 'string' or 'glob'",
    ),
    (
        {"bound_claims_type": "regex", "claim_mappings": {"a": "role"}},
        "invalid 'bound_claims_type': \"regex\"; it must be 'string' or 'glob'",
    ),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": {}}, "claim_mappings": {"a": "role"}},
        (
            "invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
            '"a" must be '
            "text or a list of texts, got an object"
        ),
    ),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": 1}, "claim_mappings": {"a": "role"}},
        (
            "invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
            '"a" must be '
            "text or a list of texts, got a number"
        ),
    ),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": ["b", True]}},
        (
            "invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
            '"a" must be '
            "text or a list of texts, got a list that holds true or false"
        ),
    ),
    (
        {"claim_mappings": {"a": "role"}, "oauth2_metadata": "x"},
        'metadata key "role" is reserved and may not be a mapping destination',
    ),
    (
        {"claim_mappings": {"a": "x", "b": "x"}, "oauth2_metadata": "x"},
        'multiple keys are mapped to metadata key "x"',
    ),
    (
        {"oauth2_metadata": "id_token,secret", "user_claim": ""},
        (
            "unrecognized 'oauth2_metadata' name \"secret\"; known are access_token, id_token and "
            "refresh_token"
        ),
    ),
    (
        {"user_claim": "", "callback_mode": "x"},
        "a user claim must be defined on the role: 'user_claim' is not set",
    ),
    (
        {"callback_mode": "", "bound_audiences": ""},
        "invalid 'callback_mode': \"\"; it must be 'client', 'direct' or 'device'",
    ),
    (
        {"role_type": "oidc", "callback_mode": "device"},
        "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
    ),
    (
        {"bound_audiences": "", "bound_claims": {}},
        (
            "must have at least one bound constraint when creating/updating a role: "
            "'bound_audiences', 'bound_subject', 'bound_claims' or 'token_bound_cidrs'"
        ),
    ),
]


@pytest.mark.parametrize(("sent", "text"), REFUSED, ids=[str(sent) for sent, _ in REFUSED])
def test_refused(sent, text):
    with pytest.raises(UserError) as caught:
        written(LEAST | sent)
    assert caught.value.message == text


@pytest.mark.parametrize("policies", [["a", ""], ["a", "{{ .sub"]], ids=["empty", "open"])
def test_policies_that_are_no_templates_are_openbaos_500(policies):
    with pytest.raises(InternalError) as caught:
        written(LEAST | {"token_policies_template_claims": True, "token_policies": policies})
    assert caught.value.code == "policy_template_invalid"
    assert caught.value.message.startswith(
        "failed to parse 'token_policies' as templates: policy 2"
    )


COERCION = 'Field validation failed: error converting input for field "{}": expected {}'


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "bound_audiences",
            {"a": "hush"},
            "comma-separated text or a list of texts, got an object",
        ),
        ("bound_claims", "hush", "an object, got text"),
        ("user_claim", ["hush"], "text, got a list"),
        (
            "user_claim_json_pointer",
            "hush",
            "a boolean (true or false), got text that is neither",
        ),
        ("token_num_uses", "hush", "a whole number, got text that is no number"),
        (
            "token_ttl",
            -1,
            (
                'a duration (seconds, or text such as "90s", "1h30m", "30d") that is not negative, '
                "got a negative one"
            ),
        ),
    ],
)
def test_wrong_kinds_are_named_without_their_value(name, value, text):
    with pytest.raises(UserError) as caught:
        written(LEAST | {name: value})
    assert caught.value.message == COERCION.format(name, text)


def test_an_update_keeps_what_it_does_not_send():
    before = replace(
        Role.from_stored(stored.VAULT_ROLE),
        groups_claim="g",
        poll_interval=3,
        oauth2_metadata=("id_token",),
        verbose_oidc_logging=True,
    )
    after = written({"role_type": "jwt", "bound_subject": "new"}, before)
    # alias_metadata goes back to its default: V resets it on every write.
    assert after == replace(before, bound_subject="new", alias_metadata={})


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("bound_claims_type", "glob", "string"),
        ("callback_mode", "direct", "client"),
        ("oidc_disable_confirmation", True, False),
        ("alias_metadata", {"a": "b"}, {}),
    ],
)
def test_an_update_resets_what_it_does_not_send(name, value, default):
    before = written(LEAST | {name: value})
    assert getattr(before, name) == value
    assert getattr(written({"role_type": "jwt"}, before), name) == default


def test_an_update_without_role_type_turns_the_role_into_oidc():
    before = written(LEAST)
    with pytest.raises(UserError) as caught:
        written({"bound_subject": "x"}, before)
    assert caught.value.message == (
        "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."
    )
    assert written({"allowed_redirect_uris": "u"}, before).role_type == "oidc"


def test_switching_to_glob_without_claims_is_not_checked():
    before = written(LEAST | {"bound_claims": {"a": 1}})
    assert written({"role_type": "jwt", "bound_claims_type": "glob"}, before).bound_claims == {
        "a": 1
    }


@pytest.mark.parametrize(
    ("sent", "old", "new"),
    [
        ({"token_ttl": 9}, 0, 9),
        ({"ttl": 9}, 9, 9),
        ({"ttl": 8, "token_ttl": 9}, 9, 9),
        ({}, 5, 5),
        ({"ttl": None}, 5, 5),
        ({"token_ttl": None, "ttl": 8}, 8, 8),
    ],
    ids=["only new", "only old", "both", "neither", "null old", "null new"],
)
def test_deprecated_alias_over_a_stored_one(sent, old, new):
    before = written(LEAST | {"ttl": 5})
    after = written({"role_type": "jwt"} | sent, before)
    assert (after.ttl, after.token_ttl) == (old * SECOND, new * SECOND)


def test_stored_extras_are_kept():
    before = replace(written(LEAST), extra={"from_the_future": 1})
    assert written({"role_type": "jwt"}, before).extra == {"from_the_future": 1}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ()),
        ({"token_max_ttl": 2_764_800}, ()),
        ({"token_max_ttl": 2_764_801}, (WARN_MAX_TTL,)),
        ({"verbose_oidc_logging": True}, (WARN_VERBOSE_LOGGING,)),
        ({"max_ttl": 2_764_801, "verbose_oidc_logging": 1}, (WARN_MAX_TTL, WARN_VERBOSE_LOGGING)),
    ],
)
def test_warnings(sent, expected):
    assert warnings_of(written(LEAST | sent), max_lease_ttl_ns=MAX_LEASE) == expected
