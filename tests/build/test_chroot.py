"""A root that contains only the file, /proc and /tmp: no libc, no loader, no /dev, no /etc."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from tests.build.test_start import HOST, healthy
from tests.build.world import is_empty
from tests.goplugin.host_stand_in import started
from tests.hosts.issuer import Authority, Issuer

pytestmark = [pytest.mark.build, pytest.mark.usefixtures("root")]

# In a mount namespace of its own the mount goes away with the process, however that ends.
INSIDE = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t proc proc "$1/proc" && exec chroot "$@"',
    "sh",
]
NAMESERVER = "127.0.0.153"


@pytest.fixture
def jail(tmp_path):
    """Make the folder that becomes the root."""
    folder = tmp_path / "root"
    (folder / "proc").mkdir(parents=True)
    (folder / "tmp").mkdir()
    yield folder
    assert is_empty(folder / "tmp")


def put(file, jail):
    target = jail / file.name
    shutil.copyfile(file, target)
    target.chmod(0o755)
    return [*INSIDE, str(jail), f"/{file.name}"]


def test_serves(binary, jail):
    command = put(binary, jail)
    with started(command, identity=HOST, TMPDIR="/tmp") as plugin:
        fields = plugin.line.split(b"|")
        fields[3] = os.fsencode(jail) + fields[3]
        plugin.line = b"|".join(fields)
        assert healthy(plugin)
        plugin.process.terminate()
        plugin.wait_gone(2)


def test_every_late_import(check, jail):
    done = subprocess.run(put(check, jail), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["protobuf"] == "upb"
    assert "vault_jwt_plugin.serving" in found["modules"]


@contextlib.contextmanager
def nameserver():
    """Answer every question for an IPv4 address with 127.0.0.1 (RFC 1035 4.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((NAMESERVER, 53))

        def serve():
            while True:
                query, client = listener.recvfrom(512)
                if query == b"stop":
                    return
                question = query[12 : query.index(b"\0", 12) + 5]
                is_a = question[-4:-2] == b"\0\1"
                header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, is_a, 0, 0)
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
                listener.sendto(header + question + answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"stop", (NAMESERVER, 53))
            thread.join()


@pytest.mark.parametrize("source", ["hosts", "dns"])
def test_fetches_over_https_by_host_name(check, jail, source):
    command = put(check, jail)
    etc = jail / "etc"
    (etc / "ssl").mkdir(parents=True)
    # This root does not have these modules, and the bundled libc must not ask for them.
    (etc / "nsswitch.conf").write_text("hosts: mymachines resolve myhostname\n")
    (etc / "resolv.conf").write_text(f"nameserver {NAMESERVER}\noptions timeout:1 attempts:1\n")
    if source == "hosts":
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
    authority = Authority.make("issuer's authority")
    (etc / "ssl" / "ca.pem").write_text(authority.pem)
    with Issuer(authority) as issuer, nameserver() if source == "dns" else contextlib.nullcontext():
        issuer.put_json("/jwks", {"keys": []})
        url = issuer.url.replace("127.0.0.1", "localhost") + "/jwks"
        done = subprocess.run(
            [*command, url, "/etc/ssl/ca.pem"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["fetched"]) == {"keys": []}


def test_without_proc(binary, tmp_path):
    (tmp_path / "tmp").mkdir()
    shutil.copy(binary, tmp_path)
    done = subprocess.run(
        ["chroot", tmp_path, "/vault-jwt-plugin"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "[ERROR] open /proc/self/exe: No such file or directory\n"
    assert Path(tmp_path, "tmp").exists()
