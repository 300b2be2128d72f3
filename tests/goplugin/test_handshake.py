"""The handshake: from the environment to the handshake line."""

import base64

import pytest

from vault_jwt_plugin.goplugin import errors
from vault_jwt_plugin.goplugin.handshake import HandshakeRequest, format_line, read_environment

COOKIE = {"VAULT_BACKEND_PLUGIN": "6669da05-b1c8-4f49-97d9-c8e5bed98e20"}
DATABASE = {"VAULT_DATABASE_PLUGIN": "926a0820-aea2-be28-51d6-83cdf00e8edb"}
V5 = {**COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5", "PLUGIN_CLIENT_CERT": "PEM"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(V5, {}, id="vault"),
        pytest.param({**V5, **DATABASE}, {}, id="both-cookies"),
        pytest.param({**V5, "PLUGIN_PROTOCOL_VERSIONS": "6,5,x"}, {}, id="one-of-several"),
        pytest.param({**V5, "PLUGIN_PROTOCOL_VERSIONS": " 5 "}, {}, id="spaces"),
        # On OpenBao the server's own environment can claim anything.
        pytest.param(
            {**V5, "VAULT_PLUGIN_METADATA_MODE": "true", "BAO_PLUGIN_AUTOMTLS_ENABLED": "false"},
            {},
            id="metadata-mode-is-not-believed",
        ),
        pytest.param({**V5, "PLUGIN_UNIX_SOCKET_DIR": "/s"}, {"socket_dir": "/s"}, id="socket-dir"),
        pytest.param({**V5, "PLUGIN_UNIX_SOCKET_DIR": ""}, {}, id="empty-socket-dir"),
        pytest.param(
            {**V5, "PLUGIN_UNIX_SOCKET_GROUP": "1000"}, {"socket_group": "1000"}, id="socket-group"
        ),
        pytest.param({**V5, "PLUGIN_MULTIPLEX_GRPC": ""}, {}, id="no-yamux"),
        pytest.param({**V5, "VAULT_PLUGIN_MLOCK_ENABLED": "true"}, {"mlock": True}, id="mlock"),
        pytest.param({**V5, "VAULT_PLUGIN_MLOCK_ENABLED": "false"}, {}, id="mlock-off"),
        pytest.param(
            {**V5, "VAULT_PLUGIN_MLOCK_ENABLED": "true", "BAO_PLUGIN_MLOCK_ENABLED": ""},
            {},
            id="bao-name-wins",
        ),
    ],
)
def test_accepts(environ, expected):
    assert read_environment(environ) == HandshakeRequest(client_certificate="PEM", **expected)


@pytest.mark.parametrize(
    ("environ", "kind", "code", "message"),
    [
        pytest.param(
            {},
            errors.MagicCookieError,
            "magic_cookie",
            "VAULT_BACKEND_PLUGIN is not set: no server started this program",
            id="by-hand",
        ),
        pytest.param(
            {**V5, "VAULT_BACKEND_PLUGIN": "other"},
            errors.MagicCookieError,
            "magic_cookie",
            "VAULT_BACKEND_PLUGIN is set, but not to the value that Vault and OpenBao give it",
            id="wrong-cookie",
        ),
        pytest.param(
            {**DATABASE, "PLUGIN_PROTOCOL_VERSIONS": "5,6"},
            errors.DatabaseProbeError,
            "database_probe",
            "this is not a database plugin",
            id="database-probe",
        ),
        pytest.param(
            {"VAULT_DATABASE_PLUGIN": "x"},
            errors.MagicCookieError,
            "magic_cookie",
            "VAULT_BACKEND_PLUGIN is not set: no server started this program",
            id="wrong-database-cookie",
        ),
        *(
            pytest.param(
                {**V5, "PLUGIN_PROTOCOL_VERSIONS": offered},
                errors.ProtocolVersionError,
                "protocol_version",
                f"the host offers plugin protocol versions {offered!r}, "
                "this plugin speaks only version 5",
                id=f"versions-{offered}",
            )
            for offered in ("3,4", "4,3", "", "55", "v5", "05")
        ),
        pytest.param(
            {**V5, "PLUGIN_MULTIPLEX_GRPC": "true"},
            errors.ContainerRuntimeError,
            "container_runtime",
            "this plugin does not support the container runtime (PLUGIN_MULTIPLEX_GRPC is set): "
            "register it as a command, without an OCI image",
            id="container",
        ),
        *(
            pytest.param(
                {**COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5", **certificate},
                errors.ClientCertificateError,
                "client_certificate",
                "the host sent no certificate (PLUGIN_CLIENT_CERT is not set): "
                "this plugin serves only with mutual TLS",
                id=name,
            )
            for name, certificate in (
                ("no-client-certificate", {}),
                ("empty-client-certificate", {"PLUGIN_CLIENT_CERT": ""}),
            )
        ),
    ],
)
def test_rejects(environ, kind, code, message):
    with pytest.raises(errors.PluginError) as caught:
        read_environment(environ)
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert str(caught.value) == message


@pytest.mark.parametrize("size", [100, 101, 102], ids=["padding-2", "padding-1", "no-padding"])
def test_line_is_what_go_parses(size):
    certificate = bytes(range(size))
    line = format_line(address="/tmp/plugin123", certificate_der=certificate)
    assert line.endswith("\n")
    parts = line.rstrip("\n").split("|")
    assert parts[:5] == ["1", "5", "unix", "/tmp/plugin123", "grpc"]
    assert len(parts) == 6
    assert "=" not in parts[5]
    assert base64.b64decode(parts[5] + "=" * (-len(parts[5]) % 4)) == certificate
