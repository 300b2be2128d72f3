"""Texts that hosts act on never leave by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_jwt_plugin.host.guard import harmless, is_read_only
from vault_jwt_plugin.sdk.text import HOST_PHRASES, READ_ONLY_PHRASES


@pytest.mark.parametrize("phrase", READ_ONLY_PHRASES)
def test_read_only_phrases_are_left_out_anywhere(phrase):
    text = f"before {phrase}, {phrase.upper()} after"
    assert is_read_only(text)
    assert harmless(text) == "before (text left out), (text left out) after"


@pytest.mark.parametrize("phrase", HOST_PHRASES)
def test_no_phrase_stays_whole(phrase):
    for text in (phrase, f" {phrase}\n", phrase.title()):
        assert harmless(text).casefold().strip() not in {p.casefold() for p in HOST_PHRASES}


@pytest.mark.parametrize("text", ["", "ok", "role permission denied by x", "ß" * 10])
def test_other_texts_pass(text):
    assert harmless(text) == text
    assert not is_read_only(text)


@pytest.mark.parametrize("longer", ["\u00df", "\u0130", "\ufb03"], ids=["sz", "i dot", "ffi"])
@pytest.mark.parametrize("phrase", READ_ONLY_PHRASES)
def test_letters_that_folding_makes_longer_move_nothing(phrase, longer):
    text = f"{longer * 60} {phrase} {longer}"
    assert harmless(text) == f"{longer * 60} (text left out) {longer}"


@given(st.lists(st.sampled_from([*HOST_PHRASES, " ", "x", "\u017f", "\u0130", "cannot write to "])))
def test_whatever_is_put_together(parts):
    text = harmless("".join(parts))
    assert not is_read_only(text)
    assert text.casefold().strip() not in {phrase.casefold() for phrase in HOST_PHRASES}
