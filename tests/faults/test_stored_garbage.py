"""What is stored is garbage: an error that says what, never a yes, and nobody else notices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.stand_in import DONE, Outcome, failed
from tests.faults.test_storage import cel_role, with_cel
from tests.faults.world import role
from tests.hosts.tokens import public_pem

if TYPE_CHECKING:
    from tests.faults.stand_in import Mount, StandIn

MIB = 1024 * 1024
SECRET = "hunter2"
"""Stands in every garbage for what no error and no log line may show."""

WHO = {
    "config": "stored config",
    "role/demo": 'stored role "demo"',
    "cel/role/demo": 'stored CEL role "demo"',
}
"""How errors call what is stored under a key."""

LOGIN = {"config": "login", "role/demo": "login", "cel/role/demo": "cel/login"}

CODE = {
    "config": "stored_config_invalid",
    "role/demo": "stored_role_invalid",
    "cel/role/demo": "stored_role_invalid",
}

START = "not JSON at character 0: Expecting value"
DEEP = "nested deeper than 128 levels"

NOT_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", START),
    "text": (SECRET.encode(), START),
    "zeros": (b"\0" * 64, START),
    "byte-order-mark": (b'\xef\xbb\xbf{"a":"hunter2"}', START),
    "not-utf-8": (b'{"a":"hunter2\xff"}', "not UTF-8"),
    "utf-16": (json.dumps({"a": SECRET}).encode("utf-16"), "not UTF-8"),
    "deep": (b'{"hunter2":' + b"[" * 100_000 + b"]" * 100_000 + b"}", DEEP),
    "deep-and-open": (b'["hunter2",' * (MIB // 11), DEEP),
    "nan": (b'{"hunter2":NaN}', "NaN is no JSON"),
    "long-number": (b'{"hunter2":' + b"9" * 100_000 + b"}", "a number has too many digits"),
    "far-number": (b'{"hunter2":1e999999999}', "a number's power of ten is beyond 308"),
}

NO_OBJECT: dict[str, bytes] = {
    "null": b"null",
    "list": b'["hunter2"]',
    "large": b'["' + SECRET.encode() * (5 * MIB // len(SECRET)) + b'"]',
}

KEYS = pytest.mark.parametrize("key", WHO)


@pytest.fixture
def garbled(mount: Mount, key: str) -> Mount:
    """A mount with a key and the roles `demo` and `other`; as CEL roles too if `key` is one's."""
    if key.startswith("cel"):
        with_cel(mount)
        assert mount.write("cel/role/other", **cel_role()).status == 200
    return mount


def put(mount: Mount, key: str, raw: bytes) -> None:
    """Let something be stored behind the plugin's back."""
    mount.storage.entries[key] = raw
    mount.invalidate(key)


def check_garbage(stand_in: StandIn, mount: Mount, key: str, expected: Outcome) -> None:
    """Whoever reads it is told, in the same words, and nobody else is touched."""
    path = LOGIN[key]
    assert mount.login(path=path) == expected
    assert mount.logged_failure() == (CODE[key], expected.body)
    assert mount.read(key) == expected
    if key != "config":
        assert mount.login("other", path).status == 200
        assert mount.list(key.rpartition("/")[0] + "/") == Outcome(200, {"keys": ["demo", "other"]})
    assert SECRET not in str(stand_in.log)


def repair(mount: Mount, key: str) -> None:
    """As an operator does it."""
    if key == "config":
        assert mount.write(key, jwt_validation_pubkeys=public_pem("rsa")) == DONE
    elif key == "role/demo":
        # A write keeps what it does not send, so it builds on nothing that it can't read: what it
        # would leave out might have bound the role.
        wrong = mount.write(key, **role())
        assert wrong.status == 500
        assert wrong.body.startswith('existence check: stored role "demo": ')
        assert mount.delete(key) == DONE
        assert mount.write(key, **role()) == DONE
    else:
        assert mount.write(key, **cel_role()).status == 200
    assert mount.login(path=LOGIN[key]).status == 200
    assert mount.read(key).status == 200


