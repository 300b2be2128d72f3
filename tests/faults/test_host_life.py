"""Seals, reloads, upgrades, many mounts, restarts, and what is left when a mount is gone."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.build.world import resident_kib
from tests.faults.load import failed_after
from tests.faults.world import (
    BACK_S,
    World,
    configure,
    login,
    request,
    role,
    wait_until,
)
from tests.hosts.plugin import REPO, Mount, Plugin, enable, install, mounted, register
from tests.hosts.server import DevServer, group_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.discover import Host

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

RELOADS = 3
RELOADS_FULL = 50
MOUNTS = 100
MAY_FAIL_S = 0.5
"""After a reload, at the other mounts: the process that they share takes so long to end at most."""
NEXT_VERSION = "v99.0.0"
WARM_UP = 5
CYCLES = 15
CYCLES_FULL = 300
MAX_GROWTH_KIB = 3_000
MAX_GROWTH_PER_MOUNT_KIB = 8
"""A tenth of what a mount takes while it is there."""


def first_login_s(mount: Mount) -> float:
    """How long one login takes, which must succeed at once."""
    began = time.monotonic()
    reply = login(mount)
    took = time.monotonic() - began
    assert reply.status == 200, reply.raw
    return took


@pytest.fixture(scope="module")
def stepped_down(host: Host, ours: Plugin) -> Iterator[World]:
    """A node that has given its leadership up; it keeps still for ten seconds, then takes it."""
    with DevServer(host, storage="raft") as server:
        register(server, ours)
        world = World.on(server, ours)
        before = world.processes
        server.client.must("PUT", "sys/step-down")
        world.wait_gone(before)
        assert world.unpacked() == []
        yield world


# Not for itself: its ten seconds begin, and the last test of this file comes after them.
@pytest.mark.usefixtures("stepped_down")
def test_sealed_and_unsealed_while_logins_go_on(host: Host, ours: Plugin, say):
    with DevServer(host, storage="raft") as server:
        register(server, ours)
        world = World.on(server, ours)
        with world.load() as load:
            server.client.must("PUT", "sys/seal")
            assert world.processes == []
            assert world.unpacked() == []
            server.unseal()
            took = first_login_s(world.mount)
            unsealed = time.monotonic()
            time.sleep(0.2)
        say(f"the first login after unsealing takes {took * 1000:.0f} ms")
        assert failed_after(unsealed, load.logins) == []


def reload_mount(mount: Mount) -> None:
    mount.client.must("POST", "sys/plugins/reload/backend", {"mounts": [f"auth/{mount.path}/"]})


def test_reloaded_while_logins_go_on(host: Host, ours: Plugin, full, say):
    """A reload ends the process that all mounts share; the others find it gone."""
    with DevServer(host) as server:
        register(server, ours)
        world = World.on(server, ours)
        other = configure(enable(server, "other", version=ours.version))
        began = []
        with world.load() as load, world.load(request(other)) as beside:
            for _ in range(RELOADS_FULL if full else RELOADS):
                before = world.processes
                began.append(time.monotonic())
                reload_mount(world.mount)
                world.wait_gone(before)
                world.wait_back([world.mount, other])
                time.sleep(0.2)
        failed = [*load.failed, *beside.failed]
        last = max(
            (one.ended - max(at for at in began if at < one.ended) for one in failed), default=0
        )
        say(
            f"{len(began)} reloads: {len(load.failed)} of {len(load.logins)} failed, "
            f"of another mount {len(beside.failed)} of {len(beside.logins)}; "
            f"the last {last * 1000:.0f} ms after the reload"
        )
        assert load.failed == []
        assert last < MAY_FAIL_S
        assert len(world.unpacked()) <= 1


def register_next(server: DevServer) -> None:
    """Register a later version beside the one that runs: this checkout, calling itself that."""
    tree = server.folder / "next"
    shutil.copytree(REPO / "vault_jwt_plugin", tree / "vault_jwt_plugin")
    (tree / "vault_jwt_plugin" / "_version.py").write_text(f'VERSION = "{NEXT_VERSION[1:]}"\n')
    program = server.folder / "next-program"
    command = shlex.join([sys.executable, "-m", "vault_jwt_plugin"])
    program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(tree))} exec {command} "$@"\n')
    following = Plugin(kind="binary", path=program, version=NEXT_VERSION)
    installed = install(server, following, f"vault-jwt-plugin-{NEXT_VERSION}")
    entry = {
        "sha256": installed.sha256,
        "command": installed.command,
        "version": NEXT_VERSION,
    }
    server.client.must("POST", "sys/plugins/catalog/auth/jwt", entry)


def roll(mount: Mount, version: str) -> Mount:
    """Have a mount run another version, as an operator does."""
    tune = {"plugin_version": version}
    mount.client.must("POST", f"sys/auth/{mount.path}/tune", tune)
    reload_mount(mount)
    return Mount(client=mount.client, path=mount.path, accessor=mount.accessor, version=version)


def test_rolled_to_a_new_version_and_back(host: Host, ours: Plugin, say):
    with DevServer(host) as server:
        register(server, ours)
        register_next(server)
        world = World.on(server, ours)
        stays = configure(enable(server, "stays", version=ours.version))
        with world.load() as load, world.load(request(stays)) as beside:
            for version in (NEXT_VERSION, ours.version):
                roll(world.mount, version)
                first_login_s(world.mount)
                first_login_s(stays)
                time.sleep(0.2)
        mounted(server, "jwt", version=ours.version)
        mounted(server, "stays", version=ours.version)
        say(
            f"{len(load.failed)} of {len(load.logins)} failed, "
            f"of a mount that stays {len(beside.failed)} of {len(beside.logins)}"
        )
        assert load.failed == []


def mount_many(server: DevServer, plugin: Plugin, count: int) -> list[Mount]:
    return [configure(enable(server, f"m{at}", version=plugin.version)) for at in range(count)]


def test_a_hundred_mounts_in_one_process(host: Host, ours: Plugin, say):
    with DevServer(host) as server:
        register(server, ours)
        world = World.on(server, ours)
        pids = world.processes
        before = resident_kib(world.program)
        mounts = mount_many(server, ours, MOUNTS - 1)
        gone, *others = mounts
        for mount in mounts:
            first_login_s(mount)
        size = (resident_kib(world.program) - before) / (MOUNTS - 1)
        descriptors = open_descriptors(world.program)
        with world.load(*map(request, others)) as load:
            gone.disable()
            wait_until(
                lambda: open_descriptors(world.program) < descriptors, BACK_S, "its connection"
            )
            time.sleep(0.3)
        say(
            f"{size:.0f} KiB a mount; while one was disabled {len(load.failed)} of "
            f"{len(load.logins)} logins at the others failed"
        )
        assert load.failed == []
        assert world.processes == pids
        assert size < 300


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_disabled_again_and_again(host: Host, ours: Plugin, issuers, full, say):
    """Mounts with static keys and with fetched ones, whose threads and connections go with them."""
    with DevServer(host) as server:
        register(server, ours)
        world = World.on(server, ours)

        def cycle(times: int) -> None:
            for _ in range(times):
                static = configure(enable(server, "static", version=ours.version))
                first_login_s(static)
                fetching = enable(server, "fetching", version=ours.version)
                config = {"jwks_url": f"{issuers.http.url}/jwks"}
                server.client.must("POST", "auth/fetching/config", config)
                server.client.must("POST", "auth/fetching/role/demo", role())
                first_login_s(fetching)
                static.disable()
                fetching.disable()

        cycle(WARM_UP)
        descriptors, tasks = open_descriptors(world.program), threads(world.program)
        before = resident_kib(world.program)
        times = CYCLES_FULL if full else CYCLES
        cycle(times)
        grown = resident_kib(world.program) - before
        say(f"{grown} KiB more after {2 * times} mounts came and went")
        assert grown < MAX_GROWTH_KIB + MAX_GROWTH_PER_MOUNT_KIB * 2 * times
        wait_until(
            lambda: open_descriptors(world.program) <= descriptors, BACK_S, f"{descriptors} files"
        )
        wait_until(lambda: threads(world.program) <= tasks, BACK_S, f"{tasks} threads")


@pytest.mark.parametrize("storage", ["raft", "file"])
def test_restarted(host: Host, ours: Plugin, storage, say):
    if storage == "file" and host.family == "bao":
        pytest.skip("OpenBao stores nothing in files")
    with DevServer(host, storage=storage) as server:
        register(server, ours)
        world = World.on(server, ours)
        server.client.must("POST", "auth/jwt/role/other", role(token_policies="mine"))
        kept = [world.mount.read(path).data for path in ("config", "role/demo", "role/other")]
        old = world.processes
        server.restart()
        took = first_login_s(world.mount)
        say(f"the first login after a restart takes {took * 1000:.0f} ms")
        assert set(old).isdisjoint(world.processes)
        read = [world.mount.read(path).data for path in ("config", "role/demo", "role/other")]
        assert read == kept
        assert len(world.unpacked()) <= 1
        stored = server.folder / "data" / "auth"
        assert storage != "file" or list(stored.iterdir())
        world.mount.disable()
        assert storage != "file" or not stored.exists()
        assert group_members(server.process_group).keys() == {server.pid}
        assert world.unpacked() == []
        anew = enable(server, "jwt", version=ours.version)
        assert anew.read("role/demo").status == 404
        assert anew.request("LIST", "role").status == 404


def test_after_stepping_down(stepped_down: World, say):
    client = stepped_down.server.client
    wait_until(lambda: client.get("sys/health").status == 200, 60, "leadership")
    took = first_login_s(stepped_down.mount)
    say(f"the first login afterwards takes {took * 1000:.0f} ms")
    assert len(stepped_down.unpacked()) <= 1
