"""The copies of fetched keys in storage: what fails there fails no login."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.faults.callbacks import DELETE, GET, LIST, PUT, READ_ONLY, STANDBY, Held, fails, says
from tests.faults.stand_in import DONE
from tests.faults.world import role, wait_until
from tests.hosts.tokens import jwk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.stand_in import Mount, StandIn
    from tests.hosts.issuer import Issuer, Issuers

STATUS = grpc.StatusCode
WITHIN_S = 10.0


class Copying:
    """A mount whose keys come from an issuer, and what is stored of them."""

    def __init__(self, stand_in: StandIn, issuer: Issuer, name: str) -> None:
        self.stand_in = stand_in
        self.issuer = issuer
        self.path = f"/copies-{name}"
        self.mount = stand_in.mount()
        issuer.put_json(self.path, {"keys": [jwk("rsa")]})

    @property
    def url(self) -> str:
        return self.issuer.url + self.path

    def configure(self, path: str = "") -> None:
        assert self.mount.initialize() == ""
        assert self.mount.write("config", jwks_url=self.issuer.url + (path or self.path)) == DONE
        assert self.mount.write("role/demo", **role()) == DONE

    def copies(self) -> list[str]:
        """Under which keys there are copies."""
        return [key for key in self.mount.storage.entries if key.startswith("key_source/")]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, WITHIN_S, what)

    def stored(self) -> str:
        """The key of the one copy, once it is there."""
        self.wait(self.copies, "a copy")
        [key] = self.copies()
        return key

    def restarted(self) -> Mount:
        """Another life of the mount, over the same storage."""
        entries = dict(self.mount.storage.entries)
        self.mount.close()
        self.mount = self.stand_in.mount()
        self.mount.storage.entries = entries
        assert self.mount.initialize() == ""
        return self.mount

    def silence(self) -> None:
        """From now on the issuer fails."""
        self.issuer.put_text(self.path, "down", status=503)


@pytest.fixture
def copying(stand_in: StandIn, issuers: Issuers, request: pytest.FixtureRequest) -> Copying:
    name = "".join(filter(str.isalnum, request.node.name))
    return Copying(stand_in, issuers.http, name)


FAULTS = {
    "said": (says("disk on fire"), "disk on fire"),
    "status": (fails(STATUS.UNAVAILABLE, "gone"), "storage: UNAVAILABLE: gone"),
}
FAULTY = pytest.mark.parametrize(("fault", "text"), FAULTS.values(), ids=FAULTS)


@FAULTY
def test_a_copy_that_can_not_be_written_is_written_later(copying: Copying, fault, text):
    mount = copying.mount
    assert mount.initialize() == ""
    with mount.storage.faulty(fault, PUT, key=None):
        # The configuration is stored by hand: the fault is in every write.
        mount.storage.entries["config"] = json.dumps({"jwks_url": copying.url}).encode()
        mount.storage.entries["role/demo"] = json.dumps(
            {"user_claim": "sub", "role_type": "jwt", "bound_audiences": ["https://vault.example"]}
        ).encode()
        assert mount.login().status == 200
        assert mount.wait_logged("keys_store_failed")["error"] == text
        assert mount.rollback() == DONE
        assert mount.login().status == 200
        assert copying.copies() == []
    assert mount.rollback() == DONE
    copying.stored()


@FAULTY
def test_copies_that_can_not_be_swept_are_swept_later(copying: Copying, fault, text):
    copying.configure()
    mount = copying.mount
    old = copying.stored()
    other = copying.path + "-other"
    copying.issuer.put_json(other, {"keys": [jwk("rsa")]})
    with mount.storage.faulty(fault, LIST, DELETE):
        assert mount.write("config", jwks_url=copying.issuer.url + other) == DONE
        assert mount.wait_logged("keys_store_failed")["error"] == text
        assert mount.login().status == 200
        assert old in copying.copies()
    assert mount.rollback() == DONE
    copying.wait(lambda: old not in copying.copies(), "the sweep")
    assert mount.login().status == 200


@FAULTY
def test_a_copy_that_can_not_be_read_is_not_needed_while_the_issuer_answers(
    copying: Copying, fault, text
):
    copying.configure()
    key = copying.stored()
    mount = copying.restarted()
    with mount.storage.faulty(fault, GET, key=key):
        assert mount.login().status == 200
    assert mount.read("config").body["status"] == "valid"


def test_without_an_issuer_the_copy_serves(copying: Copying):
    copying.configure()
    copying.stored()
    copying.silence()
    assert copying.restarted().login().status == 200
    copying.mount.read("config")


@FAULTY
def test_without_either_a_login_says_what_the_issuer_said(copying: Copying, fault, text):
    copying.configure()
    key = copying.stored()
    copying.silence()
    mount = copying.restarted()
    with mount.storage.faulty(fault, GET, key=key):
        outcome = mount.login()
    assert outcome.status == 400
    assert outcome.body.startswith("there are no keys to verify the token with: ")
    assert "503" in outcome.body
    assert mount.wait_logged("stored_keys_unreadable")["error"] == text


def test_a_login_does_not_wait_for_a_copy_that_hangs(copying: Copying):
    copying.configure()
    key = copying.stored()
    mount = copying.restarted()
    held = Held()
    with mount.storage.faulty(held, GET, key=key):
        login = mount.begin_login()
        held.wait_reached()
        # The issuer answers: what is stored is not needed any more.
        assert login.outcome().status == 200
        held.released.set()


GARBAGE = {
    "empty": (b"", "not JSON at character 0: Expecting value"),
    "not-json": (b"hunter2", "not JSON at character 0: Expecting value"),
    "not-utf-8": (b'{"format":1,"a":"\xff"}', "not UTF-8"),
    "null": (b"null", "they have another format"),
    "a-list": (b"[1]", "they have another format"),
    "deep": (b"[" * 400_000, "nested deeper than 128 levels"),
    "large": (b'"' + b"x" * 5_000_000 + b'"', "they are larger than any that are written"),
}


@pytest.mark.parametrize(("raw", "why"), GARBAGE.values(), ids=GARBAGE)
def test_a_copy_that_is_garbage_is_replaced(copying: Copying, raw, why):
    copying.configure()
    key = copying.stored()
    good = copying.mount.storage.entries[key]
    copying.mount.storage.entries[key] = raw
    mount = copying.restarted()
    assert mount.login().status == 200
    copying.wait(lambda: mount.storage.entries[key] != raw, "a new copy")
    assert json.loads(mount.storage.entries[key])["keys"] == json.loads(good)["keys"]


@pytest.mark.parametrize(("raw", "why"), GARBAGE.values(), ids=GARBAGE)
def test_a_copy_that_is_garbage_lets_nobody_in(copying: Copying, raw, why):
    copying.configure()
    key = copying.stored()
    copying.mount.storage.entries[key] = raw
    copying.silence()
    mount = copying.restarted()
    outcome = mount.login()
    assert outcome.status == 400
    assert outcome.body.startswith("there are no keys to verify the token with: ")
    line = mount.wait_logged("stored_keys_ignored")
    assert (line["key"], line["error"]) == (key, why)


def test_members_of_a_copy_of_wrong_kinds_let_nobody_in_and_break_nothing(copying: Copying):
    copying.configure()
    key = copying.stored()
    copying.silence()
    whole = json.loads(copying.mount.storage.entries[key])
    wrong: tuple[Any, ...] = (None, False, -7, 1.5, 10**400, "x", [], [[]], [None], {"a": {}})
    # What is said of the keys, and not what they are or how old.
    harmless = {"max_age", "document_sha256", "unusable"}
    for member in whole:
        for value in wrong:
            broken = whole | {member: value}
            copying.mount.storage.entries[key] = json.dumps(broken).encode()
            outcome = copying.restarted().login()
            if outcome.status == 200:
                assert member in harmless, (member, value)
            else:
                assert outcome.status == 400
                # A copy may well hold a set without a key that is of use.
                assert outcome.body.startswith(
                    "there is no key to verify the token with"
                    if member == "keys" and isinstance(value, list)
                    else "there are no keys to verify the token with: "
                ), (member, value)
    faults = [line for line in copying.stand_in.log if line.get("event") == "keys_fault"]
    assert faults == []


def test_a_standby_writes_no_copies(copying: Copying):
    copying.configure()
    entries = dict(copying.mount.storage.entries)
    entries.pop(copying.stored())
    standby = copying.stand_in.mount()
    standby.storage.entries = {key: value for key, value in entries.items() if "/" not in key}
    standby.storage.entries["role/demo"] = entries["role/demo"]
    standby.storage.state = STANDBY
    with standby.storage.faulty(says(READ_ONLY), PUT, DELETE):
        assert standby.initialize() == ""
        assert standby.login().status == 200
        assert standby.rollback() == DONE
    assert standby.storage.puts == []


def test_a_copy_refused_as_read_only_fails_nothing(copying: Copying):
    copying.configure()
    key = copying.stored()
    copying.mount.storage.entries.pop(key)
    mount = copying.restarted()
    with mount.storage.faulty(says(READ_ONLY), PUT):
        assert mount.login().status == 200
        copying.wait(lambda: key in mount.storage.puts, "an attempt")
        assert mount.login().status == 200
    # The tick asks anew what this node is.
    assert mount.rollback() == DONE
    copying.stored()