@KEYS
@pytest.mark.parametrize(("raw", "problem"), NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json(stand_in: StandIn, garbled: Mount, key, raw, problem):
    put(garbled, key, raw)
    check_garbage(stand_in, garbled, key, failed(f"{WHO[key]}: {problem}"))
    repair(garbled, key)


@KEYS
@pytest.mark.parametrize("raw", NO_OBJECT.values(), ids=NO_OBJECT)
def test_what_is_no_object(stand_in: StandIn, garbled: Mount, key, raw):
    put(garbled, key, raw)
    problem = "no JSON object with a cel_program" if key.startswith("cel") else "no JSON object"
    check_garbage(stand_in, garbled, key, failed(f"{WHO[key]}: {problem}"))
    repair(garbled, key)


@KEYS
def test_what_was_cut_off_anywhere(garbled: Mount, key):
    whole = garbled.storage.entries[key]
    for length in range(0, len(whole), 7):
        put(garbled, key, whole[:length])
        outcome = garbled.login(path=LOGIN[key])
        assert outcome.status == 500, length
        assert outcome.body.startswith(f"{WHO[key]}: not JSON at character "), outcome
    repair(garbled, key)


WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "a-number": 7,
    "a-fraction": 1.5,
    "a-huge-number": 10**300,
    "text": SECRET,
    "an-empty-text": "",
    "a-list": [SECRET],
    "a-list-of-lists": [[SECRET]],
    "an-empty-list": [],
    "an-object": {"a": {SECRET: 1}},
    "an-empty-object": {},
}

UNBOUND = {
    "config": {
        ("jwt_supported_algs", "null"),
        ("jwt_supported_algs", "an-empty-list"),
        ("bound_issuer", "null"),
        ("bound_issuer", "an-empty-text"),
    },
    "role/demo": {
        ("bound_subject", "null"),
        ("bound_subject", "an-empty-text"),
        ("bound_claims", "null"),
        ("bound_claims", "an-empty-object"),
        ("token_bound_cidrs", "null"),
        ("token_bound_cidrs", "an-empty-list"),
    },
    "cel/role/demo": {("bound_audiences", "null"), ("bound_audiences", "an-empty-list")},
}
"""What the servers' own methods store for a bound that was never set; every other value of a bound
must let nobody in."""

BOUNDS = {
    "config": {"jwt_validation_pubkeys", "jwt_supported_algs", "bound_issuer"},
    "role/demo": {
        "bound_audiences",
        "bound_subject",
        "bound_claims",
        "token_bound_cidrs",
        "user_claim",
    },
    "cel/role/demo": {"bound_audiences", "cel_program"},
}
"""Members that say who may log in."""

CLAIM_NAMES = {("user_claim", "text"), ("groups_claim", "text")}
"""A denial names the claim that is missing, as it must."""


@KEYS
def test_members_of_wrong_kinds(stand_in: StandIn, garbled: Mount, key):
    whole = json.loads(garbled.storage.entries[key])
    admitted = set()
    for member in whole:
        for name, value in WRONG.items():
            put(garbled, key, json.dumps(whole | {member: value}).encode())
            outcome = garbled.login(path=LOGIN[key])
            case = (member, name)
            if outcome.status == 200:
                admitted.add(case)
                continue
            assert outcome.status in {400, 500}, (case, outcome)
            if outcome.status == 500:
                assert outcome.body.startswith(f"{WHO[key]}: "), (case, outcome)
            if case not in CLAIM_NAMES:
                assert SECRET not in outcome.body, (case, outcome)
    assert {case for case in admitted if case[0] in BOUNDS[key]} == UNBOUND[key]
    assert SECRET not in str(stand_in.log)
    put(garbled, key, json.dumps(whole).encode())
    assert garbled.login(path=LOGIN[key]).status == 200
