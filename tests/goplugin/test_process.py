"""A real plugin process and a stand-in for its host: its whole life, and every way to die."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.goplugin.host_stand_in import (
    TOY,
    HostIdentity,
    host_environment,
    rest,
    started,
)
from vault_jwt_plugin import rpc
from vault_jwt_plugin.pb import health_pb2, plugin_pb2

HOST = HostIdentity.generate()
EXIT_S = 0.5
GONE_S = 2.0


@contextlib.asynccontextmanager
async def connected(plugin, *, tls=None):
    channel = await rpc.Channel.connect(
        plugin.address,
        tls=tls or plugin.client_context(),
        server_hostname="localhost",
        timeout_s=5,
    )
    try:
        yield channel
    finally:
        await channel.close()


def call(plugin, method, message=b"", **keywords):
    async def go():
        async with connected(plugin) as channel:
            return await channel.unary(method, message, timeout_s=5, **keywords)

    return asyncio.run(go())


@pytest.fixture
def tmpdir():
    """Make the plugin's TMPDIR, which shows what the plugin leaves behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


@pytest.fixture
def plugin(tmpdir):
    with started(identity=HOST, TMPDIR=str(tmpdir)) as process:
        yield process
        if process.process.poll() is None:
            process.process.terminate()
            process.process.wait(5)


def test_the_handshake_line(plugin):
    fields = plugin.line.decode().rstrip("\n").split("|")
    assert fields[:3] == ["1", "5", "unix"]
    assert fields[4] == "grpc"
    assert len(fields) == 6
    socket_file = Path(plugin.address)
    assert socket_file.is_socket()
    assert socket_file.parent.stat().st_mode & 0o777 == 0o700


def test_calls_over_mutual_tls(plugin):
    assert call(plugin, "/toy.Toy/Echo", b"hello") == b"hello"


def test_the_instance_of_a_call(plugin):
    metadata = [("multiplex_id", "aB3dE6gH9j")]
    assert call(plugin, "/toy.Toy/Instance", metadata=metadata) == b"aB3dE6gH9j"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([], "missing multiplex ID in metadata"),
        ([("multiplex_id", "")], "empty multiplex ID in metadata"),
    ],
    ids=["missing", "empty"],
)
def test_a_call_for_no_instance(plugin, metadata, message):
    with pytest.raises(rpc.RPCError) as caught:
        call(plugin, "/toy.Toy/Instance", metadata=metadata)
    assert (caught.value.code, caught.value.message) == (rpc.StatusCode.UNKNOWN, message)


def test_an_unknown_method(plugin):
    with pytest.raises(rpc.RPCError) as caught:
        call(plugin, "/toy.Toy/Nothing")
    assert caught.value.code == rpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["plugin", ""], ids=["plugin", "whole-server"])
def test_health(plugin, service):
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    answer = call(plugin, "/grpc.health.v1.Health/Check", request)
    assert health_pb2.HealthCheckResponse.FromString(answer).status == 1


def test_health_of_an_unknown_service(plugin):
    request = health_pb2.HealthCheckRequest(service="other").SerializeToString()
    with pytest.raises(rpc.RPCError) as caught:
        call(plugin, "/grpc.health.v1.Health/Check", request)
    assert (caught.value.code, caught.value.message) == (
        rpc.StatusCode.NOT_FOUND,
        "unknown service",
    )


@pytest.mark.parametrize(("service", "status"), [("plugin", 1), ("other", 3)])
def test_watching_health(plugin, service, status):
    async def go():
        async with connected(plugin) as channel:
            watch = channel.stream("/grpc.health.v1.Health/Watch", timeout_s=5, metadata=())
            async with watch as stream:
                await stream.send(
                    health_pb2.HealthCheckRequest(service=service).SerializeToString()
                )
                await stream.end()
                answer = await stream.receive()
                assert health_pb2.HealthCheckResponse.FromString(answer).status == status

    asyncio.run(go())


