"""Inside a namespace of OpenBao: the whole differential suite once, and its own client."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.differential.conftest import arena  # noqa: F401 - the fixture
from tests.differential.test_differential import CASES, compare
from tests.hosts.cli import Cli
from tests.hosts.plugin import enable
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from tests.differential.conftest import Arena
    from tests.hosts.discover import Host
    from tests.hosts.server import DevServer

NAMESPACE = "team-a"


@pytest.fixture
def namespace(host: Host, server: DevServer) -> str:
    """A namespace that is there."""
    if host.family != "bao":
        pytest.skip("Vault has namespaces in its Enterprise edition only")
    if server.client.get(f"sys/namespaces/{NAMESPACE}").status == 404:
        server.client.must("POST", f"sys/namespaces/{NAMESPACE}", {})
    return NAMESPACE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_differential_suite(host: Host, arena: Arena, namespace: str):  # noqa: F811
    inside = dataclasses.replace(arena, namespace=namespace)
    failed = []
    told = [case for case in CASES.values() if host.family in case.families]
    for case in told:
        try:
            compare(case, host.family, inside)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, f"{len(failed)} cases differ:\n" + "\n\n".join(failed[:10])
    assert len(told) >= 400


def test_the_client_logs_in_and_its_token_stays_inside(
    server: DevServer,
    arena: Arena,  # noqa: F811
    namespace: str,
):
    mount = enable(server, "jwt", version=arena.ours, namespace=namespace)
    try:
        cli = Cli(server)
        pem = json.dumps({"jwt_validation_pubkeys": [public_pem("rsa")]})
        cli.must(f"write -namespace={namespace} auth/jwt/config -", stdin=pem)
        role = "role_type=jwt user_claim=sub bound_audiences=vault token_policies=inside"
        cli.must(f"write -namespace={namespace} auth/jwt/role/demo {role}")
        now = int(time.time())
        jwt = make_jwt({"aud": "vault", "sub": "jeff", "iat": now, "exp": now + 300})
        login = f"write -format=json -namespace={namespace} auth/jwt/login role=demo jwt={jwt}"
        auth = cli.must(login, token="").json["auth"]
        assert auth["policies"] == ["default", "inside"]

        token = auth["client_token"]
        looked_up = cli.must(f"token lookup -format=json -namespace={namespace}", token=token).json[
            "data"
        ]
        assert looked_up["namespace_path"] == f"{namespace}/"
        assert looked_up["path"] == "auth/jwt/login"
        renew = f"token renew -format=json -namespace={namespace}"
        assert cli.must(renew, token=token).json["auth"]["policies"] == ["default", "inside"]
        # Outside there is no such mount.
        assert cli.run(f"write auth/jwt/login role=demo jwt={jwt}", token="").status != 0
        # The entity is the namespace's own.
        entity = mount.client.get(f"identity/entity/id/{auth['entity_id']}").data
        assert entity["namespace_id"] != "root"
        assert [alias["name"] for alias in entity["aliases"]] == ["jeff"]
        assert server.client.get(f"identity/entity/id/{auth['entity_id']}").status in {403, 404}
    finally:
        mount.disable()
