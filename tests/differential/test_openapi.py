"""The OpenAPI document of ours against the builtin method's, node by node.

Web UIs draw their forms from it, and typed clients are generated from it. Each path is compared
by its own help page: in a document of several paths, names of OpenBao's method collide.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from tests.differential.steps import Call, Case
from tests.differential.world import differences

if TYPE_CHECKING:
    from tests.differential.conftest import Arena
    from tests.differential.world import Actor
    from tests.hosts.discover import Host

PATHS = (
    "config",
    "login",
    "role",
    "role/x",
    "oidc/auth_url",
    "oidc/callback",
    "oidc/poll",
    "cel/login",
    "cel/role",
    "cel/role/x",
    "status",
)

CASE = Case(name="openapi", steps=(Call(method="GET", path="config"),))
"""What mounts are asked for with; its step is not carried out."""

TEXTS = ("description", "summary")
"""Free, as everywhere; but where the builtin method has one, ours has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """Nodes that differ on purpose.

    Attributes:
        reason: Why.
        nodes: Patterns of their paths, as of file names.
        families: The hosts whose builtin method differs.
    """

    reason: str
    nodes: tuple[str, ...]
    families: tuple[str, ...] = ("bao", "vault")


_BODY = "post.requestBody.content.application/json.schema.schema.properties"
_UNION = "Ours has the parameters and paths of both servers' methods on either server."
_OURS = "An addition of ours."
_UNIQUE = "An operation id stands for one operation; OpenBao's method gives those of `role/NAME`."

ACCOUNTED: tuple[Accounted, ...] = (
    Accounted(
        reason=_UNION,
        families=("bao",),
        nodes=(
            f"/config.{_BODY}.jwks_pairs",
            f"/config.{_BODY}.unsupported_critical_cert_extensions",
            f"/login.{_BODY}.distributed_claim_access_token",
            f"/role/{{name}}.{_BODY}.alias_metadata",
        ),
    ),
    Accounted(
        reason=_UNION,
        families=("vault",),
        nodes=(
            f"/config.{_BODY}.override_allowed_server_names",
            f"/config.{_BODY}.skip_jwks_validation",
            # Vault's own method has it since v0.26.
            f"/role/{{name}}.{_BODY}.alias_metadata",
            f"/role/{{name}}.{_BODY}.callback_mode",
            f"/role/{{name}}.{_BODY}.oauth2_metadata",
            f"/role/{{name}}.{_BODY}.oidc_disable_confirmation",
            f"/role/{{name}}.{_BODY}.poll_interval",
            f"/role/{{name}}.{_BODY}.token_policies_template_claims",
            f"/role/{{name}}.{_BODY}.token_strictly_bind_ip",
            *(
                f"/oidc/callback.{place}.{name}"
                for place in ("get.parameters", _BODY)
                for name in ("confirmation", "error", "error_description", "error_uri")
            ),
            "/oidc/poll",
            "/cel/login",
            "/cel/role/",
            "/cel/role/{name}",
        ),
    ),
    Accounted(
        reason=_OURS,
        nodes=(
            "/status",
            f"/config.{_BODY}.jwks_refresh_after",
            f"/config.{_BODY}.jwks_trust_for",
        ),
    ),
    Accounted(
        reason="Lists are paged on either server.",
        families=("bao",),
        nodes=("/role.parameters", "/cel/role.parameters"),
    ),
    Accounted(
        reason="Lists are paged on either server.",
        families=("vault",),
        nodes=("/role/.get.parameters.after", "/role/.get.parameters.limit"),
    ),
    Accounted(
        reason="Typed clients learn what a list answers.",
        families=("bao",),
        nodes=("/role.get.responses.200.content",),
    ),
    Accounted(
        reason="Every list answers the same, in the name that Vault's framework has for it.",
        families=("bao",),
        nodes=("/cel/role.get.responses.200.content.application/json.schema.*",),
    ),
    Accounted(
        reason="The builtin method describes the answers of CEL roles, and of nothing else; they "
        "are the parameters of the write.",
        families=("bao",),
        nodes=tuple(
            f"/cel/role/{{name}}.{method}.responses.200.content"
            for method in ("get", "patch", "post")
        ),
    ),
    Accounted(
        reason=_UNIQUE,
        families=("bao",),
        nodes=(
            "/cel/login.post.operationId",
            "/cel/login.post.requestBody.content.application/json.schema.$ref",
            *(f"/cel/role/{{name}}.{each}.operationId" for each in ("get", "delete")),
            *(
                f"/cel/role/{{name}}.{method}.{node}"
                for method in ("patch", "post")
                for node in (
                    "operationId",
                    "requestBody.content.application/json.schema.$ref",
                )
            ),
        ),
    ),
    Accounted(
        reason="The values that are allowed; an empty one stands for what is not sent.",
        nodes=(
            f"/config.{_BODY}.oidc_response_mode.enum",
            f"/config.{_BODY}.oidc_response_types.items.enum",
            f"/role/{{name}}.{_BODY}.bound_claims_type.enum",
            f"/role/{{name}}.{_BODY}.role_type.enum",
        ),
    ),
    Accounted(
        reason="The values that are allowed; an empty one stands for what is not sent.",
        families=("bao",),
        nodes=(f"/role/{{name}}.{_BODY}.callback_mode.enum",),
    ),
    Accounted(
        reason="A token is a secret: user interfaces hide it.",
        nodes=(f"/login.{_BODY}.jwt.x-vault-displayAttrs",),
    ),
    Accounted(
        reason="A token is a secret: user interfaces hide it.",
        families=("bao",),
        nodes=(f"/cel/login.{_BODY}.jwt.x-vault-displayAttrs",),
    ),
    Accounted(
        reason="A token is a secret: user interfaces hide it.",
        families=("vault",),
        nodes=(f"/login.{_BODY}.distributed_claim_access_token.x-vault-displayAttrs",),
    ),
    Accounted(
        reason="User interfaces have no input for a list of objects, and show its name alone.",
        families=("vault",),
        nodes=(f"/config.{_BODY}.jwks_pairs.x-vault-displayAttrs",),
    ),
    Accounted(
        reason="In seconds as the parameter is; the builtin method gives nanoseconds.",
        nodes=(f"/role/{{name}}.{_BODY}.clock_skew_leeway.default",),
    ),
    Accounted(
        reason="In seconds as the parameter is; the builtin method gives nanoseconds.",
        families=("bao",),
        nodes=("/cel/role/{name}.*.clock_skew_leeway.default",),
    ),
    Accounted(
        reason="User interfaces show the parameter's own description, which says the same.",
        nodes=(
            f"/role/{{name}}.{_BODY}.token_bound_cidrs.x-vault-displayAttrs.description",
            f"/role/{{name}}.{_BODY}.token_policies.x-vault-displayAttrs.description",
        ),
    ),
)


