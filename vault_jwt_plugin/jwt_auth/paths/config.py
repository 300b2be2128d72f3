"""`config`: read, and write as a full replacement.

Mirrors `path_config.go` of both Go methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.checks import check_config
from vault_jwt_plugin.jwt_auth.config.config import (
    CONFIG_FIELDS,
    STORAGE_KEY,
    Config,
    StoredConfigError,
)
from vault_jwt_plugin.jwt_auth.providers import ProviderError, check_provider
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

    from vault_jwt_plugin.jwt_auth.config.checks import Prober
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
    from vault_jwt_plugin.jwt_auth.mount import Mount

STATUS_WAIT_S = 1.0
"""How long a read waits for keys that are being fetched, in seconds."""

MAX_LISTED = 20
"""Unusable keys of a set that a read names."""

_SYNOPSIS = "Configures the JWT authentication backend."
_DESCRIPTION = """
Says where the keys come from that tokens are checked with - public keys given
here, a JWKS URL, or the discovery document of an issuer - and what holds for
every token.

A write replaces the whole configuration: a parameter that is not sent becomes
empty. The keys are fetched once before anything is stored, so that a wrong URL
or CA is reported at once.
"""


class ConfigPath:
    """The handlers of one mount.

    Args:
        mount: what they share.
        prober: fetches keys before they are configured.
        fetcher: for providers.
    """

    def __init__(self, mount: Mount, prober: Prober, fetcher: Fetcher) -> None:
        self._mount = mount
        self._prober = prober
        self._fetcher = fetcher

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
        """The configuration without secrets, and whether logins can use it; None when absent.

        Keys that nobody has asked for yet are fetched, for a short time: OpenBao's
        method does so for a discovery URL, and waits.

        Raises:
            InternalError: the provider can't be used any more (500, as in Go), or storage failed.
        """

        async def read() -> Config | None:
            config = await self._mount.read_config()
            if config is not None:
                await check_provider(config, self._fetcher)
            return config

        try:
            config = await self._mount.configs.read_steadily(read)
        except ProviderError as error:
            raise InternalError(error.message, code=error.code) from error
        if config is None:
            return None
        data = config.read_data()
        is_valid, warnings = await self._state(config)
        data["status"] = "valid" if is_valid else "invalid"
        return Response(data=data, warnings=warnings)

    async def _state(self, config: Config) -> tuple[bool, tuple[str, ...]]:
        """Whether logins can use the configuration, and what is wrong with it."""
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

        Differs from Vault and OpenBao: one that can't be understood is replaced too. With them
        nothing repairs such a mount, since nothing deletes a configuration.

        Raises:
            UserError: a parameter that is wrong, or keys that can't be had.
            InternalError: storage failed.
        """
        stored: Config | None = None
        with contextlib.suppress(StoredConfigError):
            stored = await self._mount.read_config()
        config = Config.from_request(data, stored)
        # Outside the lock: another write, and every login, goes on while an issuer is slow.
        warnings = await check_config(
            config, self._prober, tolerate_fetch_errors=data["skip_jwks_validation"]
        )
        await check_provider(config, self._fetcher)

        async def replace() -> Config:
            merged = Config.from_request(data, await self._replaced())
            raw = merged.to_stored()
            await self._mount.storage.put(StorageEntry(key=STORAGE_KEY, value=raw))
            # As it will be read, so that the keys that are fetched now are for what logins find.
            return Config.from_stored(raw)

        self._mount.keys.warm(await self._mount.write(replace, drops=STORAGE_KEY))
        return Response(warnings=warnings) if warnings else None

    async def _replaced(self) -> Config | None:
        try:
            return await self._mount.read_config()
        except StoredConfigError as error:
            # What a write keeps when it is not sent (`Config.from_request`) can't be kept.
            self._mount.logger.warning(
                "a stored configuration that can't be understood is replaced",
                extra={"fields": {"event": "stored_config_replaced", "error": error.message}},
            )
            return None


def _works(status: KeySourceStatus) -> bool:
    """Whether tokens can be verified, though the last fetch may have failed."""
    return status.keys > 0 or (status.fetched_at is not None and status.last_error is None)


def _warnings(status: KeySourceStatus) -> Iterator[str]:
    for part in status.parts or (status,):
        if part.last_error is not None and part.fetched_at is not None and part.keys:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(part.fetched_at))
            yield f"the keys of {at} are in use, newer ones can't be fetched: " + (
                part.last_error.message
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
