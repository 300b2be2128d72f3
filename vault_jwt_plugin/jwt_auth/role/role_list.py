"""The names of a mount's roles, kept between lists.

Reading a list of 10,000 names from storage moves 200 KB twice, decoded and encoded on both sides.
Kept in the form that is sent, it moves once, which takes less than twice the builtin method's time.
The list is kept and dropped as decoded roles are (`cache`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vault_jwt_plugin.jwt_auth.cache import Cache
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.sdk import Storage

MAX_KEPT_BYTES = 1024 * 1024
"""Longest list that is kept, in bytes of JSON: about 20,000 names."""

SHORT_BYTES = 8 * 1024
"""Longest list that is returned as names, in bytes of JSON; longer ones are returned as JSON."""

_ALL = ""


class _Listed(NamedTuple):
    """A list in the cache, where None would mean that nothing is stored."""

    keys: list[str] | jsonutil.Encoded


class RoleList:
    """All names under a prefix, sorted.

    Args:
        storage: the mount's.
        prefix: the roles' in storage.
        writable: tells whether this node is known to be able to write.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        *,
        writable: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._cache: Cache[_Listed] = Cache(
            read=self._read, decode=_decoded, writable=writable, capacity=1, monotonic=monotonic
        )

    async def _read(self, _name: str) -> bytes | None:
        names = await self._storage.list_page(self._prefix, after="", limit=0)
        return jsonutil.dumps(names).encode() if names else None

    async def get(self) -> list[str] | jsonutil.Encoded:
        """Return the names, a long list as JSON text; the caller must not change the list.

        Raises:
            StorageError: the host's storage failed.
        """
        listed = await self._cache.get(_ALL)
        if listed is None:
            return []
        if isinstance(listed.keys, jsonutil.Encoded) and len(listed.keys.text) > MAX_KEPT_BYTES:
            self._cache.drop(_ALL)
        return listed.keys

    def drop(self, name: str) -> None:
        """Forget the names, because the role `name` may have been written or deleted."""
        del name
        self._cache.drop_all()

    def drop_all(self) -> None:
        """Forget the names."""
        self._cache.drop_all()

    def doubt(self) -> None:
        """See `Cache.doubt`."""
        self._cache.doubt()

    async def close(self) -> None:
        """Cancel a read under way and forget the names."""
        await self._cache.close()


def _decoded(_name: str, raw: bytes) -> _Listed:
    if len(raw) <= SHORT_BYTES:
        return _Listed(jsonutil.loads(raw))
    return _Listed(jsonutil.Encoded(raw.decode()))
