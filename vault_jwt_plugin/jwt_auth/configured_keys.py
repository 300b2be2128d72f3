"""Which source of keys a configuration has.

Mirrors `jwtValidator` in `backend.go` of both Go methods.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config import Config, KeySourceKind
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.issuers import FetchedKeys, fetch_discovery, fetch_key_set
from vault_jwt_plugin.jwt_auth.jwks_pairs import parse_pairs
from vault_jwt_plugin.jwt_auth.key_sources import KeySource, RefreshPolicy, StaticKeys
from vault_jwt_plugin.jwt_auth.multi_jwks import MultiKeys
from vault_jwt_plugin.jwt_auth.remote_keys import RemoteKeys
from vault_jwt_plugin.jwt_auth.urls import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.fetch import Fetcher


def build_key_source(
    config: Config,
    fetcher: Fetcher,
    clock: Callable[[], float],
    *,
    policy: RefreshPolicy | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> KeySource:
    """The key source of a configuration; fetches nothing yet.

    Args:
        config: of the mount.
        fetcher: for the issuers' documents.
        clock: Unix seconds.
        policy: other times than the default ones.
        monotonic: seconds that never go back.

    Raises:
        PublicKeyError: a stored public key can't be used.
        UserError: stored `jwks_pairs` can't be understood.
        LoginDenied: `no_key_source`: the configuration names none, or one of a kind
            that is not built.
    """
    times = policy or RefreshPolicy()

    def remote(url: str, load: Callable[[], Awaitable[FetchedKeys]]) -> RemoteKeys:
        return RemoteKeys(load, url=shown(url), policy=times, clock=clock, monotonic=monotonic)

    def key_set(url: str, ca_pem: str) -> RemoteKeys:
        trust = config.trust(ca_pem)
        return remote(
            url, lambda: fetch_key_set(fetcher, url, trust=trust, deadline_s=times.deadline_s)
        )

    match config.key_source_kind:
        case KeySourceKind.STATIC:
            return StaticKeys.of(config.jwt_validation_pubkeys or ())
        case KeySourceKind.JWKS:
            return key_set(config.jwks_url, config.jwks_ca_pem)
        case KeySourceKind.MULTI_JWKS:
            pairs = parse_pairs(config.jwks_pairs or ())
            return MultiKeys([key_set(each.jwks_url, each.jwks_ca_pem) for each in pairs])
        case KeySourceKind.DISCOVERY | KeySourceKind.OIDC_FLOW:
            # Differs from Vault: JWTs log in where the OIDC flow is configured too, as in OpenBao.
            return remote(
                config.oidc_discovery_url, lambda: _discovered(fetcher, config, times.deadline_s)
            )
        case _:
            raise LoginDenied(
                "no_key_source", "the configuration names no source of keys that is supported"
            )


async def _discovered(fetcher: Fetcher, config: Config, deadline_s: float) -> FetchedKeys:
    """The keys that an issuer's discovery document names, read anew each time: both may move."""
    trust = config.trust(config.oidc_discovery_ca_pem)
    ends_at = time.monotonic() + deadline_s
    discovery = await fetch_discovery(
        fetcher, config.oidc_discovery_url, trust=trust, deadline_s=deadline_s
    )
    left_s = max(ends_at - time.monotonic(), 0.001)
    return await fetch_key_set(fetcher, discovery.jwks_uri, trust=trust, deadline_s=left_s)
