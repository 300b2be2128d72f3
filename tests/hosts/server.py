"""A host running on this machine for a test, the demo or the bench: started, ready, surely ended.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.hosts.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.hosts.discover import Host

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
"""How long a host may take to end: it kills each plugin process that outlives 2 s of asking."""

POLL_S = 0.02


class HostFailedError(Exception):
    """A host did not start, did not get ready, or left something running. Holds its log's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whom a host runs as, by number; needs the caller to be root."""

    uid: int
    gid: int


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def group_members(group: int) -> dict[int, str]:
    """The living processes of a process group: pid -> command line (Linux, proc(5))."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may itself hold spaces and parentheses.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                command = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                found[int(entry.name)] = command.strip()
    return found


class DevServer:
    """One running host. Use as a context manager, or call `start` and `stop`.

    Attributes:
        host: Which program it is.
        folder: Everything of it: `plugins` (the plugin directory), `tmp` (its TMPDIR), `log`, and
            with raft its data. A real path without symbolic links, as hosts demand. Short, since
            the sockets of plugins lie in it.
        client: Requests as root; valid once started.
        ready: What `sys/health` says once it serves: 200 = active, 429 = a standby, which a node
            of a cluster may also become.
    """

    def __init__(
        self,
        host: Host,
        *,
        storage: str = "inmem",
        user: User | None = None,
        environment: Mapping[str, str] | None = None,
        log_level: str = "debug",
        settings: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        leader: DevServer | None = None,
    ) -> None:
        """Make the folder; start nothing.

        Args:
            host: Which program to run.
            storage: `inmem`: a dev server. `raft`, `file`: one that is initialised and unsealed,
                as in production, with its data on disk.
            user: Whom to run as; None = as the caller.
            environment: Variables beside PATH, HOME and TMPDIR.
            log_level: The host's and so its plugins' log level.
            settings: More lines of its configuration.
            wrapper: A command that becomes the host's, which follows it: `unshare --mount`.
            leader: A running node of the raft cluster that it joins; None = it stands alone.
        """
        self.host = host
        self.storage = storage
        self.user = user
        self.log_level = log_level
        self.settings = tuple(settings)
        self.wrapper = tuple(wrapper)
        self.leader = leader
        self.ready = {200} if leader is None else {200, 429}
        self.folder = Path(tempfile.mkdtemp(prefix="vjp-")).resolve()
        self.plugins = self.folder / "plugins"
        self.temporary = self.folder / "tmp"
        for folder in (self.plugins, self.temporary, self.folder / "data"):
            folder.mkdir()
        self.log_file = self.folder / "log"
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": str(self.temporary),
            **(environment or {}),
        }
        self.root_token = ""
        self.unseal_key = ""
        self.port = 0
        self.cluster_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        """Requests as root."""
        return Client("127.0.0.1", self.port, self.root_token)

    @property
    def process_group(self) -> int:
        """The process group of the host and, since it starts them, of its plugins."""
        return self._running().pid

    @property
    def pid(self) -> int:
        """The host's process."""
        return self._running().pid

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise HostFailedError(f"{self.host.name} is not running")
        return self._process

    def log(self) -> str:
        """All that the host has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def plugin_processes(self) -> dict[int, str]:
        """The processes that the host started: pid -> command line."""
        members = group_members(self.process_group)
        members.pop(self.pid, None)
        return members

    def cli_environment(self, token: str | None = None) -> dict[str, str]:
        """What an operator exports to talk to this host with its CLI; None = the root token."""
        prefix = "BAO" if self.host.family == "bao" else "VAULT"
        return self.environment | {
            f"{prefix}_ADDR": self.client.address,
            f"{prefix}_TOKEN": self.root_token if token is None else token,
        }

    # Starting

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, AssertionError | OSError):
            # A test failed, or waited in vain; in a moment there is nothing left to look at.
            print(self.remains())
        self.stop()

    def remains(self) -> str:
        """Its processes, each with what the kernel has it wait for, and the end of its log."""
        members = group_members(self._process.pid) if self._process is not None else {}
        lines = [f"{self.host.name} and its plugins:"]
        for pid, command in members.items():
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                waits = Path(f"/proc/{pid}/wchan").read_text()
                lines.append(f"{pid} {state} {waits} {command}")
        return "\n".join([*lines, "The end of its log:", self.log()[-10_000:]])

    def start(self) -> Self:
        """Start and wait until it answers as the active, unsealed node.

        Raises:
            HostFailedError: It ended, or was not ready in time.
        """
        for attempt in range(3):
            # The other nodes of a cluster know it by the second one.
            self.port, self.cluster_port = free_port(), free_port()
            self._launch()
            try:
                self._wait_ready({200} if self.storage == "inmem" else {501, 503})
                break
            except HostFailedError:
                # Somebody else took the port between our look and the host's bind.
                if attempt == 2 or "address already in use" not in self.log():
                    raise
                self._end_process()
        if self.storage != "inmem":
            self._initialise()
        return self

    def restart(self) -> None:
        """End and start it again with the same data (a dev server keeps none), and unseal it."""
        self._end_process()
        self._launch()
        self._wait_ready({503})
        self.unseal()

    def unseal(self) -> None:
        """Unseal a server that keeps its data, and wait until it serves."""
        self.client.must("PUT", "sys/unseal", {"key": self.unseal_key})
        self._wait_ready(self.ready)

    def _initialise(self) -> None:
        if self.leader is not None:
            self.root_token, self.unseal_key = self.leader.root_token, self.leader.unseal_key
            joined = {"leader_api_addr": self.leader.client.address}
            self.client.with_token(None).must("POST", "sys/storage/raft/join", joined)
            self.unseal()
            return
        request = {"secret_shares": 1, "secret_threshold": 1}
        answer = self.client.with_token(None).must("PUT", "sys/init", request).body
        self.root_token = answer["root_token"]
        self.unseal_key = answer["keys"][0]
        self.unseal()

    def _configuration(self) -> str:
        lines = [f'plugin_directory = "{self.plugins}"', "disable_mlock = true"]
        if self.storage == "raft":
            lines += [
                # The default is tuned for slow networks: an election would take 5 s.
                'storage "raft" {',
                f'  path = "{self.folder / "data"}"',
                f'  node_id = "{self.folder.name}"',
                "  performance_multiplier = 1",
                # A node that joined may vote at the next of these: every 10 s otherwise.
                '  autopilot_reconcile_interval = "1s"',
                '  autopilot_update_interval = "500ms"',
                "}",
            ]
        if self.storage == "file":
            lines.append(f'storage "file" {{ path = "{self.folder / "data"}" }}')
        if self.storage != "inmem":
            lines += [
                'listener "tcp" {',
                f'  address = "127.0.0.1:{self.port}"',
                f'  cluster_address = "127.0.0.1:{self.cluster_port}"',
                "  tls_disable = true",
                "}",
                f'api_addr = "http://127.0.0.1:{self.port}"',
                f'cluster_addr = "https://127.0.0.1:{self.cluster_port}"',
            ]
        if self.host.family == "bao":
            # OpenBao has no mlock, and says so about a setting for it.
            lines.remove("disable_mlock = true")
        return "\n".join((*lines, *self.settings)) + "\n"

    def _command(self) -> list[str]:
        configuration = self.folder / "server.hcl"
        configuration.write_text(self._configuration())
        arguments = ["server", f"-config={configuration}", f"-log-level={self.log_level}"]
        if self.storage == "inmem":
            self.root_token = self.root_token or f"root-{secrets.token_hex(8)}"
            arguments += [
                "-dev",
                "-dev-no-store-token",
                f"-dev-root-token-id={self.root_token}",
                f"-dev-listen-address=127.0.0.1:{self.port}",
            ]
        if self.host.engine is not None:
            owner = self.user or User(uid=os.getuid(), gid=os.getgid())
            return [
                *(self.host.engine, "run", "--rm", "--network=host", f"--name={self.folder.name}"),
                *(f"--user={owner.uid}:{owner.gid}", f"--volume={self.folder}:{self.folder}"),
                *(f"--env={name}={value}" for name, value in self.environment.items()),
                *("--entrypoint=vault", self.host.source, *arguments),
            ]
        return [*self.wrapper, str(self._program()), *arguments]

    def _program(self) -> Path:
        """The host's program, somewhere that its user can run it."""
        binary = self.host.binary
        if binary is None:
            raise HostFailedError(f"{self.host.name} has no program")
        if self.user is None:
            return binary
        # It may lie below a home directory that is closed to everybody else.
        own = self.folder / binary.name
        if not own.exists():
            try:
                own.hardlink_to(binary)
            except OSError:
                shutil.copy2(binary, own)
        return own

    def _launch(self) -> None:
        command = self._command()
        if self.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                if path.name != getattr(self.host.binary, "name", ""):
                    os.chown(path, self.user.uid, self.user.gid)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                # Its own process group: a Ctrl-C here does not reach it, and one signal reaches
                # it and all of its plugins.
                start_new_session=True,
                user=None if self.user is None else self.user.uid,
                group=None if self.user is None else self.user.gid,
                extra_groups=None if self.user is None else [],
            )

    def _wait_ready(self, wanted: set[int]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        process = self._running()
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._failure(f"ended with status {process.returncode}")
            with contextlib.suppress(OSError):
                if self.client.request("GET", "sys/health", timeout_s=5).status in wanted:
                    return
            time.sleep(POLL_S)
        raise self._failure(f"was not ready in {READY_TIMEOUT_S:.0f} s")

    def _failure(self, what: str) -> HostFailedError:
        return HostFailedError(
            f"{self.host.name} {what}. The end of its log:\n{self.log()[-3000:]}"
        )

    # Ending

    def stop(self) -> None:
        """End it, make sure that nothing of it is left, and remove its folder.

        Raises:
            HostFailedError: A process outlived the host; it was killed, and is named.
        """
        try:
            self._end_process()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL to the host alone, as the kernel's out-of-memory killer would."""
        self._running().kill()
        self._running().wait()

    def terminate(self) -> None:
        """SIGTERM to the host, without waiting for its end."""
        self._running().terminate()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        deadline = time.monotonic() + 2
        # Not until the group is gone: init may take a second to reap what the host left to it.
        while (leftover := group_members(process.pid)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self.host.engine is not None:
            subprocess.run(
                [self.host.engine, "rm", "--force", self.folder.name],
                capture_output=True,
                check=False,
            )
        if leftover:
            raise self._failure(f"left running: {leftover}")


@contextlib.contextmanager
def running(host: Host, *, storage: str = "inmem", user: User | None = None) -> Iterator[DevServer]:
    """A running host for the length of a `with` block."""
    with DevServer(host, storage=storage, user=user) as server:
        yield server
