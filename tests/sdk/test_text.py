"""Caller's text in messages."""

from __future__ import annotations

import pytest

from vault_jwt_plugin.sdk.text import HOST_PHRASES, holds_host_phrase, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", '"a"'),
        ("", '""'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("a\nb\x1b[0m", '"a\\nb\\u001b[0m"'),
        ("é", '"é"'),
        ("x" * 128, '"' + "x" * 128 + '"'),
        ("x" * 129, '"' + "x" * 128 + '…"'),
    ],
    ids=lambda value: value[:12],
)
def test_quoted(text, shown):
    assert quoted(text) == shown


@pytest.mark.parametrize("phrase", HOST_PHRASES)
def test_phrases_are_left_out(phrase):
    assert holds_host_phrase(f"x {phrase.upper()} y")
    assert quoted(f"x {phrase} y") == "(text left out)"
    assert not holds_host_phrase(phrase[:-1])
