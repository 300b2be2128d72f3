"""Started by hand: one paragraph, the right checksum, and the right exit status."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.goplugin.host_stand_in import COOKIE, REPOSITORY, host_environment
from vault_jwt_plugin._version import VERSION
from vault_jwt_plugin.goplugin import program

TOY = program.Program(
    name="toy", version="v1.2.3", summary="a toy", plugin_type="auth", plugin_name="tin"
)


def run(*arguments, command=("-m", "vault_jwt_plugin"), **environ):
    inherited = {name: value for name, value in os.environ.items() if "PLUGIN" not in name}
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


PARAGRAPH = f"vault-jwt-plugin v{VERSION} is the JWT auth method of HashiCorp Vault and OpenBao "


def test_started_by_hand():
    done = run()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(PARAGRAPH)
    assert done.stderr.endswith("\n    vault auth enable -path=jwt jwt\n")


def test_wrong_cookie():
    done = run(VAULT_BACKEND_PLUGIN="other")
    assert done.returncode == 1
    assert done.stdout == ""
    first, rest = done.stderr.split("\n", 1)
    assert first == (
        "[ERROR] vault-jwt-plugin: VAULT_BACKEND_PLUGIN is set, "
        "but not to the value that Vault and OpenBao give it"
    )
    assert rest.startswith(PARAGRAPH)


def test_unknown_argument():
    done = run("--serve")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        f"[ERROR] vault-jwt-plugin: unknown argument '--serve', see --help\n{PARAGRAPH}"
    )


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vault-jwt-plugin v{VERSION}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option):
    done = run(option)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("Usage: vault-jwt-plugin [--help | --version]\n\n" + PARAGRAPH)


def test_a_database_probe_ends_at_once():
    done = run(
        VAULT_DATABASE_PLUGIN="926a0820-aea2-be28-51d6-83cdf00e8edb", PLUGIN_PROTOCOL_VERSIONS="5,6"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "[ERROR] vault-jwt-plugin: this is not a database plugin\n"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        pytest.param(
            {"PLUGIN_MULTIPLEX_GRPC": "true"},
            "this plugin does not support the container runtime (PLUGIN_MULTIPLEX_GRPC is set): "
            "register it as a command, without an OCI image",
            id="container",
        ),
        pytest.param(
            {},
            "the host sent no certificate (PLUGIN_CLIENT_CERT is not set): "
            "this plugin serves only with mutual TLS",
            id="no-certificate",
        ),
    ],
)
def test_a_start_that_fails(environ, message):
    done = run(**host_environment(**environ))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"[ERROR] vault-jwt-plugin: {message}\n"


@pytest.mark.parametrize("offered", ["3,4", "4,3"])
def test_old_protocol_versions_are_answered_with_ours(offered):
    done = run(VAULT_BACKEND_PLUGIN=COOKIE, PLUGIN_PROTOCOL_VERSIONS=offered)
    assert done.returncode == 1
    assert done.stdout == "1|5|unix||grpc|\n"
    assert done.stderr == (
        f"[ERROR] vault-jwt-plugin: the host offers plugin protocol versions '{offered}', "
        "this plugin speaks only version 5\n"
    )


def test_a_console_script_knows_its_checksum(tmp_path):
    script = tmp_path / "my-plugin"
    script.write_text("from vault_jwt_plugin.__main__ import main\nraise SystemExit(main())\n")
    checksum = hashlib.sha256(script.read_bytes()).hexdigest()
    done = run(command=(str(script),))
    assert done.returncode == 1
    assert (
        f"    vault plugin register -sha256={checksum} -command=my-plugin -version=v{VERSION} "
        "auth jwt\n"
    ) in done.stderr


def test_without_a_file_the_command_makes_the_checksum(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/__main__.py"])
    assert (
        "    vault plugin register -sha256=$(sha256sum toy | cut -d' ' -f1) "
        "-command=toy -version=v1.2.3 auth tin\n    vault auth enable -path=tin tin\n"
    ) in TOY.explanation()


@pytest.fixture
def frozen(monkeypatch, tmp_path):
    """Imitate a one-file program inside a static wrapper: its files and variables."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "toy").write_bytes(b"one-file program")
    (tmp_path / "wrapped").write_bytes(b"wrapper")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(bundle / "toy"))
    monkeypatch.delenv("STATICX_BUNDLE_DIR", raising=False)
    monkeypatch.delenv("STATICX_PROG_PATH", raising=False)
    return tmp_path


def test_the_wrapper_is_what_gets_registered(frozen, monkeypatch):
    monkeypatch.setenv("STATICX_BUNDLE_DIR", str(frozen / "bundle"))
    monkeypatch.setenv("STATICX_PROG_PATH", str(frozen / "wrapped"))
    checksum = hashlib.sha256(b"wrapper").hexdigest()
    assert f"-sha256={checksum} -command=wrapped -version=v1.2.3 auth tin\n" in TOY.explanation()


def test_a_one_file_program_is_what_gets_registered(frozen):
    checksum = hashlib.sha256(b"one-file program").hexdigest()
    assert f"-sha256={checksum} -command=toy -version=v1.2.3 auth tin\n" in TOY.explanation()


def test_a_wrapped_hosts_variables_are_not_believed(frozen, monkeypatch):
    (frozen / "hosts").mkdir()
    monkeypatch.setenv("STATICX_BUNDLE_DIR", str(frozen / "hosts"))
    monkeypatch.setenv("STATICX_PROG_PATH", str(frozen / "wrapped"))
    assert program.bundle_dir() is None
    assert program.program_file() == frozen / "bundle" / "toy"


def test_nothing_is_unpacked_when_not_frozen(monkeypatch, tmp_path):
    monkeypatch.setenv("STATICX_BUNDLE_DIR", str(Path(sys.executable).parent))
    assert program.bundle_dir() is None
