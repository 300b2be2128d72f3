"""Two mounts on one host: the builtin method, and ours, registered as `jwt` beside it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.differential.world import Actor, World
from tests.hosts.plugin import Plugin, builtin_version, enable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.issuer import Issuers
    from tests.hosts.server import DevServer


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

    def pair(self) -> tuple[Actor, Actor]:
        """Two fresh mounts, builtin and ours; each checked to run what it should."""
        number = next(self.numbers)
        builtin = self._actor(f"builtin-{number}", self.builtin)
        return builtin, self._actor(f"ours-{number}", self.ours)

    def _actor(self, path: str, version: str) -> Actor:
        mount = enable(self.server, path, version=version, namespace=self.namespace)
        return Actor(mount, self.world)


@pytest.fixture(scope="session")
def arena(server: DevServer, plugin: Plugin, issuers: Issuers) -> Arena:
    """The host of the session, which has ours registered."""
    builtin = builtin_version(server)
    is_self_test = plugin.kind == "builtin"
    return Arena(
        server=server,
        builtin=builtin,
        ours=builtin if is_self_test else plugin.version,
        world=World(issuers=issuers),
        is_self_test=is_self_test,
    )
