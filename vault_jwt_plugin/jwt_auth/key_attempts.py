"""A check that needs keys, tried with those that are known and once more with newer ones."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.key_sources import REFETCHABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vault_jwt_plugin.jwt_auth.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.key_sources import KeySource
    from vault_jwt_plugin.jwt_auth.keys import VerificationKey
    from vault_jwt_plugin.sdk import MaybeAwaitable

T = TypeVar("T")


def with_keys(
    source: KeySource,
    header: JoseHeader,
    check: Callable[[Sequence[VerificationKey]], T],
) -> MaybeAwaitable[T]:
    """Run `check` with the candidates for a token; at once if they are known.

    Args:
        source: of the mount's configuration.
        header: of the token.
        check: raises LoginDenied with one of `REFETCHABLE` where other keys might help.

    Raises:
        LoginDenied: as `check` says, or the keys can't be had.
    """
    keys = source.candidates(header)
    if not isinstance(keys, Sequence):
        return _fetching(source, header, check, keys)
    try:
        return check(keys)
    except LoginDenied as denied:
        if denied.code not in REFETCHABLE:
            raise
        return _refetching(source, header, check, denied, keys)


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
) -> T:
    keys = await fetching
    try:
        return check(keys)
    except LoginDenied as denied:
        if denied.code not in REFETCHABLE:
            raise
        return await _refetching(source, header, check, denied, keys)


async def _refetching(
    source: KeySource,
    header: JoseHeader,
    check: Callable[[Sequence[VerificationKey]], T],
    denied: LoginDenied,
    tried: Sequence[VerificationKey],
) -> T:
    keys = await newer_keys(source, header, tried)
    if keys is None:
        raise denied
    return check(keys)
