"""What an operator types, from registering to a token, with the host's own command line."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.hosts.cli import Cli
from tests.hosts.plugin import Plugin, builtin_version, install, mounted
from tests.hosts.server import DevServer
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.discover import Host
    from tests.hosts.issuer import Issuers

ROLE = (
    "write auth/jwt/role/demo role_type=jwt"
    ' bound_subject="r3qX9DljwFIWhsiqwFiu38209F10atW6@clients"'
    ' bound_audiences="https://vault.plugin.auth.jwt.test" user_claim="https://vault/user"'
    ' groups_claim="https://vault/groups" policies=webapps ttl=1h'
)
CLAIMS = {
    "iss": "https://team-vault.example/",
    "sub": "r3qX9DljwFIWhsiqwFiu38209F10atW6@clients",
    "aud": "https://vault.plugin.auth.jwt.test",
    "iat": 1_500_000_000,
    "exp": 9_999_999_999,
    "https://vault/user": "jeff",
    "https://vault/groups": ["foo", "bar"],
}


@pytest.fixture(scope="module")
def own(host: Host, plugin: Plugin) -> Iterator[DevServer]:
    """A server of this module's own: the walk-through starts with nothing registered."""
    with DevServer(host) as server:
        (server.folder / "rsa.pem").write_text(public_pem("rsa"))
        yield server


@pytest.fixture
def cli(own: DevServer) -> Iterator[Cli]:
    """The host's command line; what a test mounted at jwt/ is gone afterwards."""
    cli = Cli(own)
    yield cli
    cli.must("auth disable jwt")


@pytest.fixture(scope="module")
def registered(own: DevServer, plugin: Plugin) -> Plugin:
    """Ours, registered by the commands of docs/install.md."""
    if plugin.kind == "builtin":
        pytest.skip("nothing to register: the builtin method stands in for ours")
    sha256 = install(own, plugin).sha256
    printed = Cli(own).must(
        f"plugin register -sha256={sha256} -command=vault-jwt-plugin"
        f" -version={plugin.version} auth jwt"
    )
    assert "Success! Registered plugin: jwt" in printed.stdout
    return plugin


def test_enable_takes_ours_and_the_builtin_by_its_version(
    cli: Cli, own: DevServer, registered: Plugin
):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    listed = cli.must("auth list -detailed -format=json").json
    assert listed["jwt/"]["running_plugin_version"] == registered.version

    builtin = builtin_version(own)
    cli.must(f"auth enable -path=old -plugin-version={builtin} jwt")
    mounted(own, "old", version=builtin)
    cli.must("auth disable old")


def test_static_keys_to_a_token(cli: Cli, own: DevServer, registered: Plugin):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    written = cli.must("write auth/jwt/config jwt_validation_pubkeys=@rsa.pem")
    assert written.stdout == "Success! Data written to: auth/jwt/config\n"
    written = cli.must(ROLE)
    assert written.stdout == "Success! Data written to: auth/jwt/role/demo\n"

    jwt = make_jwt(CLAIMS)
    login = cli.must(f"write -format=json auth/jwt/login role=demo jwt={jwt}", token="").json
    auth = login["auth"]
    assert auth["client_token"]
    assert auth["policies"] == ["default", "webapps"]
    assert auth["metadata"] == {"role": "demo"}
    assert auth["renewable"] is True
    assert auth["lease_duration"] == 3600

    # The token works, as itself.
    token = auth["client_token"]
    own_lookup = cli.must("token lookup -format=json", token=token).json["data"]
    assert own_lookup["display_name"] == "jwt-jeff"
    assert own_lookup["path"] == "auth/jwt/login"
    renewed = cli.must("token renew -format=json", token=token).json["auth"]
    assert renewed["client_token"] == token
    assert renewed["policies"] == ["default", "webapps"]

    # As a table, which a person reads.
    table = cli.must(f"write auth/jwt/login role=demo jwt={jwt}", token="").stdout
    assert "token_policies" in table
    assert "token_meta_role" in table


def test_discovery_to_a_token(cli: Cli, own: DevServer, registered: Plugin, issuers: Issuers):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    (own.folder / "ca.pem").write_text(issuers.authority.pem)
    cli.must(
        f'write auth/jwt/config oidc_discovery_url="{issuers.https.url}/slash/"'
        " oidc_discovery_ca_pem=@ca.pem"
    )
    cli.must(ROLE)
    jwt = make_jwt(CLAIMS, header={"kid": "rsa"})
    cli.must(f"write auth/jwt/login role=demo jwt={jwt}", token="")
    read = cli.must("read -format=json auth/jwt/config").json["data"]
    assert read["oidc_discovery_url"] == f"{issuers.https.url}/slash/"


