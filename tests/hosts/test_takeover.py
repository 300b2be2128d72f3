"""A mount of the builtin method taken over by ours, in place, and handed back.

Two mounts are made by the builtin method and told the same story. One of them stays as it is, for
control. The other one's plugin version is switched to ours and back, as an operator does it:

    auth tune -plugin-version=VERSION PATH    and then    plugin reload -plugin=jwt

After every step both are asked the same questions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.differential.differences import EVERY_RENEWAL
from tests.differential.steps import AUDIENCE, SUBJECT, Call, Case, Login, Renew, read
from tests.differential.test_differential import explain, unexplained
from tests.differential.world import Actor, World, between, token_of
from tests.hosts import plugin as plugins
from tests.hosts.cli import Cli
from tests.hosts.server import DevServer
from tests.hosts.tokens import private_key, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.differential.steps import Step
    from tests.hosts.discover import Host
    from tests.hosts.issuer import Issuers
    from tests.hosts.plugin import Mount, Plugin

# Unlike any other text here: answers are compared with the mount's name taken out.
CONTROL, TEAM = "mount-control", "mount-team"

# Where keys come from -> config. Every kind that both builtin methods can be given here.
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "static": {
        "jwt_validation_pubkeys": ["$pem:ec256", "$cert:rsa"],
        "jwt_supported_algs": "RS256,ES256",
        "bound_issuer": "https://team-vault.example/",
        "default_role": "Plain",
    },
    "jwks": {"jwks_url": "$https/jwks", "jwks_ca_pem": "$ca"},
    "discovery": {"oidc_discovery_url": "$http/slash/", "default_role": "plain"},
    "oidc-flow": {
        "oidc_discovery_url": "$http/plain",
        "oidc_client_id": "an-id",
        "oidc_client_secret": "a-secret",
        "oidc_response_mode": "form_post",
        "oidc_response_types": ["code", "id_token"],
        "namespace_in_state": False,
        "provider_config": {"provider": "azure"},
    },
}

_USER = {"user_claim": "https://vault/user", "role_type": "jwt"}
ROLES: Mapping[str, Mapping[str, Any]] = {
    "plain": _USER | {"bound_audiences": AUDIENCE, "token_policies": "webapps"},
    "old-names": _USER
    | {"bound_subject": SUBJECT, "bound_audiences": [AUDIENCE, "b"]}
    | {"policies": "Old,a", "ttl": "1h", "max_ttl": "2h", "num_uses": 50}
    | {"bound_cidrs": "127.0.0.1/8"},
    "old-and-new": _USER
    | {"bound_audiences": AUDIENCE, "policies": "old", "token_policies": "new"}
    | {"period": 300, "token_period": 600},
    "claims": _USER
    | {"bound_audiences": AUDIENCE, "bound_claims": {"number": 42, "color": ["red", "green"]}}
    | {"claim_mappings": {"first_name": "name", "/org/primary": "department"}}
    | {"groups_claim": "https://vault/groups"},
    "glob": _USER
    | {"bound_audiences": AUDIENCE, "bound_claims_type": "glob"}
    | {"bound_claims": {"/org/primary": "eng*", "color": ["b*", "gr*n"]}},
    "pointer": _USER
    | {"bound_audiences": AUDIENCE, "user_claim": "/org/primary", "user_claim_json_pointer": True},
    "leeways": _USER
    | {"bound_audiences": AUDIENCE, "expiration_leeway": 10, "not_before_leeway": -1}
    | {"clock_skew_leeway": "-1s"},
    "batch": _USER | {"bound_audiences": AUDIENCE, "token_type": "batch", "token_ttl": 600},
    "tokens": _USER
    | {"bound_audiences": AUDIENCE, "token_ttl": 600, "token_max_ttl": 1200}
    | {"token_explicit_max_ttl": 2400, "token_no_default_policy": True, "token_num_uses": 40}
    | {"token_bound_cidrs": ["127.0.0.1", "::1"], "token_policies": ["Zeta", "alpha"]},
    "browser": {
        "role_type": "oidc",
        "user_claim": "sub",
        "allowed_redirect_uris": ["http://localhost:8250/oidc/callback"],
        "oidc_scopes": ["profile", "email"],
        "verbose_oidc_logging": True,
        "max_age": 3600,
    },
}
# What one family's builtin method knows beyond that.
FAMILY_ROLES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "bao": {
        "templated": _USER
        | {"bound_audiences": AUDIENCE, "token_policies_template_claims": True}
        | {"token_policies": ["team-{{ .color }}"]},
        "strict": _USER | {"bound_audiences": AUDIENCE, "token_strictly_bind_ip": True},
        "device": {
            "role_type": "oidc",
            "user_claim": "sub",
            "allowed_redirect_uris": "http://localhost:8250/oidc/callback",
            "callback_mode": "device",
            "poll_interval": 7,
            "oauth2_metadata": "access_token",
        },
    },
    "vault": {},
}

_RENEWED = EVERY_RENEWAL.items()
_RENEWABLE = ("plain", "old-names", "old-and-new", "claims", "tokens")
_KID = {"kid": "rsa"}

UNKNOWN = {"from_a_later_version": {"a": [1, 2.50, None, "x"]}, "and_another": "text"}


@dataclass(kw_only=True)
class Pair:
    """Both mounts, and what was issued on them.

    Attributes:
        is_ours: Whether team runs ours now.
        was_ours: Whether it has.
        tokens: Role -> the tokens of its first login, control's and team's.
    """

    server: DevServer
    control: Actor
    team: Actor
    is_ours: bool = False
    was_ours: bool = False
    tokens: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def ask(self, step: Step) -> dict[str, Any]:
        """Both answers are alike, but for what is declared where ours runs.

        Returns:
            What `team` answered.
        """
        jwt = token_of(step) if isinstance(step, Login) else None
        answers = self.control.act(step, jwt), self.team.act(step, jwt)
        found = between(step, *answers)
        case = Case(name="takeover", steps=(step,))
        if self.is_ours:
            family = self.server.host.family
            renewed = answers[0]["status"] == 200
            # A list that only the other family's method has: empty, in a role null until written.
            unset: list[str] | None = [] if step == read("config") else None
            found = {path: pair for path, pair in found.items() if pair != (..., unset)}
            found = unexplained(found, case, 0, family, is_renewed=renewed)
        elif isinstance(step, Renew) and self.was_ours:
            # The lease remembers what the last renewal answered.
            found = {path: pair for path, pair in found.items() if (path, pair) not in _RENEWED}
        assert not found, explain(case, 0, step, found, answers)
        return answers[1]

    def switch(self, version: str) -> None:
        """`team` runs this version from now on; nothing else does that did not before."""
        cli = Cli(self.server)
        cli.must(f"auth tune -plugin-version={version} {self.team.mount.path}")
        cli.must("plugin reload -plugin=jwt")
        plugins.mounted(self.server, self.team.mount.path, version=version)
        plugins.mounted(self.server, self.control.mount.path, version=self.control.mount.version)
        self.was_ours |= self.is_ours
        self.is_ours = version != self.control.mount.version

    def stored(self, key: str, *, of: str = TEAM) -> dict[str, Any]:
        """What lies in storage under a key of a mount."""
        path = f"sys/raw/auth/{self._uuid(of)}/{key}"
        found: dict[str, Any] = json.loads(self.server.client.must("GET", path).data["value"])
        return found

    def store(self, key: str, value: Mapping[str, Any]) -> None:
        """Put something into team's storage behind its back."""
        path = f"sys/raw/auth/{self._uuid(TEAM)}/{key}"
        self.server.client.must("POST", path, {"value": json.dumps(value)})

    def _uuid(self, path: str) -> str:
        return str(self.server.client.must("GET", f"sys/auth/{path}").data["uuid"])


