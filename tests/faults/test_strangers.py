"""Somebody on the machine reaches the plugin's socket without the host's certificate: nothing.

Only the host's own user can: the socket's mode is 0600. This is the second wall.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import stat
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.build.world import family
from tests.conformance.grpcio_peer import OPTIONS, grpcio_server
from tests.faults.stand_in import IDENTITY
from tests.faults.test_slow_storage import login_ms
from tests.faults.world import wait_until
from tests.goplugin.host_stand_in import HostIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.stand_in import Mount, StandIn

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
FLOOD = 300
MAX_CONNECTIONS = 64
"""Of which the plugin closes further ones as they come (`rpc.Limits`)."""

PATIENCE_S = 10.0


@contextlib.contextmanager
def connected(host: StandIn) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as stranger:
        # Without a timeout: that of a full backlog would be none.
        stranger.connect(host.plugin.address)
        stranger.settimeout(PATIENCE_S)
        yield stranger


def heard(host: StandIn, context: ssl.SSLContext) -> str:
    """Why a stranger with this TLS hears nothing."""
    with connected(host) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.sendall(PREFACE)
                # The server's SETTINGS come unasked: who is let in sees them. With TLS 1.3 a
                # client is done before its certificate is looked at.
                assert stream.recv(1000) == b""
                return "closed"
        except ssl.SSLError as error:
            # What the connection's end looks like to who still waits for a message of TLS.
            return "closed" if isinstance(error, ssl.SSLEOFError) else error.reason
        except ConnectionError as error:
            return type(error).__name__


def nobodys(host: StandIn) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=host.plugin.certificate_der)
    context.set_alpn_protocols(["h2"])
    return context


def anothers(host: StandIn, curve: ec.EllipticCurve) -> ssl.SSLContext:
    identity: HostIdentity = HostIdentity.generate(curve)
    return identity.context(host.plugin.certificate_der, server=False)


STRANGERS: dict[str, Callable[[StandIn], ssl.SSLContext]] = {
    "without-a-certificate": nobodys,
    "self-signed-with-the-same-name": lambda host: anothers(host, ec.SECP256R1()),
    "self-signed-p-521": lambda host: anothers(host, ec.SECP521R1()),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_without_the_hosts_certificate(stand_in: StandIn, mount: Mount, stranger, version):
    context = stranger(stand_in)
    context.minimum_version = context.maximum_version = version
    reason = heard(stand_in, context)
    assert reason in {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_UNKNOWN_CA",
        "ConnectionResetError",
        "closed",
    }
    assert mount.login().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
def test_old_tls_even_with_it(stand_in: StandIn, mount: Mount, version):
    context = IDENTITY.context(stand_in.plugin.certificate_der, server=False)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    assert heard(stand_in, context) in {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"}
    # It is the version that is refused.
    assert heard_settings(stand_in)
    assert mount.login().status == 200


def heard_settings(host: StandIn) -> bool:
    """Whether the host itself is let in, by the same means."""
    context: ssl.SSLContext = IDENTITY.context(host.plugin.certificate_der, server=False)
    with (
        connected(host) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(PREFACE)
        return stream.recv(1000)[3:5] == b"\4\0"


@pytest.mark.parametrize(
    "sent",
    [PREFACE, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 1000],
    ids=["h2", "h1", "zeros"],
)
def test_without_tls(stand_in: StandIn, mount: Mount, sent):
    with connected(stand_in) as plain:
        plain.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := plain.recv(1000):
                answer += chunk
    # An alert of TLS at most: 0x15.
    assert answer[:1] in {b"", b"\x15"}
    assert len(answer) <= 7
    assert mount.login().status == 200


def test_grpcio_with_another_certificate(stand_in: StandIn, mount: Mount):
    other = HostIdentity.generate(ec.SECP256R1())
    credentials = grpc.ssl_channel_credentials(
        stand_in.plugin_pem, other.key_pem, other.certificate_pem.encode()
    )
    options = [*OPTIONS, ("grpc.ssl_target_name_override", "localhost")]
    target = f"unix:{stand_in.plugin.address}"
    with grpc.secure_channel(target, credentials, options) as channel:
        for method in ("/pb.Backend/HandleRequest", "/plugin.GRPCController/Shutdown"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert mount.login().status == 200


def test_the_socket_is_its_users_alone(stand_in: StandIn):
    path = Path(stand_in.plugin.address)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def test_a_crowd_of_strangers_does_not_disturb_the_host(
    stand_in: StandIn, mount: Mount, say: Callable[[str], None]
):
    program = family(stand_in.plugin.process.pid)[-1]
    assert mount.login().status == 200
    before_ms, held_before = login_ms(mount), descriptors(program)
    lines = len(stand_in.log)
    context = nobodys(stand_in)
    with contextlib.ExitStack() as crowd:
        for number in range(FLOOD):
            plain = crowd.enter_context(connected(stand_in))
            with contextlib.suppress(OSError):
                plain.sendall((b"", PREFACE, b"\x16\3\1", b"\0" * 100)[number % 4])
        assert descriptors(program) <= held_before + MAX_CONNECTIONS
        during_ms = login_ms(mount)
        assert mount.read("role/demo").status == 200
        for _ in range(20):
            assert heard(stand_in, context)
            assert mount.login().status == 200
    wait_until(lambda: descriptors(program) <= held_before, PATIENCE_S, "descriptors given back")
    assert heard_settings(stand_in)
    say(f"login {before_ms:.2f} ms, among {FLOOD} strangers {during_ms:.2f} ms")
    assert during_ms < 2 * before_ms + 20
    # Nor does it fill the log.
    louder = [line for line in stand_in.log[lines:] if line["@level"] != "debug"]
    assert [line["event"] for line in louder] == ["connections_full"]


def test_an_impostor_of_the_host_gets_no_call(mount: Mount):
    """Somebody listens where the host did when the plugin connects anew."""
    impostor = HostIdentity.generate(ec.SECP256R1())
    credentials = grpc.ssl_server_credentials(
        [(impostor.key_pem, impostor.certificate_pem.encode())]
    )
    hosts_own = mount.relay.target
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        grpcio_server(f"unix:{folder}/impostor", credentials) as (service, _),
    ):
        mount.relay.target = f"{folder}/impostor"
        mount.relay.cut()
        for _ in range(3):
            outcome = mount.login()
            assert outcome.status == 500
            assert outcome.body.startswith(
                "storage: UNAVAILABLE: cannot connect: SSLCertVerificationError: "
            )
        assert service.seen == {}
    mount.relay.target = hosts_own
    assert mount.login().status == 200