def test_curl(cli: Cli, own: DevServer, registered: Plugin):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    cli.must("write auth/jwt/config jwt_validation_pubkeys=@rsa.pem")
    cli.must(ROLE)
    # As `curl --data` sends it: a form's content type, no header of ours, no token.
    request = urllib.request.Request(
        f"{own.client.address}/v1/auth/jwt/login",
        data=json.dumps({"jwt": make_jwt(CLAIMS), "role": "demo"}).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "curl/8"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer = json.load(reply)
    assert answer["auth"]["policies"] == ["default", "webapps"]
    assert answer["auth"]["metadata"] == {"role": "demo"}


def test_a_role_from_a_json_document(cli: Cli, own: DevServer, registered: Plugin):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    cli.must("write auth/jwt/config jwt_validation_pubkeys=@rsa.pem")
    role = {
        "role_type": "jwt",
        "user_claim": "project_id",
        "bound_audiences": ["https://vault.example"],
        "bound_claims": {"project_id": "42", "ref_type": "branch", "ref_protected": "true"},
        "claim_mappings": {"user_login": "user", "job_id": "job"},
        "token_policies": ["deploy-production"],
        "token_ttl": "10m",
        "token_explicit_max_ttl": "1h",
    }
    cli.must("write auth/jwt/role/deploy -", stdin=json.dumps(role))
    claims = {
        "iss": "https://gitlab.example",
        "aud": "https://vault.example",
        "sub": "project_path:group/project:ref_type:branch:ref:main",
        "iat": 1_500_000_000,
        "exp": 9_999_999_999,
        "project_id": "42",
        "ref_type": "branch",
        "ref_protected": "true",
        "user_login": "jeff",
        "job_id": "1212",
    }
    login = f"write -format=json auth/jwt/login role=deploy jwt={make_jwt(claims)}"
    auth = cli.must(login, token="").json["auth"]
    assert auth["metadata"] == {"role": "deploy", "user": "jeff", "job": "1212"}
    assert auth["lease_duration"] == 600

    refused = make_jwt(claims | {"ref_protected": "false"})
    printed = cli.run(f"write auth/jwt/login role=deploy jwt={refused}", token="")
    assert printed.status == 2
    assert "Code: 400" in printed.stderr
    assert "ref_protected" in printed.stderr
    assert refused not in printed.stderr


def test_roles_are_listed_read_and_deleted(cli: Cli, own: DevServer, registered: Plugin):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    cli.must(ROLE)
    assert cli.must("list -format=json auth/jwt/role").json == ["demo"]
    assert cli.must("read -field=user_claim auth/jwt/role/demo").stdout == "https://vault/user"
    cli.must("delete auth/jwt/role/demo")
    assert cli.run("read auth/jwt/role/demo").status == 2
    assert cli.run("list auth/jwt/role").status == 2


def test_help_is_there_for_every_path(cli: Cli, own: DevServer, registered: Plugin):
    cli.must("auth enable -path=jwt jwt")
    mounted(own, "jwt", version=registered.version)
    for path in ("", "config", "role", "role/demo", "login"):
        assert cli.must(f"path-help auth/jwt/{path}").stdout.strip()
    assert "bound_audiences" in cli.must("path-help auth/jwt/role/demo").stdout
    assert "jwt_validation_pubkeys" in cli.must("path-help auth/jwt/config").stdout


def test_another_name_works_too(own: DevServer, registered: Plugin):
    cli = Cli(own)
    sha256 = install(own, registered).sha256
    cli.must(
        f"plugin register -sha256={sha256} -command=vault-jwt-plugin"
        f" -version={registered.version} auth vault-jwt-plugin"
    )
    cli.must("auth enable -path=other vault-jwt-plugin")
    mount = mounted(own, "other", version=registered.version)
    mount.client.must("POST", "auth/other/config", {"jwt_validation_pubkeys": public_pem("rsa")})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": CLAIMS["aud"]}
    mount.client.must("POST", "auth/other/role/demo", role)
    reply = mount.login(make_jwt(CLAIMS), "demo")
    assert reply.status == 200
    cli.must("auth disable other")
