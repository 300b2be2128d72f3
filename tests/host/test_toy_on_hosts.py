"""The toy backend in real servers: the sdk and `serve` are enough for another auth method."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.toy_backend import VERSION
from tests.hosts.plugin import REPO, Mount, enable
from tests.hosts.server import DevServer
from vault_jwt_plugin.host.response import FAULT_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.discover import Host

THING = {
    "a_string": 5,
    "a_lower_string": "ABC",
    "a_bool": "true",
    "a_int": "0x10",
    "a_comma_strings": "a, b",
    "a_map": {"n": 1.5, "deep": {"list": [1, "x", None]}},
    "a_kv_pairs": ["k=v"],
    "a_list": {"x": 1},
    "a_duration": "1h",
    "a_signed_duration": "-30s",
}
READ_BACK = {
    "a_string": "5",
    "a_lower_string": "abc",
    "a_bool": True,
    "a_int": 16,
    "a_comma_strings": ["a", "b"],
    "a_map": {"n": 1.5, "deep": {"list": [1, "x", None]}},
    "a_kv_pairs": {"k": "v"},
    "a_list": [{"x": 1}],
    "a_duration": 3600,
    "a_signed_duration": -30,
}


@pytest.fixture(scope="module")
def toy_server(host: Host) -> Iterator[DevServer]:
    with DevServer(host) as server:
        register(server, "toy")
        yield server


def register(server: DevServer, name: str) -> None:
    """Register the plugin under its own name, which gives it its own processes.

    No version is named: the one that the plugin reports becomes the catalog's.
    """
    command = shlex.join([sys.executable, "-m", "tests.host.toy_backend"])
    program = server.plugins / name
    program.write_text(f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(REPO))} exec {command}\n")
    program.chmod(0o755)
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    request = {"sha256": sha256, "command": name}
    server.client.must("POST", f"sys/plugins/catalog/auth/{name}", request)


@pytest.fixture(scope="module")
def toy(toy_server: DevServer) -> Mount:
    return enable(toy_server, "toy", version=VERSION, name="toy")


def test_a_thing_with_every_type(toy):
    written = toy.write("thing/One", THING | {"unknown": 1})
    assert (written.status, written.warnings) == (
        200,
        ["a warning", "Endpoint ignored these unrecognized parameters: [unknown]"],
    )
    assert toy.read("thing/one").data == READ_BACK
    assert toy.write("thing/one", {"a_bool": False, "a_int": 1}).status == 204
    assert toy.read("thing/one").data == READ_BACK | {"a_bool": False, "a_int": 1}
    assert toy.request("DELETE", "thing/one").status == 204
    assert toy.read("thing/one").status == 404
    assert toy.request("DELETE", "thing/one").status == 204


def test_listing_in_pages(toy):
    assert toy.request("LIST", "thing").status == 404
    for name in "cadb":
        assert toy.write(f"thing/{name}", {}).status == 204
    assert toy.request("LIST", "thing").data == {"keys": ["a", "b", "c", "d"]}
    page = toy.request("LIST", "thing", query={"after": "a", "limit": "2"})
    assert page.data == {"keys": ["b", "c"]}
    assert toy.request("GET", "thing", query={"list": "true"}).data["keys"] == list("abcd")
    for name in "abcd":
        assert toy.request("DELETE", f"thing/{name}").status == 204


def test_wrong_kinds(toy):
    refused = toy.write("thing/x", {"a_int": "many"})
    assert refused.status == 400
    (text,) = refused.errors
    assert 'field "a_int": expected a whole number, got a string that is no number' in text
    assert "many" not in text
    assert toy.read("thing/x").status == 404


def login(mount: Mount, **request: Any) -> Any:
    return mount.client.with_token(None).post(f"auth/{mount.path}/login", request)


def test_login_renewal_and_identity(toy):
    answer = login(toy, user="bob", role="Demo", token_policies="One,two", token_ttl="5m")
    auth = answer.auth
    assert answer.status == 200
    assert auth["policies"] == ["default", "one", "two"]
    assert auth["lease_duration"] == 300
    assert auth["renewable"] is True
    assert auth["metadata"] == {"addr": "127.0.0.1", "role": "demo"}
    entity = toy.client.must("GET", f"identity/entity/id/{auth['entity_id']}").data
    (alias,) = entity["aliases"]
    assert (alias["name"], alias["mount_accessor"]) == ("bob", toy.accessor)
    assert alias["metadata"] == {"from": "toy"}
    holder = toy.client.with_token(auth["client_token"])
    for _ in range(2):  # The second one sees the effect of the first on the token.
        renewed = holder.must("POST", "auth/token/renew-self", {"increment": "3m"}).auth
        assert renewed["policies"] == ["default", "one", "two"]
        assert renewed["metadata"] == auth["metadata"]
        assert renewed["entity_id"] == auth["entity_id"]
    assert holder.must("GET", "auth/token/lookup-self").data["display_name"] == "toy-bob"


def test_batch_token_and_bound_address(toy):
    answer = login(toy, user="eve", token_type="batch", token_bound_cidrs="127.0.0.1/8")
    assert answer.auth["token_type"] == "batch"
    assert answer.auth["renewable"] is False
    elsewhere = login(toy, user="eve", token_bound_cidrs="10.0.0.0/8").auth["client_token"]
    refused = toy.client.with_token(elsewhere).get("auth/token/lookup-self")
    assert refused.status == 403


@pytest.mark.parametrize(
    ("request_data", "status", "errors"),
    [
        ({}, 400, ["missing user"]),
        ({"user": "mallory"}, 403, ["permission denied"]),
        (
            {"user": "x", "token_type": "odd"},
            400,
            ["invalid 'token_type' value \"odd\"; allowed are 'default', 'service' and 'batch'"],
        ),
        (
            {"user": "x", "token_bound_cidrs": "nope"},
            400,
            [
                (
                    'error parsing address "nope": '
                    'Unable to convert "nope" to an IPv4 or IPv6 address, or a UNIX Socket'
                )
            ],
        ),
    ],
    ids=["missing", "denied", "type", "cidr"],
)
def test_refused_logins(toy, request_data, status, errors):
    answer = login(toy, **request_data)
    assert (answer.status, answer.errors) == (status, errors)


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("user", 400, "you did it"),
        ("invalid", 400, "invalid request"),
        ("denied", 403, "permission denied"),
        ("operation", 405, "unsupported operation"),
        ("path", 404, "unsupported path"),
        ("coded", 418, "a teapot"),
        ("internal", 500, "we did it"),
        ("sentinel", 500, "plugin error: permission denied"),
        ("forward", 400, "plugin error: (text left out)"),
        ("fault", 500, FAULT_TEXT),
    ],
)
def test_errors(toy, name, status, text):
    answer = toy.read(f"error/{name}")
    assert answer.status == status
    assert len(answer.errors) == 1
    assert text in answer.errors[0]
    assert "do not show this" not in answer.raw.decode()
    assert "secret reason" not in answer.raw.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "nope", 404), ("DELETE", "login", 405)]
)
def test_no_route(toy, method, path, status):
    assert toy.request(method, path).status == status


def test_raw_page_without_a_token(toy):
    page = toy.client.with_token(None).get(f"auth/{toy.path}/page")
    assert (page.status, page.raw) == (200, b"PGI+aGk8L2I+")
    assert page.headers["Content-Type"] == "text/html"
    assert toy.client.with_token(None).get(f"auth/{toy.path}/state").status == 403


def test_what_the_mount_knows(toy, toy_server):
    toy.client.must(
        "POST",
        f"sys/auth/{toy.path}/tune",
        {
            "default_lease_ttl": "2h",
            "max_lease_ttl": "3h",
            "passthrough_request_headers": ["X-Toy"],
        },
    )
    state = toy.request("GET", "state", headers={"X-Toy": "1", "X-Other": "2"}).data
    assert (state["default_ttl"], state["max_ttl"]) == (7200, 10800)
    assert state["headers"] == {"X-Toy": ["1"]}
    assert state["mount_point"] == "auth/toy/"
    assert state["initialized"] == 1
    assert state["local"] is False
    assert state["replication"] & (64 | 512 | 16384) == 0
    assert state["version"] in toy_server.client.must("GET", "sys/health").body["version"]
    assert state["uuid"]
    assert state["config"]["plugin_type"] == "auth"


def test_what_standbys_forward_runs_on_the_active_node(toy):
    assert toy.write("active", {}).data == {"done": True}


def test_help(toy):
    text = toy.client.get(f"auth/{toy.path}/thing/x", help="1").body["help"]
    assert "a_duration (duration (sec))" in text
    assert "## DESCRIPTION" in text
    root = toy.client.get(f"auth/{toy.path}", help="1").body["help"]
    assert "A toy that shows what a backend can do." in root


def test_openapi_of_the_host(host: Host, toy):
    document = toy.client.must("GET", "sys/internal/specs/openapi").body
    paths = document["paths"]
    assert paths["/auth/toy/login"]["post"]["operationId"] == "toy-login"
    assert paths["/auth/toy/login"]["x-vault-unauthenticated"] is True
    assert "/auth/toy/thing/{name}" in paths
    assert ("/auth/toy/thing" if host.family == "bao" else "/auth/toy/thing/") in paths
    schema = document["components"]["schemas"]["ToyLoginRequest"]
    assert schema["required"] == ["user"]


def test_mounts_share_a_process_and_nothing_else(toy, toy_server):
    processes = set(toy_server.plugin_processes())
    other = enable(toy_server, "toy2", version=VERSION, name="toy")
    assert set(toy_server.plugin_processes()) == processes
    assert other.write("thing/a", {"a_int": 7}).status == 204
    assert toy.read("thing/a").status == 404
    assert other.request("GET", "state").data["uuid"] != toy.request("GET", "state").data["uuid"]
    other.disable()
    assert login(toy, user="still-here").status == 200


def test_reload_and_disable(toy_server):
    mount = enable(toy_server, "toy3", version=VERSION, name="toy")
    assert mount.write("thing/a", {"a_string": "kept"}).status == 204
    mount.client.must("POST", "sys/plugins/reload/backend", {"mounts": ["auth/toy3/"]})
    assert mount.read("thing/a").data == {"a_string": "kept"}
    assert mount.request("GET", "state").data["initialized"] == 1
    mount.disable()


def test_failed_setup_is_reported_and_leaves_no_process(toy_server):
    register(toy_server, "failing")
    before = set(toy_server.plugin_processes())
    refused = toy_server.client.post(
        "sys/auth/failing", {"type": "failing", "options": {"fail": "1"}}
    )
    assert refused.status == 400
    assert "setup failed: told to fail" in refused.errors[0]
    deadline = time.monotonic() + 10
    while set(toy_server.plugin_processes()) - before:
        assert time.monotonic() < deadline, toy_server.plugin_processes()
        time.sleep(0.05)
    assert set(toy_server.plugin_processes()) == before


def test_quota_by_role(toy, toy_server):
    # A reload ends the process of every mount. The host starts it again at the next request, but
    # not to
    # ask for the type, as making this quota does.
    assert login(toy, user="first").status == 200
    # Only our own name for the role shows this: the host asks resolve-role before each login.
    toy_server.client.must(
        "POST",
        "sys/quotas/rate-limit/toy-demo",
        {"path": "auth/toy", "role": "limited", "rate": 1, "interval": "60s"},
    )
    try:
        statuses = [login(toy, user="q", role="LIMITED").status for _ in range(3)]
        assert statuses[0] == 200
        assert 429 in statuses
        assert login(toy, user="q", role="other").status == 200
    finally:
        toy_server.client.must("DELETE", "sys/quotas/rate-limit/toy-demo")
