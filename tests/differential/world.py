"""Carries out a step on one mount and tells what came of it, in a form that two mounts share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.differential.steps import (
    ABSENT,
    CLAIMS,
    Call,
    Group,
    Login,
    Now,
    Renew,
    Step,
    Tune,
)
from tests.hosts.issuer import Issuers, certificate_pem
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.hosts.client import Reply
    from tests.hosts.plugin import Mount

TTL_TOLERANCE_S = 2
"""How much two remaining lifetimes may differ: the logins come one after the other."""

_UNIQUE = {"id", "accessor", "entity_id", "client_token", "canonical_id", "request_id"}
_MOMENTS = {"creation_time", "issue_time", "expire_time", "last_update_time", "last_renewal"}
_MOMENTS |= {"last_renewal_time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the texts in a step's data stand for."""

    issuers: Issuers

    def resolve(self, value: Any) -> Any:
        """The value with every text that starts with `$` replaced, at any depth."""
        if isinstance(value, dict):
            return {name: self.resolve(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolve(member) for member in value]
        return self._text(value) if isinstance(value, str) and "$" in value else value

    def _text(self, text: str) -> str:
        kind, _, name = text.partition(":")
        match kind:
            case "$pem":
                return public_pem(name)
            case "$pkcs1":
                return public_pem(name, "pkcs1")
            case "$cert":
                return certificate_pem(name)
            case "$expired":
                return certificate_pem(name, expired=True)
            case "$two":
                return f"{public_pem('rsa')}{public_pem('ec256')}"
            case "$comma":
                return f"{public_pem('rsa')},{public_pem('ec256')}"
            case "$led":
                return f"Bag Attributes: none\n{public_pem(name)}"
        replaced = text.replace("$https", self.issuers.https.url).replace(
            "$http", self.issuers.http.url
        )
        replaced = replaced.replace("$dead", self.issuers.dead).replace(
            "$other-ca", self.issuers.stranger.pem
        )
        return replaced.replace("$ca", self.issuers.authority.pem)


def token_of(login: Login) -> Any:
    """The JWT that a login sends; the same one goes to both mounts."""
    if login.jwt is not None:
        return login.jwt
    now = time.time()
    merged = {**CLAIMS, **login.claims}
    claims = {name: _dated(value, now) for name, value in merged.items() if value is not ABSENT}
    payload = claims if login.payload is None else login.payload
    compact = make_jwt(payload, key=login.key, alg=login.alg, header=login.header)
    return login.edited(compact)


def _dated(value: Any, now: float) -> Any:
    return value.kind(now + value.offset) if isinstance(value, Now) else value


class Actor:
    """One of the two mounts, the token of its last login, and its last answer as it came."""

    def __init__(self, mount: Mount, world: World) -> None:
        self.mount = mount
        self.world = world
        self.token: str | None = None
        self.reply: Reply | None = None

    def act(self, step: Step, jwt: Any) -> dict[str, Any]:
        """Carry the step out; `jwt`: what a Login sends."""
        match step:
            case Call():
                return self._observe(self._call(step))
            case Login():
                return self._login(step, jwt)
            case Renew():
                request = {"token": self.token or "", "increment": step.increment}
                return self._observe(self.mount.client.post("auth/token/renew", request))
            case Tune():
                path = f"sys/auth/{self.mount.path}/tune"
                return self._observe(self.mount.client.post(path, dict(step.data)))
            case Group():
                return self._group(step)

    def _call(self, step: Call) -> Reply:
        data = self.world.resolve(step.data)
        query = dict(step.query) or None
        # Servers ask for this one of a PATCH, and for none of any other request.
        merging = {"Content-Type": "application/merge-patch+json"}
        headers = merging if step.method == "PATCH" else None
        return self.mount.request(
            step.method, step.path, data, query=query, body=step.body, headers=headers
        )

    def _login(self, step: Login, jwt: Any) -> dict[str, Any]:
        request = {"jwt": jwt, "role": step.role} | self.world.resolve(dict(step.data))
        request = {name: value for name, value in request.items() if value is not None}
        nobody = self.mount.client.with_token(None)
        reply = nobody.post(f"auth/{self.mount.path}/{step.path}", request)
        seen = self._observe(reply)
        if reply.auth:
            self.token = reply.auth["client_token"]
            seen |= self._facts(reply.auth)
        return seen

    def _facts(self, auth: Mapping[str, Any]) -> dict[str, Any]:
        """What the host stored of a login: the token, the entity, its groups."""
        client = self.mount.client
        token = client.post("auth/token/lookup", {"token": auth["client_token"]})
        facts = {"token": self.comparable(token.data)}
        if auth["entity_id"]:
            entity = client.get(f"identity/entity/id/{auth['entity_id']}").data
            facts["entity"] = {
                "aliases": [
                    {name: alias.get(name) for name in ("name", "metadata", "custom_metadata")}
                    | {"mount_type": alias["mount_type"], "local": alias["local"]}
                    for alias in entity["aliases"]
                ],
                "metadata": entity["metadata"],
                "policies": entity["policies"],
                "groups": len(entity["group_ids"] or []),
            }
        return facts

    def _group(self, step: Group) -> dict[str, Any]:
        client = self.mount.client
        request = {"type": "external", "policies": list(step.policies)}
        group = client.must("POST", "identity/group", request).data["id"]
        alias = {
            "name": step.alias,
            "mount_accessor": self.mount.accessor,
            "canonical_id": group,
        }
        return {"status": client.must("POST", "identity/group-alias", alias).status}

    def _observe(self, reply: Reply) -> dict[str, Any]:
        self.reply = reply
        return {
            "status": reply.status,
            "data": self.comparable(reply.data),
            "auth": self.comparable(reply.auth),
            # The texts are free; that there is something to say is not.
            "warnings": bool(reply.warnings),
            "errors": bool(reply.errors),
        }

    def comparable(self, value: Any, name: str = "") -> Any:
        """The value with what names this mount or this moment taken out."""
        if isinstance(value, dict):
            return {key: self.comparable(member, key) for key, member in value.items()}
        if isinstance(value, list):
            return [self.comparable(member) for member in value]
        if name in _UNIQUE or name in _MOMENTS:
            return bool(value)
        if isinstance(value, str):
            named = value.replace(self.mount.path, "MOUNT").replace(self.mount.accessor, "ACCESSOR")
            # Display names in a namespace begin with its path.
            namespace = self.mount.client.namespace.replace("/", "-")
            return named.replace(f"{namespace}-auth-MOUNT", "MOUNT") if namespace else named
        return value


def differences(builtin: Any, ours: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Every leaf that differs: dotted path -> builtin's and ours; `...` where one has none."""
    if isinstance(builtin, dict) and isinstance(ours, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in sorted(builtin.keys() | ours.keys()):
            below = f"{path}.{name}" if path else name
            found |= differences(builtin.get(name, ...), ours.get(name, ...), below)
        return found
    if path.endswith(".ttl") and isinstance(builtin, int) and isinstance(ours, int):
        return {} if abs(builtin - ours) <= TTL_TOLERANCE_S else {path: (builtin, ours)}
    same = builtin == ours and type(builtin) is type(ours)
    return {} if same else {path: (builtin, ours)}


def between(step: Step, builtin: Any, ours: Any) -> dict[str, tuple[Any, Any]]:
    """The differences of two answers to a step, moments apart.

    What a renewal grants may be what is left of a lifetime, with a warning that it was cut: the
    two came one after the other.
    """
    found = differences(builtin, ours)
    if not isinstance(step, Renew) or "auth.lease_duration" not in found:
        return found
    leases = found["auth.lease_duration"]
    if all(isinstance(lease, int) for lease in leases):
        if abs(leases[0] - leases[1]) > TTL_TOLERANCE_S:
            return found
        del found["auth.lease_duration"]
        found.pop("warnings", None)
    return found
