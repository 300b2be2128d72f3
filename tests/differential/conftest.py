"""One server per host, with ours registered as `jwt` beside the builtin method of that name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.differential.world import Actor, World
from tests.hosts.discover import Host
from tests.hosts.issuer import Authority, Issuer, standard_routes
from tests.hosts.plugin import Plugin, builtin_version, enable, register
from tests.hosts.server import DevServer, free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A running host on which both methods can be mounted."""

    server: DevServer
    builtin: str
    ours: str
    world: World
    is_self_test: bool
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def pair(self) -> tuple[Actor, Actor]:
        """Two fresh mounts, builtin and ours; each checked to run what it should."""
        number = next(self.numbers)
        builtin = enable(self.server, f"builtin-{number}", version=self.builtin)
        ours = enable(self.server, f"ours-{number}", version=self.ours)
        return Actor(builtin, self.world), Actor(ours, self.world)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The issuers, and the texts that name them."""
    authority, stranger = Authority.make("test CA"), Authority.make("another CA")
    with Issuer() as http, Issuer(authority) as https:
        for issuer in (http, https):
            standard_routes(issuer)
        dead = f"http://127.0.0.1:{free_port()}"
        yield World(http=http, https=https, authority=authority, stranger=stranger, dead=dead)


@pytest.fixture(scope="session")
def arena(host: Host, plugin: Plugin, world: World) -> Iterator[Arena]:
    """The host with ours registered, and one mount of ours that keeps its process alive."""
    with DevServer(host) as server:
        builtin = builtin_version(server)
        register(server, plugin)
        ours = builtin if plugin.kind == "builtin" else plugin.version
        # Hosts end a plugin's process with its last mount; without this one every case would
        # wait for a new start.
        enable(server, "keeper", version=ours)
        yield Arena(
            server=server,
            builtin=builtin,
            ours=ours,
            world=world,
            is_self_test=plugin.kind == "builtin",
        )
