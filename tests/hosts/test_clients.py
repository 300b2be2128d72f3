"""Clients that others wrote, as they are: hvac, and the hosts' own agent with auto-auth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import hvac
import pytest

from tests.hosts.cli import Cli
from tests.hosts.plugin import Mount, Plugin, builtin_version, enable
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.server import DevServer

AUDIENCE = "https://vault.example"


@pytest.fixture
def mount(server: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """An empty mount of ours."""
    builtin = plugin.kind == "builtin"
    version = builtin_version(server) if builtin else plugin.version
    found = enable(server, "clients", version=version)
    yield found
    found.disable()


def good_jwt() -> str:
    """A token for the role that these tests write."""
    now = int(time.time())
    return make_jwt({"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 300})


def test_hvac(server: DevServer, mount: Mount):
    client = hvac.Client(url=server.client.address, token=server.root_token)
    method = client.auth.jwt
    method.configure(jwt_validation_pubkeys=[public_pem("rsa")], path=mount.path)
    config = method.read_config(path=mount.path)["data"]
    assert config["jwt_validation_pubkeys"] == [public_pem("rsa").strip()]
    method.create_role(
        name="demo",
        role_type="jwt",
        allowed_redirect_uris=[],
        user_claim="sub",
        bound_audiences=[AUDIENCE],
        token_policies=["webapps"],
        path=mount.path,
    )
    assert method.list_roles(path=mount.path)["data"]["keys"] == ["demo"]
    assert method.read_role(name="demo", path=mount.path)["data"]["user_claim"] == "sub"
    login = method.jwt_login(role="demo", jwt=good_jwt(), use_token=False, path=mount.path)
    assert login["auth"]["policies"] == ["default", "webapps"]
    method.delete_role(name="demo", path=mount.path)
    with pytest.raises(hvac.exceptions.InvalidPath):
        method.read_role(name="demo", path=mount.path)


def test_hvac_s_errors(server: DevServer, mount: Mount):
    client = hvac.Client(url=server.client.address, token=server.root_token)
    method = client.auth.jwt
    # hvac makes its exceptions from the status and tells the texts.
    with pytest.raises(hvac.exceptions.InvalidPath):
        method.read_config(path=mount.path)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="key"):
        method.configure(jwt_validation_pubkeys=["garbage"], path=mount.path)
    with pytest.raises(hvac.exceptions.InvalidPath):
        method.list_roles(path=mount.path)
    method.configure(
        jwt_validation_pubkeys=[public_pem("rsa")],
        jwt_supported_algs=["RS256"],
        bound_issuer="https://issuer.example",
        default_role="demo",
        path=mount.path,
    )
    with pytest.raises(hvac.exceptions.InvalidRequest, match="bound"):
        method.create_role(
            name="demo",
            role_type="jwt",
            allowed_redirect_uris=[],
            user_claim="sub",
            path=mount.path,
        )
    method.create_role(
        name="demo",
        role_type="jwt",
        allowed_redirect_uris=[],
        user_claim="/org/name",
        user_claim_json_pointer=True,
        bound_claims={"/org/team": ["a*"]},
        bound_claims_type="glob",
        bound_subject="jeff",
        bound_audiences=[AUDIENCE],
        claim_mappings={"sub": "login"},
        groups_claim="groups",
        clock_skew_leeway=5,
        token_ttl=60,
        token_max_ttl=120,
        token_bound_cidrs=["127.0.0.1"],
        path=mount.path,
    )
    now = int(time.time())
    claims = {"aud": AUDIENCE, "sub": "jeff", "iss": "https://issuer.example", "iat": now}
    claims |= {"exp": now + 300, "org": {"name": "jeff@a", "team": "abc"}, "groups": ["g"]}
    login = method.jwt_login(role="", jwt=make_jwt(claims), use_token=False, path=mount.path)
    assert login["auth"]["metadata"] == {"role": "demo", "login": "jeff"}
    assert login["auth"]["lease_duration"] == 60
    with pytest.raises(hvac.exceptions.InvalidRequest, match="iss"):
        method.jwt_login(role="demo", jwt=good_jwt(), use_token=False, path=mount.path)


@pytest.mark.slow
def test_an_agent_that_stays_renews_its_token(server: DevServer, mount: Mount):
    mount.client.must(
        "POST", f"auth/{mount.path}/config", {"jwt_validation_pubkeys": public_pem("rsa")}
    )
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE, "token_ttl": 6}
    mount.client.must("POST", f"auth/{mount.path}/role/demo", role)
    folder = server.folder
    (folder / "staying.jwt").write_text(good_jwt())
    (folder / "staying.hcl").write_text(
        f"""
        vault {{ address = "{server.client.address}" }}
        auto_auth {{
          method "jwt" {{
            mount_path = "auth/{mount.path}"
            config = {{ path = "{folder}/staying.jwt", role = "demo" }}
          }}
          sink "file" {{ config = {{ path = "{folder}/staying.token" }} }}
        }}
        """
    )
    with Cli(server).start("agent -config=staying.hcl"):
        sink = folder / "staying.token"
        deadline = time.monotonic() + 30
        while not sink.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        token = sink.read_text()
        as_agent = server.client.with_token(token)
        issued = as_agent.get("auth/token/lookup-self").data["creation_time"]
        # Longer than its TTL: without renewals it would be gone.
        while time.time() < issued + 9:
            time.sleep(0.2)
        looked_up = as_agent.get("auth/token/lookup-self")
        assert looked_up.status == 200
        assert looked_up.data["last_renewal_time"] > issued
        assert sink.read_text() == token
        # As the agent does by itself: the file with the JWT is gone once it was read.
        assert not (folder / "staying.jwt").exists()


def test_agent_auto_auth(server: DevServer, mount: Mount):
    mount.client.must(
        "POST", f"auth/{mount.path}/config", {"jwt_validation_pubkeys": public_pem("rsa")}
    )
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
    mount.client.must("POST", f"auth/{mount.path}/role/demo", role)
    folder = server.folder
    # As an editor or `echo` leaves it: the agent sends the newline too.
    (folder / "agent.jwt").write_text(good_jwt() + "\n")
    (folder / "agent.hcl").write_text(
        f"""
        vault {{ address = "{server.client.address}" }}
        auto_auth {{
          method "jwt" {{
            mount_path = "auth/{mount.path}"
            config = {{
              path = "{folder}/agent.jwt"
              role = "demo"
              remove_jwt_after_reading = false
            }}
          }}
          sink "file" {{ config = {{ path = "{folder}/agent.token" }} }}
        }}
        """
    )
    Cli(server).must("agent -config=agent.hcl -exit-after-auth", token="")
    token = (folder / "agent.token").read_text()
    looked_up = server.client.with_token(token).get("auth/token/lookup-self").data
    assert looked_up["meta"] == {"role": "demo"}
    assert looked_up["path"] == f"auth/{mount.path}/login"
