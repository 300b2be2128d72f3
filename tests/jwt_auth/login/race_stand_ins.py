"""Storage, issuers and system view of a run: everything that a mount waits for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.jwt_auth import tokens
from tests.jwt_auth.fakes import FakeFetcher
from tests.jwt_auth.login.race_history import Observation
from tests.jwt_auth.login.race_scheduler import TASK_OF_OPERATION
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S
from vault_jwt_plugin.jwt_auth.fetching.messages import Document
from vault_jwt_plugin.jwt_auth.fetching.urls import fetch_error
from vault_jwt_plugin.sdk import StorageEntry, StorageError
from vault_jwt_plugin.sdk.testing import FakeSystemView, InMemoryStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.jwt_auth.login.race_history import History
    from tests.jwt_auth.login.race_scheduler import Scheduler
    from vault_jwt_plugin.sdk.storage import ReplicationState


@cache
def jwk(kid: str) -> dict[str, Any]:
    """Return the public key of an id."""
    return tokens.public_jwk(tokens.key_for("EdDSA", kid), kid=kid)


class PausedStorage(InMemoryStorage):
    """Storage whose calls are seen late and answered late, and that notes what it holds."""

    def __init__(self, scheduler: Scheduler, history: History) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._history = history
        self.failing = False

    def _kind(self, method: str, key: str) -> str:
        return f"{method} {key.partition('/')[0]}"

    async def get(self, key: str) -> StorageEntry | None:
        scheduler = self._scheduler
        copy = key.startswith("key_source/")
        asked = scheduler.tick()
        await scheduler.pause(self._kind("get", key))
        entry = await super().get(key)
        fails = self.failing and scheduler.rng.random() < 0.02
        await scheduler.pause(self._kind("got", key))
        if fails:
            self._history.failed_reads.append(scheduler.tick())
            raise StorageError("out of order")
        if copy and entry is not None:
            self._note_copy(entry, asked)
        return entry

    def _note_copy(self, entry: StorageEntry, asked: int) -> None:
        members = json.loads(entry.value)
        seen = Observation(url=members["url"], asked=asked, by=None)
        seen.kids = frozenset(each["kid"] for each in members["keys"])
        seen.answered = self._scheduler.tick()
        self._history.observations.append(seen)

    async def put(self, entry: StorageEntry) -> None:
        await self._change(entry.key, entry.value, super().put(entry))

    async def delete(self, key: str) -> None:
        await self._change(key, None, super().delete(key))

    async def _change(self, key: str, raw: bytes | None, change: Awaitable[None]) -> None:
        scheduler = self._scheduler
        method = "delete" if raw is None else "put"
        try:
            await scheduler.pause(self._kind(method, key))
        except asyncio.CancelledError:
            change.close()  # type: ignore[attr-defined]
            raise
        fails = self.failing and scheduler.rng.random() < 0.03
        if fails and scheduler.rng.random() < 0.5:
            change.close()  # type: ignore[attr-defined]
        else:
            await change
            if not key.startswith("key_source/"):
                by = TASK_OF_OPERATION.get()
                self._history.stored(key, raw, scheduler.tick(), by=by, now=scheduler.now)
        await scheduler.pause(self._kind(f"{method} done", key))
        if fails:
            raise StorageError("out of order")

    async def list(self, prefix: str) -> list[str]:
        await self._scheduler.pause("list")
        return await super().list(prefix)

    def change_elsewhere(self, key: str, raw: bytes | None) -> None:
        """Change what is stored as another node does."""
        if raw is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = StorageEntry(key=key, value=raw)
        scheduler = self._scheduler
        self._history.stored(key, raw, scheduler.tick(), by=None, now=scheduler.now)


class PausedIssuer(FakeFetcher):
    """Issuers by URL: the ids of the keys that each serves, or None while it is down."""

    def __init__(self, scheduler: Scheduler, history: History) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._history = history
        self.served: dict[str, tuple[str, ...] | None] = {}

    async def get_json(self, url: str, **_: Any) -> Document:
        scheduler, operation = self._scheduler, TASK_OF_OPERATION.get(None)
        task = asyncio.current_task()
        assert task is not None
        seen = Observation(url=url, asked=scheduler.tick(), by=operation)
        asked_s = scheduler.now
        self._history.observations.append(seen)
        # What a write fetches itself only shows that its configuration can work.
        is_probe = operation is not None and task is operation.task

        def ended(_: object) -> None:
            seen.ended, seen.ended_s = scheduler.tick(), scheduler.now
            seen.answered = min(seen.answered, seen.ended)
            # Late keys are none, though they may have come: reading them takes time too.
            seen.failed = seen.kids is None or seen.ended_s >= asked_s + DEADLINE_S

        if not is_probe:
            task.add_done_callback(ended)
        await scheduler.pause("fetch")
        served = self.served.get(url)
        await scheduler.pause("fetched")
        if is_probe:
            self._history.observations.remove(seen)
        if served is None:
            raise fetch_error("unreachable", url, "nobody listens there")
        if not is_probe:
            seen.kids, seen.answered = frozenset(served), scheduler.tick()
        document = {"keys": [jwk(kid) for kid in served]}
        digest = hashlib.sha256(json.dumps(document).encode()).digest()
        return Document(json=document, digest=digest, max_age_s=None)


@dataclass
class PausedSystem(FakeSystemView):
    """A system view that answers late."""

    scheduler: Scheduler | None = None

    async def replication_state(self) -> ReplicationState:
        assert self.scheduler is not None
        state = await super().replication_state()
        await self.scheduler.pause("system")
        return state
