"""The kinds of key sources. To add one, write its module and name it in `KINDS`.

Mirrors `jwtValidator` in `backend.go` of both Go methods.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.config import Config, listed
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.urls import shown
from vault_jwt_plugin.jwt_auth.keys.discovery import DiscoveryKind
from vault_jwt_plugin.jwt_auth.keys.fetched import RemoteKeys
from vault_jwt_plugin.jwt_auth.keys.jwks_pairs import JWKSPairsKind
from vault_jwt_plugin.jwt_auth.keys.jwks_url import JWKSURLKind
from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource, RefreshPolicy
from vault_jwt_plugin.jwt_auth.keys.kubernetes import KubernetesKind
from vault_jwt_plugin.jwt_auth.keys.pod import Pod
from vault_jwt_plugin.jwt_auth.keys.static import StaticKind
from vault_jwt_plugin.sdk import NS_PER_S, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.keys.archive import KeyArchive
    from vault_jwt_plugin.jwt_auth.keys.kind import KeySourceKind, Load
    from vault_jwt_plugin.jwt_auth.keys.stored import Origin

KINDS: tuple[type[KeySourceKind], ...] = (
    StaticKind,
    JWKSURLKind,
    JWKSPairsKind,
    DiscoveryKind,
    KubernetesKind,
)
"""Every kind. A stored configuration may select several; the first one counts."""


def check_source(config: Config) -> None:
    """Check that a configuration selects exactly one kind.

    Raises:
        UserError: it selects none, or several, which are named.
    """
    selected = [kind.parameter for kind in KINDS if kind.is_selected(config)]
    if len(selected) != 1:
        *choices, last = (kind.choice or f"'{kind.parameter}'" for kind in KINDS)
        raise UserError(
            f"exactly one of {', '.join(choices)} or {last} must be set, but "
            f"{listed(selected) + ' are' if selected else 'none is'}"
        )


def selected_kind(config: Config) -> type[KeySourceKind] | None:
    """Return the kind that a configuration selects; None if it selects none."""
    return next((kind for kind in KINDS if kind.is_selected(config)), None)


class KeySources:
    """Makes and probes the key sources of configurations.

    Args:
        fetcher: for the issuers' documents.
        clock: Unix seconds.
        pod: that the server runs in; None = as the environment says.
        monotonic: seconds that never go back.
        policy: times where a configuration sets none; None = the default ones.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        clock: Callable[[], float],
        *,
        pod: Pod | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        policy: RefreshPolicy | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._pod = pod or Pod()
        self._monotonic = monotonic
        self._policy = policy or RefreshPolicy()

    def _kind(self, config: Config) -> KeySourceKind | None:
        """Return the kind that a configuration selects; None if it selects none."""
        kind = selected_kind(config)
        return None if kind is None else kind(config, self._fetcher, self._pod)

    def build(self, config: Config, archive: KeyArchive | None = None) -> KeySource:
        """Make the key source of a configuration; it fetches nothing yet.

        Args:
            config: of the mount.
            archive: where fetched keys outlive the process; None = nowhere.

        Raises:
            PublicKeyError: a stored public key can't be used.
            UserError: stored `jwks_pairs` can't be understood.
            FetchError: `not_in_cluster`: keys of a cluster are wanted, and this is no pod.
            LoginDenied: `no_key_source`: the configuration selects none.
        """
        kind = self._kind(config)
        if kind is None:
            raise LoginDenied("no_key_source", "the configuration names no source of keys")
        policy = refresh_policy(config, self._policy)

        def remote(origin: Origin, load: Load) -> RemoteKeys:
            return RemoteKeys(
                lambda: load(policy.deadline_s),
                url=shown(origin.url),
                policy=policy,
                clock=self._clock,
                monotonic=self._monotonic,
                store=None
                if archive is None
                else archive.of(origin, trust_for_s=policy.trust_for_s),
            )

        return kind.source(remote)

    def origins(self, config: Config) -> tuple[Origin, ...]:
        """Return what a configuration's keys are fetched from; nothing for static keys.

        Raises:
            UserError: as `build`.
        """
        kind = self._kind(config)
        return () if kind is None else kind.origins()

    async def probe(
        self, config: Config, *, tolerate_fetch_errors: bool = False
    ) -> tuple[str, ...]:
        """Check that the keys of a configuration can be had.

        Args:
            config: selects one kind.
            tolerate_fetch_errors: warn of keys that can't be fetched (`skip_jwks_validation`).

        Returns:
            Warnings.

        Raises:
            UserError: as `KeySourceKind.probe`.
            InternalError: as `KeySourceKind.probe`.
        """
        kind = self._kind(config)
        if kind is not None:
            try:
                await kind.probe()
            except FetchError as error:
                if not tolerate_fetch_errors:
                    raise
                return (f"{error.message}; stored all the same, as skip_jwks_validation asks",)
        return ()


def refresh_policy(config: Config, default: RefreshPolicy) -> RefreshPolicy:
    """Return when keys are fetched anew and how long they are trusted, as configured."""
    times = {
        "refresh_after_s": config.jwks_refresh_after,
        "trust_for_s": config.jwks_trust_for,
    }
    return replace(default, **{name: ns / NS_PER_S for name, ns in times.items() if ns is not None})
