"""A check that needs keys, tried with those that are known and once more with newer ones."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.keys.key_source import REFETCHABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.keys.waiting import WaitingRoom
    from vault_jwt_plugin.sdk import MaybeAwaitable, Request

T = TypeVar("T")

MAX_REFETCHES = 5
"""For how many newer sets one token waits: of several key sets each may have the key id that it
names, and they come one by one."""


def with_keys(
    source: KeySource,
    header: JoseHeader,
    check: Callable[[Sequence[VerificationKey]], T],
    *,
    room: WaitingRoom,
    request: Request,
) -> MaybeAwaitable[T]:
    """Run `check` with the candidates for a token; at once if they are known.

    Args:
        source: of the mount's configuration.
        header: of the token.
        check: raises LoginDenied with one of `REFETCHABLE` where other keys might help.
        room: where to wait for keys.
        request: whose login it is.

    Raises:
        LoginDenied: as `check` says, the keys can't be had, or there is no room to wait.
    """
    keys = source.candidates(header)
    if not isinstance(keys, Sequence):
        return _fetching(source, header, check, keys, room, request)
    try:
        return check(keys)
    except LoginDenied as denied:
        if denied.code not in REFETCHABLE:
            raise
        return _refetching(source, header, check, denied, keys, room, request)


async def newer_keys(
    source: KeySource, header: JoseHeader, tried: Sequence[VerificationKey]
) -> Sequence[VerificationKey] | None:
    """Candidates that were not tried yet; None when there are none.

    Args:
        source: of the mount's configuration.
        header: of the token.
        tried: the candidates that did not verify it.

    Raises:
        LoginDenied: the keys are no longer trusted, and others can't be had.
    """
    keys = await source.refetch_for(header)
    if keys is None:
        # A fetch may have ended after these were taken: then it is too early for another one.
        known = source.candidates(header)
        keys = known if isinstance(known, Sequence) else await known
        # By identity: every fetch makes new ones, and to compare is nearly free.
        if len(keys) == len(tried) and all(map(operator.is_, keys, tried)):
            return None
    return keys


async def _fetching(
    source: KeySource,
    header: JoseHeader,
    check: Callable[[Sequence[VerificationKey]], T],
    fetching: Awaitable[Sequence[VerificationKey]],
    room: WaitingRoom,
    request: Request,
) -> T:
    keys = await room.wait(fetching, request.size)
    try:
        return check(keys)
    except LoginDenied as denied:
        if denied.code not in REFETCHABLE:
            raise
        return await _refetching(source, header, check, denied, keys, room, request)


async def _refetching(
    source: KeySource,
    header: JoseHeader,
    check: Callable[[Sequence[VerificationKey]], T],
    denied: LoginDenied,
    tried: Sequence[VerificationKey],
    room: WaitingRoom,
    request: Request,
) -> T:
    try:
        for _ in range(MAX_REFETCHES):
            keys = await room.wait(newer_keys(source, header, tried), request.size)
            if keys is None:
                break
            try:
                return check(keys)
            except LoginDenied as again:
                if again.code not in REFETCHABLE:
                    raise
                denied, tried = again, keys
        raise denied
    finally:
        # It knows this frame: each would keep the other, and the token, for minutes.
        del denied
