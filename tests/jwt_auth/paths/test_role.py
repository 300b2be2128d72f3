from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.jwt_auth import stored
from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.jwt_auth.paths.role import (
    WARN_MAX_TTL,
    WARN_VERBOSE_LOGGING,
    merge,
    warnings_of,
)
from vault_jwt_plugin.jwt_auth.role.fields import NAME_FIELD
from vault_jwt_plugin.jwt_auth.role.role import ROLE_FIELDS, Role
from vault_jwt_plugin.sdk import (
    FieldData,
    InternalError,
    Operation,
    ReadOnlyError,
    Response,
    StorageError,
    TokenType,
    UnsupportedOperation,
    UnsupportedPath,
    UserError,
    by_name,
)

SECOND = 1_000_000_000
MAX_LEASE = 2_764_800 * SECOND
FIELDS = by_name((NAME_FIELD, *ROLE_FIELDS))
LEAST: dict[str, Any] = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"}


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


ACCEPTED: list[Any] = [
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


REFUSED: list[Any] = [
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
        (
            "invalid 'token_type' value \"default-service\"; allowed are 'default', 'service' "
            "and 'batch'"
        ),
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
            "a string or a list of strings, got an object"
        ),
    ),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": 1}, "claim_mappings": {"a": "role"}},
        (
            "invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
            '"a" must be '
            "a string or a list of strings, got a number"
        ),
    ),
    (
        {"bound_claims_type": "glob", "bound_claims": {"a": ["b", True]}},
        (
            "invalid 'bound_claims': with 'bound_claims_type' of 'glob', the value of "
            '"a" must be '
            "a string or a list of strings, got a list that holds a boolean"
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
        (
            "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified. "
            "For logins with a token send role_type=jwt."
        ),
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
            "a comma-separated string or a list of strings, got an object",
        ),
        (
            "bound_claims",
            "hush",
            (
                "an object, got a string; in a command, send the whole request as JSON "
                "(write PATH @FILE)"
            ),
        ),
        ("user_claim", ["hush"], "a string, got a list"),
        (
            "user_claim_json_pointer",
            "hush",
            "a boolean, got a string that is neither",
        ),
        ("token_num_uses", "hush", "a whole number, got a string that is no number"),
        (
            "token_ttl",
            -1,
            (
                'a duration (seconds, or a string such as "90s", "1h30m", "30d") that is not '
                "negative, got a negative one"
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
        Role.from_stored("demo", stored.VAULT_ROLE),
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
        "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified. "
        "For logins with a token send role_type=jwt."
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


# The handlers, on a mount.


def on_mount(scenario, entries=None):
    async def main():
        async with Mounted(entries) as mounted:
            await scenario(mounted)

    asyncio.run(main())


def test_write_read_list_delete():
    async def scenario(mounted):
        assert await mounted.ask(Operation.READ, "role/demo") is None
        assert await mounted.write("role/Demo", LEAST) is None
        assert list(mounted.storage.entries) == ["role/demo"]
        read = await mounted.ask(Operation.READ, "role/DEMO")
        assert read.data["bound_audiences"] == ["vault"]
        assert read.warnings == ()
        assert await mounted.ask(Operation.LIST, "role/") == Response(data={"keys": ["demo"]})
        for _ in range(2):
            assert await mounted.ask(Operation.DELETE, "role/demo") is None
        assert mounted.storage.entries == {}
        assert await mounted.ask(Operation.READ, "role/demo") is None

    on_mount(scenario)


def test_listing_nothing_is_the_hosts_404():
    async def scenario(mounted):
        assert await mounted.ask(Operation.LIST, "role/") == Response(data={})

    on_mount(scenario)


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"limit": 2}, ["a", "b"]),
        ({"limit": "0"}, ["a", "b", "c"]),
        ({"limit": -1}, ["a", "b", "c"]),
        ({"after": "a"}, ["b", "c"]),
        ({"after": "aa", "limit": 1}, ["b"]),
    ],
)
def test_paging(sent, names):
    async def scenario(mounted):
        for name in ("c", "a", "b"):
            await mounted.write(f"role/{name}", LEAST)
        answer = await mounted.ask(Operation.LIST, "role/", sent)
        assert answer.data == {"keys": names}

    on_mount(scenario)


def test_warnings_make_a_response():
    async def scenario(mounted):
        answer = await mounted.write("role/demo", LEAST | {"verbose_oidc_logging": True})
        assert answer == Response(warnings=(WARN_VERBOSE_LOGGING,))
        assert "role/demo" in mounted.storage.entries

    on_mount(scenario)


@pytest.mark.parametrize(
    ("bound", "lines"),
    [
        ({"bound_audiences": "a"}, []),
        (
            {"bound_subject": "a"},
            ["role has no bound_audiences: tokens that carry an aud claim will be refused"],
        ),
    ],
    ids=["bound", "unbound"],
)
def test_a_role_without_audiences_is_a_log_line_and_no_warning(bound, lines, caplog):
    caplog.set_level("INFO")

    async def scenario(mounted):
        sent = {"role_type": "jwt", "user_claim": "sub"} | bound
        assert await mounted.write("role/demo", sent) is None
        assert [record.message for record in caplog.records] == lines

    on_mount(scenario)


