"""What the log says about failed requests, and how much of it callers can cause."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.clock import Clock
from tests.host.fakes import Host
from tests.hosts.tokens import public_pem
from vault_jwt_plugin.host.faults import FaultLog
from vault_jwt_plugin.host.request import RequestView
from vault_jwt_plugin.host.response import FAULT_TEXT
from vault_jwt_plugin.jwt_auth.backend import factory
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.sdk import (
    InternalError,
    Operation,
    ReadOnlyError,
    StorageEntry,
    UserError,
)
from vault_jwt_plugin.sdk.log_limit import LINES_PER_WINDOW, WINDOW_S

VIEW = RequestView(pb.Request(operation="update", path="login", id="req-1"), Operation.UPDATE)
BROKEN = InternalError("stored role: it is broken", code="stored_role_broken")


def lines(caplog):
    return [(record.levelname, record.message, record.fields) for record in caplog.records]


def warned(code="stored_role_broken", error="stored role: it is broken"):
    return (
        "WARNING",
        "request failed",
        {
            "event": "request_failed",
            "code": code,
            "error": error,
            "operation": "update",
            "path": "login",
            "request": "req-1",
        },
    )


def held_back(code, count):
    return (
        "WARNING",
        "more requests failed and were not logged one by one",
        {"event": "requests_failed", "code": code, "count": count, "mount": "uuid-1"},
    )


def test_a_failure_of_ours_is_one_warning(caplog):
    reply = FaultLog("uuid-1").request_failed(BROKEN, VIEW)
    assert pb.HandleRequestReply.FromString(reply).err.err_msg == "stored role: it is broken"
    assert lines(caplog) == [warned()]


@pytest.mark.parametrize("error", [UserError("no"), ReadOnlyError("read only")], ids=repr)
def test_what_the_caller_alone_needs_to_know_is_not_logged(caplog, error):
    FaultLog("uuid-1").request_failed(error, VIEW)
    assert lines(caplog) == []


def test_failures_are_counted_per_code(caplog):
    clock = Clock()
    log = FaultLog("uuid-1", monotonic=clock)
    for _ in range(LINES_PER_WINDOW + 7):
        log.request_failed(BROKEN, VIEW)
    log.request_failed(InternalError("other", code="other"), VIEW)
    assert lines(caplog) == [warned()] * LINES_PER_WINDOW + [warned("other", "other")]
    caplog.clear()
    log.flush()
    assert lines(caplog) == []
    clock.now += WINDOW_S
    log.flush()
    assert lines(caplog) == [held_back("stored_role_broken", 7)]


def test_faults_are_counted_by_their_class(caplog):
    clock = Clock()
    log = FaultLog("uuid-1", monotonic=clock)
    for _ in range(LINES_PER_WINDOW):
        reply = log.request_failed(KeyError("x"), VIEW)
        assert pb.HandleRequestReply.FromString(reply).err.err_msg == FAULT_TEXT
    check = log.check_failed(KeyError("x"), VIEW)
    assert pb.HandleExistenceCheckReply.FromString(check).err.err_msg == FAULT_TEXT
    assert len(lines(caplog)) == LINES_PER_WINDOW
    log.request_failed(TypeError("x"), VIEW)
    assert caplog.records[-1].exc_info
    assert caplog.records[-1].levelno == logging.ERROR
    caplog.clear()
    clock.now += WINDOW_S
    log.flush()
    assert lines(caplog) == [held_back("KeyError", 1)]


def test_nobody_fills_the_log_by_logins_with_a_broken_role(caplog):
    """Log in as an attacker would: without a token, with a role whose stored value is garbage."""

    async def go():
        host = Host(factory)
        for instance in ("a", "b"):
            await host.setup(instance, uuid=f"uuid-{instance}")
            config = json.dumps({"jwt_validation_pubkeys": public_pem("rsa")})
            await host.request("update", "config", data=config, instance=instance)
        storage = host.services.storage
        await storage.put(StorageEntry(key="role/broken", value=b"{"))
        login = json.dumps({"role": "broken", "jwt": "a.b.c"})
        for _ in range(5 * LINES_PER_WINDOW):
            reply = await host.request("update", "login", data=login)
            assert reply.err.err_msg
        # One mount's failures do not hide another's.
        await host.request("update", "login", data=login, instance="b")
        host.plugin._instances["a"].faults._limit._monotonic = lambda: float("inf")
        await host.request("rollback", "")
        await host.plugin.close()

    asyncio.run(asyncio.wait_for(go(), 10))
    failed = [fields for _, _, fields in lines(caplog) if fields["event"] == "request_failed"]
    assert len(failed) == LINES_PER_WINDOW + 1
    (counted,) = [f for _, _, f in lines(caplog) if f["event"] == "requests_failed"]
    assert (counted["count"], counted["mount"]) == (4 * LINES_PER_WINDOW, "uuid-a")
