"""The host's storage is slow, hangs, answers too late, or does several things at once."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.faults.callbacks import DELETE, GET, PUT, READ_ONLY, STANDBY, Held, fails, says
from tests.faults.stand_in import DONE, Outcome, failed
from tests.faults.world import role, wait_until
from tests.hosts.tokens import public_pem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.callbacks import Callback
    from tests.faults.stand_in import Mount, Pending, StandIn

STATUS = grpc.StatusCode
WRONG_AUDIENCE = Outcome(400, 'claim "aud" does not match any of the role\'s bound_audiences')
ELSEWHERE = {"bound_audiences": "elsewhere"}
FOLLOWED_S = 5.0
"""In which a login follows what may have changed unseen: a second (`cache.MAX_AGE_S`), and more
on a machine that is busy with other tests."""


def stored(mount: Mount, key: str = "role/demo") -> dict[str, Any]:
    members = json.loads(mount.storage.entries[key])
    assert isinstance(members, dict)
    return members


def login_ms(mount: Mount, count: int = 50) -> float:
    """Median time of a login, all of which succeed."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        assert mount.login().status == 200
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def test_a_slow_read_holds_its_own_request_alone(mount: Mount, say: Callable[[str], None]):
    assert mount.login().status == 200
    before_ms = login_ms(mount)
    reads = mount.storage.count(GET, "role/other")
    held = Held()
    with mount.storage.faulty(held, GET, key="role/other"):
        slow = [mount.begin_login("other") for _ in range(20)]
        held.wait_reached()
        during_ms = login_ms(mount)
        assert mount.read("role/demo").status == 200
        assert mount.write("role/third", **role()) == DONE
        assert mount.login("third").status == 200
        assert all(each.waiting for each in slow)
        held.released.set()
        assert [each.outcome().status for each in slow] == [200] * 20
    # They shared one read.
    assert mount.storage.count(GET, "role/other") == reads + 1
    say(f"login {before_ms:.2f} ms, while 20 others wait for storage {during_ms:.2f} ms")
    # Twice is no figure of ours: it tells a busy machine from a login that waits.
    assert during_ms < 2 * before_ms + 20


def test_a_read_is_given_up_with_its_request(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, GET, key="role/demo"):
        reading = mount.begin("read", "role/demo")
        held.wait_reached()
        reading.cancel()
        assert held.cancelled.wait(FOLLOWED_S)
    held.released.set()
    assert mount.read("role/demo").status == 200


def test_the_hosts_deadline_ends_a_request(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, GET, key="role/demo"):
        reading = mount.begin("read", "role/demo", timeout_s=0.2)
        # Whoever of the two notices first says it in its own words.
        assert reading.outcome().body.startswith("rpc error: DEADLINE_EXCEEDED: ")
        assert held.cancelled.wait(FOLLOWED_S)
    held.released.set()
    assert mount.read("role/demo").status == 200


def test_a_login_that_was_given_up_fails_no_other_that_waits(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, GET, key="role/demo"):
        first, second = mount.begin_login(), mount.begin_login()
        held.wait_reached()
        first.cancel()
        held.released.set()
        assert second.outcome().status == 200
    asked = list(mount.storage.calls)
    assert mount.login().status == 200
    assert mount.storage.calls == asked


def updating(mount: Mount, name: str, **data: Any) -> Pending:
    """An update of a role, as hosts send it once they know that it is there."""
    return mount.begin("update", f"role/{name}", data={"role_type": "jwt"} | data)


def overtaking(mount: Mount, key: str, operation: str, **data: Any) -> Pending:
    """A change of what is being written, once it has read what is there."""
    reads = mount.storage.count(GET, key)
    pending = mount.begin(operation, key, data=data)
    wait_until(lambda: mount.storage.count(GET, key) > reads, FOLLOWED_S, f"a read of {key}")
    return pending


