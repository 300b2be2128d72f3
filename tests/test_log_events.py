"""Every log line that an operator sees names its event: alerts match the name, texts may change."""

from __future__ import annotations

import ast

import pytest

from tests.scripts.loading import load

log_events = load("scripts/_log_events.py")
PACKAGE = log_events.PACKAGE


def seen(path):
    """The lines of a module that an operator sees at the level info."""
    return [line for line in log_events.lines(ast.parse(path.read_text())) if line.level != "debug"]


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if seen(path))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_line_names_its_event(path):
    nameless = [line.number for line in seen(path) if line.event is None]
    assert nameless == []


def test_the_search_finds_them():
    source = """
self._logger.info("x")
_log.warning("x", extra={"fields": {"reason": 1}})
logger.error("%d of x", 3, extra={"fields": {"event": "fine"}})
logger.exception(text, extra=event("also_fine", code=1))
logger.debug("x")
parser.error("x")
"""
    found = log_events.lines(ast.parse(source))
    assert [(line.event, line.level, line.message) for line in found] == [
        (None, "info", "x"),
        (None, "warning", "x"),
        ("fine", "error", "… of x"),
        ("also_fine", "error", ""),
        (None, "debug", "x"),
    ]
    assert len(modules()) > 10


def test_every_event_has_a_meaning_and_every_meaning_an_event():
    assert sorted(log_events.events()) == sorted(log_events.MEANINGS)


@pytest.mark.parametrize("broken", ["start_failed", "made_up"], ids=["no meaning", "no event"])
def test_no_table_of_a_part(monkeypatch, broken):
    meanings = dict(log_events.MEANINGS)
    if broken in meanings:
        del meanings[broken]
    else:
        meanings[broken] = "Nothing logs it."
    monkeypatch.setattr(log_events, "MEANINGS", meanings)
    with pytest.raises(ValueError, match=broken):
        log_events.table()
