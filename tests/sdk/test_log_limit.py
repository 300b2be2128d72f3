from __future__ import annotations

from tests.clock import Clock
from vault_jwt_plugin.sdk.log_limit import LINES_PER_WINDOW, MAX_KINDS, WINDOW_S, LogLimit


class Log:
    def __init__(self):
        self.clock = Clock()
        self.reported: list[tuple[str, int]] = []
        self.limit = LogLimit(lambda *held: self.reported.append(held), monotonic=self.clock)

    def admitted(self, kind, times):
        return sum(self.limit.admits(kind) for _ in range(times))


def test_the_first_of_each_kind_are_let_through():
    log = Log()
    assert log.admitted("a", LINES_PER_WINDOW + 3) == LINES_PER_WINDOW
    assert log.admitted("b", 1) == 1
    assert log.reported == []


def test_the_next_of_a_kind_reports_a_window_that_is_over():
    log = Log()
    log.admitted("a", LINES_PER_WINDOW + 3)
    log.clock.now += WINDOW_S - 1
    assert log.admitted("a", 1) == 0
    log.clock.now += 1
    assert log.admitted("a", 1) == 1
    assert log.reported == [("a", 4)]


def test_flush_reports_each_window_that_is_over_once():
    log = Log()
    log.admitted("a", LINES_PER_WINDOW + 1)
    log.admitted("quiet", LINES_PER_WINDOW)
    log.limit.flush()
    assert log.reported == []
    log.clock.now += WINDOW_S
    log.limit.flush()
    log.limit.flush()
    assert log.reported == [("a", 1)]


def test_kinds_are_bounded_and_nothing_counted_is_lost():
    log = Log()
    log.admitted("first", LINES_PER_WINDOW + 5)
    for number in range(10 * MAX_KINDS):
        log.admitted(f"kind {number}", 1)
    assert len(log.limit._windows) <= MAX_KINDS
    assert log.reported == [("first", 5)]
