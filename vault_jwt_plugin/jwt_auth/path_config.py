"""`config`: read, and write as a full replacement.

Mirrors `path_config.go` of both Go methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vault_jwt_plugin.jwt_auth.config import (
    CONFIG_FIELDS,
    STORAGE_KEY,
    UNBUILT,
    Config,
    KeySourceKind,
    listed,
)
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.jws import ALGORITHMS
from vault_jwt_plugin.jwt_auth.keys import parse_public_key_pem
from vault_jwt_plugin.sdk import (
    FieldData,
    LogicalError,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    StorageEntry,
    UserError,
    quoted,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.jwt_auth.trust import Trust

_WELL_KNOWN = ".well-known/openid-configuration"

_SYNOPSIS = "Configures the JWT authentication backend."
_DESCRIPTION = """
Says where the keys come from that tokens are checked with - public keys given
here, a JWKS URL, or the discovery document of an issuer - and what holds for
every token.

A write replaces the whole configuration: a parameter that is not sent becomes
empty. The keys are fetched once before anything is stored, so that a wrong URL
or CA is reported at once.
"""


class Prober(Protocol):
    """Fetches keys once, to see whether a configuration can work."""

    async def jwks(self, url: str, *, trust: Trust) -> None:
        """Fetch a key set.

        Raises:
            FetchError: it can't be had, or is none.
        """

    async def discovery(self, url: str, *, trust: Trust) -> None:
        """Fetch a discovery document, and the keys it names.

        Raises:
            FetchError: one can't be had, or is none.
        """


def check_built(data: FieldData) -> None:
    """Refuse what this version does not act on, rather than store and ignore it.

    Raises:
        UserError: `not_supported`, naming every such parameter.
    """
    if names := [name for name in UNBUILT if data[name]]:
        raise UserError(
            f"{listed(names)} {'is' if len(names) == 1 else 'are'} not supported by this "
            "version of the plugin; nothing was stored",
            code="not_supported",
        )


def check_source(config: Config) -> None:
    """Exactly one key source.

    Raises:
        UserError: none, or several, which are named.
    """
    sources = [
        name
        for name in ("jwt_validation_pubkeys", "jwks_url", "oidc_discovery_url")
        if getattr(config, name)
    ]
    if len(sources) != 1:
        raise UserError(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must "
            f"be set, but {listed(sources) + ' are' if sources else 'none is'}"
        )
    if _WELL_KNOWN in config.oidc_discovery_url:
        raise UserError(
            f"'oidc_discovery_url' must not contain '{_WELL_KNOWN}': give the issuer as it names "
            "itself"
        )


async def check_keys(config: Config, prober: Prober) -> None:
    """The key source works: keys parse, or can be fetched.

    Raises:
        UserError: a key that does not parse, with its place in the list.
        FetchError: keys can't be fetched.
    """
    kind = config.key_source_kind
    if kind is KeySourceKind.DISCOVERY:
        try:
            await prober.discovery(
                config.oidc_discovery_url, trust=config.trust(config.oidc_discovery_ca_pem)
            )
        except FetchError as error:
            raise _prefixed(error, "error checking oidc discovery URL") from error
    elif kind is KeySourceKind.JWKS:
        try:
            await prober.jwks(config.jwks_url, trust=config.trust(config.jwks_ca_pem))
        except FetchError as error:
            what = "jwks_ca_pem" if error.code == "bad_ca_pem" else "jwks URL"
            raise _prefixed(error, f"error checking {what}") from error
    else:
        for index, pem in enumerate(config.jwt_validation_pubkeys or (), start=1):
            parse_public_key_pem(pem, index=index)


def _prefixed(error: FetchError, prefix: str) -> FetchError:
    return FetchError(error.code, f"{prefix}: {error.message}", url=error.url)


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


class ConfigPath:
    """The handlers of one mount."""

    def __init__(self, mount: Mount, prober: Prober) -> None:
        self._mount = mount
        self._prober = prober

    def path(self) -> Path:
        """`config`. Without an existence check: a write always needs the `update` capability."""
        return Path(
            pattern="config",
            fields=CONFIG_FIELDS,
            operations={
                Operation.READ: OperationSpec(
                    handler=self.read,
                    summary="Read the current JWT authentication backend configuration.",
                    operation_id="jwt-read-configuration",
                ),
                Operation.UPDATE: OperationSpec(
                    handler=self.write,
                    summary="Configure the JWT authentication backend.",
                    description=_DESCRIPTION.strip(),
                    operation_id="jwt-configure",
                ),
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION.strip(),
        )

    async def read(self, _request: Request, _data: FieldData) -> Response | None:
        """The configuration without secrets, and whether logins can use it; None when absent."""
        config = await self._mount.read_config()
        if config is None:
            return None
        data = config.read_data()
        trouble = self._trouble(config)
        data["status"] = "valid" if trouble is None else "invalid"
        return Response(data=data, warnings=() if trouble is None else (trouble,))

    def _trouble(self, config: Config) -> str | None:
        """Why logins can't use the configuration, by what is known already; None if they can.

        OpenBao's method may fetch here and hold up the read; the last fetch says as much.
        """
        try:
            status = self._mount.key_source(config).status()
        except LogicalError as error:
            return f"failed to construct JWK validator: {error.message}"
        if status.keys == 0 and status.last_error is not None:
            return f"the keys can't be fetched: {status.last_error.message}"
        return None

    async def write(self, _request: Request, data: FieldData) -> None:
        """Check and replace the configuration; nothing is stored on failure.

        Raises:
            UserError: a parameter that is wrong or not supported, or keys that can't be had.
            InternalError: the stored configuration can't be understood; storage failed.
        """
        stored = await self._mount.read_config()
        config = Config.from_request(data, stored)
        check_built(data)
        check_source(config)
        # Outside the lock: another write, and every login, goes on while an issuer is slow.
        await check_keys(config, self._prober)
        check_algorithms(config)

        async def replace() -> None:
            merged = Config.from_request(data, await self._mount.read_config())
            await self._mount.storage.put(StorageEntry(key=STORAGE_KEY, value=merged.to_stored()))

        await self._mount.write(replace, drops=STORAGE_KEY)
