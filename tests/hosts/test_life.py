"""Ours on a host over time: restarts, reloads, seals, several mounts, another user, quotas."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.plugin import Mount, Plugin, enable, mounted, register
from tests.hosts.server import DevServer, User
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.client import Reply
    from tests.hosts.discover import Host

AUDIENCE = "https://vault.example"
NOBODY = User(uid=65534, gid=65534)


@pytest.fixture(autouse=True)
def _ours(plugin: Plugin) -> None:
    if plugin.kind == "builtin":
        pytest.skip("about the life of a plugin's process")


@pytest.fixture
def mount(server: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """A configured mount of ours on the session's server."""
    found = configured(server, plugin, "life")
    yield found
    found.disable()


def configured(server: DevServer, plugin: Plugin, path: str, key: str = "rsa") -> Mount:
    """A mount of ours that lets in tokens signed with `key`."""
    found = enable(server, path, version=plugin.version)
    client = server.client
    client.must("POST", f"auth/{path}/config", {"jwt_validation_pubkeys": public_pem(key)})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
    client.must("POST", f"auth/{path}/role/demo", role)
    return found


def login(mount: Mount, key: str = "rsa", **claims: object) -> Reply:
    """A login with a good token, unless `key` or the claims make it a bad one."""
    now = int(time.time())
    usual = {"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 300}
    return mount.login(make_jwt(usual | claims, key=key), "demo")


def test_config_and_roles_survive_a_restart(host: Host, plugin: Plugin):
    with DevServer(host, storage="raft") as server:
        register(server, plugin)
        before = configured(server, plugin, "jwt")
        assert login(before).status == 200
        role = before.read("role/demo").data
        server.restart()
        after = mounted(server, "jwt", version=plugin.version)
        assert login(after).status == 200
        assert after.read("role/demo").data == role


def test_seal_and_unseal(host: Host, plugin: Plugin):
    with DevServer(host, storage="raft") as server:
        register(server, plugin)
        mount = configured(server, plugin, "jwt")
        assert server.plugin_processes()
        server.client.must("PUT", "sys/seal")
        assert server.plugin_processes() == {}
        server.unseal()
        assert login(mount).status == 200


def test_reload(server: DevServer, plugin: Plugin, mount: Mount):
    before = set(server.plugin_processes())
    server.client.must("POST", "sys/plugins/reload/backend", {"mounts": [f"auth/{mount.path}/"]})
    assert login(mount).status == 200
    assert before.isdisjoint(server.plugin_processes())


def test_two_mounts_are_apart(server: DevServer, plugin: Plugin, mount: Mount):
    other = configured(server, plugin, "life-too", key="rsa-other")
    try:
        assert login(mount).status == 200
        assert login(mount, key="rsa-other").status == 400
        assert login(other, key="rsa-other").status == 200
        assert login(other).status == 400
        other.client.must("DELETE", "auth/life-too/role/demo")
        assert login(mount).status == 200
    finally:
        other.disable()


def test_mounts_share_one_process(server: DevServer, plugin: Plugin, mount: Mount):
    before = server.plugin_processes()
    other = configured(server, plugin, "life-too")
    assert server.plugin_processes() == before
    other.disable()
    assert login(mount).status == 200


def test_disable_ends_the_last_mounts_process(host: Host, plugin: Plugin):
    with DevServer(host) as server:
        register(server, plugin)
        assert server.plugin_processes() == {}
        mount = configured(server, plugin, "jwt")
        assert server.plugin_processes()
        mount.disable()
        assert server.plugin_processes() == {}
        # Nor sockets, nor an unpacked program.
        assert list(server.temporary.iterdir()) == []


def test_a_move_keeps_everything(server: DevServer, plugin: Plugin):
    configured(server, plugin, "before")
    request = {"from": "auth/before", "to": "auth/after"}
    answer = server.client.must("POST", "sys/remount", request)
    migration = answer.data["migration_id"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        info = server.client.get(f"sys/remount/status/{migration}").data["migration_info"]
        if info["status"] != "in-progress":
            break
        time.sleep(0.05)
    assert info["status"] == "success"
    moved = mounted(server, "after", version=plugin.version)
    assert login(moved).status == 200
    moved.disable()


def test_a_rate_limit_for_one_role(server: DevServer, mount: Mount):
    # The host asks for the role of a login: at the quota's creation with no data at all, where
    # both builtin methods crash, then before each login.
    quota = {"path": f"auth/{mount.path}/", "role": "demo", "rate": 1, "interval": "60s"}
    server.client.must("POST", "sys/quotas/rate-limit/life", quota)
    try:
        assert [login(mount).status for _ in range(3)] == [200, 429, 429]
        server.client.must(
            "POST",
            f"auth/{mount.path}/role/free",
            {
                "role_type": "jwt",
                "user_claim": "sub",
                "bound_audiences": AUDIENCE,
            },
        )
        claims = {"aud": AUDIENCE, "sub": "jeff", "exp": time.time() + 60, "iat": time.time()}
        assert mount.login(make_jwt(claims), "free").status == 200
    finally:
        server.client.must("DELETE", "sys/quotas/rate-limit/life")


def test_the_servers_openapi_document_has_our_paths(host: Host, server: DevServer, mount: Mount):
    document = server.client.must("GET", "sys/internal/specs/openapi").body
    paths = document["paths"]
    roles = "role" if host.family == "bao" else "role/"
    for path in ("config", "role/{name}", roles, "login"):
        assert f"/auth/{mount.path}/{path}" in paths, sorted(p for p in paths if "life" in p)
    login_path = paths[f"/auth/{mount.path}/login"]
    assert login_path["x-vault-unauthenticated"] is True


def test_no_token_reaches_the_servers_log(server: DevServer, mount: Mount):
    marker = make_jwt({"aud": AUDIENCE, "sub": "x"}, key="rsa-other")
    assert mount.login(marker, "demo").status == 400
    assert mount.login(marker + "!", "demo").status == 400
    log = server.log()
    signature = marker.rpartition(".")[2]
    assert signature not in log
    assert "panic" not in log


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run a server as somebody else")
def test_a_server_that_is_not_root(host: Host, plugin: Plugin):
    if plugin.path is None and not readable_by(NOBODY):
        pytest.skip("--plugin=source, and this Python lies where others cannot read")
    with DevServer(host, user=NOBODY) as server:
        register(server, plugin)
        mount = configured(server, plugin, "jwt")
        assert login(mount).status == 200
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in server.plugin_processes()}
        assert owners == {NOBODY.uid}
        mount.disable()
        assert list(server.temporary.iterdir()) == []


def readable_by(user: User) -> bool:
    """Whether this user can run the Python that the wrapper starts."""
    try:
        command = [sys.executable, "-c", "import vault_jwt_plugin.serving"]
        done = subprocess.run(
            command,
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            check=False,
            capture_output=True,
        )
    except OSError:
        return False
    return done.returncode == 0
