"""Three hosts in one raft cluster, with our method and the host's own mounted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from tests.faults.cluster_clients import REQUEST_TIMEOUT_S, login_at
from tests.faults.world import configure, token, wait_until
from tests.hosts.plugin import builtin_version, enable, install, register
from tests.hosts.server import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.discover import Host
    from tests.hosts.plugin import Plugin

NODES = 3
ELECTED_S = 60.0
"""The time in which a cluster recovers. Hosts take 2 to 5 s; one that has given up its leadership
and must take it again needs 10 s more.
"""

OURS, BUILTIN = "jwt", "builtin"
"""The mount paths of our method and the host's own."""


def health(node: DevServer) -> int:
    """Return a node's health: 200 = active, 429 = standby, 0 = no answer."""
    try:
        return node.client.request("GET", "sys/health", timeout_s=REQUEST_TIMEOUT_S).status
    except OSError:
        return 0


class Cluster:
    """Three nodes, all with ours in their plugin directories.

    Attributes:
        nodes: in the order of their joining.
        plugin: what is mounted as `jwt`; the host's own method is mounted as `builtin`.
    """

    def __init__(self, host: Host, plugin: Plugin) -> None:
        """Start nothing."""
        self.host = host
        self.plugin = plugin
        self.nodes: list[DevServer] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        for _ in range(NODES):
            leader = self.nodes[0] if self.nodes else None
            node = DevServer(self.host, storage="raft", leader=leader)
            self.nodes.append(node)
            node.start()
        first = self.nodes[0]
        for node in self.nodes:
            node.ready = {200, 429}
            install(node, self.plugin)
        # Otherwise a new node may not vote for ten seconds, and nobody can follow a leader that
        # dies.
        settings = {"server_stabilization_time": "1s"}
        first.client.must("POST", "sys/storage/raft/autopilot/configuration", settings)
        register(first, self.plugin)
        configure(enable(first, OURS, version=self.plugin.version))
        configure(enable(first, BUILTIN, version=builtin_version(first)))
        wait_until(self._all_vote, ELECTED_S, "three nodes that vote")
        self.wait_whole()

    def _all_vote(self) -> bool:
        found = self.nodes[0].client.must("GET", "sys/storage/raft/configuration").data
        servers = found["config"]["servers"]
        return len(servers) == NODES and all(server["voter"] for server in servers)

    def stop(self) -> None:
        """Stop all nodes."""
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.stop)
            for node in self.nodes:
                with contextlib.suppress(Exception):
                    node.terminate()

    def leader(self) -> DevServer:
        """Return the active node, and wait for it if necessary."""
        found: list[DevServer] = []

        def look() -> bool:
            found[:] = [node for node in self.nodes if health(node) == 200]
            return len(found) == 1

        wait_until(look, ELECTED_S, "one active node")
        return found[0]

    def standbys(self) -> list[DevServer]:
        """Return all nodes except the active one."""
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def wait_whole(self) -> float:
        """Wait until every node serves logins at both mounts; return the seconds."""
        return wait_until(
            lambda: (
                sorted(map(health, self.nodes)) == [200, 429, 429]
                and all(
                    login_at(path, token()).status(node) == 200
                    for node in self.nodes
                    for path in (OURS, BUILTIN)
                )
            ),
            ELECTED_S,
            "a cluster that serves logins on all nodes",
        )

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Print the nodes' logs if the body fails."""
        try:
            yield
        except (AssertionError, OSError):
            for node in self.nodes:
                print(node.remains())
            raise