def test_update_of_a_role_that_is_gone():
    async def scenario(mounted):
        with pytest.raises(InternalError) as caught:
            await mounted.ask(Operation.UPDATE, "role/demo", LEAST)
        assert caught.value.message == "role entry not found during update operation"
        assert mounted.storage.entries == {}

    on_mount(scenario)


@pytest.mark.parametrize("asked", ["read", "update", "existence check"])
def test_a_stored_role_that_can_not_be_understood_is_a_fault(asked):
    async def scenario(mounted):
        asking = {
            "read": lambda: mounted.ask(Operation.READ, "role/demo"),
            "update": lambda: mounted.ask(Operation.UPDATE, "role/demo", LEAST),
            "existence check": lambda: mounted.write("role/demo", LEAST),
        }[asked]
        with pytest.raises(InternalError) as caught:
            await asking()
        assert caught.value.code == "stored_role_invalid"
        assert mounted.storage.entries["role/demo"].value == b"{"

    on_mount(scenario, {"role/demo": b"{"})


@pytest.mark.parametrize(("sent", "text"), REFUSED, ids=[str(sent) for sent, _ in REFUSED])
def test_a_refused_write_stores_nothing(sent, text):
    async def scenario(mounted):
        await mounted.write("role/demo", LEAST)
        before = dict(mounted.storage.entries)
        with pytest.raises(UserError):
            await mounted.write("role/demo", LEAST | sent)
        with pytest.raises(UserError):
            await mounted.write("role/new", LEAST | sent)
        assert mounted.storage.entries == before

    on_mount(scenario)


def test_a_read_only_node_says_so_and_changes_nothing():
    async def scenario(mounted):
        await mounted.write("role/demo", LEAST)
        mounted.storage.read_only = True
        for operation in (Operation.UPDATE, Operation.DELETE):
            with pytest.raises(ReadOnlyError) as caught:
                await mounted.ask(operation, "role/demo", LEAST)
            assert caught.value.message == "cannot write to readonly storage"
        assert (await mounted.ask(Operation.READ, "role/demo")).data["user_claim"] == "sub"

    on_mount(scenario)


def test_storage_that_fails_is_a_fault_with_its_text():
    async def scenario(mounted):
        await mounted.write("role/demo", LEAST)
        mounted.storage.fail_with = "no space"
        for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE):
            with pytest.raises(StorageError) as caught:
                await mounted.ask(operation, "role/demo", LEAST)
            assert caught.value.message == "no space"
        with pytest.raises(StorageError):
            await mounted.ask(Operation.LIST, "role/")

    on_mount(scenario)


def test_updates_at_the_same_time_lose_nothing():
    async def scenario(mounted):
        await mounted.write("role/demo", LEAST)
        get = mounted.storage.get

        async def slowly(key):
            entry = await get(key)
            # Long enough for every other write to read before this one stores.
            for _ in range(20):
                await asyncio.sleep(0)
            return entry

        mounted.storage.get = slowly
        base: dict[str, Any] = {"role_type": "jwt"}
        sent: list[dict[str, Any]] = [
            {"bound_subject": "s"},
            {"groups_claim": "g"},
            {"token_ttl": 5},
            {"max_age": 6},
        ]
        await asyncio.gather(*(mounted.write("role/demo", base | each) for each in sent))
        role = Role.from_stored("demo", mounted.storage.entries["role/demo"].value)
        assert role.bound_subject == "s"
        assert role.groups_claim == "g"
        assert role.token_ttl == 5 * SECOND
        assert role.max_age == 6 * SECOND

    on_mount(scenario)


def test_the_period_is_bound_by_the_mounts_maximum_as_it_is_now():
    async def scenario(mounted):
        mounted.system.max_ttl_ns = 60 * SECOND
        await mounted.write("role/demo", LEAST | {"token_period": 60})
        with pytest.raises(UserError):
            await mounted.write("role/demo", LEAST | {"token_period": 61})
        assert await mounted.write("role/demo", LEAST | {"token_max_ttl": 61}) == Response(
            warnings=(WARN_MAX_TTL,)
        )

    on_mount(scenario)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (Operation.READ, "role/"),
        (Operation.LIST, "role/demo"),
        (Operation.PATCH, "role/demo"),
        (Operation.UPDATE, "role/"),
    ],
)
def test_operations_that_are_none(operation, path):
    async def scenario(mounted):
        with pytest.raises(UnsupportedOperation):
            await mounted.ask(operation, path)

    on_mount(scenario)


@pytest.mark.parametrize("path", ["role/a/b", "role/a@b", "role/-a", "role/a-", "roles"])
def test_paths_that_are_none(path):
    async def scenario(mounted):
        with pytest.raises(UnsupportedPath):
            await mounted.ask(Operation.READ, path)

    on_mount(scenario)


def test_the_name_in_the_path_wins_over_one_in_the_body():
    async def scenario(mounted):
        await mounted.write("role/demo", LEAST | {"name": "other"})
        assert list(mounted.storage.entries) == ["role/demo"]

    on_mount(scenario)
