"""Two mounts on one host: the builtin method, and ours, registered as `jwt` beside it."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.differential.steps import SHARED_PATHS, Call, Case
from tests.differential.world import Actor, World
from tests.hosts.plugin import Plugin, builtin_version, enable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.issuer import Issuers
    from tests.hosts.server import DevServer

Pair = tuple[Actor, Actor]
"""The builtin method's mount and ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A running host on which both methods can be mounted.

    Attributes:
        is_self_test: The builtin method stands in for ours, so nothing at all may differ.
        namespace: Where the mounts are made; "" = the root.
    """

    server: DevServer
    builtin: str
    ours: str
    world: World
    is_self_test: bool
    namespace: str = ""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    shared: dict[tuple[str, str], Pair] = field(default_factory=dict)

    @contextlib.contextmanager
    def pair(self, case: Case) -> Iterator[Pair]:
        """Give a case two mounts, builtin and ours; each checked to run what it should.

        They are fresh, unless an earlier case with the same set-up left its own. Those that a
        case has failed on are never used again.
        """
        setup = case.setup
        key = (self.namespace, setup or "")
        pair = self.shared.pop(key, None) or self._fresh()
        is_clean = False
        try:
            yield pair
            if setup is not None:
                for actor, path in itertools.product(pair, self._roles(case)):
                    actor.mount.client.must("DELETE", f"auth/{actor.mount.path}/{path}")
                    actor.token = actor.reply = None
                is_clean = True
        finally:
            if is_clean:
                self.shared[key] = pair
            else:
                disable(pair)

    def _fresh(self) -> Pair:
        number = next(self.numbers)
        builtin = self._actor(f"builtin-{number}", self.builtin)
        return builtin, self._actor(f"ours-{number}", self.ours)

    @staticmethod
    def _roles(case: Case) -> list[str]:
        written = {step.path for step in case.steps if isinstance(step, Call)}
        return [path for path in SHARED_PATHS if path in written]

    def _actor(self, path: str, version: str) -> Actor:
        mount = enable(self.server, path, version=version, namespace=self.namespace)
        return Actor(mount, self.world)


def disable(pair: Pair) -> None:
    """Unmount both."""
    for actor in pair:
        actor.mount.disable()


@pytest.fixture(scope="session")
def arena(server: DevServer, plugin: Plugin, issuers: Issuers) -> Iterator[Arena]:
    """The host of the session, which has ours registered."""
    builtin = builtin_version(server)
    is_self_test = plugin.kind == "builtin"
    found = Arena(
        server=server,
        builtin=builtin,
        ours=builtin if is_self_test else plugin.version,
        world=World(issuers=issuers),
        is_self_test=is_self_test,
    )
    yield found
    for pair in found.shared.values():
        disable(pair)
