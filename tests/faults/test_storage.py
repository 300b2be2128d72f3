"""The host's storage fails: clear errors, nothing half done, and no cache ahead of what is stored.

Texts are asserted as the plugin sends them; which status hosts make of them: `stand_in.Outcome`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.faults.callbacks import (
    DELETE,
    GET,
    LIST,
    LIST_PAGE,
    PUT,
    fails,
    loses_the_answer,
    says,
)
from tests.faults.stand_in import DONE, Outcome, failed
from tests.faults.world import role
from tests.hosts.tokens import public_pem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.callbacks import Fault
    from tests.faults.stand_in import Mount, StandIn

STATUS = grpc.StatusCode

WRONG_AUDIENCE = Outcome(400, 'claim "aud" does not match any of the role\'s bound_audiences')
NO_DEMO = Outcome(400, 'role "demo" could not be found')
PROGRAM = "pb.Auth{display_name: claims.sub, alias: logical.Alias{name: claims.sub}}"
DENYING = "'not today'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A way in which storage fails, and what the caller reads of it."""

    fault: Fault
    text: str


def failures(make: Callable[[grpc.StatusCode, str], Fault] = fails) -> list[Any]:
    """Statuses of gRPC that storage may fail with."""
    return [
        pytest.param(
            Failure(fault=make(code, text), text=f"storage: {code.name}: {text}"), id=code.name
        )
        for code, text in (
            (STATUS.UNAVAILABLE, "the leader is being elected"),
            (STATUS.INTERNAL, "raft apply failed"),
            (STATUS.DEADLINE_EXCEEDED, "context deadline exceeded"),
        )
    ]


SAID = pytest.param(Failure(fault=says("disk on fire"), text="disk on fire"), id="said")


def cel_role(**more: Any) -> dict[str, Any]:
    return {
        "cel_program": {"expression": PROGRAM},
        "bound_audiences": role()["bound_audiences"],
    } | (more)


def with_cel(mount: Mount) -> Mount:
    """With the CEL role `demo` too."""
    assert mount.write("cel/role/demo", **cel_role()).status == 200
    return mount


# --- Reading -------------------------------------------------------------------------------------

READS: dict[str, tuple[str, str, Callable[[Mount], Outcome]]] = {
    "config": (GET, "config", lambda mount: mount.read("config")),
    "role": (GET, "role/demo", lambda mount: mount.read("role/demo")),
    "cel-role": (GET, "cel/role/demo", lambda mount: mount.read("cel/role/demo")),
    "roles": (LIST_PAGE, "role/", lambda mount: mount.list("role/")),
    "some-roles": (LIST_PAGE, "role/", lambda mount: mount.list("role/", after="demo")),
    "cel-roles": (LIST_PAGE, "cel/role/", lambda mount: mount.list("cel/role/")),
    "login-config": (GET, "config", lambda mount: mount.login()),
    "login-role": (GET, "role/demo", lambda mount: mount.login()),
    "cel-login-config": (GET, "config", lambda mount: mount.login(path="cel/login")),
    "cel-login-role": (GET, "cel/role/demo", lambda mount: mount.login(path="cel/login")),
    "resolve-role": (
        GET,
        "role/demo",
        lambda mount: mount.request("resolve-role", "login", data={"role": "demo"}),
    ),
}


@pytest.mark.parametrize("failure", [SAID, *failures()])
@pytest.mark.parametrize("what", READS)
def test_what_can_not_be_read_is_an_error_and_the_next_attempt_works(mount, what, failure):
    method, key, read = READS[what]
    with_cel(mount)
    stored = dict(mount.storage.entries)
    with mount.storage.faulty(failure.fault, method, key=key):
        assert read(mount) == failed(failure.text)
        assert read(mount) == failed(failure.text)
    assert mount.logged_failure() == ("storage_error", failure.text)
    assert read(mount).status == 200
    assert mount.storage.entries == stored


def test_vaults_list_fails_like_openbaos(stand_in: StandIn):
    mount = stand_in.mount(pages=False).configured()
    with mount.storage.faulty(says("disk on fire"), LIST):
        assert mount.list("role/") == failed("disk on fire")
    assert mount.list("role/") == Outcome(200, {"keys": ["demo", "other"]})


def test_a_renewal_that_must_read_fails_and_works_afterwards(mount):
    auth = mount.login().body
    mount.invalidate("role/demo")
    with mount.storage.faulty(says("disk on fire"), GET):
        assert mount.renew(auth) == failed("disk on fire")
    assert mount.renew(auth).status == 200


def test_who_needs_no_storage_does_not_notice(mount):
    with_cel(mount)
    auth = mount.login().body
    assert mount.login(path="cel/login").status == 200
    assert mount.list("role/").status == 200
    asked = list(mount.storage.calls)
    methods = (GET, PUT, DELETE, LIST, LIST_PAGE)
    with mount.storage.faulty(fails(STATUS.UNAVAILABLE, "gone"), *methods):
        for _ in range(20):
            assert mount.login().status == 200
            assert mount.login(path="cel/login").status == 200
            assert mount.renew(auth).status == 200
        # The minute's tick asks what this node is, of the system view, and believes on.
        assert mount.rollback() == DONE
        assert mount.login().status == 200
        assert mount.list("role/") == Outcome(200, {"keys": ["demo", "other"]})
        # A role that is not known is another matter.
        assert mount.login("other") == failed("storage: UNAVAILABLE: gone")
    assert mount.storage.calls == [*asked, (GET, "role/other")]


