"""Changes of a role and of keys on the active node, and when the standbys obey them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.cluster import BUILTIN, OURS
from tests.faults.cluster_clients import login_at
from tests.faults.world import BACK_S, role, token, wait_until
from tests.hosts.tokens import public_pem

if TYPE_CHECKING:
    from tests.faults.cluster_clients import Watcher
    from tests.hosts.client import Client

SECRET, READER = "kv/secret", "reader"
"""What the role `watched` may read, and the policy that allows it."""

BUILTIN_S = 2.0
"""How long the host's own method is waited for at a change before that is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the role `watched` or of the keys, and whether its token is granted then."""

    name: str
    method: str
    path: str
    data: dict[str, object] | None
    granted: bool


def written(name: str, *, granted: bool, **more: object) -> Change:
    policy = READER if granted else "nothing"
    data = role(token_policies=policy) | more
    return Change(name=name, method="POST", path="role/watched", data=data, granted=granted)


def configured(name: str, key: str, *, granted: bool) -> Change:
    data: dict[str, object] = {"jwt_validation_pubkeys": public_pem(key)}
    return Change(name=name, method="POST", path="config", data=data, granted=granted)


CHANGES = (
    written("policy taken away", granted=False),
    written("policy given", granted=True),
    written("audience changed", granted=False, bound_audiences="https://elsewhere.example"),
    written("audience changed back", granted=True),
    Change(name="role deleted", method="DELETE", path="role/watched", data=None, granted=False),
    written("role written anew", granted=True),
    configured("key replaced", "rsa-other", granted=False),
    configured("key put back", "rsa", granted=True),
)


def wait_obeyed(client: Client, change: Change, watchers: list[Watcher], path: str) -> None:
    """Wait until all watchers of a mount see a change, made just now.

    OpenBao's own method may not see new keys at all: a login that read the old ones while they
    were replaced puts them back, until the next write. So that is repeated.
    """
    since = time.monotonic()

    def obeyed() -> bool:
        return all(watcher.obeys(since, granted=change.granted) for watcher in watchers)

    while path == BUILTIN and not obeyed() and time.monotonic() - since < BACK_S:
        with contextlib.suppress(AssertionError):
            wait_until(obeyed, BUILTIN_S, "")
            break
        client.must(change.method, f"auth/{path}/{change.path}", change.data)
    wait_until(obeyed, BACK_S, f"{path}: {change.name}")


def change_both(
    client: Client, change: Change, watchers: dict[str, list[Watcher]], first: str
) -> dict[str, float]:
    """Change both mounts, wait until all watchers have seen it; how stale each mount was, in s."""
    acknowledged = {}
    for path in sorted(watchers, key=lambda path: path != first):
        client.must(change.method, f"auth/{path}/{change.path}", change.data)
        acknowledged[path] = time.monotonic()
    login = login_at(OURS, token(), "watched").of(client.with_token(None))
    policies = login.auth["policies"] if login.auth else []
    assert (READER in policies) is change.granted, f"{change.name}: {login.raw!r}"
    for path in acknowledged:
        wait_obeyed(client, change, watchers[path], path)
    # Whether that lasts.
    time.sleep(0.1)
    return {
        path: max(watcher.stale_s(since, granted=change.granted) for watcher in watchers[path])
        for path, since in acknowledged.items()
    }
