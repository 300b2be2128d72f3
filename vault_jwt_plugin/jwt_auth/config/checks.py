"""What a configuration must be before it is stored, check by check.

Mirrors `pathConfigWrite` in `path_config.go` of both Go methods, in its order: the
first failure is the one that is reported. What comes after fetching looks at
parameters only; the order is kept all the same, so that a client sees what it saw.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.jwt_auth.config.config import (
    RESPONSE_MODES,
    RESPONSE_TYPES,
    Config,
    KeySourceKind,
    listed,
)
from vault_jwt_plugin.jwt_auth.config.jwks_pairs import parse_pairs
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.jose.jws import ALGORITHMS
from vault_jwt_plugin.jwt_auth.jose.keys import parse_public_key_pem
from vault_jwt_plugin.sdk import NS_PER_S, InternalError, UserError, quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.config.jwks_pairs import JWKSPair
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

_WELL_KNOWN = ".well-known/openid-configuration"
_SOURCES = ("jwt_validation_pubkeys", "jwks_url", "jwks_pairs", "oidc_discovery_url")
_OID = re.compile(r"[0-9]{1,39}(?:\.[0-9]{1,39})*")


class Prober(Protocol):
    """Fetches keys once, to see whether a configuration can work."""

    async def jwks(self, url: str, *, trust: Trust) -> None:
        """Fetch a key set.

        Raises:
            FetchError: it can't be had, or is none.
        """

    async def discovery(self, url: str, *, trust: Trust) -> None:
        """Fetch a discovery document.

        Raises:
            FetchError: it can't be had, or is none.
        """

    async def cluster(self, *, trust: Callable[[str], Trust]) -> None:
        """Fetch the keys of the cluster that the server runs in.

        Args:
            trust: what its servers must show, given its CA PEM.

        Raises:
            FetchError: it runs in none, or they can't be had.
        """


async def check_config(
    config: Config, prober: Prober, *, tolerate_fetch_errors: bool = False
) -> tuple[str, ...]:
    """Every check, in order.

    Args:
        config: as it would be stored.
        prober: fetches keys.
        tolerate_fetch_errors: of keys that can't be fetched, only warn
            (`skip_jwks_validation`).

    Returns:
        Warnings.

    Raises:
        UserError: a check said no.
    """
    check_source(config)
    check_client(config)
    check_trust(config)
    check_times(config)
    check_discovery_url(config)
    check_pairs(config)
    warnings = await check_keys(config, prober, tolerate_fetch_errors=tolerate_fetch_errors)
    check_algorithms(config)
    check_response_types(config)
    check_response_mode(config)
    return warnings


def check_source(config: Config) -> None:
    """Exactly one key source.

    Raises:
        UserError: none, or several, which are named.
    """
    sources = [name for name in _SOURCES if getattr(config, name)]
    if (config.provider_config or {}).get("provider") == "kubernetes":
        sources.append("provider_config")
    if len(sources) != 1:
        raise UserError(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', "
            "'oidc_discovery_url' or the provider 'kubernetes' must be set, but "
            f"{listed(sources) + ' are' if sources else 'none is'}"
        )


def check_client(config: Config) -> None:
    """An OIDC client has an id, a secret and a provider, or there is none.

    Raises:
        UserError: something of it is missing.
    """
    if bool(config.oidc_client_id) != bool(config.oidc_client_secret):
        raise UserError("both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
    if config.oidc_client_id and not config.oidc_discovery_url:
        raise UserError("'oidc_discovery_url' must be set for OIDC")


def check_trust(config: Config) -> None:
    """What certificates may be is understood.

    Differs from Vault, which looks at the OIDs in the OIDC flow only.

    Raises:
        UserError: an OID that is none; an empty name, which would match any server in
            OpenBao.
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
    """Keys are fetched neither all the time nor trusted for no time.

    Raises:
        UserError: a time is too short.
    """
    for name, shortest_s in (("jwks_refresh_after", 10), ("jwks_trust_for", 60)):
        value_ns = getattr(config, name)
        if value_ns and value_ns < shortest_s * NS_PER_S:
            raise UserError(f"invalid {name}: it must be at least {shortest_s}s, or 0")


def check_discovery_url(config: Config) -> None:
    """The discovery URL is the issuer, not the document's.

    Raises:
        UserError: it holds the well-known path.
    """
    if _WELL_KNOWN in config.oidc_discovery_url:
        raise UserError(
            f"'oidc_discovery_url' must not contain '{_WELL_KNOWN}': give the issuer as it names "
            "itself"
        )