def test_a_write_that_hangs_keeps_logins_going_by_what_is_stored(mount: Mount):
    assert mount.login().status == 200
    held = Held()
    with mount.storage.faulty(held, PUT, key="role/demo"):
        writing = updating(mount, "demo", **ELSEWHERE)
        held.wait_reached()
        waiting = updating(mount, "other", token_ttl=60)
        assert mount.login().status == 200
        assert mount.login("other").status == 200
        assert mount.read("role/demo").body["bound_audiences"] == ["https://vault.example"]
        assert writing.waiting
        assert waiting.waiting
        held.released.set()
        assert writing.outcome() == DONE
        assert waiting.outcome() == DONE
    assert mount.login() == WRONG_AUDIENCE
    assert stored(mount, "role/other")["token_ttl"] == 60_000_000_000


def test_a_write_goes_on_though_its_caller_goes_away(mount: Mount):
    assert mount.login().status == 200
    held = Held()
    with mount.storage.faulty(held, PUT, key="role/demo"):
        writing = updating(mount, "demo", **ELSEWHERE)
        held.wait_reached()
        writing.cancel()
        assert mount.login().status == 200
        next_one = updating(mount, "demo", token_ttl=60)
        held.released.set()
        assert next_one.outcome() == DONE
    assert not held.cancelled.is_set()
    assert mount.login() == WRONG_AUDIENCE
    assert stored(mount)["bound_audiences"] == ["elsewhere"]
    assert stored(mount)["token_ttl"] == 60_000_000_000


class Late:
    """A write that is reported as failed, and happens afterwards."""

    def __init__(self) -> None:
        self.serve: Callable[[], bytes] | None = None

    def __call__(self, call: Callback) -> bytes:
        self.serve = call.serve
        call.context.abort(STATUS.DEADLINE_EXCEEDED, "too late")
        raise AssertionError

    def happen(self) -> None:
        assert self.serve is not None
        self.serve()


@pytest.mark.parametrize(
    ("method", "change", "after"),
    [
        pytest.param(
            PUT,
            lambda mount: mount.write("role/demo", **role(**ELSEWHERE)),
            WRONG_AUDIENCE,
            id="written",
        ),
        pytest.param(
            DELETE,
            lambda mount: mount.delete("role/demo"),
            Outcome(400, 'role "demo" could not be found'),
            id="deleted",
        ),
    ],
)
def test_a_write_that_happens_after_all_is_followed(mount: Mount, method, change, after):
    assert mount.login().status == 200
    late = Late()
    with mount.storage.faulty(late, method):
        assert change(mount) == failed("storage: DEADLINE_EXCEEDED: too late")
    # Cached anew, by what is stored.
    assert mount.login().status == 200
    late.happen()
    wait_until(lambda: mount.login() == after, FOLLOWED_S, "the late write in force")
    for _ in range(5):
        assert mount.login() == after


# --- Conflicts -----------------------------------------------------------------------------------


def test_two_writes_of_one_role_are_one_after_the_other(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, PUT, key="role/demo"):
        one = updating(mount, "demo", token_ttl=60)
        held.wait_reached()
        others = [
            updating(mount, "demo", token_max_ttl=120),
            updating(mount, "demo", token_policies="dev"),
        ]
        held.released.set()
        assert [each.outcome() for each in (one, *others)] == [DONE] * 3
    members = stored(mount)
    assert members["token_ttl"] == 60_000_000_000
    assert members["token_max_ttl"] == 120_000_000_000
    assert members["token_policies"] == ["dev"]
    assert mount.login().body.policies == ["dev"]


def test_a_patch_builds_on_the_write_that_came_before_it(mount: Mount):
    program = {"expression": "'one'"}
    assert mount.write("cel/role/demo", cel_program=program, **ELSEWHERE).status == 200
    held = Held()
    with mount.storage.faulty(held, PUT, key="cel/role/demo"):
        data = {"cel_program": {"expression": "'two'"}, "message": "new"}
        writing = mount.begin("update", "cel/role/demo", data=data)
        held.wait_reached()
        patching = overtaking(mount, "cel/role/demo", "patch", **ELSEWHERE)
        held.released.set()
        assert writing.outcome().status == 200
        assert patching.outcome().status == 200
    members = stored(mount, "cel/role/demo")
    assert members["cel_program"] == {"expression": "'two'"}
    assert members["message"] == "new"
    assert members["bound_audiences"] == ["elsewhere"]


