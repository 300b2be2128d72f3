"""Our plugin on a host: installed, registered, mounted. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin._version import VERSION

if TYPE_CHECKING:
    from tests.hosts.client import Client, Reply
    from tests.hosts.server import DevServer

REPO = Path(__file__).resolve().parents[2]
BUILT = REPO / "build" / "out" / "vault-jwt-plugin"
KINDS = ("auto", "binary", "source", "builtin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What is registered.

    Attributes:
        kind: `binary`: the one file that scripts/build makes. `source`: a wrapper that runs this
            checkout, for quick runs. `builtin`: nothing is registered, the host's own method
            stands in for ours, which tells whether the suite itself is right.
        path: The program to install; None = the wrapper, or nothing.
        version: What is registered and, once mounted, runs.
    """

    kind: str
    path: Path | None = None
    version: str = f"v{VERSION.removeprefix('v')}"


def choose(kind: str) -> Plugin:
    """The plugin that `--plugin=KIND` means; a path means the program there.

    Raises:
        FileNotFoundError: `binary` is wanted and not built.
    """
    if kind == "auto":
        kind = "binary" if BUILT.exists() else "source"
    if kind == "binary":
        if not BUILT.exists():
            raise FileNotFoundError(f"{BUILT.relative_to(REPO)} is not there: run scripts/build")
        return Plugin(kind="binary", path=BUILT)
    if kind in KINDS:
        return Plugin(kind=kind)
    # Somebody else's program, `PATH=VERSION`: to measure against, or to check the suite with.
    path, _, version = kind.partition("=")
    if not Path(path).is_file():
        raise FileNotFoundError(f"--plugin: {path} is neither a file nor one of {KINDS}")
    return Plugin(kind="binary", path=Path(path), version=version or Plugin(kind="").version)


def wrapper() -> str:
    """A program that runs this checkout's source. `exec`: hosts wait for every holder of stdout."""
    command = shlex.join([sys.executable, "-m", "vault_jwt_plugin"])
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(REPO))} exec {command} "$@"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A program in a host's plugin directory."""

    command: str
    sha256: str


def install(server: DevServer, plugin: Plugin, command: str = "vault-jwt-plugin") -> Installed:
    """Put the plugin's program into the host's plugin directory, mode 0755."""
    target = server.plugins / command
    if plugin.path is not None:
        shutil.copyfile(plugin.path, target)
    else:
        target.write_text(wrapper())
    target.chmod(0o755)
    if server.user is not None:
        os.chown(target, server.user.uid, server.user.gid)
    return Installed(command=command, sha256=hashlib.sha256(target.read_bytes()).hexdigest())


def register(server: DevServer, plugin: Plugin, *, name: str = "jwt") -> None:
    """Install and register the plugin under the type `name`, and see that the host ran it.

    Raises:
        UnexpectedStatusError: The host refused it.
        AssertionError: It is in the catalog, but not as asked.
    """
    if plugin.kind == "builtin":
        return
    installed = install(server, plugin)
    request = {
        "sha256": installed.sha256,
        "command": installed.command,
        "version": plugin.version,
    }
    server.client.must("POST", f"sys/plugins/catalog/auth/{name}", request)
    query = {"version": plugin.version}
    entry = server.client.get(f"sys/plugins/catalog/auth/{name}", **query).data
    assert entry["sha256"] == installed.sha256, entry
    assert entry["builtin"] is False, entry


def builtin_version(server: DevServer, name: str = "jwt") -> str:
    """The version under which the host's own method is chosen: `v0.25.0+builtin`.

    Raises:
        LookupError: The host has no builtin method of this name.
    """
    catalog = server.client.must("GET", "sys/plugins/catalog").data["detailed"]
    for entry in catalog:
        if entry["type"] == "auth" and entry["name"] == name and entry["builtin"]:
            return str(entry["version"])
    raise LookupError(f"{server.host.name} has no builtin auth method {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted auth method."""

    client: Client
    path: str
    accessor: str
    version: str

    def request(self, method: str, path: str, data: Any = None, **options: Any) -> Reply:
        """A request below the mount, as root."""
        return self.client.request(method, f"auth/{self.path}/{path}", data, **options)

    def write(self, path: str, data: Any = None) -> Reply:
        """Write below the mount, as root."""
        return self.request("POST", path, data)

    def read(self, path: str) -> Reply:
        """Read below the mount, as root."""
        return self.request("GET", path)

    def login(self, jwt: str, role: str | None = None, **more: Any) -> Reply:
        """Log in, as nobody; None = the mount's default role."""
        request = {"jwt": jwt} | more | ({} if role is None else {"role": role})
        return self.client.with_token(None).post(f"auth/{self.path}/login", request)

    def disable(self) -> None:
        """Unmount."""
        self.client.must("DELETE", f"sys/auth/{self.path}")


def enable(
    server: DevServer,
    path: str,
    *,
    version: str,
    name: str = "jwt",
    config: dict[str, Any] | None = None,
    namespace: str = "",
) -> Mount:
    """Mount exactly this version, and see that it is what runs.

    Without the check a test could pass on the builtin method, which has the same name.

    Raises:
        UnexpectedStatusError: The host refused.
        AssertionError: Another version runs.
    """
    # Within `config`: hosts silently ignore a `plugin_version` beside it, and take the latest.
    request = {"type": name, "config": {"plugin_version": version} | (config or {})}
    server.client.in_namespace(namespace).must("POST", f"sys/auth/{path}", request)
    return mounted(server, path, version=version, namespace=namespace)


def mounted(server: DevServer, path: str, *, version: str, namespace: str = "") -> Mount:
    """The mount at `path`, which must run this version.

    Raises:
        AssertionError: Another version runs.
    """
    client = server.client.in_namespace(namespace)
    tuned = client.must("GET", f"sys/auth/{path}").data
    assert tuned["running_plugin_version"] == version, tuned
    return Mount(client=client, path=path, accessor=tuned["accessor"], version=version)