@pytest.mark.parametrize("failure", [*failures()])
def test_a_system_view_that_fails_stores_nothing(mount, failure):
    text = failure.text.replace("storage", "system view")
    stored = dict(mount.storage.entries)
    with mount.storage.faulty(failure.fault, "MaxLeaseTTL"):
        assert mount.write("role/demo", **role(token_ttl=60)) == failed(text)
    assert mount.storage.entries == stored
    assert mount.write("role/demo", **role(token_ttl=60)) == DONE


@pytest.mark.parametrize("method", ["ReplicationState", "LocalMount"])
def test_a_mount_starts_though_it_is_not_known_what_the_node_is(stand_in: StandIn, method):
    mount = stand_in.mount()
    with mount.storage.faulty(fails(STATUS.INTERNAL, "who knows"), method):
        assert mount.initialize() == ""
        trace = mount.wait_logged("replication_state_unknown")["traceback"]
        assert trace.endswith("SystemViewError: system view: INTERNAL: who knows\n")
    # It believes what is cached for a second only, and serves.
    assert mount.configured().login().status == 200


# --- Writing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A change, and how logins show whether it is in force.

    Attributes:
        key: what it changes.
        change: makes it.
        method: of storage.
        path: where the login goes.
        after: what the login comes to once the change is in force; 200 before.
        done: the status of a change that succeeds.
    """

    key: str
    change: Callable[[Mount], Outcome]
    after: Outcome
    method: str = PUT
    path: str = "login"
    done: int = 204


WRITES = {
    "config": Write(
        key="config",
        change=lambda mount: mount.write("config", jwt_validation_pubkeys=public_pem("rsa-other")),
        after=Outcome(400, "the token's signature was made by none of the configured keys"),
    ),
    "role": Write(
        key="role/demo",
        change=lambda mount: mount.write("role/demo", **role(bound_audiences="elsewhere")),
        after=WRONG_AUDIENCE,
    ),
    "role-deleted": Write(
        key="role/demo",
        change=lambda mount: mount.delete("role/demo"),
        after=NO_DEMO,
        method=DELETE,
    ),
    "cel-role": Write(
        key="cel/role/demo",
        change=lambda mount: mount.write(
            "cel/role/demo", **cel_role(cel_program={"expression": DENYING})
        ),
        after=Outcome(400, 'CEL role "demo" denied the login: "not today"'),
        path="cel/login",
        done=200,
    ),
    "cel-role-patched": Write(
        key="cel/role/demo",
        change=lambda mount: mount.patch("cel/role/demo", bound_audiences="elsewhere"),
        after=WRONG_AUDIENCE,
        path="cel/login",
        done=200,
    ),
    "cel-role-deleted": Write(
        key="cel/role/demo",
        change=lambda mount: mount.delete("cel/role/demo"),
        after=NO_DEMO,
        method=DELETE,
        path="cel/login",
    ),
}

WRITING = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@WRITING
@pytest.mark.parametrize("failure", [SAID, *failures()])
def test_what_was_not_written_is_not_in_force(mount, write: Write, failure):
    with_cel(mount)
    assert mount.login(path=write.path).status == 200
    stored = dict(mount.storage.entries)
    with mount.storage.faulty(failure.fault, write.method):
        assert write.change(mount) == failed(failure.text)
        assert mount.login(path=write.path).status == 200
    assert mount.storage.entries == stored
    assert mount.login(path=write.path).status == 200
    assert write.change(mount).status == write.done
    assert mount.login(path=write.path) == write.after


@WRITING
@pytest.mark.parametrize("failure", failures(loses_the_answer))
def test_what_was_written_is_in_force_though_the_answer_was_lost(mount, write: Write, failure):
    with_cel(mount)
    assert mount.login(path=write.path).status == 200
    with mount.storage.faulty(failure.fault, write.method, key=write.key):
        assert write.change(mount) == failed(failure.text)
    assert mount.login(path=write.path) == write.after
    # Once more, into the same state, is no error either.
    assert write.change(mount).status == write.done


@pytest.mark.parametrize("failure", [SAID, *failures()])
@pytest.mark.parametrize("path", ["role/demo", "cel/role/demo"])
def test_a_change_that_can_not_read_what_is_there_writes_nothing(mount, path, failure):
    with_cel(mount)
    stored = dict(mount.storage.entries)
    puts = len(mount.storage.puts)
    with mount.storage.faulty(failure.fault, GET, key=path):
        if path == "role/demo":
            # Hosts ask first whether it exists, and log this text.
            changed = mount.write(path, token_ttl=60)
            assert changed == failed(f"existence check: {failure.text}")
            assert mount.request("update", path, data={"token_ttl": 60}) == failed(failure.text)
        else:
            assert mount.patch(path, message="new") == failed(failure.text)
            assert mount.write(path, **cel_role()) == failed(failure.text)
    with mount.storage.faulty(failure.fault, GET, key="config"):
        changed = mount.write("config", jwt_validation_pubkeys=public_pem("rsa-other"))
        assert changed == failed(failure.text)
    assert mount.storage.entries == stored
    assert len(mount.storage.puts) == puts


def test_a_role_that_was_not_written_is_not_listed(mount):
    assert mount.list("role/") == Outcome(200, {"keys": ["demo", "other"]})
    with mount.storage.faulty(says("disk on fire"), PUT):
        assert mount.write("role/third", **role()) == failed("disk on fire")
    assert mount.list("role/") == Outcome(200, {"keys": ["demo", "other"]})
    with mount.storage.faulty(loses_the_answer(STATUS.UNAVAILABLE, "gone"), PUT):
        assert mount.write("role/third", **role()) == failed("storage: UNAVAILABLE: gone")
    assert mount.list("role/") == Outcome(200, {"keys": ["demo", "other", "third"]})
    assert json.loads(mount.storage.entries["role/third"])["user_claim"] == "sub"