class Brokering:
    """The host's broker: a listener for the plugin, and its announcement."""

    def __init__(self, plugin, folder, *, identity=None):
        self.plugin = plugin
        self.path = str(folder / "brokered")
        identity = identity or plugin.identity
        methods = {"/toy.Host/Hello": rpc.unary(lambda call, message: b"hello " + message)}
        self.server = rpc.Server(methods, tls=identity.context(plugin.certificate_der, server=True))

    async def __aenter__(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        listener.bind(self.path)
        listener.listen()
        self.server.start(listener)
        return self

    async def __aexit__(self, *exception):
        await self.server.shutdown(1)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # noqa: PTH108 - pathlib counts as blocking in async code

    def announcement(self, service_id, **keywords):
        info = {"network": "unix", "address": self.path, **keywords}
        return plugin_pb2.ConnInfo(service_id=service_id, **info).SerializeToString()


@pytest.mark.parametrize("order", ["announced-before", "announced-after"])
def test_the_plugin_calls_the_host_back(plugin, tmpdir, order):
    async def go():
        async with Brokering(plugin, tmpdir) as broker, connected(plugin) as channel:
            ask = channel.unary("/toy.Toy/AskHost", b"7", timeout_s=5)
            start = channel.stream("/plugin.GRPCBroker/StartStream", timeout_s=None, metadata=())
            async with start as stream:
                if order == "announced-before":
                    await stream.send(broker.announcement(7))
                    assert await ask == b"hello plugin"
                else:
                    asking = asyncio.ensure_future(ask)
                    # The answer comes after the announcement, which was sent before it, has been
                    # read.
                    await channel.unary("/toy.Toy/Echo", b"", timeout_s=5)
                    await stream.send(broker.announcement(7))
                    assert await asking == b"hello plugin"

    asyncio.run(go())


def test_an_impostor_of_the_host_is_not_called_back(plugin, tmpdir):
    async def go():
        impostor = Brokering(plugin, tmpdir, identity=HostIdentity.generate())
        async with impostor as broker, connected(plugin) as channel:
            start = channel.stream("/plugin.GRPCBroker/StartStream", timeout_s=None, metadata=())
            async with start as stream:
                await stream.send(broker.announcement(7))
                with pytest.raises(rpc.RPCError):
                    await channel.unary("/toy.Toy/AskHost", b"7", timeout_s=5)

    asyncio.run(go())


def test_stdio_is_an_idle_stream(plugin):
    async def go():
        async with connected(plugin) as channel:
            stdio = channel.stream("/plugin.GRPCStdio/StreamStdio", timeout_s=None, metadata=())
            async with stdio as stream:
                await stream.send(b"")
                await stream.end()
                waiting = asyncio.ensure_future(stream.receive())
                await channel.unary("/toy.Toy/Echo", b"", timeout_s=5)
                assert not waiting.done()
                waiting.cancel()

    asyncio.run(go())


# --- Who may connect -----------------------------------------------------------------------------


def test_callers_who_hang_up_cost_nobody_the_connection(plugin):
    """Check thousands of cancelled calls: whoever reaches the host can make it cancel ours."""

    async def go():
        async with connected(plugin) as channel:
            for _ in range(12_000):
                async with channel.stream(
                    "/grpc.health.v1.Health/Watch", timeout_s=None, metadata=()
                ):
                    pass
            assert await channel.unary("/toy.Toy/Echo", b"still here", timeout_s=5) == b"still here"

    asyncio.run(go())


def test_calls_that_wait_leave_room_for_others(plugin):
    """Check that logins which wait for one issuer do not block those of other mounts."""

    async def go():
        async with connected(plugin) as channel, contextlib.AsyncExitStack() as waiting:
            for _ in range(2_000):
                stream = channel.stream("/grpc.health.v1.Health/Watch", timeout_s=None, metadata=())
                await asyncio.wait_for(waiting.enter_async_context(stream), 5)
            assert await channel.unary("/toy.Toy/Echo", b"still here", timeout_s=5) == b"still here"

    asyncio.run(go())


def test_a_stranger_gets_nothing(plugin):
    stranger = HostIdentity.generate().context(plugin.certificate_der, server=False)
    with pytest.raises((ssl.SSLError, OSError)):
        raw_exchange(plugin, stranger)
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.load_verify_locations(cadata=plugin.certificate_der)
    nobody.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, OSError)):
        raw_exchange(plugin, nobody)
    # The host is still served.
    assert call(plugin, "/toy.Toy/Echo", b"x") == b"x"


