"""Fixtures: how many faults to make, a host to do anything to, and figures for the reader."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.stand_in import Mount, StandIn, standing_in
from tests.faults.world import World
from tests.hosts.plugin import Plugin, register
from tests.hosts.server import DevServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.discover import Host


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Return whether to make faults at every known moment, not only at some."""
    return bool(request.config.getoption("--full-faults"))


@pytest.fixture(scope="session")
def ours(plugin: Plugin) -> Plugin:
    """Return the plugin under test; skip the test if that is the host's own method."""
    if plugin.kind == "builtin":
        pytest.skip("about the life of a plugin's process")
    return plugin


@pytest.fixture(scope="module")
def world(host: Host, ours: Plugin) -> Iterator[World]:
    """Start a host with one mount of ours, `jwt`, for the tests of one module."""
    with DevServer(host) as server:
        register(server, ours)
        yield World.on(server, ours)


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Callable[[str], None]:
    """Print a figure of the table "Reliability" in docs/operations.md."""

    def printed(text: str) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}: {text}", end=" ")

    return printed


@pytest.fixture(scope="module")
def stand_in(ours: Plugin) -> Iterator[StandIn]:
    """Start one process of ours without a server; each test makes its own mounts."""
    # A short path: it holds sockets.
    with (
        tempfile.TemporaryDirectory(prefix="host-", dir="/tmp") as folder,
        standing_in(ours, Path(folder)) as host,
    ):
        yield host


@pytest.fixture
def mount(stand_in: StandIn) -> Iterator[Mount]:
    """Make a mount with a key and the roles `demo` and `other`; none is cached yet."""
    mount = stand_in.mount()
    yield mount.configured()
    mount.close()
