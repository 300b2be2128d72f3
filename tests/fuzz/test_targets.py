"""Targets see what they are for: each invariant is broken on purpose, and the target says so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz import answers, login, mutation, target, targets
from tests.fuzz.target import FoundError
from vault_jwt_plugin.jwt_auth.config import config
from vault_jwt_plugin.jwt_auth.jose import keys
from vault_jwt_plugin.jwt_auth.keys import kubernetes
from vault_jwt_plugin.jwt_auth.login import pipeline, signature
from vault_jwt_plugin.jwt_auth.paths import config as path_config
from vault_jwt_plugin.jwt_auth.providers import okta
from vault_jwt_plugin.rpc import _hpack, http2
from vault_jwt_plugin.sdk import StorageEntry
from vault_jwt_plugin.sdk.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def fresh_loop():
    """What targets keep between inputs is made while nothing is broken, or anew."""
    target.close_loop()
    yield
    target.close_loop()
    answers.close_files()


def _nothing(*_: Any, **__: Any) -> None:
    """Checks nothing."""


def _forget_rest(self: Any, data: bytes) -> None:
    """Loses the part of a frame that came too early, once the preface is there."""
    if not self.closed:
        self._receive(data)


def _leaking_read(self: Any) -> dict[str, Any]:
    return {"oidc_client_secret": self.oidc_client_secret}


def _crash(*_: Any, **__: Any) -> None:
    raise KeyError("a bug")


async def _store_first(self: Any, _request: Any, data: Any) -> None:
    """Stores, then checks."""
    entry = StorageEntry(key="config", value=b"{}")
    await self._mount.storage.put(entry)
    await self._key_sources.probe(config.Config.from_request(data, None))


def _taken(_key: Any, alg: str, size: int) -> Callable[[bytes, bytes], None]:
    del alg, size
    return _nothing


def _the_api(uri: str, _cluster: Any) -> tuple[str, bool]:
    return uri, True


def _okta(_url: str) -> str:
    return "https://example.okta.com"


# What is broken, and the seed that shows it.
BROKEN: list[tuple[str, str, Any, str, Any, str]] = [
    ("token_raw", "stranger's", signature, "verify_signature", _nothing, "no key of the mount"),
    ("token_signed", "stranger", signature, "verify_signature", _nothing, "no key of the mount"),
    ("token_signed", "late", pipeline, "check_time", _nothing, "an old token got in"),
    ("token_signed", "elsewhere", pipeline, "check_bound_audience", _nothing, "another's token"),
    ("jwks", "all", keys, "_ecdsa_verifier", _taken, "verifies zeros as ES256"),
    ("discovery", "cluster-elsewhere", kubernetes, "where_keys_are", _the_api, "token is sent"),
    ("provider", "okta-elsewhere", okta, "origin_of", _okta, "attacker.example is asked"),
    ("http2_server", "stream-1", http2.Connection, "receive_data", _forget_rest, "split|leaves"),
    ("http2_server", "many-27", http2.Connection, "stream_count", 1001, "more streams are open"),
    ("hpack", "remembered", _hpack, "_newest", lambda _: None, "the memory gives another result"),
    ("config", "every", config.Config, "read_data", _leaking_read, "a secret is read back"),
    ("config", "wrong", path_config.ConfigPath, "write", _store_first, "though the write failed"),
]  # fmt: skip


def _input(name: str, seed: str) -> bytes:
    """A seed, or what one is made into for this."""
    seeds = targets.seeds(name)
    if seed == "stranger's":
        return seeds["plain"][:-20] + b"A" * 20
    if seed == "late":
        return seeds["plain"].replace(b"17000000", b"16000000")
    if seed == "elsewhere":
        return seeds["plain"].replace(b'"vault"', b'"other"')
    if seed == "remembered":
        first = b"\x82\x40\x01a\x01b"
        blocks = (first, b"\xbe", b"\x40\x01c\x01d", b"\xbe")
        return b"".join(mutation.record(0, each) for each in blocks)
    return seeds[seed]


@pytest.mark.parametrize(
    ("name", "seed", "owner", "attribute", "replacement", "problem"),
    BROKEN,
    ids=[f"{row[0]}-{row[3]}" for row in BROKEN],
)
def test_what_is_broken_is_found(name, seed, owner, attribute, replacement, problem, monkeypatch):
    tried, data = targets.load(name), _input(name, seed)
    tried.run(data)
    target.close_loop()
    monkeypatch.setattr(owner, attribute, replacement)
    with pytest.raises(FoundError, match=problem):
        tried.run(data)


def test_a_fault_that_is_answered_politely_is_found(monkeypatch):
    monkeypatch.setattr(Backend, "_answer", _crash)
    with pytest.raises(FoundError, match="a fault of ours was answered"):
        targets.load("backend").run(targets.seeds("backend")["login"])


def test_a_fault_that_is_logged_is_found():
    async def faulty():
        logging.getLogger("vault_jwt_plugin.x").error("broken", exc_info=KeyError("a bug"))

    with pytest.raises(FoundError, match="logged as an error: broken") as caught:
        target.run_async(faulty())
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_task_that_is_left_is_found():
    tasks = []

    async def careless():
        tasks.append(asyncio.ensure_future(asyncio.sleep(3600)))

    with pytest.raises(FoundError, match="tasks are left"):
        target.run_async(careless())


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("token_raw", "plain"),
        ("token_raw", "rich"),
        ("token_raw", "rsa"),
        ("token_raw", "spaces"),
        ("token_signed", "plain"),
        ("token_signed", "rich"),
        ("token_signed", "es256"),
        ("token_signed", "es512"),
        ("token_signed", "rsa"),
        ("token_signed", "audiences"),
    ],
)
def test_honest_tokens_get_in(name, seed, monkeypatch):
    granted = []
    monkeypatch.setattr(login, "_check_granted", lambda *_, **__: granted.append(seed))
    targets.load(name).run(targets.seeds(name)[seed])
    assert granted == [seed]
