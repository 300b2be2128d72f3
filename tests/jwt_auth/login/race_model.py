"""A mount whose administrators, issuer and host all act while clients log in.

`play(seed)` makes a mount, lets actors do at random what they do, on a loop on which
the seed decides who goes on whenever somebody waits (`race_scheduler`), and returns
what is wrong with how the logins ended (`race_history`).
"""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import TYPE_CHECKING, Any

from tests.jwt_auth.login.race_drafts import KIDS, URLS, Drafts, pem
from tests.jwt_auth.login.race_history import Era, History, Login, Operation
from tests.jwt_auth.login.race_scheduler import TASK_OF_OPERATION, Scheduler, VirtualLoop
from tests.jwt_auth.login.race_stand_ins import PausedIssuer, PausedStorage, PausedSystem
from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.jwt_auth.cache import MAX_AGE_S
from vault_jwt_plugin.sdk import LogicalError
from vault_jwt_plugin.sdk import Operation as Op
from vault_jwt_plugin.sdk.storage import ReplicationState
from vault_jwt_plugin.sdk.testing import make_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


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
        self.system = PausedSystem(state=0, scheduler=self.scheduler)
        self.logins: list[Login] = []
        self.hung_up = 0
        self.drafts = Drafts(self.rng, self.history)

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
        """Log in; who is not patient hangs up, and does not mind how it ends."""
        draft = self.drafts.login()
        login = Login(
            operation=Operation(kind="login", began=0, began_s=0.0),
            path=draft.path,
            role=draft.role,
            kid=draft.kid,
            claims=draft.claims,
        )

        async def run(operation: Operation) -> None:
            login.operation = operation
            try:
                answer = self.start(Op.UPDATE, login.path, {"role": login.role, "jwt": draft.jwt})
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
        self.hung_up += 1
        if login.operation.task is not None:
            login.operation.task.cancel()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)

    # Actors.

    async def clients(self) -> None:
        for _ in range(self.rng.randint(2, 5)):
            await self.scheduler.pause("client")
            await self.log_in(patient=self.rng.random() < 0.9)

    async def writer(self, kind: str) -> None:
        for _ in range(self.rng.randint(1, 4)):
            await self.scheduler.pause(f"writer of {kind}")
            await self.change(*self.drafts.next(kind))

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
        self.storage.read_only, self.system.state = True, ReplicationState.PERFORMANCE_STANDBY
        await self._periodic()
        for _ in range(self.rng.randint(0, 4)):
            await self.scheduler.pause("node")
            key = self.rng.choice(("config", *self.drafts.paths))
            earlier = [each.value for each in self.history.versions.get(key, ())]
            raw = self.drafts.elsewhere(key, earlier or [None])
            self.storage.change_elsewhere(key, raw)
            if self.rng.random() < (0.2 if self.drafts.focus else 0.6):
                await self.scheduler.pause("invalidation")
                self.invalidate(key)
            elif self.drafts.focus:
                self.scheduler.now += MAX_AGE_S + 0.1
                await self.log_in()
        await self.scheduler.pause("node")
        self.storage.read_only, self.system.state = False, 0
        await self._periodic()
        span[1] = self.scheduler.tick()

    async def rollout(self) -> None:
        """Replace configuration and role one right after the other: old and new never mix."""
        for _ in range(self.rng.randint(3, 6)):
            await self.scheduler.pause("rollout")
            self.invalidate("config")
            await self.scheduler.pause("rollout")
            await self.change("config", self.drafts.config())
            await self.change(*self.drafts.role(self.drafts.paths[0]))

    async def flip(self) -> None:
        """Exchange 1 and true in a role."""
        for _ in range(self.rng.randint(3, 6)):
            await self.scheduler.pause("flip")
            await self.change(*self.drafts.flip())

    async def _periodic(self) -> None:
        async def run(_: Operation) -> None:
            await self.backend.periodic()

        await self._do("node", run)

    # The run.

    def actors(self) -> list[asyncio.Task[None]]:
        rng = self.rng
        doing = [self.clients() for _ in range(rng.randint(2, 5))]
        match self.drafts.focus:
            case "rollout":
                doing.append(self.rollout())
            case "flip":
                doing += [self.flip(), self.issuer()]
            case "standby":
                doing.append(self.node())
            case _:
                doing += self.everybody()
        return [asyncio.create_task(each) for each in doing]

    def everybody(self) -> list[Coroutine[Any, Any, None]]:
        """Return the actors of a run that is about nothing in particular."""
        rng = self.rng
        doing: list[Coroutine[Any, Any, None]] = []
        doing += [self.writer("config") for _ in range(rng.randint(0, 2))]
        doing += [self.writer("role") for _ in range(rng.randint(1, 3))]
        doing.append(self.issuer())
        if rng.random() < 0.5:
            doing.append(self.host())
        if rng.random() < 0.3:
            doing.append(self.node())
        return doing

    async def set_up(self) -> None:
        await self.backend.initialize()
        self.fetcher.served = {url: KIDS[: self.rng.randint(1, 2)] for url in URLS}
        for path, data in self.drafts.first():
            await self.change(path, data)
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
        self.check_counts()
        ending = asyncio.create_task(self.backend.cleanup(), name="cleanup")
        await self.scheduler.drive([ending])
        ending.result()
        await asyncio.sleep(0)

    def check_counts(self) -> None:
        """Check that all who were granted a token are counted, and nobody else."""
        mount = self.backend._mount
        granted = sum(login.granted is not None for login in self.logins)
        assert granted <= mount.counters.logins <= granted + self.hung_up

    def problems(self) -> list[str]:
        """Return what is wrong with how logins ended."""
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
