"""Which source of keys a configuration has.

Mirrors `jwtValidator` in `backend.go` of both Go methods.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.config import Config, KeySourceKind
from vault_jwt_plugin.jwt_auth.config.jwks_pairs import parse_pairs
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.urls import shown
from vault_jwt_plugin.jwt_auth.keys.documents import (
    FetchedKeys,
    fetch_discovered_keys,
    fetch_key_set,
)
from vault_jwt_plugin.jwt_auth.keys.fetched import RemoteKeys
from vault_jwt_plugin.jwt_auth.keys.jwks_pairs import MultiKeys
from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource, RefreshPolicy, StaticKeys
from vault_jwt_plugin.jwt_auth.keys.kubernetes import Pod, fetch_cluster_keys
from vault_jwt_plugin.jwt_auth.keys.stored import Origin, OriginKind
from vault_jwt_plugin.sdk import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.keys.archive import KeyArchive


def build_key_source(
    config: Config,
    fetcher: Fetcher,
    clock: Callable[[], float],
    *,
    policy: RefreshPolicy | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    archive: KeyArchive | None = None,
    pod: Pod | None = None,
) -> KeySource:
    """The key source of a configuration; fetches nothing yet.

    Args:
        config: of the mount.
        fetcher: for the issuers' documents.
        clock: Unix seconds.
        policy: times where the configuration says none; None = the default ones.
        monotonic: seconds that never go back.
        archive: where fetched keys outlive the process; None = nowhere.
        pod: that the server runs in; None = as the environment says.

    Raises:
        PublicKeyError: a stored public key can't be used.
        UserError: stored `jwks_pairs` can't be understood.
        FetchError: `not_in_cluster`: keys of a cluster are wanted, and this is no pod.
        LoginDenied: `no_key_source`: the configuration names none.
    """
    if config.key_source_kind is KeySourceKind.STATIC:
        return StaticKeys.of(config.jwt_validation_pubkeys or ())
    pod = pod or Pod()
    times = refresh_policy(config, policy or RefreshPolicy())

    def remote(origin: Origin) -> RemoteKeys:
        store = None
        if archive is not None:
            store = archive.of(origin, trust_for_s=times.trust_for_s)
        return RemoteKeys(
            _loader(origin, config, fetcher, pod, times.deadline_s),
            url=shown(origin.url),
            policy=times,
            clock=clock,
            monotonic=monotonic,
            store=store,
        )

    sources = [remote(origin) for origin in origins(config, pod)]
    if not sources:
        raise LoginDenied("no_key_source", "the configuration names no source of keys")
    # Pairs, though there may be only one: they have rules of their own.
    return MultiKeys(sources) if config.key_source_kind is KeySourceKind.MULTI_JWKS else sources[0]


def origins(config: Config, pod: Pod | None = None) -> tuple[Origin, ...]:
    """What a configuration's keys are fetched from, in its order; nothing for static keys.

    Args:
        config: of the mount.
        pod: as for `build_key_source`.

    Raises:
        UserError: as `build_key_source`.
    """
    match config.key_source_kind:
        case KeySourceKind.JWKS:
            return (_origin(OriginKind.JWKS, config.jwks_url, config.jwks_ca_pem, config),)
        case KeySourceKind.MULTI_JWKS:
            return tuple(
                _origin(OriginKind.JWKS, each.jwks_url, each.jwks_ca_pem, config)
                for each in parse_pairs(config.jwks_pairs or ())
            )
        case KeySourceKind.DISCOVERY | KeySourceKind.OIDC_FLOW:
            # Differs from Vault: JWTs log in where the OIDC flow is configured too, as in OpenBao.
            url, ca_pem = config.oidc_discovery_url, config.oidc_discovery_ca_pem
            return (_origin(OriginKind.DISCOVERY, url, ca_pem, config),)
        case KeySourceKind.KUBERNETES:
            # Small files in memory: not worth a thread.
            cluster = (pod or Pod()).cluster()
            return (_origin(OriginKind.KUBERNETES, cluster.url, cluster.ca_pem, config),)
    return ()


def _origin(kind: OriginKind, url: str, ca_pem: str, config: Config) -> Origin:
    return Origin(kind=kind, url=url, trust=config.trust(ca_pem))


def refresh_policy(config: Config, default: RefreshPolicy) -> RefreshPolicy:
    """When keys are fetched anew and how long they are trusted, as the configuration says."""
    times = {
        "refresh_after_s": config.jwks_refresh_after,
        "trust_for_s": config.jwks_trust_for,
    }
    return replace(default, **{name: ns / NS_PER_S for name, ns in times.items() if ns is not None})


def _loader(
    origin: Origin, config: Config, fetcher: Fetcher, pod: Pod, deadline_s: float
) -> Callable[[], Awaitable[FetchedKeys]]:
    match origin.kind:
        case OriginKind.JWKS:
            return lambda: fetch_key_set(
                fetcher, origin.url, trust=origin.trust, deadline_s=deadline_s
            )
        case OriginKind.DISCOVERY:
            return lambda: fetch_discovered_keys(
                fetcher, origin.url, trust=origin.trust, deadline_s=deadline_s
            )
        case OriginKind.KUBERNETES:
            return lambda: fetch_cluster_keys(
                fetcher, pod, trust=config.trust, deadline_s=deadline_s
            )