def check_pairs(config: Config) -> None:
    """What does not go with several key sets is not there.

    Raises:
        UserError: it is.
    """
    if not config.jwks_pairs:
        return
    if config.jwks_ca_pem:
        raise UserError(
            "CA PEMs must be provided as part of the 'jwks_pairs' when using multiple JWKS URLs"
        )
    if config.bound_issuer:
        raise UserError("'bound_issuer' is not supported for use with 'jwks_pairs'")


async def check_keys(
    config: Config, prober: Prober, *, tolerate_fetch_errors: bool = False
) -> tuple[str, ...]:
    """The key source works: keys parse, or can be fetched.

    Args:
        config: has one key source.
        prober: fetches keys.
        tolerate_fetch_errors: of keys that can't be fetched, only warn. Not of a CA PEM
            for a key set that can't be read, as in OpenBao.

    Returns:
        Warnings.

    Raises:
        UserError: a key that does not parse, with its place in the list.
        FetchError: keys can't be fetched.
        InternalError: as `check_cluster`.
    """
    try:
        match config.key_source_kind:
            case KeySourceKind.DISCOVERY | KeySourceKind.OIDC_FLOW:
                await _checking(
                    "oidc discovery URL",
                    prober.discovery(
                        config.oidc_discovery_url, trust=config.trust(config.oidc_discovery_ca_pem)
                    ),
                )
            case KeySourceKind.JWKS:
                await _check_key_set(config, config.jwks_url, config.jwks_ca_pem, prober)
            case KeySourceKind.MULTI_JWKS:
                await _check_key_sets(config, parse_pairs(config.jwks_pairs or ()), prober)
            case KeySourceKind.KUBERNETES:
                await check_cluster(config, prober)
            case KeySourceKind.STATIC:
                for index, pem in enumerate(config.jwt_validation_pubkeys or (), start=1):
                    parse_public_key_pem(pem, index=index)
    except FetchError as error:
        is_their_fault = error.code != "bad_ca_pem" or config.oidc_discovery_url
        if not (tolerate_fetch_errors and is_their_fault):
            raise
        return (f"{error.message}; stored all the same, as skip_jwks_validation asks",)
    return ()


async def check_cluster(config: Config, prober: Prober) -> None:
    """The server runs in a cluster whose keys can be fetched.

    Raises:
        InternalError: it does not, or they can't, or something is set that is not the
            cluster's (500, as in OpenBao; never only a warning).
    """
    for name in ("oidc_discovery_ca_pem", "jwks_ca_pem"):
        if getattr(config, name):
            raise InternalError(f"{name} must not be set when using the kubernetes provider")
    try:
        await prober.cluster(trust=config.trust)
    except FetchError as error:
        raise InternalError(
            f"error checking the kubernetes provider: {error.message}", code=error.code
        ) from error


async def _check_key_sets(config: Config, pairs: tuple[JWKSPair, ...], prober: Prober) -> None:
    failures = await asyncio.gather(
        *(_check_key_set(config, each.jwks_url, each.jwks_ca_pem, prober) for each in pairs),
        return_exceptions=True,
    )
    # All have ended: nothing is left that nobody waits for. What can't be skipped comes first.
    found = [failure for failure in failures if failure is not None]
    found.sort(key=lambda failure: getattr(failure, "code", "") != "bad_ca_pem")
    if found:
        raise found[0]


async def _check_key_set(config: Config, url: str, ca_pem: str, prober: Prober) -> None:
    await _checking("jwks URL", prober.jwks(url, trust=config.trust(ca_pem)))


async def _checking(what: str, probe: Awaitable[None]) -> None:
    try:
        await probe
    except FetchError as error:
        if error.code == "bad_ca_pem" and what == "jwks URL":
            what = "jwks_ca_pem"
        raise FetchError(
            error.code,
            f"error checking {what}: {error.message}",
            url=error.url,
            problem=error.problem,
            status=error.status,
        ) from error


def check_algorithms(config: Config) -> None:
    """Every algorithm named is one that verifies with a public key.

    Raises:
        UserError: one is not; it is named.
    """
    for name in config.jwt_supported_algs or ():
        if name not in ALGORITHMS:
            raise UserError(
                f"invalid jwt_supported_algs: unsupported signing algorithm {quoted(name)}; "
                f"supported are {', '.join(ALGORITHMS)}"
            )


def check_response_types(config: Config) -> None:
    """Every response type is one that the OIDC flow can ask for.

    Raises:
        UserError: one is not; it is named.
    """
    for name in config.oidc_response_types or ():
        if name not in RESPONSE_TYPES:
            raise UserError(
                f"invalid oidc_response_types: {quoted(name)}; {listed(RESPONSE_TYPES)} are allowed"
            )


def check_response_mode(config: Config) -> None:
    """The response mode is one that the OIDC flow has, and fits the response types.

    Raises:
        UserError: it does not. An ID token in a query would end up in histories and logs.
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