def described(actor: Actor, path: str) -> dict[str, Any]:
    """Return what the help page of a path says of it, with schemas for their names."""
    reply = actor.mount.request("GET", path, query={"help": "1"})
    if reply.status != 200:
        return {}
    document = reply.body["openapi"]
    schemas = document["components"]["schemas"]
    return {name: resolved(item, schemas) for name, item in document["paths"].items()}


def resolved(node: Any, schemas: dict[str, Any]) -> Any:
    """Return a node with each reference resolved, and lists of named things by name."""
    if isinstance(node, dict):
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/components/schemas/")
            return {"$ref": name, "schema": resolved(schemas[name], schemas)}
        return {name: resolved(member, schemas) for name, member in node.items()}
    if isinstance(node, list) and node and isinstance(node[0], dict):
        return {member["name"]: resolved(member, schemas) for member in node}
    return node


def is_free(node: str, builtin: Any, ours: Any) -> bool:
    """Whether a difference is one of texts alone."""
    return node.rpartition(".")[2] in TEXTS and (
        builtin is ... or bool(builtin and ours is not ...)
    )


def accounted(family: str) -> tuple[str, ...]:
    """Return the patterns of the differences that a family's builtin method has."""
    return tuple(node for each in ACCOUNTED if family in each.families for node in each.nodes)


def test_every_node_is_the_builtins_or_accounted_for(host: Host, arena: Arena):
    found: dict[str, tuple[Any, Any]] = {}
    with arena.pair(CASE) as (builtin, ours):
        for path in PATHS:
            found |= differences(described(builtin, path), described(ours, path))
    found = {node: pair for node, pair in found.items() if not is_free(node, *pair)}
    if arena.is_self_test:
        assert not found
        return
    patterns = accounted(host.family)
    unexplained = {
        node: pair
        for node, pair in found.items()
        if not any(fnmatchcase(node, pattern) for pattern in patterns)
    }
    assert not unexplained, "\n".join(f"{node}: {pair}" for node, pair in unexplained.items())
    gone = [
        pattern for pattern in patterns if not any(fnmatchcase(node, pattern) for node in found)
    ]
    assert not gone, "these no longer differ"


def test_the_servers_own_document_has_our_schemas(host: Host, arena: Arena):
    if arena.is_self_test:
        pytest.skip("the builtin method's schemas are the server's own")
    with arena.pair(CASE) as (_, ours):
        document = ours.mount.client.must("GET", "sys/internal/specs/openapi").body
    prefix = f"/auth/{ours.mount.path}"
    schemas = document["components"]["schemas"]
    config = resolved(document["paths"][f"{prefix}/config"], schemas)["post"]
    parameters = config["requestBody"]["content"]["application/json"]["schema"]["schema"]
    assert parameters["properties"]["provider_config"]["format"] == "map"
    assert "parameters" not in document["paths"][f"{prefix}/config"]
    paths = {name.removeprefix(prefix) for name in document["paths"] if name.startswith(prefix)}
    lists = {"/role", "/cel/role"} if host.family == "bao" else {"/role/", "/cel/role/"}
    assert lists <= paths
    for path in ("/oidc/auth_url", "/oidc/callback", "/oidc/poll", "/login"):
        assert document["paths"][prefix + path]["x-vault-unauthenticated"] is True
