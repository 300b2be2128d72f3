"""A mount whose administrators, issuer and host all act while clients log in.

`play(seed)` makes a mount, lets actors do at random what they do, on a loop on which
the seed decides who goes on whenever somebody waits (`race_scheduler`), and returns
what is wrong with how the logins ended (`race_history`).
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.jwt_auth import tokens
from tests.jwt_auth.login.race_history import Era, History, Login, Observation, Operation
from tests.jwt_auth.login.race_scheduler import TASK_OF_OPERATION, Scheduler, VirtualLoop
from tests.jwt_auth.mounted import FakeFetcher, Mounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S, Document
from vault_jwt_plugin.jwt_auth.fetching.urls import fetch_error
from vault_jwt_plugin.sdk import LogicalError, StorageEntry, StorageError
from vault_jwt_plugin.sdk import Operation as Op
from vault_jwt_plugin.sdk.storage import ReplicationState
from vault_jwt_plugin.sdk.testing import FakeSystemView, InMemoryStorage, make_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URLS = ("https://a/keys", "https://b/keys")
KIDS = ("k0", "k1", "k2")
ROLES = ("one", "two")
PATHS = tuple(f"{kind}/{name}" for kind in ("role", "cel/role") for name in ROLES)
AUDIENCES = ("x", "y")
ISSUERS = ("i", "j")
TEAMS = ("red", "blue")
BOUND = (1, True, 1, True, None, None, None)
STANDBY = ReplicationState.PERFORMANCE_STANDBY
ACTIVE = 0


@cache
def pem(kid: str) -> str:
    text: str = tokens.public_pem(tokens.key_for("EdDSA", kid))
    return text.strip()


@cache
def jwk(kid: str) -> dict[str, Any]:
    return tokens.public_jwk(tokens.key_for("EdDSA", kid), kid=kid)


@cache
def signed(kid: str, claims: str) -> str:
    key = tokens.key_for("EdDSA", kid)
    return tokens.token(claims.encode(), alg="EdDSA", key=key, header={"kid": kid})


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
        self.served: dict[str, tuple[str, ...] | None] = dict.fromkeys(URLS, KIDS[:1])

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
        served = self.served[url]
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


class World(Mounted):
    """The mount of one run, and what its actors do."""

    storage: PausedStorage
    fetcher: PausedIssuer

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.scheduler = Scheduler(self.rng)
        self.history = History(pems={pem(kid): kid for kid in KIDS})
        self.storage = PausedStorage(self.scheduler, self.history)
        self.fetcher = PausedIssuer(self.scheduler, self.history)
        self.system = PausedSystem(state=ACTIVE, scheduler=self.scheduler)
        self.logins: list[Login] = []
        self._written: list[tuple[str, dict[str, Any]]] = []
        self._serial = 0

        def clock() -> float:
            return self.scheduler.now

        self.context = make_context(storage=self.storage, system=self.system, clock=clock)
        self.backend = JWTBackend(
            self.context, fetcher=self.fetcher, monotonic=clock, messages=AuthMessages()
        )

    # Operations.

    async def _do(self, kind: str, run: Callable[[Operation], Awaitable[Any]]) -> Operation:
        """Run one operation as a task of its own; what it raises is its own affair."""
        scheduler = self.scheduler
        operation = Operation(kind=kind, began=scheduler.tick(), began_s=scheduler.now)

        async def main() -> None:
            TASK_OF_OPERATION.set(operation)
            operation.task = asyncio.current_task()
            operation.began, operation.began_s = scheduler.tick(), scheduler.now
            try:
                await run(operation)
            finally:
                operation.ended, operation.ended_s = scheduler.tick(), scheduler.now
                for version in operation.closes:
                    version.end = operation.ended

        await asyncio.create_task(main(), name=kind)
        return operation

    async def change(self, path: str, data: dict[str, Any] | None) -> None:
        """Write, or delete if there is no data."""

        async def run(operation: Operation) -> None:
            try:
                if data is None:
                    await self.ask(Op.DELETE, path)
                elif path.startswith("cel/"):
                    await self.ask(Op.UPDATE, path, data)
                else:
                    await self.write(path, data)
            except LogicalError:
                return
            operation.succeeded = True

        operation = await self._do("write", run)
        if path == "config" and operation.succeeded:
            replaced = operation.closes[-1]
            versions = self.history.versions[path]
            start = versions[versions.index(replaced) + 1].start
            self.history.eras.append(Era(start=start, known=operation.ended, writer=operation))

    async def log_in(self, *, patient: bool = True) -> None:
        rng = self.rng
        login = Login(
            operation=Operation(kind="login", began=0, began_s=0.0),
            path=rng.choice(("login", "cel/login")),
            role=rng.choice((*ROLES, *ROLES, "")),
            kid=rng.choice((*KIDS, KIDS[0])),
            claims={
                "iss": rng.choice((*ISSUERS, "i", "i")),
                "aud": rng.choice((*AUDIENCES, "x", "x")),
                "sub": "s",
                "uid": "u",
                "team": rng.choice((*TEAMS, TEAMS[0])),
                "admin": rng.choice(BOUND[:4]),
                "iat": tokens.NOW,
                "exp": tokens.NOW + 86400,
            },
        )
        if login.path == "cel/login" and rng.random() < 0.4:
            login.claims["x"] = ["a" * 10] * 300
        jwt = signed(login.kid, json.dumps(login.claims))

        async def run(operation: Operation) -> None:
            login.operation = operation
            try:
                answer = self.start(Op.UPDATE, login.path, {"role": login.role, "jwt": jwt})
                if inspect.isawaitable(answer):
                    answer = await answer
            except LogicalError as error:
                login.code = error.code
            else:
                auth = answer.auth
                login.granted = {
                    "policies": list(auth.policies),
                    "alias": auth.alias.name,
                    "role": auth.internal_data["role"],
                    "ttl_ns": auth.ttl_ns,
                }

        doing = asyncio.create_task(self._do("login", run))
        if patient:
            await doing
            self.logins.append(login)
            return
        await self.scheduler.pause("hang-up")
        if login.operation.task is not None:
            login.operation.task.cancel()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)

    # What is written.

    def config(self) -> dict[str, Any]:
        rng = self.rng
        data: dict[str, Any] = {
            "bound_issuer": rng.choice(("", "", "", "", *ISSUERS)),
            "default_role": rng.choice(("", *ROLES)),
            "skip_jwks_validation": rng.random() < 0.3,
        }
        if rng.random() < 0.35:
            kids = rng.sample(KIDS, rng.choice((1, 2)))
            return data | {"jwt_validation_pubkeys": [pem(kid) for kid in kids]}
        data["jwks_refresh_after"] = rng.choice((0, 10))
        return data | {"jwks_url": rng.choice((*URLS, URLS[0]))}

    def role(self, path: str) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        self._serial += 1
        policies = [rng.choice(("p", f"p{self._serial}"))]
        audiences = rng.choice((["x"], ["x"], ["x", "y"], ["x", "y"], ["y"]))
        user_claim = rng.choice(("sub", "uid"))
        if path.startswith("cel/"):
            team = rng.choice((*TEAMS, TEAMS[0]))
            granted = f"pb.Auth{{policies: {policies}, display_name: 'd', alias: logical.Alias{{name: claims.{user_claim}}}}}"  # noqa: E501
            expression = f"claims.team == '{team}' ? {granted} : 'no'"
            self.history.programs[expression] = (team, user_claim, policies)
            program = {"expression": expression}
            return path, {"cel_program": program, "bound_audiences": audiences}
        bound = rng.choice(BOUND)
        return path, {
            "role_type": "jwt",
            "bound_audiences": audiences,
            "user_claim": user_claim,
            "policies": policies,
            "ttl": rng.choice((60, 60 + self._serial)),
            "bound_claims": {} if bound is None else {"admin": bound},
        }

    def next_write(self, kind: str) -> tuple[str, dict[str, Any] | None]:
        """A new write, one that was done before, or one that differs little from it."""
        rng = self.rng
        earlier = [each for each in self._written if (each[0] == "config") == (kind == "config")]
        draw = rng.random()
        if earlier and draw < 0.3:
            return rng.choice(earlier)
        if kind == "config":
            written: tuple[str, dict[str, Any]] = ("config", self.config())
        else:
            written = self.role(rng.choice(PATHS))
            if draw > 0.85:
                return written[0], None
            if earlier and draw > 0.6 and earlier[-1][0].startswith("role/"):
                path, data = earlier[-1]
                bound = 1 if data["bound_claims"].get("admin") is True else True
                written = (path, data | {"bound_claims": {"admin": bound}})
        self._written.append(written)
        return written

    # Actors.

    async def clients(self) -> None:
        for _ in range(self.rng.randint(2, 5)):
            await self.scheduler.pause("client")
            await self.log_in(patient=self.rng.random() < 0.9)

    async def writer(self, kind: str) -> None:
        for _ in range(self.rng.randint(1, 4)):
            await self.scheduler.pause(f"writer of {kind}")
            await self.change(*self.next_write(kind))

    async def issuer(self) -> None:
        for _ in range(self.rng.randint(1, 5)):
            await self.scheduler.pause("issuer")
            self.rotate()

    def rotate(self) -> None:
        rng = self.rng
        kids = tuple(rng.sample(KIDS, rng.choice((1, 1, 2))))
        self.fetcher.served[rng.choice(URLS)] = None if rng.random() < 0.1 else kids

    def invalidate(self, key: str) -> None:
        step = self.scheduler.tick()
        self.backend.invalidate_key(key)
        self.history.dropped.append((key, step))
        if key == "config":
            self.history.eras.append(Era(start=step, known=step, writer=None))

    async def host(self) -> None:
        """Invalidates, though nothing has changed."""
        for _ in range(self.rng.randint(1, 3)):
            await self.scheduler.pause("host")
            self.invalidate(self.rng.choice(sorted({"config", *self.history.versions})))

    async def node(self) -> None:
        """Make this node one that only reads, while another one writes, and active again."""
        await self.scheduler.pause("node")
        span = [float(self.scheduler.tick()), float("inf")]
        self.history.standby.append(span)
        self.storage.read_only, self.system.state = True, STANDBY
        await self._periodic()
        for _ in range(self.rng.randint(0, 3)):
            await self.scheduler.pause("node")
            key = self.rng.choice(sorted(self.history.versions))
            earlier = [each.value for each in self.history.versions[key]]
            value = self.rng.choice(earlier)
            if key == "config" and value is None:
                continue
            raw = None if value is None else json.dumps(value).encode()
            self.storage.change_elsewhere(key, raw)
            if self.rng.random() < 0.7:
                await self.scheduler.pause("invalidation")
                self.invalidate(key)
        await self.scheduler.pause("node")
        self.storage.read_only, self.system.state = False, ACTIVE
        await self._periodic()
        span[1] = self.scheduler.tick()

    async def _periodic(self) -> None:
        async def run(_: Operation) -> None:
            await self.backend.periodic()

        await self._do("node", run)

    # The run.

    def actors(self) -> list[asyncio.Task[None]]:
        rng = self.rng
        doing = [self.clients() for _ in range(rng.randint(2, 5))]
        doing += [self.writer("config") for _ in range(rng.randint(0, 2))]
        doing += [self.writer("role") for _ in range(rng.randint(1, 3))]
        doing.append(self.issuer())
        if rng.random() < 0.5:
            doing.append(self.host())
        if rng.random() < 0.3:
            doing.append(self.node())
        return [asyncio.create_task(each) for each in doing]

    async def set_up(self) -> None:
        await self.backend.initialize()
        self.fetcher.served = {url: KIDS[: self.rng.randint(1, 2)] for url in URLS}
        await self.change("config", self.config())
        for path in PATHS:
            if self.rng.random() < 0.95:
                written = self.role(path)
                self._written.append(written)
                await self.change(*written)
        if self.rng.random() < 0.7:
            await self.keys_settle()

    async def run(self) -> None:
        """Play the run; leave what is wrong to `problems`."""
        await self.set_up()
        self.scheduler.open = False
        self.storage.failing = self.rng.random() < 0.3
        doing = self.actors()
        await self.scheduler.drive(doing)
        for each in doing:
            each.result()
        # What is left behind shows when all is quiet.
        self.storage.failing = False
        last = [asyncio.create_task(self.log_in()) for _ in range(4)]
        await self.scheduler.drive(last)
        for each in last:
            each.result()
        ending = asyncio.create_task(self.backend.cleanup(), name="cleanup")
        await self.scheduler.drive([ending])
        ending.result()
        await asyncio.sleep(0)

    def problems(self) -> list[str]:
        found = [self.history.problem(login) for login in self.logins]
        return [each for each in found if each is not None]


def play(seed: int) -> World:
    """Play one run.

    Raises:
        HangError: somebody still waits at the end.
        AssertionError: something else is left.
    """
    world = World(seed)

    async def main() -> None:
        await world.run()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(world.scheduler)) as runner:
        runner.run(main())
    return world
