"""Inside a namespace of OpenBao: cases of the differential suite, and the server's own client."""

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
    from tests.differential.steps import Case
    from tests.hosts.discover import Host
    from tests.hosts.server import DevServer

NAMESPACE = "team-a"
ONE_IN = 5
"""The short form takes one case in so many; at the root every run takes all of them."""


@pytest.fixture
def namespace(host: Host, server: DevServer) -> str:
    """A namespace that is there."""
    if host.family != "bao":
        pytest.skip("Vault has namespaces in its Enterprise edition only")
    if server.client.get(f"sys/namespaces/{NAMESPACE}").status == 404:
        server.client.must("POST", f"sys/namespaces/{NAMESPACE}", {})
    return NAMESPACE


@pytest.fixture
def told(request: pytest.FixtureRequest, host: Host) -> list[Case]:
    """Cases of all parts: every one with --full-faults, else one in five."""
    cases = [case for case in CASES.values() if host.family in case.families]
    assert len(cases) >= 400
    return cases if request.config.getoption("--full-faults") else cases[::ONE_IN]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_differential_suite(
    host: Host,
    arena: Arena,  # noqa: F811
    namespace: str,
    told: list[Case],
):
    inside = dataclasses.replace(arena, namespace=namespace)
    failed = []
    for case in told:
        try:
            compare(case, host.family, inside)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, f"{len(failed)} cases differ:\n" + "\n\n".join(failed[:10])


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