def test_plaintext_gets_nothing(plugin):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(plugin.address)
        stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        with contextlib.suppress(ConnectionResetError):
            assert b"\0\0\0\4" not in stranger.recv(1000)
    assert call(plugin, "/toy.Toy/Echo", b"x") == b"x"


def raw_exchange(plugin, context):
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(5)
        plain.connect(plugin.address)
        with context.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            # The server sends its SETTINGS first, so a peer that was accepted would see them.
            assert stream.recv(1000) == b""
            raise ConnectionResetError


# --- Output --------------------------------------------------------------------------------------


def test_nothing_follows_the_line_on_stdout(plugin):
    call(plugin, "/toy.Toy/Print", b"stray")
    plugin.process.terminate()
    assert rest(plugin.process.stdout, GONE_S) == b""


def test_log_lines(plugin):
    call(plugin, "/toy.Toy/Log", json.dumps({"mount": "jwt/", "token": "x"}).encode())
    plugin.process.terminate()
    (line,) = rest(plugin.process.stderr, GONE_S).splitlines()
    entry = json.loads(line)
    assert entry.pop("@timestamp")
    assert entry == {
        "@level": "info",
        "@message": "asked to",
        "@module": "vault_jwt_plugin.toy",
        "mount": "jwt/",
        "token": "[redacted]",
    }


def test_a_host_that_does_not_read_its_log_is_served(plugin):
    async def go():
        async with connected(plugin) as channel:
            fields = json.dumps({str(i): "x" * 2000 for i in range(20)}).encode()
            for _ in range(100):
                await channel.unary("/toy.Toy/Log", fields, timeout_s=5)
            assert await channel.unary("/toy.Toy/Echo", b"still", timeout_s=5) == b"still"

    asyncio.run(go())


# --- Hardening -----------------------------------------------------------------------------------


def test_the_hardening_of_the_process(plugin):
    facts = json.loads(call(plugin, "/toy.Toy/Facts"))
    assert facts["umask"] == 0o077
    assert facts["core"] == [0, 0]
    assert facts["dumpable"] == 0
    assert not {"joserfc", "requests", "authlib"} & set(facts["modules"])


def test_memory_is_locked_when_asked_or_the_refusal_is_logged(tmpdir):
    with started(identity=HOST, TMPDIR=str(tmpdir), VAULT_PLUGIN_MLOCK_ENABLED="true") as plugin:
        locked = json.loads(call(plugin, "/toy.Toy/Facts"))["locked"]
        call(plugin, "/plugin.GRPCController/Shutdown")
        log = rest(plugin.process.stderr, GONE_S)
    assert locked.split() != ["0", "kB"] or b"memory could not be locked" in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_another_user(tmpdir):
    tmpdir.chmod(0o777)
    as_nobody = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *TOY]
    if not Path(as_nobody[0]).exists():
        pytest.skip("no setpriv here")
    if subprocess.run([*as_nobody[:-2], "-c", "import tests.goplugin"], check=False).returncode:
        pytest.skip("the checkout is not readable for others")
    with started(as_nobody, identity=HOST, TMPDIR=str(tmpdir)) as plugin:
        assert call(plugin, "/toy.Toy/Echo", b"x") == b"x"
        call(plugin, "/plugin.GRPCController/Shutdown")
        assert plugin.wait_gone(GONE_S) < EXIT_S


# --- The end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["", "hang", "stick", "fail"])
def test_shutdown_ends_it_in_time_whatever_the_plugin_does(tmpdir, behaviour):
    with started(identity=HOST, TMPDIR=str(tmpdir), TOY_CLOSE=behaviour) as plugin:
        call(plugin, "/plugin.GRPCController/Shutdown")
        assert plugin.wait_gone(GONE_S) < EXIT_S
        assert plugin.process.returncode == (1 if behaviour == "stick" else 0)
        assert not Path(plugin.address).exists()


