"""The key source of the present configuration: made when it is first needed, retired with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.keys.static import StaticKeys
from vault_jwt_plugin.sdk import UserError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource

RETIRED_S = 30.0
"""How long a key source outlives its configuration, in seconds."""


class CurrentKeys:
    """Keep one configuration's key source alive, and close those of earlier configurations.

    Args:
        make: builds the key source of a configuration; does not wait.
        logger: of the mount.
    """

    def __init__(self, make: Callable[[Config], KeySource], logger: logging.Logger) -> None:
        self._make = make
        self._logger = logger
        self._current: tuple[Config, KeySource] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    def of(self, config: Config) -> KeySource:
        """Return the key source of a configuration; the same one for an equal configuration.

        Fetches nothing.

        Raises:
            LoginDenied: a key of the configuration can't be read. A write refuses it; the
                builtin method may have stored it.
        """
        if self._current is not None:
            known, source = self._current
            if known is config:
                return source
            if known == config:
                self._current = (config, source)
                return source
        try:
            source = self._make(config)
        except UserError as error:
            raise LoginDenied(
                "config_unusable", f"error configuring token validator: {error.message}"
            ) from error
        self.retire()
        self._current = (config, source)
        return source

    def warm(self, config: Config) -> None:
        """Begin to fetch the keys of a configuration that was written; does not wait.

        The first login then need not wait for them, and a read of `config` reports on them.
        """
        if self._ending.is_set():
            return
        # Logins and reads will report what is wrong with it.
        with contextlib.suppress(LoginDenied):
            self.of(config).start()

    def refresh(self) -> None:
        """Begin to fetch the keys if they are old enough; does not wait."""
        if self._current is not None:
            self._current[1].refresh()

    def retire(self) -> None:
        """Give up the current source; it is closed after `RETIRED_S`, for logins that use it."""
        if self._current is None:
            return
        source = self._current[1]
        self._current = None
        if isinstance(source, StaticKeys):
            # There is nothing to close; whoever still verifies with the keys holds them.
            return
        task = asyncio.get_running_loop().create_task(self._close_later(source))
        self._closing.add(task)
        task.add_done_callback(self._closed)

    async def _close_later(self, source: KeySource) -> None:
        # Logins that began before the change may still wait for its keys: closing it now would
        # fail them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETIRED_S):
                await self._ending.wait()
        await source.close()

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.warning(
                "closing a key source failed",
                exc_info=error,
                extra={"fields": {"event": "key_source_close_failed"}},
            )

    async def close(self) -> None:
        """Close every source at once, and warm none any more; idempotent."""
        self._ending.set()
        self.retire()
        await asyncio.gather(*self._closing, return_exceptions=True)
