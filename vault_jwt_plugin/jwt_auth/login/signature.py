"""The check of the signature: with the keys at hand, and once more with newer ones.

A token that no key at hand verifies may be signed with one that its issuer has published since.
"""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.keys import verify_signature
from vault_jwt_plugin.jwt_auth.keys.key_source import REFETCHABLE

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.login.check import Login

MAX_REFETCHES = 5
"""Newer key sets that one token waits for: of several key sets each may have the key id that it
names, and they come one by one."""

SIGNATURE_CODES = (
    "config_unusable",
    "no_key_source",
    "kid_missing",
    "keys_unavailable",
    "too_many_keys",
    *sorted(REFETCHABLE),
)


def check_signature(login: Login[Any]) -> Awaitable[None] | None:
    """Verify the token's signature with the keys of the mount's configuration.

    Returns:
        None if a key verified it; an awaitable of keys if there are none, or newer ones may help.

    Raises:
        LoginDenied: One of `SIGNATURE_CODES`; also raised by the awaitable.
    """
    source = login.context.key_source(login.config)
    keys = login.keys
    if keys is None:
        found = source.candidates(login.token.header)
        if not isinstance(found, Sequence):
            return _fetch(login, found)
        keys = found
    try:
        verify_signature(login.token, keys)
    except LoginDenied as denied:
        if denied.code not in REFETCHABLE or login.refetches == MAX_REFETCHES:
            raise
        return _refetch(login, source, keys, denied)
    return None


async def _fetch(login: Login[Any], fetching: Awaitable[Sequence[VerificationKey]]) -> None:
    login.keys = await login.context.waiting_room.wait(fetching, login.request.size)


async def _refetch(
    login: Login[Any], source: KeySource, tried: Sequence[VerificationKey], denied: LoginDenied
) -> None:
    login.refetches += 1
    newer = _newer_keys(source, login.token.header, tried)
    try:
        keys = await login.context.waiting_room.wait(newer, login.request.size)
        if keys is None:
            raise denied
        login.keys = keys
    finally:
        # It knows this frame: each would keep the other, and the token, for minutes.
        del denied


async def _newer_keys(
    source: KeySource, header: JoseHeader, tried: Sequence[VerificationKey]
) -> Sequence[VerificationKey] | None:
    """Return candidates that were not tried yet; None if there are none.

    Raises:
        LoginDenied: The keys are no longer trusted, and others cannot be had.
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
