"""The OIDC paths on real servers: what web UIs and command lines hear before there is a flow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.cli import Cli
from tests.hosts.plugin import Mount, Plugin, builtin_version, enable
from tests.hosts.server import free_port
from tests.hosts.tokens import make_jwt, public_pem
from vault_jwt_plugin.jwt_auth.paths.oidc import NOT_CONFIGURED, NOT_SUPPORTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.client import Reply
    from tests.hosts.issuer import Issuers
    from tests.hosts.server import DevServer

ROLE = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "https://vault.example"}
OTHER_STEPS = (
    ("GET", "oidc/callback", None),
    ("POST", "oidc/callback", {"state": "st_1", "code": "c", "id_token": "t"}),
    ("POST", "oidc/poll", {"state": "st_1", "client_nonce": "n"}),
)


@pytest.fixture
def mount(server: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """A mount of ours."""
    if plugin.kind == "builtin":
        pytest.skip("the Go methods have an OIDC flow")
    found = enable(server, "browsed", version=plugin.version)
    yield found
    found.disable()


def ask(mount: Mount, method: str, path: str, data: Any = None) -> Reply:
    """Ask as nobody, as browsers and command lines do."""
    nobody = mount.client.with_token(None)
    return nobody.request(method, f"auth/{mount.path}/{path}", data)


def auth_url(mount: Mount) -> Reply:
    """Ask what the web UIs ask before they draw the form."""
    origin = mount.client.address
    redirect = f"{origin}/ui/vault/auth/{mount.path}/oidc/callback"
    return ask(mount, "POST", "oidc/auth_url", {"role": "", "redirect_uri": redirect})


def with_client(issuers: Issuers) -> dict[str, str]:
    """Return a configuration with an OIDC client."""
    return {
        "oidc_discovery_url": f"{issuers.http.url}/plain",
        "oidc_client_id": "me",
        "oidc_client_secret": "s3cret",
    }


def test_without_a_client_the_answer_is_the_builtins(mount: Mount, server: DevServer):
    builtin = enable(server, "browsed-builtin", version=builtin_version(server))
    try:
        for each in (mount, builtin):
            each.client.must(
                "POST", f"auth/{each.path}/config", {"jwt_validation_pubkeys": public_pem("rsa")}
            )
        answers = [auth_url(each) for each in (builtin, mount)]
    finally:
        builtin.disable()
    assert [(each.status, each.errors) for each in answers] == [(400, [NOT_CONFIGURED])] * 2
    assert answers[0].body == answers[1].body
    for method, path, data in OTHER_STEPS:
        reply = ask(mount, method, path, data)
        assert (reply.status, reply.errors) == (400, [NOT_CONFIGURED])


def test_with_a_client_the_ui_falls_back_to_a_jwt(mount: Mount, issuers: Issuers):
    assert mount.write("config", with_client(issuers)).status == 204
    assert mount.write("role/demo", ROLE).status in {200, 204}
    reply = auth_url(mount)
    assert (reply.status, reply.errors) == (400, [NOT_CONFIGURED, NOT_SUPPORTED])
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.auth is None
    for method, path, data in OTHER_STEPS:
        reply = ask(mount, method, path, data)
        assert (reply.status, reply.errors) == (400, [NOT_SUPPORTED])
    now = int(time.time())
    claims = {"aud": ROLE["bound_audiences"], "sub": "me", "iat": now, "exp": now + 60}
    assert mount.login(make_jwt(claims, header={"kid": "rsa"}), "demo").status == 200


def test_the_command_line_says_both(mount: Mount, server: DevServer, issuers: Issuers):
    assert mount.write("config", with_client(issuers)).status == 204
    command = f"login -method=oidc -path=browsed role=demo skip_browser=true port={free_port()}"
    printed = Cli(server).run(command, token="")
    assert printed.status != 0
    assert NOT_CONFIGURED in printed.stderr
    assert NOT_SUPPORTED in printed.stderr
