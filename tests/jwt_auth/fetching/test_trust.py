"""Which CAs are trusted: the one given, or what Go would take, or certifi's."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest

from tests.jwt_auth.certs import Authority
from vault_jwt_plugin.jwt_auth.fetching import trust
from vault_jwt_plugin.jwt_auth.fetching.trust import (
    KEPT_FOR_S,
    MAX_KEPT,
    BadCAError,
    KeptContexts,
    Trust,
    client_context,
)

CA_PEM, OTHER_PEM = Authority("a").pem, Authority("b").pem


@pytest.fixture(autouse=True)
def bare_system(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(trust, "SYSTEM_FILES", ())
    monkeypatch.setattr(trust, "SYSTEM_DIRECTORIES", ())


def names(context: ssl.SSLContext) -> list[str]:
    # A subject is a tuple of relative names, each a tuple of (kind, value).
    found: list[Any] = [cert["subject"] for cert in context.get_ca_certs()]
    return sorted(value for subject in found for ((kind, value),) in subject)


def test_the_ca_given_and_nothing_else(monkeypatch, tmp_path):
    (tmp_path / "roots.pem").write_text(OTHER_PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    assert names(client_context(Trust(ca_pem=CA_PEM))) == ["a"]


def test_text_around_certificates_is_fine():
    assert names(client_context(Trust(ca_pem=f"# first\n{CA_PEM}\n# second\n{OTHER_PEM}"))) == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    "pem", ["x", " ", "é", "\0", CA_PEM[:-40], "x" * (trust.MAX_CA_PEM_CHARS + 1)], ids=range(6)
)
def test_bad_ca_pems(pem):
    with pytest.raises(BadCAError):
        client_context(Trust(ca_pem=pem))


def test_the_environment_names_a_file(monkeypatch, tmp_path):
    (tmp_path / "roots.pem").write_text(CA_PEM)
    (tmp_path / "system.pem").write_text(OTHER_PEM)
    monkeypatch.setattr(trust, "SYSTEM_FILES", (str(tmp_path / "system.pem"),))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    assert names(client_context(Trust(ca_pem=""))) == ["a"]


def test_the_environment_names_directories(monkeypatch, tmp_path):
    for folder, pem in (("one", CA_PEM), ("two", OTHER_PEM)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "root.pem").write_text(pem)
    (tmp_path / "one" / "README").write_text("no certificate")
    (tmp_path / "one" / "folder").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}/one:{tmp_path}/none:{tmp_path}/two")
    assert names(client_context(Trust(ca_pem=""))) == ["a", "b"]


def test_an_unreadable_file_of_the_environment_means_no_roots(monkeypatch, tmp_path):
    """As in Go: certifi's list would trust what the operator has taken away."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert names(client_context(Trust(ca_pem=""))) == []


def test_the_first_system_file_that_can_be_read(monkeypatch, tmp_path):
    for name, pem in (("bad", "no certificate"), ("good", CA_PEM), ("later", OTHER_PEM)):
        (tmp_path / name).write_text(pem)
    files = tuple(str(tmp_path / name) for name in ("missing", "bad", "good", "later"))
    monkeypatch.setattr(trust, "SYSTEM_FILES", files)
    assert names(client_context(Trust(ca_pem=""))) == ["a"]


def test_system_directories_where_there_is_no_file(monkeypatch, tmp_path):
    (tmp_path / "root.pem").write_text(CA_PEM)
    monkeypatch.setattr(trust, "SYSTEM_DIRECTORIES", (str(tmp_path),))
    assert names(client_context(Trust(ca_pem=""))) == ["a"]


def test_certifi_is_the_last_resort():
    count = Path(certifi.where()).read_text().count("BEGIN CERTIFICATE")
    assert len(client_context(Trust(ca_pem="")).get_ca_certs()) == count


def test_settings():
    context = client_context(Trust(ca_pem=CA_PEM))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.hostname_checks_common_name
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


class Making:
    """Makes contexts, and counts them; the time is made up."""

    def __init__(self):
        self.made: list[Trust] = []
        self.now = 1000.0
        self.contexts = KeptContexts(self.make, monotonic=lambda: self.now)

    def make(self, wanted):
        self.made.append(wanted)
        return client_context(wanted)


def test_the_systems_roots_are_read_once_in_a_while(monkeypatch, tmp_path):
    (tmp_path / "roots.pem").write_text(CA_PEM)
    monkeypatch.setattr(trust, "SYSTEM_FILES", (str(tmp_path / "roots.pem"),))
    making = Making()
    first = making.contexts.of(Trust())
    making.now += KEPT_FOR_S - 1
    assert making.contexts.of(Trust()) is first
    (tmp_path / "roots.pem").write_text(OTHER_PEM)
    making.now += 1
    assert names(first) == ["a"]
    assert names(making.contexts.of(Trust())) == ["b"]
    assert len(making.made) == 2


def test_what_differs_shares_nothing(monkeypatch, tmp_path):
    making = Making()
    plain = making.contexts.of(Trust())
    named = making.contexts.of(Trust(server_names=("a",)))
    assert plain.check_hostname
    assert not named.check_hostname
    (tmp_path / "roots.pem").write_text(CA_PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    assert names(making.contexts.of(Trust())) == ["a"]
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    making.contexts.of(Trust())
    assert len(making.made) == 4


def test_a_ca_of_the_configuration_is_read_each_time():
    making = Making()
    assert making.contexts.of(Trust(ca_pem=CA_PEM)) is not making.contexts.of(Trust(ca_pem=CA_PEM))
    with pytest.raises(BadCAError):
        making.contexts.of(Trust(ca_pem="x"))


def test_kept_contexts_are_bounded():
    making = Making()
    for number in range(3 * MAX_KEPT):
        making.contexts.of(Trust(server_names=(str(number),)))
    assert len(making.contexts._kept) <= MAX_KEPT
