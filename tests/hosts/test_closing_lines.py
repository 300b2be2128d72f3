"""What a run says at its end about the hosts that it used."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import hosts_line, missing_families
from tests.hosts.discover import Absent, Host

BAO = Host(family="bao", version="2.7.2", binary=Path("bao"), source="PATH")
VAULT = Host(family="vault", version="1.21.0", binary=Path("vault"), source="PATH")
NO_VAULT = Absent(name="vault", reason="none on PATH")


def test_a_server_without_a_test_is_missing():
    assert missing_families([BAO, VAULT], {"bao-2.7.2": 3, "vault-1.21.0": 1}) == []
    assert missing_families([BAO, VAULT], {"bao-2.7.2": 3}) == ["vault"]
    assert missing_families([BAO], {"bao-2.7.2": 3}) == ["vault"]
    assert missing_families([], {}) == ["bao", "vault"]


def test_the_line_names_what_ran_and_why_others_did_not():
    line = hosts_line([BAO, VAULT], [], {"bao-2.7.2": 3, "vault-1.21.0": 2}, "binary")
    assert line == "hosts: bao-2.7.2 ran 3 tests; vault-1.21.0 ran 2 tests (plugin: binary)"
    line = hosts_line([BAO], [NO_VAULT], {"bao-2.7.2": 3}, "source")
    assert line == ("hosts: bao-2.7.2 ran 3 tests (plugin: source); vault skipped: none on PATH")
    assert hosts_line([BAO], [NO_VAULT], {}, "source") == (
        "hosts: bao-2.7.2 ran none; vault skipped: none on PATH"
    )
