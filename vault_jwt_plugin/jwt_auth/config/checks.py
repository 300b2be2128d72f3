"""Checks of a configuration's parameters before it is stored; each raises `UserError`.

The key source's own parameters are checked by `keys`, between `check_before_keys` and
`check_after_keys`: in the order of `pathConfigWrite` in `path_config.go` of both Go methods, so
that a client sees the same failure first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.config import RESPONSE_MODES, RESPONSE_TYPES, listed
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS
from vault_jwt_plugin.sdk import NS_PER_S, UserError, quoted

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.config.config import Config

_OID = re.compile(r"[0-9]{1,39}(?:\.[0-9]{1,39})*")


def check_before_keys(config: Config) -> None:
    """Run the checks that come before the keys are fetched."""
    check_client(config)
    check_trust(config)
    check_times(config)


def check_after_keys(config: Config) -> None:
    """Run the checks that come after the keys were fetched."""
    check_algorithms(config)
    check_response_types(config)
    check_response_mode(config)


def check_client(config: Config) -> None:
    """Check that an OIDC client has an id, a secret and a provider, or that there is none."""
    if bool(config.oidc_client_id) != bool(config.oidc_client_secret):
        raise UserError("both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
    if config.oidc_client_id and not config.oidc_discovery_url:
        raise UserError("'oidc_discovery_url' must be set for OIDC")


def check_trust(config: Config) -> None:
    """Check the OIDs and names for servers' certificates; in OpenBao an empty name matches any.

    Differs from Vault, which checks the OIDs in the OIDC flow only.
    """
    for oid in config.unsupported_critical_cert_extensions or ():
        if not _OID.fullmatch(oid):
            raise UserError(
                "invalid unsupported_critical_cert_extensions: error parsing extension OID "
                f"{quoted(oid)}: it must be numbers with dots between them"
            )
    if not all(config.override_allowed_server_names or ()):
        raise UserError("invalid override_allowed_server_names: a name is empty")


def check_times(config: Config) -> None:
    """Check that keys are neither fetched all the time nor trusted for too short a time."""
    for name, shortest_s in (("jwks_refresh_after", 10), ("jwks_trust_for", 60)):
        value_ns = getattr(config, name)
        if value_ns and value_ns < shortest_s * NS_PER_S:
            raise UserError(f"invalid {name}: it must be at least {shortest_s}s, or 0")


def check_algorithms(config: Config) -> None:
    """Check that every algorithm is one that verifies with a public key."""
    for name in config.jwt_supported_algs or ():
        if name not in ALGORITHMS:
            raise UserError(
                f"invalid jwt_supported_algs: unsupported signing algorithm {quoted(name)}; "
                f"supported are {', '.join(ALGORITHMS)}"
            )


def check_response_types(config: Config) -> None:
    """Check that every response type is one that the OIDC flow can ask for."""
    for name in config.oidc_response_types or ():
        if name not in RESPONSE_TYPES:
            raise UserError(
                f"invalid oidc_response_types: {quoted(name)}; {listed(RESPONSE_TYPES)} are allowed"
            )


def check_response_mode(config: Config) -> None:
    """Check that the response mode exists, and that it fits the response types.

    An ID token in a query would end up in histories and logs.
    """
    match config.oidc_response_mode:
        case "" | "query":
            if "id_token" in (config.oidc_response_types or ()):
                raise UserError(
                    "the response type 'id_token' needs the oidc_response_mode 'form_post'"
                )
        case "form_post":
            pass
        case mode:
            raise UserError(
                f"invalid oidc_response_mode: {quoted(mode)}; {listed(RESPONSE_MODES)} are allowed"
            )
