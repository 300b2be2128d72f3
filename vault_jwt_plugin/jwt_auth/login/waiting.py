"""Room for large logins that wait for keys, so that they can't fill the memory.

A login that waits keeps its request: of one with a token of 1 MiB some 4 MiB. While an
issuer is slow, callers who are not logged in could have thousands of them wait.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar

from vault_jwt_plugin.jwt_auth.errors import LoginDenied

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

SMALL_CHARS = 64 * 1024
"""Requests up to this size are bounded by their number alone (`keys.fetched.MAX_WAITING`)."""

MAX_LARGE_CHARS = 32 * 1024 * 1024
"""All larger requests of one mount that wait, in characters."""


class WaitingRoom:
    """The large logins of one mount that wait for keys.

    Attributes:
        chars: of all requests that are inside.
    """

    def __init__(self) -> None:
        self.chars = 0

    async def wait(self, pending: Awaitable[T], size: int) -> T:
        """Wait for keys.

        Args:
            pending: ends with them.
            size: of the request, in characters.

        Raises:
            LoginDenied: `keys_unavailable`: there is no room; or whatever `pending` raises.
        """
        if size <= SMALL_CHARS:
            return await pending
        if self.chars + size > MAX_LARGE_CHARS:
            if inspect.iscoroutine(pending):
                pending.close()
            raise LoginDenied(
                "keys_unavailable",
                "there are no keys to verify the token with: they are being fetched, and too many "
                "large logins wait for them already",
            )
        self.chars += size
        try:
            return await pending
        finally:
            self.chars -= size
