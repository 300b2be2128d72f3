"""A mount in memory that has everything, and what all that write to it share."""

from __future__ import annotations

import contextlib
import inspect
import json
from typing import TYPE_CHECKING, Any

from tests.fuzz.answers import CLUSTER, ISSUER, URL, pod
from tests.fuzz.keys import key_for
from tests.fuzz.login import AUDIENCE, CLAIMS
from tests.fuzz.target import Kept, check, run_async
from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import Mounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.sdk import (
    Operation,
    PermissionDenied,
    UserError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


PEM = tokens.public_pem(key_for("EdDSA"))
TOKEN = tokens.token(dict(CLAIMS), alg="EdDSA", key=key_for("EdDSA"))
LEAST = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": AUDIENCE}
KEY_SET = {"keys": [tokens.public_jwk(key_for("EdDSA"), kid="a")]}
DISCOVERY = {"issuer": ISSUER, "jwks_uri": URL}
_WELL_KNOWN = "/.well-known/openid-configuration"
ANSWERED = {
    URL: KEY_SET,
    ISSUER + _WELL_KNOWN: DISCOVERY,
    CLUSTER + _WELL_KNOWN: {"issuer": "x", "jwks_uri": f"{CLUSTER}/openid/v1/jwks"},
    f"{CLUSTER}/openid/v1/jwks": KEY_SET,
}


async def try_login(mounted: Mounted, path: str, role: str) -> None:
    """A login with what was stored: let in or denied, nothing else."""
    with contextlib.suppress(UserError, PermissionDenied):
        await mounted.ask(Operation.UPDATE, path, {"role": role, "jwt": TOKEN})


def mount(entries: Mapping[str, bytes] | None) -> Mounted:
    """A mount that has everything: an issuer that answers, CEL, a pod to live in."""
    mounted = Mounted(entries)
    mounted.fetcher.documents = dict(ANSWERED)
    mounted.backend = JWTBackend(
        mounted.context,
        fetcher=mounted.fetcher,
        monotonic=lambda: mounted.now,
        messages=AuthMessages(),
        pod=pod(),
    )
    return mounted


GRANT = "pb.Auth{display_name: claims.sub, policies: ['p'], alias: logical.Alias{name: claims.sub}}"


async def _cel_mount() -> Mounted:
    mounted = mount(None)
    await mounted.backend.initialize()
    await mounted.ask(Operation.UPDATE, "config", {"jwt_validation_pubkeys": PEM})
    return mounted


cel_world = Kept(_cel_mount)
"""A mount for CEL roles: loading the library takes a second."""


def runs(work: Any, *allowed: type[BaseException]) -> Any:
    def run(data: bytes) -> None:
        run_async(work(data), *allowed)

    check(inspect.iscoroutinefunction(work), "a target's work is asynchronous")
    return run


def json_of(selector: int, value: Any) -> bytes:
    return bytes((selector,)) + json.dumps(value).encode()


def _words(*values: Any) -> tuple[bytes, ...]:
    """Every member name and text of some JSON values."""
    found: set[bytes] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, list):
            pending += value
        else:
            found.add(json.dumps(value).encode())
    return tuple(sorted(word for word in found if len(word) < 60))


def words_of(inputs: Mapping[str, bytes]) -> tuple[bytes, ...]:
    return _words(*(json.loads(data[1:]) for data in inputs.values()))