def test_shutdown_is_answered_and_open_calls_are_cut_off(plugin):
    async def go():
        async with connected(plugin) as channel:
            open_call = asyncio.ensure_future(channel.unary("/toy.Toy/Wait", b"", timeout_s=None))
            start = channel.stream("/plugin.GRPCBroker/StartStream", timeout_s=None, metadata=())
            async with start:
                await channel.unary("/toy.Toy/Echo", b"", timeout_s=5)
                assert (
                    await channel.unary("/plugin.GRPCController/Shutdown", b"", timeout_s=5) == b""
                )
                with pytest.raises(rpc.RPCError):
                    await asyncio.wait_for(open_call, 5)

    asyncio.run(go())
    assert plugin.wait_gone(GONE_S) < EXIT_S


@pytest.mark.parametrize("shutdown", [True, False], ids=["asked-to", "not-asked-to"])
def test_the_end_of_the_broker_stream_is_the_end(plugin, shutdown):
    async def go():
        async with connected(plugin) as channel:
            start = channel.stream("/plugin.GRPCBroker/StartStream", timeout_s=None, metadata=())
            async with start as stream:
                await channel.unary("/toy.Toy/Echo", b"", timeout_s=5)
                if shutdown:
                    await stream.end()
            if shutdown:
                await channel.unary("/plugin.GRPCController/Shutdown", b"", timeout_s=5)

    asyncio.run(go())
    said = rest(plugin.process.stderr, GONE_S)
    assert plugin.process.wait(GONE_S) == 0
    assert (b"the connection to the server broke: the plugin ends" in said) is not shutdown


