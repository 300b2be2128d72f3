from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.hosts import discover, tools

if TYPE_CHECKING:
    from pathlib import Path


def program(folder: Path, says: str) -> Path:
    """A stand-in for a host, which knows its version only."""
    path = folder / "vault"
    path.write_text(f"#!/bin/sh\necho {json.dumps(says)}\n")
    path.chmod(0o755)
    return path


def test_vault_bin_comes_before_path_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "path"
    other.mkdir()
    program(other, "Vault v1.20.0 (abc), built 2025")
    chosen = program(tmp_path, "Vault v1.19.5 (abc), built 2025")
    monkeypatch.setenv("PATH", str(other), prepend=":")
    monkeypatch.setenv("VAULT_BIN", str(chosen))
    found = discover.find_vault()
    assert isinstance(found, discover.Host)
    assert (found.name, found.source, found.binary) == ("vault-1.19.5", "VAULT_BIN", chosen)
    monkeypatch.delenv("VAULT_BIN")
    found = discover.find_vault()
    assert isinstance(found, discover.Host)
    assert (found.name, found.source) == ("vault-1.20.0", "PATH")


def test_a_missing_vault_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("VAULT_BIN", raising=False)
    found = discover.find_vault()
    assert isinstance(found, discover.Absent)
    assert "scripts/test --hosts all builds one" in found.reason


def test_no_container_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert discover.find_container() == discover.Absent(
        name="vault-container", reason="no container engine answers"
    )


def test_the_builtin_versions_of_the_two_families():
    bao = discover.Host(family="bao", version="2.7.2", binary=None, source="")
    vault = discover.Host(family="vault", version="1.21.0", binary=None, source="")
    assert (bao.builtin_tag, vault.builtin_tag) == ("+builtin.bao", "+builtin")


def test_the_vault_that_is_built_is_the_one_that_go_mod_pins():
    assert tools.version("vault") == discover.VAULT_VERSION
    assert tools.path("vault") == discover.built_vault()


def test_a_tool_without_a_toolchain_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(tools.ToolUnavailableError) as caught:
        tools.build("h2spec")
    assert str(caught.value) == "h2spec has to be built, and PATH has no Go toolchain"