@pytest.fixture
def own(host: Host) -> Iterator[DevServer]:
    """A server of the test's own, on which nothing is registered and storage can be seen."""
    with DevServer(host, settings=["raw_storage_endpoint = true"]) as server:
        yield server


@pytest.fixture
def pair(own: DevServer, issuers: Issuers) -> Pair:
    """Both mounts, as an operator made them before there was ours."""
    version = plugins.builtin_version(own)
    actors = []
    for path in (CONTROL, TEAM):
        own.client.must("POST", f"sys/auth/{path}", {"type": "jwt"})
        mount: Mount = plugins.mounted(own, path, version=version)
        actors.append(Actor(mount, World(issuers=issuers)))
    return Pair(server=own, control=actors[0], team=actors[1])


def roles_of(family: str) -> dict[str, Mapping[str, Any]]:
    return {**ROLES, **FAMILY_ROLES[family]}


def look(pair: Pair, family: str) -> dict[str, Any]:
    """Everything that can be read, and logins of every kind."""
    seen = {"config": pair.ask(read("config"))}
    seen["list"] = pair.ask(Call(method="LIST", path="role"))
    for name in (*roles_of(family), "nobody"):
        seen[name] = pair.ask(read(f"role/{name}"))
    if family == "vault" and seen["config"]["data"]["oidc_client_id"]:
        # Vault's method takes no JWT on a mount with an OIDC client; ours does, as OpenBao's.
        return seen
    for name in roles_of(family):
        pair.ask(Login(role=name, header=_KID))
    pair.ask(Login(role=None, header=_KID))
    pair.ask(Login(role="plain", header=_KID, claims={"aud": "somebody else"}))
    pair.ask(Login(role="plain", header=_KID, key="rsa-other"))
    pair.ask(Login(role="plain", header={"kid": "ec256"}, key="ec256", alg="ES256"))
    pair.ask(Login(role="claims", header=_KID, claims={"number": 43}))
    pair.ask(Login(role="claims", header=_KID, claims={"https://vault/groups": 5}))
    pair.ask(Login(role="glob", header=_KID, claims={"color": "brown"}))
    pair.ask(Login(role="nobody", header=_KID))
    return seen