def test_without_memory_it_ends(plugin):
    call(plugin, "/toy.Toy/Exhaust")
    said = rest(plugin.process.stderr, GONE_S)
    assert plugin.process.wait(GONE_S) == 1
    assert said == (
        b"[ERROR] the plugin is out of memory and ends; "
        b"the server starts it again when it is needed\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("stuck", [False, True], ids=["idle", "stuck"])
def test_signals_end_it(tmpdir, number, stuck):
    with started(identity=HOST, TMPDIR=str(tmpdir)) as plugin:
        if stuck:
            stick(plugin)
        plugin.process.send_signal(number)
        assert plugin.wait_gone(GONE_S) < EXIT_S
        assert plugin.process.returncode == (1 if stuck else 0)


def test_ctrl_c_does_not(plugin):
    plugin.process.send_signal(signal.SIGINT)
    assert call(plugin, "/toy.Toy/Echo", b"x") == b"x"


@pytest.mark.parametrize("stuck", [False, True], ids=["idle", "stuck"])
def test_a_closed_stdout_ends_it(tmpdir, stuck):
    with started(identity=HOST, TMPDIR=str(tmpdir)) as plugin:
        if stuck:
            stick(plugin)
        assert plugin.process.stdout is not None
        plugin.process.stdout.close()
        plugin.process.wait(GONE_S)


def stick(plugin):
    """Block the event loop in a handler."""

    async def go():
        async with connected(plugin) as channel:
            sticking = asyncio.ensure_future(channel.unary("/toy.Toy/Stick", b"", timeout_s=None))
            log = plugin.process.stderr
            assert b"about to stick" in await asyncio.to_thread(log.readline)
            sticking.cancel()

    asyncio.run(go())


HOST_PROCESS = """
import subprocess, sys
plugin = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
print(plugin.pid, plugin.stdout.readline().decode().strip(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(TOY, id="direct"),
        pytest.param(["/bin/sh", "-c", '"$@"; true', "sh", *TOY], id="launcher"),
        pytest.param(
            ["/bin/sh", "-c", '/bin/sh -c \'"$@"; true\' sh "$@"; true', "sh", *TOY],
            id="two-launchers",
        ),
    ],
)
def test_a_killed_host_takes_it_along(tmpdir, command):
    with subprocess.Popen(
        [sys.executable, "-c", HOST_PROCESS, *command],
        env=host_environment(HOST, TMPDIR=str(tmpdir)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as host:
        assert host.stdout is not None
        address = host.stdout.readline().decode().split("|")[3]
        processes = processes_with(str(tmpdir))
        host.kill()
        host.wait()
        # Its stderr was inherited by all: its end is the end of all processes.
        rest(host.stderr, GONE_S)
        until_gone(processes)
        assert not Path(address).exists()


@pytest.mark.parametrize("launchers", [1, 2])
@pytest.mark.parametrize("victim", ["outermost", "innermost", "the-process-itself"])
def test_a_killed_launcher_takes_all_along(tmpdir, launchers, victim):
    command = ["/bin/sh", "-c", '"$@"; true', "sh", *TOY]
    if launchers == 2:
        command = ["/bin/sh", "-c", '/bin/sh -c \'"$@"; true\' sh "$@"; true', "sh", *TOY]
    with started(command, identity=HOST, TMPDIR=str(tmpdir)) as plugin:
        chain = chain_below(plugin.process.pid)
        assert len(chain) == launchers + 1
        index = {"outermost": 0, "innermost": -2, "the-process-itself": -1}[victim]
        os.kill(chain[index], signal.SIGKILL)
        assert plugin.wait_gone(GONE_S) < EXIT_S
        until_gone(chain[1:])
        folder = Path(plugin.address).parent
        if victim == "the-process-itself":  # No launcher removes the folder in this case.
            (folder / Path(plugin.address).name).unlink()
            folder.rmdir()


def test_killed_before_the_line_nothing_stays(tmpdir):
    for delay_s in (0.0, 0.02, 0.05, 0.1, 0.2):
        with subprocess.Popen(
            ["/bin/sh", "-c", '"$@"; true', "sh", *TOY],
            env=host_environment(HOST, TMPDIR=str(tmpdir)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as launcher:
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(delay_s)
            launcher.kill()
            # An orphan of a plain shell cannot know that it had a launcher (a frozen program can),
            # so here the
            # host is gone too.
            assert launcher.stdout is not None
            launcher.stdout.close()
            rest(launcher.stderr, GONE_S)


def test_a_plugin_that_cannot_be_made_is_reported(tmpdir):
    with subprocess.Popen(
        TOY,
        env=host_environment(HOST, TMPDIR=str(tmpdir), TOY_FAULT="no such thing"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, log = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out == b""
    entry = json.loads(log)
    assert entry["@level"] == "error"
    assert entry["@message"] == "the plugin could not start"
    assert entry["traceback"].endswith("RuntimeError: no such thing\n")


def test_an_invalid_client_certificate_is_reported(tmpdir):
    with subprocess.Popen(
        TOY,
        env=host_environment(TMPDIR=str(tmpdir), PLUGIN_CLIENT_CERT="nonsense"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, log = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out == b""
    entry = json.loads(log)
    assert entry["@level"] == "error"
    assert entry["@message"] == "PLUGIN_CLIENT_CERT holds no certificate in PEM"
    assert entry["code"] == "client_certificate"


def processes_with(text):
    """Return the processes whose environment contains the text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if text.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def chain_below(pid):
    chain = [pid]
    while True:
        children = Path(f"/proc/{chain[-1]}/task/{chain[-1]}/children").read_text().split()
        if not children:
            return chain
        (child,) = children
        chain.append(int(child))


def until_gone(pids):
    deadline = time.monotonic() + GONE_S
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.005)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# --- Our own program -----------------------------------------------------------------------------


def test_our_program_waits_for_no_library_that_the_line_does_not_need(tmpdir):
    command = [sys.executable, "-X", "importtime", "-m", "vault_jwt_plugin"]
    with started(command, identity=HOST, TMPDIR=str(tmpdir)) as plugin:
        plugin.process.terminate()
        log = rest(plugin.process.stderr, GONE_S).decode()
    modules = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert "vault_jwt_plugin.host.plugin" in modules
    assert not {"joserfc", "requests", "authlib", "urllib3"} & modules
