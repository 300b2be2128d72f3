"""Keys that outlive an issuer's outage and the plugin's process; floods; an issuer that hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.hosts.issuer import Issuer
from tests.hosts.plugin import Mount, Plugin, enable, mounted, register
from tests.hosts.server import POLL_S, DevServer
from tests.hosts.tokens import jwk, make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.client import Reply
    from tests.hosts.discover import Host
    from tests.hosts.issuer import Issuers

AUDIENCE = "https://vault.example"
PATH = "sources"
WAIT_S = 30.0


@pytest.fixture(scope="module")
def own(host: Host, plugin: Plugin) -> Iterator[DevServer]:
    """A host whose plugin processes may be killed."""
    if plugin.kind == "builtin":
        pytest.skip("the builtin methods store no keys")
    with DevServer(host) as running:
        register(running, plugin)
        enable(running, "keeper", version=plugin.version)
        yield running


@pytest.fixture
def mount(own: DevServer, plugin: Plugin) -> Iterator[Mount]:
    """A mount of ours with a role, and no configuration."""
    found = enable(own, PATH, version=plugin.version)
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
    own.client.must("POST", f"auth/{PATH}/role/demo", role)
    yield found
    found.disable()


@contextlib.contextmanager
def issuing(*kids: str, slash: bool = False) -> Iterator[Issuer]:
    """An issuer of its own, which a test may end: these keys at `/jwks` and by discovery."""
    with Issuer() as issuer:
        issuer.put_issuer("", [jwk(kid) for kid in kids], slash=slash)
        yield issuer


def token(key: str = "rsa", kid: str | None = None) -> str:
    now = int(time.time())
    claims = {"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 300}
    return make_jwt(claims, key=key, header={"kid": kid or key})


def login(mount: Mount, key: str = "rsa", kid: str | None = None) -> Reply:
    return mount.login(token(key, kid), "demo")


def until(happened: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait for something that tells nobody."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(POLL_S)


def stored(server: DevServer) -> int:
    """How often the plugin has stored keys."""
    return server.log().count("keys are stored")


def configure(server: DevServer, mount: Mount, **config: object) -> None:
    """Write a configuration whose keys are new, log in, and wait until the keys are stored."""
    before = stored(server)
    mount.client.must("POST", f"auth/{mount.path}/config", config)
    assert login(mount).status == 200
    until(lambda: stored(server) > before, "the keys are stored")


def reload(server: DevServer, mount: Mount) -> None:
    server.client.must("POST", "sys/plugins/reload/backend", {"mounts": [f"auth/{mount.path}/"]})


def kill(server: DevServer) -> None:
    """End the plugin's processes without asking; the host starts it anew when it notices."""
    before = server.plugin_processes()
    assert before
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not before.keys() & server.plugin_processes().keys(), "the processes end")


def settled(mount: Mount, key: str = "rsa") -> Reply:
    """A login; until the host has noticed that the process is gone, it answers with 500."""
    replies: list[Reply] = []

    def answered() -> bool:
        replies.append(login(mount, key))
        return replies[-1].status != 500

    until(answered, "the host starts the plugin anew")
    return replies[-1]


