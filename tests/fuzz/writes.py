"""Writes of the configuration and of roles, and logins with what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fuzz import mutation
from tests.fuzz.answers import ISSUER, URL
from tests.fuzz.keys import key_for
from tests.fuzz.providers import SETTINGS
from tests.fuzz.target import Target, check
from tests.fuzz.world import GRANT, LEAST, PEM, cel_world, json_of, mount, runs, try_login, words_of
from tests.jwt_auth import stored, tokens
from vault_jwt_plugin.host.request import MAX_DATA_CHARS, _decode
from vault_jwt_plugin.jwt_auth.cel.role import CELRole
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.role.role import Role
from vault_jwt_plugin.sdk import (
    InternalError,
    Operation,
    StorageEntry,
    UserError,
    jsonutil,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.jwt_auth.mounted import Mounted


def _body(data: bytes) -> Mapping[str, Any] | None:
    """A request's body, as the host's message carries it; None for what is refused there."""
    try:
        return _decode(data.decode(), MAX_DATA_CHARS)
    except (UnicodeDecodeError, UserError):
        return None


def _check_same(mounted: Mounted, before: Mapping[str, StorageEntry]) -> None:
    check(mounted.storage.entries == before, "something is stored though the write failed")


_STORED_CONFIGS: tuple[bytes | None, ...] = (None, stored.VAULT_CONFIG, stored.OPENBAO_CONFIG)


async def _write_config(data: bytes) -> None:
    """First byte: what was stored before; then the body."""
    body = _body(data[1:])
    if body is None:
        return
    before = _STORED_CONFIGS[(data[0] if data else 0) % len(_STORED_CONFIGS)]
    async with mount(None if before is None else {"config": before}) as mounted:
        await mounted.write("role/demo", LEAST)
        entries = dict(mounted.storage.entries)
        try:
            await mounted.ask(Operation.UPDATE, "config", body)
        except UserError as error:
            check(len(error.message) < 2000, "an error as long as the request")
            _check_same(mounted, entries)
            return
        raw = mounted.storage.entries["config"].value
        config = Config.from_stored(raw)
        check(config.to_stored() == raw, "what is stored is not what is stored again")
        answer = await mounted.ask(Operation.READ, "config")
        shown = jsonutil.dumps(answer.data)
        for secret in (config.oidc_client_secret, (config.provider_config or {}).get("api_token")):
            if isinstance(secret, str) and len(secret) >= 8 and secret not in _without(raw, secret):
                check(secret not in shown, "a secret is read back")
        await try_login(mounted, "login", "demo")


def _without(raw: bytes, secret: str) -> str:
    """What is stored, with one occurrence of the secret taken out."""
    return jsonutil.dumps(jsonutil.loads(raw)).replace(secret, "", 1)


_STORED_ROLES: tuple[bytes | None, ...] = (
    None,
    stored.VAULT_ROLE,
    stored.OPENBAO_ROLE,
    stored.OLD_ROLE,
)


async def _write_role(data: bytes) -> None:
    """First byte: what was stored before; then the body."""
    body = _body(data[1:])
    if body is None:
        return
    before = _STORED_ROLES[(data[0] if data else 0) % len(_STORED_ROLES)]
    async with mount(None if before is None else {"role/demo": before}) as mounted:
        await mounted.ask(Operation.UPDATE, "config", {"jwt_validation_pubkeys": PEM})
        entries = dict(mounted.storage.entries)
        try:
            await mounted.write("role/demo", body)
        except UserError as error:
            check(len(error.message) < 2000, "an error as long as the request")
            _check_same(mounted, entries)
            return
        except InternalError as error:
            # OpenBao's status for a policy that is no template.
            check(error.code == "policy_template_invalid", f"another error of ours: {error.code}")
            _check_same(mounted, entries)
            return
        raw = mounted.storage.entries["role/demo"].value
        role = Role.from_stored("demo", raw)
        check(role.to_stored() == raw, "what is stored is not what is stored again")
        answer = await mounted.ask(Operation.READ, "role/demo")
        jsonutil.dumps(answer.data)
        await try_login(mounted, "login", "demo")


async def _write_cel_role(data: bytes) -> None:
    """First byte: odd is a patch of a role that is there; then the body."""
    body = _body(data[1:])
    if body is None:
        return
    mounted = await cel_world.get()
    mounted.storage.calls.clear()
    await mounted.ask(Operation.DELETE, "cel/role/demo")
    patch = bool(data and data[0] & 1)
    if patch:
        await mounted.ask(Operation.UPDATE, "cel/role/demo", {"cel_program": {"expression": GRANT}})
    entries = dict(mounted.storage.entries)
    try:
        await mounted.ask(Operation.PATCH if patch else Operation.UPDATE, "cel/role/demo", body)
    except UserError as error:
        check(len(error.message) < 4000, "an error as long as the request")
        _check_same(mounted, entries)
        return
    raw = mounted.storage.entries["cel/role/demo"].value
    role = CELRole.from_stored("demo", raw)
    check(role.to_stored() == raw, "what is stored is not what is stored again")
    answer = await mounted.ask(Operation.READ, "cel/role/demo")
    jsonutil.dumps(answer.data)
    await try_login(mounted, "cel/login", "demo")


def _config_bodies() -> dict[str, bytes]:
    every = {
        "oidc_discovery_url": ISSUER,
        "oidc_client_id": "id",
        "oidc_client_secret": "hush-hush-hush",
        "oidc_response_mode": "query",
        "oidc_response_types": "code",
        "jwt_supported_algs": ["RS256", "EdDSA"],
        "bound_issuer": ISSUER,
        "default_role": "demo",
        "provider_config": dict(SETTINGS[0]),
        "namespace_in_state": False,
        "unsupported_critical_cert_extensions": "1.2.3",
        "override_allowed_server_names": ["a.example"],
        "jwks_refresh_after": "10m",
        "jwks_trust_for": 3600,
    }
    pairs = [{"jwks_url": URL, "jwks_ca_pem": ""}, {"jwks_url": "https://other.example/"}]
    made: dict[str, Any] = {
        "keys": {"jwt_validation_pubkeys": [PEM, tokens.public_pem(key_for("RS256"))]},
        "jwks": {"jwks_url": URL, "jwks_ca_pem": ""},
        "pairs": {"jwks_pairs": pairs, "skip_jwks_validation": "true"},
        "every": every,
        "wrong": {"jwks_url": "http://[::1", "jwt_validation_pubkeys": "x", "bound_issuer": 1},
        "ca": {"jwks_url": URL, "jwks_ca_pem": PEM},
    }
    for number, settings in enumerate(SETTINGS):
        made[f"provider-{number}"] = {"jwt_validation_pubkeys": PEM, "provider_config": settings}
    made["kubernetes"] = {"provider_config": {"provider": "kubernetes"}}
    return {name: json_of(number % 3, body) for number, (name, body) in enumerate(made.items())}


def _role_bodies() -> dict[str, bytes]:
    every = {
        "role_type": "jwt",
        "user_claim": "/sub",
        "user_claim_json_pointer": True,
        "groups_claim": "/deep/groups",
        "bound_audiences": "vault,x",
        "bound_subject": "me",
        "bound_claims_type": "glob",
        "bound_claims": {"repo": ["team/*"]},
        "claim_mappings": {"repo": "repository"},
        "alias_metadata": {"a": "b"},
        "oidc_scopes": ["a"],
        "verbose_oidc_logging": "1",
        "allowed_redirect_uris": ["http://localhost:8250/oidc/callback"],
        "expiration_leeway": "1h",
        "not_before_leeway": -1,
        "clock_skew_leeway": 60,
        "max_age": "1d",
        "token_ttl": "1h30m",
        "token_max_ttl": 7200,
        "token_policies": "a,b",
        "token_bound_cidrs": ["127.0.0.0/8", "::1"],
        "token_type": "batch",
        "token_num_uses": 0,
        "token_period": "0",
        "token_no_default_policy": True,
        "token_explicit_max_ttl": "2h",
        "token_strictly_bind_ip": True,
        "callback_mode": "device",
        "poll_interval": 5,
        "oauth2_metadata": ["id_token"],
    }
    made: dict[str, Any] = {
        "least": LEAST,
        "every": every,
        "old": {
            "user_claim": "sub",
            "policies": ["a"],
            "ttl": "1h",
            "max_ttl": 7200,
            "period": 5,
            "num_uses": 3,
            "bound_cidrs": "10.0.0.0/8",
        },
        "oidc": {
            "user_claim": "sub",
            "allowed_redirect_uris": "http://localhost/x",
            "oidc_scopes": "email",
        },
        "templates": LEAST
        | {"token_policies_template_claims": True, "token_policies": ["{{ .sub | upper }}", "x"]},
        "numbers": {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_claims": {"n": [42, 4.2e1, True], "/deep/list/0/x~1y~0z": 7.5},
        },
        "wrong": {"role_type": "saml", "user_claim": [], "token_ttl": "-1s"},
    }
    bodies = {f"{name}-{at}": json_of(at, body) for name, body in made.items() for at in (0, 1)}
    return bodies | {"every-2": json_of(2, every), "least-3": json_of(3, made["least"])}


def _cel_bodies() -> dict[str, bytes]:
    def program(expression: str, *variables: tuple[str, str]) -> dict[str, Any]:
        listed = [{"name": name, "expression": source} for name, source in variables]
        return {"cel_program": {"expression": expression, "variables": listed}}

    made = {
        "grant": program(GRANT),
        "conditional": program(f"claims.n > 3 && 'a' in claims.deep.groups ? {GRANT} : false"),
        "variables": program(
            "ok ? " + GRANT + " : 'no: ' + why", ("ok", "claims.ok"), ("why", "string(claims.n)")
        ),
        "functions": program(
            "claims.repo.split('/').map(x, x.upperAscii()).join('-').matches('^T.*') ? "
            + GRANT
            + " : 'no'"
        ),
        "has": program(
            "has(claims.user) && claims.deep.list.exists(e, e['x/y~z'] > 7.0) ? " + GRANT + " : 'x'"
        ),
        "lists": program(
            "[1,2,3].all(i, i < claims.n) ? "
            + GRANT
            + " : string(size(claims.repo.replace('e', 'eee')))"
        ),
        "leeways": {
            **program(GRANT),
            "expiration_leeway": 1,
            "bound_audiences": "vault",
            "message": "m",
        },
        "wrong": program("claims.", ("1x", "")),
    }
    return {f"{name}-{at}": json_of(at, body) for name, body in made.items() for at in (0, 1)}


_CEL_WORDS = (
    *tuple(
        rb"""
    claims size( ? : .split( .join( .replace( .matches( .substring( string( int( duration(
    timestamp( lists.range( .format([ type( has( dyn( && || 1u b''
    """.split()
    ),
    b".map(x, ",
    b".filter(x, ",
    b".exists(x, ",
    b".all(x, ",
    b" in ",
)

TARGETS = (
    Target(
        name="config",
        run=runs(_write_config),
        examples=_config_bodies,
        words=words_of(_config_bodies()),
        mutate=mutation.documents,
    ),
    Target(
        name="role",
        run=runs(_write_role),
        examples=_role_bodies,
        words=words_of(_role_bodies()),
        mutate=mutation.documents,
    ),
    Target(
        name="cel_role",
        run=runs(_write_cel_role),
        examples=_cel_bodies,
        words=_CEL_WORDS + words_of(_cel_bodies()),
        mutate=mutation.documents,
    ),
)
