"""Callers' text in messages."""

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


def test_what_is_not_shown_is_not_looked_at():
    """Otherwise a caller could make each message fold 16 MiB."""
    assert quoted("x" * 128 + HOST_PHRASES[0]) == '"' + "x" * 128 + '…"'
    shown = quoted("x" * 120 + HOST_PHRASES[0])
    assert shown == '"' + "x" * 120 + HOST_PHRASES[0][:8] + '…"'
    assert quoted("x" * (128 - len(HOST_PHRASES[0])) + HOST_PHRASES[0] + "x") == "(text left out)"