def issue(pair: Pair) -> None:
    """Log in to be renewed later."""
    for name in _RENEWABLE:
        pair.ask(Login(role=name, header=_KID))
        pair.tokens[name] = (pair.control.token, pair.team.token)


def renew(pair: Pair) -> None:
    """Renew what was issued, whoever issued it."""
    for name, (control, team) in pair.tokens.items():
        pair.control.token, pair.team.token = control, team
        answer = pair.ask(Renew(increment=120))
        assert answer["status"] == 200, name


def entity_of(pair: Pair) -> str:
    """Who the bearer of the usual token is, on `team`."""
    reply = pair.team.mount.login(token_of(Login(header=_KID)), "plain")
    return str(reply.auth["entity_id"])


def change(pair: Pair) -> None:
    """Writes of every kind: merged, reset, created, deleted, replaced."""
    for name, data in {
        "old-names": {"role_type": "jwt", "ttl": 90},
        "old-and-new": {"role_type": "jwt", "token_policies": "newer", "token_period": "5m"},
        "claims": {"role_type": "jwt", "bound_claims": {"number": 42, "flag": True}},
        "glob": {"role_type": "jwt"},
        "tokens": {"role_type": "jwt", "token_ttl": "3m", "token_bound_cidrs": []},
        "browser": {"user_claim": "email"},
        "fresh": _USER | {"bound_audiences": AUDIENCE, "token_ttl": 77},
    }.items():
        pair.ask(Call(method="POST", path=f"role/{name}", data=data))
        pair.ask(read(f"role/{name}"))
    pair.ask(Call(method="DELETE", path="role/pointer"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_mount_is_taken_over_and_handed_back(
    source: str, host: Host, own: DevServer, pair: Pair, plugin: Plugin
):
    if plugin.kind == "builtin":
        pytest.skip("nothing to switch to")
    family = host.family
    pair.ask(Call(method="POST", path="config", data=SOURCES[source]))
    for name, data in roles_of(family).items():
        pair.ask(Call(method="POST", path=f"role/{name}", data=data))
    before = look(pair, family)
    can_log_in = family == "bao" or source != "oidc-flow"
    if can_log_in:
        issue(pair)
        entity = entity_of(pair)
    keys = ("config", *(f"role/{name}" for name in roles_of(family)))
    stored = {key: pair.stored(key) for key in keys}

    # Registering switches nothing by itself; a reload neither.
    plugins.register(own, plugin)
    Cli(own).must("plugin reload -plugin=jwt")
    plugins.mounted(own, TEAM, version=pair.control.mount.version)

    pair.switch(plugin.version)
    look(pair, family)
    renew(pair)
    if can_log_in:
        assert entity_of(pair) == entity
        issue(pair)
    assert {key: pair.stored(key) for key in keys} == stored, "reading has written"

    pair.switch(pair.control.mount.version)
    assert look(pair, family) == before
    renew(pair)
    if can_log_in:
        assert entity_of(pair) == entity


def test_what_ours_writes_the_builtin_method_reads(
    host: Host, own: DevServer, pair: Pair, plugin: Plugin
):
    if plugin.kind == "builtin":
        pytest.skip("nothing to switch to")
    family = host.family
    pair.ask(Call(method="POST", path="config", data=SOURCES["static"]))
    for name, data in roles_of(family).items():
        pair.ask(Call(method="POST", path=f"role/{name}", data=data))
    issue(pair)
    plugins.register(own, plugin)
    for key in ("config", "role/plain", "role/old-names"):
        pair.store(key, pair.stored(key) | UNKNOWN)
    pair.switch(plugin.version)

    change(pair)
    config = dict(SOURCES["static"]) | {"default_role": "fresh", "jwt_supported_algs": ""}
    pair.ask(Call(method="POST", path="config", data=config))
    plain = {"role_type": "jwt", "token_policies": "changed"}
    pair.ask(Call(method="POST", path="role/plain", data=plain))
    look(pair, family)
    pair.ask(Login(role="fresh", header=_KID))
    renew(pair)
    for key in ("config", "role/plain", "role/old-names"):
        ours = pair.stored(key)
        assert {name: ours.get(name) for name in UNKNOWN} == UNKNOWN, key

    # Each member that the builtin method would have stored is there, as it would have stored it.
    for key in ("config", "role/fresh", "role/old-names", "role/claims", "role/tokens"):
        builtin, ours = pair.stored(key, of=CONTROL), pair.stored(key)
        # Null and empty are one thing to a Go map.
        builtin = {name: {} if value is None else value for name, value in builtin.items()}
        ours = {name: {} if ours[name] is None else ours[name] for name in builtin}
        assert ours == builtin, key

    pair.switch(pair.control.mount.version)
    look(pair, family)
    pair.ask(read("role/fresh"))
    pair.ask(Login(role="fresh", header=_KID))
    renew(pair)


def test_a_gsuite_key_file_of_any_age(host: Host, own: DevServer, pair: Pair, plugin: Plugin):
    """The builtin methods take any `token_uri`; lists that they do not store read as empty."""
    if plugin.kind == "builtin":
        pytest.skip("nothing to switch to")
    del host

    def config(token_uri: str) -> dict[str, Any]:
        pem = private_key("rsa").private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "client_email": "robot@p.iam.gserviceaccount.com",
            "private_key": pem.decode(),
            "token_uri": token_uri,
        }
        settings = {
            "provider": "gsuite",
            "gsuite_service_account": json.dumps(account),
            "gsuite_admin_impersonate": "admin@example.com",
        }
        return {"jwt_validation_pubkeys": [public_pem("rsa")], "provider_config": settings}

    foreign = config("https://oauth2.example/token")
    mount = pair.team.mount
    assert mount.write("config", foreign).status == 204
    plugins.register(own, plugin)
    pair.switch(plugin.version)
    answer = mount.read("config")
    assert (answer.status, answer.data["status"]) == (200, "invalid")
    assert "'token_uri' is not Google's" in answer.warnings[0]
    assert answer.data["override_allowed_server_names"] == []
    assert answer.data["unsupported_critical_cert_extensions"] == []
    assert mount.write("config", foreign).status == 400
    googles = config("https://www.googleapis.com/oauth2/v3/token")
    assert mount.write("config", googles).status == 204
    assert mount.read("config").data["status"] == "valid"