CONFIGS = {
    "jwks": lambda url: {"jwks_url": f"{url}/jwks"},
    "discovery": lambda url: {"oidc_discovery_url": url},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logins_go_on_through_an_outage_and_a_restart(
    config: Callable[[str], dict[str, str]], own: DevServer, mount: Mount
):
    with issuing("rsa") as issuer:
        configure(own, mount, **config(issuer.url))
    # Nobody listens there any more.
    assert login(mount).status == 200
    reload(own, mount)
    assert login(mount).status == 200
    kill(own)
    assert settled(mount).status == 200
    read = mount.read("config")
    assert read.data["status"] == "valid"
    assert any("can't be fetched" in each for each in read.warnings)
    assert login(mount, "rsa-other").status == 400


def test_pairs_outlive_their_issuers_each_by_itself(own: DevServer, mount: Mount):
    before = stored(own)
    with issuing("rsa") as one, issuing("rsa-other") as other:
        pairs = [{"jwks_url": f"{each.url}/jwks"} for each in (one, other)]
        mount.client.must("POST", f"auth/{mount.path}/config", {"jwks_pairs": pairs})
        assert login(mount).status == 200
        assert login(mount, "rsa-other").status == 200
        until(lambda: stored(own) >= before + 2, "the keys of both are stored")
    reload(own, mount)
    assert login(mount).status == 200
    assert login(mount, "rsa-other").status == 200


def test_keys_survive_a_restart_of_the_server(host: Host, plugin: Plugin):
    if plugin.kind == "builtin":
        pytest.skip("the builtin methods store no keys")
    with DevServer(host, storage="raft") as server:
        register(server, plugin)
        before = enable(server, "jwt", version=plugin.version)
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
        server.client.must("POST", "auth/jwt/role/demo", role)
        with issuing("rsa") as issuer:
            configure(server, before, jwks_url=f"{issuer.url}/jwks")
        server.restart()
        assert login(mounted(server, "jwt", version=plugin.version)).status == 200


def test_a_withdrawn_key_stops_working_at_the_next_refresh(own: DevServer, mount: Mount):
    with issuing("rsa", "rsa-other") as issuer:
        config = {"jwks_url": f"{issuer.url}/jwks", "jwks_refresh_after": "10s"}
        configure(own, mount, **config)
        before = stored(own)
        issuer.put_json("/jwks", {"keys": [jwk("rsa-other")]})
        # It works until the keys are fetched anew: known keys are not asked for at each login.
        assert login(mount).status == 200
        until(lambda: login(mount).status == 400, "the withdrawn key is refused")
        assert login(mount, "rsa-other").status == 200
        until(lambda: stored(own) > before, "the new set is stored")
    reload(own, mount)
    assert login(mount).status == 400
    assert login(mount, "rsa-other").status == 200


def test_what_was_withdrawn_during_a_restart_is_not_used_once(own: DevServer, mount: Mount):
    with issuing("rsa") as issuer:
        configure(own, mount, jwks_url=f"{issuer.url}/jwks")
        issuer.put_json("/jwks", {"keys": []})
        reload(own, mount)
        assert login(mount).status == 400


def test_a_rotation_is_followed_at_once(own: DevServer, mount: Mount):
    with issuing("rsa") as issuer:
        configure(own, mount, jwks_url=f"{issuer.url}/jwks")
        before = stored(own)
        issuer.put_json("/jwks", {"keys": [jwk("rsa"), jwk("rsa-other")]})
        assert login(mount, "rsa-other").status == 200
        assert login(mount).status == 200
        until(lambda: stored(own) > before, "the new set is stored")
    kill(own)
    assert settled(mount, "rsa-other").status == 200


def test_a_thousand_unknown_kids_in_ten_seconds_cause_two_fetches(own: DevServer, mount: Mount):
    with issuing("rsa") as issuer:
        configure(own, mount, jwks_url=f"{issuer.url}/jwks")
        tokens = [token("rsa-other", kid=f"made-up-{n}") for n in range(1000)]
        issuer.hits.clear()
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda each: mount.login(each, "demo").status, tokens))
        took = time.monotonic() - began
        fetches = issuer.hits["/jwks"]
        assert set(statuses) == {400}
        # One in each 10 s; a slow machine takes more of them.
        assert fetches <= 1 + int(took // 10)
        assert fetches <= 2 or took > 10
        assert login(mount).status == 200


def test_a_hung_issuer_holds_up_nobody_elses_logins(
    own: DevServer, mount: Mount, plugin: Plugin, issuers: Issuers
):
    other = enable(own, "sources-too", version=plugin.version)
    try:
        client = own.client
        client.must(
            "POST", "auth/sources-too/config", {"jwt_validation_pubkeys": public_pem("rsa")}
        )
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
        client.must("POST", "auth/sources-too/role/demo", role)
        issuers.http.put_json("/hanging-later", {"keys": [jwk("rsa")]})
        configure(own, mount, jwks_url=f"{issuers.http.url}/hanging-later")
        issuers.http.hanging.add("/hanging-later")
        issuers.http.hits.clear()
        waiting = [
            threading.Thread(target=login, args=(mount, "rsa-other", f"n-{n}")) for n in range(20)
        ]
        for each in waiting:
            each.start()
        issuers.http.wait_asked("/hanging-later")
        began = time.monotonic()
        assert [login(other).status for _ in range(20)] == [200] * 20
        # Nor those of its own mount that need no new key.
        assert [login(mount).status for _ in range(20)] == [200] * 20
        took = time.monotonic() - began
        assert all(each.is_alive() for each in waiting), "it did not hang: this shows nothing"
        assert took < 3
        for each in waiting:
            each.join()
        assert issuers.http.hits["/hanging-later"] == 1
    finally:
        issuers.http.hanging.discard("/hanging-later")
        other.disable()


def test_a_hung_issuer_costs_a_restart_a_second(own: DevServer, mount: Mount, issuers: Issuers):
    issuers.http.put_json("/hanging-then", {"keys": [jwk("rsa")]})
    configure(own, mount, jwks_url=f"{issuers.http.url}/hanging-then")
    issuers.http.hanging.add("/hanging-then")
    try:
        reload(own, mount)
        began = time.monotonic()
        assert login(mount).status == 200
        assert time.monotonic() - began < 5
        began = time.monotonic()
        assert login(mount).status == 200
        assert time.monotonic() - began < 0.5
    finally:
        issuers.http.hanging.discard("/hanging-then")


def test_unusable_keys_are_warnings_also_after_a_restart(own: DevServer, mount: Mount):
    with issuing("rsa") as issuer:
        odd = {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}
        issuer.put_json("/jwks", {"keys": [jwk("rsa"), odd]})
        configure(own, mount, jwks_url=f"{issuer.url}/jwks")
        named = "its curve (crv) is none of P-256, P-384, P-521"
        assert any(named in each for each in mount.read("config").warnings)
    reload(own, mount)
    assert login(mount).status == 200
    assert any(named in each for each in mount.read("config").warnings)


def test_the_times_are_shown_only_when_they_are_set(mount: Mount):
    times = {"jwks_refresh_after", "jwks_trust_for"}
    config = {"jwt_validation_pubkeys": public_pem("rsa")}
    assert mount.write("config", config).status == 204
    assert not times & mount.read("config").data.keys()
    assert mount.write("config", config | {"jwks_trust_for": "48h"}).status == 204
    assert mount.write("config", config).status == 204
    data = mount.read("config").data
    assert times & data.keys() == {"jwks_trust_for"}
    assert data["jwks_trust_for"] == 172800


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_key_set_of_its_own_content_type(config: Callable[[str], dict[str, str]], mount: Mount):
    """Every Kubernetes API server serves its keys so, and nothing to who asks for another type."""
    with issuing("rsa") as issuer:
        status, _, body = issuer.routes["/jwks"]
        issuer.routes["/jwks"] = (status, "application/jwk-set+json", body)
        assert mount.write("config", config(issuer.url)).status == 204
        assert login(mount).status == 200


def test_the_kubernetes_provider_outside_of_a_cluster(mount: Mount):
    reply = mount.write("config", {"provider_config": {"provider": "kubernetes"}})
    assert reply.status == 400
    assert "works in a pod with a service account only" in reply.errors[0]
    assert mount.read("config").status == 404


def test_refusals_say_what_to_do(mount: Mount, issuers: Issuers):
    wrong = f"{issuers.http.url}/wrong-issuer"
    names = f'"https://elsewhere.example", than oidc_discovery_url, "{wrong}"'
    role = {"user_claim": "sub", "bound_audiences": AUDIENCE}
    typed = role | {"role_type": "jwt", "token_type": "default-service"}
    for path, data, text in (
        ("config", {"oidc_discovery_url": wrong}, names),
        ("role/new", role, "send role_type=jwt"),
        ("role/new", typed, "'service' and 'batch'"),
    ):
        reply = mount.write(path, data)
        assert reply.status == 400
        assert text in reply.errors[0]
    oidc = {"role_type": "oidc", "user_claim": "sub", "allowed_redirect_uris": "http://localhost/"}
    assert mount.write("role/demo", oidc).status in {200, 204}
    assert mount.write("config", {"jwt_validation_pubkeys": [public_pem("rsa")]}).status == 204
    reply = login(mount)
    assert reply.status == 400
    assert "write it again with role_type=jwt" in reply.errors[0]
