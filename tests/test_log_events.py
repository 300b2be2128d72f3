"""Every log line that an operator sees names its event: alerts match the name, texts may change."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vault_jwt_plugin"
METHODS = frozenset({"info", "warning", "error", "exception", "critical"})


def calls(tree):
    """Calls of a logger above debug level."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = ast.unparse(node.func.value)
            if node.func.attr in METHODS and receiver.endswith(("logger", "_log")):
                yield node


def event(call):
    """The event's name; None where the call does not name one."""
    extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
    if extra is None:
        return None
    found = re.search(r"""'event': '([a-z0-9_]+)'|\bevent\('([a-z0-9_]+)'""", ast.unparse(extra))
    return found and (found[1] or found[2])


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if calls_in(path))


def calls_in(path):
    return list(calls(ast.parse(path.read_text())))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_line_names_its_event(path):
    nameless = [call.lineno for call in calls_in(path) if event(call) is None]
    assert nameless == []


def test_the_search_finds_them():
    source = """
self._logger.info("x")
_log.warning("x", extra={"fields": {"reason": 1}})
logger.error("x", extra={"fields": {"event": "fine"}})
logger.debug("x")
parser.error("x")
"""
    assert [event(call) for call in calls(ast.parse(source))] == [None, None, "fine"]
    assert len(modules()) > 10
