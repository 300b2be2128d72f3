"""The connection to the host's storage breaks, or what comes over it is not what was asked for."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.build.world import family, is_running
from tests.faults.callbacks import DELETE, GET, LIST_PAGE, PUT, Held, answers
from tests.faults.stand_in import DONE, Outcome, failed, standing_in
from tests.faults.world import GONE_S, role, wait_until
from vault_jwt_plugin.pb import backend_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.stand_in import Mount, StandIn
    from tests.hosts.plugin import Plugin

MIB = 1024 * 1024
LOST = failed("storage: UNAVAILABLE: the connection was lost")
WRONG_AUDIENCE = Outcome(400, 'claim "aud" does not match any of the role\'s bound_audiences')
NO_MESSAGE = failed("the host's answer is not a valid message")


# --- It breaks -----------------------------------------------------------------------------------


def test_a_read_whose_connection_breaks_fails_and_the_next_connects_anew(mount: Mount):
    reads = mount.storage.count(GET, "role/demo")
    with mount.storage.faulty(Held(), GET, key="role/demo"):
        waiting = [mount.begin_login(), *(mount.begin("read", "role/demo") for _ in range(3))]
        wait_until(lambda: mount.storage.count(GET, "role/demo") == reads + 4, 10, "all of them")
        mount.relay.cut()
        assert [each.outcome() for each in waiting] == [LOST] * 4
    assert mount.login().status == 200
    assert mount.read("role/demo").status == 200
    assert mount.relay.accepted == 2


@pytest.mark.parametrize("is_done", [False, True], ids=["not-done", "done"])
def test_a_write_whose_connection_breaks_is_in_force_if_it_was_done(mount: Mount, is_done):
    assert mount.login().status == 200
    done = Held(lambda call: call.serve() if is_done else b"")
    with mount.storage.faulty(done, PUT, key="role/demo"):
        data = role(bound_audiences="elsewhere")
        writing = mount.begin("update", "role/demo", data=data)
        done.wait_reached()
        mount.relay.cut()
        assert writing.outcome() == LOST
        # Not carried out yet, perhaps never.
        assert mount.login().status == 200
        done.released.set()
    if is_done:
        wait_until(lambda: mount.login() == WRONG_AUDIENCE, 5, "the write in force")
    stored = json.loads(mount.storage.entries["role/demo"])["bound_audiences"]
    assert mount.read("role/demo").body["bound_audiences"] == stored
    assert (stored == ["elsewhere"]) is is_done
    assert mount.write("role/demo", **role()) == DONE
    assert mount.login().status == 200


def test_while_there_is_no_connection_what_is_cached_goes_on(mount: Mount):
    assert mount.login().status == 200
    with mount.relay.refusing():
        for _ in range(3):
            outcome = mount.read("role/demo")
            assert outcome.status == 500
            assert outcome.body.startswith("storage: UNAVAILABLE: cannot connect: ")
            assert mount.write("role/demo", **role()).status == 500
            assert mount.login().status == 200
    assert mount.write("role/demo", **role()) == DONE
    assert mount.login().status == 200


def test_a_node_that_is_not_known_follows_storage_and_is_known_again(mount: Mount):
    assert mount.login().status == 200
    with mount.relay.refusing():
        # The tick asks whether this node can write. Nobody answers: what is cached counts no more.
        assert mount.rollback() == DONE
        assert mount.login().status == 500
    assert mount.login().status == 200
    assert mount.rollback() == DONE
    assert mount.login().status == 200
    asked = list(mount.storage.calls)
    assert mount.login().status == 200
    assert mount.storage.calls == asked


def test_one_mounts_connection_is_no_other_mounts(stand_in: StandIn, mount: Mount):
    other = stand_in.mount().configured()
    held = Held()
    with other.storage.faulty(held, GET, key="role/demo"):
        waiting = other.begin_login()
        held.wait_reached()
        mount.relay.cut()
        held.released.set()
        assert waiting.outcome().status == 200
    assert other.relay.accepted == 1
    other.close()
    assert mount.login().status == 200


def test_a_mount_ends_though_its_connection_is_gone(stand_in: StandIn):
    mount = stand_in.mount().configured()
    with mount.relay.refusing():
        mount.close()
    after = stand_in.mount().configured()
    assert after.login().status == 200
    after.close()


# --- The host's own connection -------------------------------------------------------------------


@pytest.fixture
def own(ours: Plugin) -> Iterator[StandIn]:
    """A process that the test may end."""
    with (
        tempfile.TemporaryDirectory(prefix="host-", dir="/tmp") as folder,
        standing_in(ours, Path(folder)) as host,
    ):
        yield host


@pytest.mark.parametrize("what", ["connection", "broker-stream", "all", "shutdown"])
def test_without_its_host_the_process_ends(own: StandIn, what):
    mount = own.mount().configured()
    pids = family(own.plugin.process.pid)
    held = Held()
    with mount.storage.faulty(held, GET, PUT):
        reading = mount.begin_login()
        writing = mount.begin("update", "role/other", data=role())
        held.wait_reached()
        if what == "broker-stream":
            own.end_broker_stream()
        elif what == "shutdown":
            own.shut_down()
        else:
            own.relay.cut()
            if what == "all":
                mount.relay.cut()
        # Its launcher and what it unpacked are looked for where `own` ends.
        own.wait_ended(GONE_S)
        assert not any(map(is_running, pids))
        assert reading.outcome().status == writing.outcome().status == 500
        held.released.set()


# --- What comes is wrong -------------------------------------------------------------------------


def got(value: bytes) -> bytes:
    reply = pb.StorageGetReply(entry=pb.StorageEntry(key="role/demo", value=value))
    return reply.SerializeToString()


WRONG: dict[str, tuple[tuple[bytes, ...], Outcome]] = {
    "nothing": (
        (),
        failed("storage: INTERNAL: a unary call got 0 messages instead of one"),
    ),
    "two": (
        (got(b"{}"), got(b"{}")),
        failed("storage: INTERNAL: a unary call got more than one message"),
    ),
    "huge": (
        (b"\x0a" + b"\0" * (33 * MIB),),
        failed(
            "storage: RESOURCE_EXHAUSTED: received message larger than max "
            f"({33 * MIB + 1} vs. {32 * MIB})"
        ),
    ),
    "not-protobuf": ((b"\xff" * 20,), NO_MESSAGE),
    "cut-off": ((got(b"{}")[:-1],), NO_MESSAGE),
    "garbage-behind": ((got(b"{}") + b"\xff\xff",), NO_MESSAGE),
    "error-not-utf-8": ((b"\x12\x02\xff\xfe",), NO_MESSAGE),
}


@pytest.mark.parametrize(("messages", "expected"), WRONG.values(), ids=WRONG)
def test_an_answer_that_is_none(mount: Mount, messages, expected):
    with mount.storage.faulty(answers(*messages), GET, key="role/demo"):
        assert mount.login() == expected
        assert mount.read("role/demo") == expected
        assert mount.login("other").status == 200
    assert mount.login().status == 200
    stored = dict(mount.storage.entries)
    with mount.storage.faulty(answers(*messages), PUT, DELETE, LIST_PAGE):
        assert mount.write("role/demo", **role(bound_audiences="elsewhere")) == expected
        assert mount.delete("role/demo") == expected
        assert mount.list("role/") == expected
        assert mount.login().status == 200
    assert mount.storage.entries == stored
    assert mount.relay.accepted == 1


OTHERS: dict[str, Any] = {
    "empty": pb.Empty(),
    "a-number": pb.TTLReply(TTL=7),
    "a-list": pb.StorageListReply(keys=["demo"]),
    "a-request": pb.HandleRequestReply(response=pb.Response(data="{}")),
}


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS)
def test_a_message_of_another_kind_lets_nobody_in(mount: Mount, message):
    with mount.storage.faulty(answers(message.SerializeToString()), GET, key="role/demo"):
        assert mount.login().status in {400, 500}
    assert mount.login().status == 200


def test_a_value_at_the_limit_of_a_message_is_taken(mount: Mount):
    members = json.loads(mount.storage.entries["role/demo"])
    members["from_the_future"] = "x" * (31 * MIB)
    mount.storage.entries["role/demo"] = json.dumps(members).encode()
    assert mount.login().status == 200
    assert mount.login("other").status == 200


def test_an_answer_after_the_request_is_over_is_nobodys(mount: Mount):
    held = Held()
    with mount.storage.faulty(held, GET, key="role/demo"):
        reading = mount.begin("read", "role/demo", timeout_s=0.2)
        assert reading.outcome().status == 500
        held.released.set()
    for _ in range(3):
        assert mount.read("role/demo").status == 200
    assert mount.relay.accepted == 1


def test_statuses_that_storage_never_has(mount: Mount):
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue

        def fault(call: Any, code: Any = code) -> bytes:
            call.context.abort(code, "x" * 4000)
            raise AssertionError

        with mount.storage.faulty(fault, GET, key="role/demo"):
            outcome = mount.login()
        assert outcome.status == 500
        assert outcome.body.startswith(f"storage: {code.name}: xxx")
    assert mount.login().status == 200
