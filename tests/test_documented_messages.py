"""Every message that docs/troubleshooting.md explains is one that the plugin says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
OURS = ("Messages of logins and writes", "Messages about fetching keys")
"""The sections with the plugin's own messages; another one has the server's."""

COMPOSED = {
    'claim "iss" is not the configured bound_issuer',
    "expected an object, got …",
    "login",
}
"""Messages that the source puts together of short pieces; paths of a request."""


def literals() -> str:
    """Return every string literal of the package."""
    found = []
    for path in (REPO / "vault_jwt_plugin").rglob("*.py"):
        if path.parent.name != "pb":
            nodes = ast.walk(ast.parse(path.read_text()))
            found += [
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return "\n".join(found)


def messages() -> list[str]:
    """Return the first columns of the tables, message by message."""
    found = []
    for section in (REPO / "docs" / "troubleshooting.md").read_text().split("\n## "):
        if section.partition("\n")[0] in OURS:
            for row in re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE):
                found += re.findall(r"`([^`]+)`", row)
    return [message for message in found if message not in COMPOSED]


def fixed_parts(message: str) -> list[str]:
    """Return what is the same whenever the message is said."""
    # `…`, quoted names, remarks in parentheses, and what a colon or a number introduces differ.
    parts = re.split(r'…|"[^"]*"|\([^)]*\)|: | \d+, ', message)
    return [part.strip() for part in parts if len(part.strip()) > 3]


@pytest.fixture(scope="module")
def said() -> str:
    return literals()


@pytest.mark.parametrize("message", messages())
def test_the_message_is_in_the_source(said: str, message: str):
    assert [part for part in fixed_parts(message) if part not in said] == []


def test_the_tables_are_found():
    assert len(messages()) > 30
