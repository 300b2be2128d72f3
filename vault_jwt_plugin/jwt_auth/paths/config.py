"""`config`: read, and write as a full replacement.

Mirrors `path_config.go` of both Go methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.checks import check_after_keys, check_before_keys
from vault_jwt_plugin.jwt_auth.config.config import (
    CONFIG_FIELDS,
    STORAGE_KEY,
    Config,
    StoredConfigError,
)
from vault_jwt_plugin.jwt_auth.config.provider import check_provider
from vault_jwt_plugin.jwt_auth.keys.kinds import check_source
from vault_jwt_plugin.jwt_auth.providers import ForeignTokenURIError, ProviderError
from vault_jwt_plugin.sdk import (
    FieldData,
    InternalError,
    LogicalError,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    StorageEntry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
    from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources
    from vault_jwt_plugin.jwt_auth.mount import Mount

STATUS_WAIT_S = 1.0
"""How long a read waits for keys that are being fetched, in seconds."""

MAX_LISTED = 20
"""Largest number of unusable keys of a set that a read names."""

_SYNOPSIS = "Configures the JWT authentication backend."
_DESCRIPTION = """
Says where the keys come from that tokens are checked with - public keys given
here, a JWKS URL, or the discovery document of an issuer - and what holds for
every token.

A write replaces the whole configuration: a parameter that is not sent becomes
empty. The keys are fetched once before anything is stored, so that a wrong URL
or CA is reported at once.
""".strip()


class ConfigPath:
    """The handlers of one mount.

    Args:
        mount: the mount's shared state.
        key_sources: fetches the keys of a write before anything is stored.
        fetcher: makes the requests of providers.
    """

    def __init__(self, mount: Mount, key_sources: KeySources, fetcher: Fetcher) -> None:
        self._mount = mount
        self._key_sources = key_sources
        self._fetcher = fetcher

    def path(self) -> Path:
        """Return the path; without an existence check, a write always needs `update`."""
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
                    description=_DESCRIPTION,
                    operation_id="jwt-configure",
                ),
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION,
        )

    async def read(self, _request: Request, _data: FieldData) -> Response | None:
        """Return the configuration without secrets, and whether logins can use it; None if absent.

        Begin to fetch keys that were not needed yet, and wait a short time for them, as OpenBao's
        method does for a discovery URL.

        Raises:
            InternalError: the provider can no longer be used (500, as in Go), or storage failed.
        """

        async def read() -> tuple[Config | None, tuple[str, ...]]:
            config = await self._mount.read_config()
            if config is not None:
                try:
                    await check_provider(config, self._fetcher)
                except ForeignTokenURIError as error:
                    # A builtin method took it: a read must answer, so that it can be repaired.
                    return config, (error.message,)
            return config, ()

        try:
            config, refused = await self._mount.configs.read_steadily(read)
        except ProviderError as error:
            raise InternalError(error.message, code=error.code) from error
        if config is None:
            return None
        data = config.read_data()
        is_valid, warnings = await self._state(config)
        is_valid, warnings = is_valid and not refused, (*refused, *warnings)
        data["status"] = "valid" if is_valid else "invalid"
        return Response(data=data, warnings=warnings)

    async def _state(self, config: Config) -> tuple[bool, tuple[str, ...]]:
        """Tell whether logins can use the configuration, and what is wrong with it."""
        try:
            source = self._mount.keys.of(config)
        except LogicalError as error:
            return False, (f"failed to construct JWK validator: {error.message}",)
        source.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_WAIT_S):
                await source.settle()
        status = source.status()
        is_valid = any(_works(part) for part in status.parts or (status,))
        return is_valid, tuple(_warnings(status))

    async def write(self, _request: Request, data: FieldData) -> Response | None:
        """Check and replace the configuration; nothing is stored on failure.

        Differs from Vault and OpenBao: a stored configuration that can't be understood is
        replaced, too. With them nothing repairs such a mount: a configuration can't be deleted.

        Raises:
            UserError: a parameter is wrong, or keys can't be fetched.
            InternalError: storage failed.
        """
        stored: Config | None = None
        with contextlib.suppress(StoredConfigError):
            stored = await self._mount.read_config()
        config = Config.from_request(data, stored)
        # These run outside the lock, so a slow issuer delays no other write or login. Their order
        # is that of the Go methods.
        check_source(config)
        check_before_keys(config)
        warnings = await self._key_sources.probe(
            config, tolerate_fetch_errors=data["skip_jwks_validation"]
        )
        check_after_keys(config)
        await check_provider(config, self._fetcher)

        async def replace() -> Config:
            merged = Config.from_request(data, await self._replaced())
            raw = merged.to_stored()
            await self._mount.storage.put(StorageEntry(key=STORAGE_KEY, value=raw))
            # Decoded as logins will decode it, so that they use the source that is warmed now.
            return Config.from_stored(raw)

        self._mount.keys.warm(await self._mount.write(replace, drops=STORAGE_KEY))
        return Response(warnings=warnings) if warnings else None

    async def _replaced(self) -> Config | None:
        try:
            return await self._mount.read_config()
        except StoredConfigError as error:
            # Here the parameters that are normally kept when they are not sent are lost.
            self._mount.logger.warning(
                "a stored configuration that can't be understood is replaced",
                extra={"fields": {"event": "stored_config_replaced", "error": error.message}},
            )
            return None


def _works(status: KeySourceStatus) -> bool:
    """Tell whether tokens can be verified, even if the last fetch failed."""
    return status.keys > 0 or (status.fetched_at is not None and status.last_error is None)


def _warnings(status: KeySourceStatus) -> Iterator[str]:
    for part in status.parts or (status,):
        if part.last_error is not None and part.fetched_at is not None and part.keys:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(part.fetched_at))
            yield (
                f"the keys of {at} are in use, newer ones can't be fetched: "
                f"{part.last_error.message}"
            )
        elif part.last_error is not None:
            yield f"the keys can't be fetched: {part.last_error.message}"
        elif part.fetched_at is None and part.url:
            yield f"the keys of {part.url} have not been fetched yet; read again in a moment"
        elif not part.keys and part.url and part.expires_in_s != 0:
            yield f"{part.url} holds no usable key: no token can be verified with it"
        for key in part.unusable[:MAX_LISTED]:
            yield f"key {key.position} of {part.url} is not used: {key.reason}"
        if more := part.unusable[MAX_LISTED:]:
            yield f"{len(more)} more keys of {part.url} are not used"