def test_a_patch_of_a_role_that_is_deleted_meanwhile_does_not_bring_it_back(mount: Mount):
    program = {"expression": "'one'"}
    assert mount.write("cel/role/demo", cel_program=program, **ELSEWHERE).status == 200
    held = Held()
    with mount.storage.faulty(held, DELETE, key="cel/role/demo"):
        deleting = mount.begin("delete", "cel/role/demo")
        held.wait_reached()
        patching = overtaking(mount, "cel/role/demo", "patch", message="new")
        held.released.set()
        assert deleting.outcome() == DONE
        assert patching.outcome() == Outcome(400, "unable to fetch the CEL role to patch")
    assert "cel/role/demo" not in mount.storage.entries


def test_an_update_of_a_role_that_is_deleted_meanwhile_does_not_bring_it_back(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, DELETE, key="role/demo"):
        deleting = mount.begin("delete", "role/demo")
        held.wait_reached()
        writing = updating(mount, "demo", **role())
        held.released.set()
        assert deleting.outcome() == DONE
        assert writing.outcome() == failed("role entry not found during update operation")
    assert "role/demo" not in mount.storage.entries


def test_two_configurations_are_one_after_the_other(mount: Mount):
    held = Held()
    wrong, right = public_pem("rsa-other"), public_pem("rsa")
    with mount.storage.faulty(held, PUT, key="config"):
        data = {"jwt_validation_pubkeys": wrong, "default_role": "demo"}
        one = mount.begin("update", "config", data=data)
        held.wait_reached()
        two = overtaking(mount, "config", "update", jwt_validation_pubkeys=right)
        assert mount.login().status == 200
        held.released.set()
        assert [one.outcome(), two.outcome()] == [DONE, DONE]
    assert mount.read("config").body["default_role"] == ""
    assert mount.login().status == 200


# --- Read-only -----------------------------------------------------------------------------------

WRITES: dict[str, Callable[[Mount], Outcome]] = {
    "config": lambda mount: mount.write("config", jwt_validation_pubkeys=public_pem("rsa")),
    "role": lambda mount: mount.write("role/demo", **role(token_ttl=60)),
    "new-role": lambda mount: mount.write("role/new", **role()),
    "role-deleted": lambda mount: mount.delete("role/demo"),
    "cel-role": lambda mount: mount.write("cel/role/demo", cel_program={"expression": "'no'"}),
    "cel-role-patched": lambda mount: mount.patch("cel/role/demo", message="new"),
    "cel-role-deleted": lambda mount: mount.delete("cel/role/demo"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_standbys_refusal_reaches_the_host_as_it_is(stand_in: StandIn, mount: Mount, write):
    assert mount.write("cel/role/demo", cel_program={"expression": "'yes'"}).status == 200
    stored_there = dict(mount.storage.entries)
    standby = stand_in.mount()
    standby.storage.entries = mount.storage.entries
    standby.storage.state = STANDBY
    with standby.storage.faulty(says(READ_ONLY), PUT, DELETE):
        assert standby.initialize() == ""
        assert standby.login().status == 200
        # OpenBao looks for this text, and sends the whole request to its active node.
        assert write(standby) == failed(READ_ONLY)
        assert standby.login().status == 200
    assert mount.storage.entries == stored_there
    assert not any(
        line.get("event") == "request_failed" and line.get("request") == standby.last_request
        for line in stand_in.log
    )


def test_a_node_that_becomes_a_standby_follows_what_others_write(stand_in: StandIn, mount: Mount):
    assert mount.login().status == 200
    with mount.storage.faulty(says(READ_ONLY), PUT):
        assert mount.write("role/other", **role()) == failed(READ_ONLY)
    assert mount.login().status == 200
    members = stored(mount) | ELSEWHERE | {"bound_audiences": ["elsewhere"]}
    mount.storage.entries["role/demo"] = json.dumps(members).encode()
    wait_until(lambda: mount.login() == WRONG_AUDIENCE, FOLLOWED_S, "the other node's write")


def test_a_failure_that_names_no_read_only_node_is_not_forwarded(mount: Mount):
    """A status is no answer of storage: what it says must not send the request elsewhere."""
    with mount.storage.faulty(fails(STATUS.UNAVAILABLE, READ_ONLY), PUT):
        failure = mount.write("role/demo", **role(token_ttl=60))
    assert failure == failed("storage: UNAVAILABLE: (text left out)")
