"""Logins that wait are judged by the config and role that are there when they end.

An issuer may take seconds to answer, and who replaced a key or deleted a role
meanwhile was told that it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from vault_jwt_plugin.jwt_auth.errors import LoginDenied, changed_meanwhile
from vault_jwt_plugin.sdk import Auth, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.sdk import MaybeAwaitable

S = TypeVar("S")

MAX_ROUNDS = 5
"""How often a login is begun whose config or role is changed each time that it waits."""


class Stored(Protocol):
    """A config or a role."""

    def to_stored(self) -> bytes:
        """Encode for storage."""


def is_same(before: Stored, now: Stored) -> bool:
    """Whether nothing has changed. By their bytes: to Python 1 equals true."""
    return before is now or before.to_stored() == now.to_stored()


async def when_done(
    pending: Awaitable[Auth],
    *,
    granted: Callable[[Auth], Response],
    changed: Callable[[], Awaitable[S | None]],
    again: Callable[[S, int], MaybeAwaitable[Response]],
    rounds: int,
) -> Response:
    """What a login that waited for others comes to.

    Args:
        pending: what it comes to by the config and role that it began with.
        granted: makes the answer of that.
        changed: config and role as they are now; None if they are what it began with.
        again: begins the login anew with these, and so many rounds left.
        rounds: how often it may be begun, this time included.

    Raises:
        LoginDenied: as `pending` says; `changed_meanwhile` after the last round.
    """
    try:
        auth = await pending
    except LoginDenied:
        now = await changed()
        if now is None:
            raise
    else:
        now = await changed()
        if now is None:
            return granted(auth)
    if rounds == 1:
        raise changed_meanwhile()
    answer = again(now, rounds - 1)
    return answer if isinstance(answer, Response) else await answer
