from __future__ import annotations

import logging

import pytest

from tests.clock import Clock
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.login.denials import DenialLog
from vault_jwt_plugin.sdk.log_limit import LINES_PER_WINDOW, WINDOW_S


@pytest.fixture
def logger():
    logger = logging.getLogger("test.denials")
    logger.setLevel(logging.INFO)
    return logger


def note(log, code, times=1):
    for _ in range(times):
        log.note(LoginDenied(code, "no"), role="demo", request_id="id-1")


def lines(caplog):
    return [(record.message, record.fields) for record in caplog.records]


def denied(code):
    return (
        "login denied",
        {"event": "login_denied", "role": '"demo"', "reason": code, "request_id": "id-1"},
    )


def more(code, count):
    return (
        "more logins denied, not logged one by one",
        {"event": "logins_denied", "reason": code, "count": count},
    )


def test_a_denial_is_one_line(caplog, logger):
    note(DenialLog(logger, monotonic=Clock()), "signature_invalid")
    assert lines(caplog) == [denied("signature_invalid")]
    assert caplog.records[0].levelno == logging.INFO


def test_many_are_counted_per_reason(caplog, logger):
    clock = Clock()
    log = DenialLog(logger, monotonic=clock)
    note(log, "a", LINES_PER_WINDOW + 3)
    note(log, "b", 1)
    assert lines(caplog) == [denied("a")] * LINES_PER_WINDOW + [denied("b")]
    caplog.clear()
    log.flush()
    assert lines(caplog) == []
    clock.now += WINDOW_S
    log.flush()
    assert lines(caplog) == [more("a", 3)]
    assert caplog.records[0].levelno == logging.INFO


def test_a_forged_role_name_stays_one_line(caplog, logger):
    log = DenialLog(logger, monotonic=Clock())
    log.note(LoginDenied("a", "no"), role="x\n[ERROR] y" + "z" * 1000, request_id="id-1")
    role = caplog.records[0].fields["role"]
    assert "\n" not in role
    assert len(role) < 150
