"""`jwks_pairs`: several key sets, each with the authorities that vouch for its server.

Mirrors `jwks_pairs.go` of Vault's method; OpenBao's has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vault_jwt_plugin.jwt_auth.errors import kind_of
from vault_jwt_plugin.sdk import UserError

_MEMBERS = ("jwks_url", "jwks_ca_pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class JWKSPair:
    """One key set.

    Attributes:
        jwks_url: where it is.
        jwks_ca_pem: CA certificates for its server; "" means the system's.
    """

    jwks_url: str
    jwks_ca_pem: str = ""


def parse_pairs(pairs: Iterable[Any]) -> tuple[JWKSPair, ...]:
    """Read the parameter, in its order.

    Members are found whatever the case of their names, exact ones first; others are
    ignored, and null is empty, as mapstructure does it in Go.

    Args:
        pairs: decoded JSON.

    Raises:
        UserError: an element that is no object, a member that is no text, no URL.
            Differs from Vault, which fetches an empty URL and reports that.
    """
    return tuple(_parse(pair, position) for position, pair in enumerate(pairs, start=1))


def _parse(pair: Any, position: int) -> JWKSPair:
    if not isinstance(pair, Mapping):
        raise UserError(
            "invalid jwks_pairs: it must be a list of objects with the members 'jwks_url' and "
            f"'jwks_ca_pem', but element {position} is {kind_of(pair)}"
        )
    members = {name: _member(pair, name, position) for name in _MEMBERS}
    if not members["jwks_url"]:
        raise UserError(f"invalid jwks_pairs: element {position} has no 'jwks_url'")
    return JWKSPair(**members)


def _member(pair: Mapping[str, Any], name: str, position: int) -> str:
    value = pair.get(name)
    if name not in pair:
        value = next((pair[each] for each in pair if each.lower() == name), None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(
            f"invalid jwks_pairs: '{name}' of element {position} must be text, is {kind_of(value)}"
        )
    return value
