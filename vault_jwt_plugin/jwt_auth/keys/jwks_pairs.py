"""Keys from several sets (`jwks_pairs`): a token must name its key with `kid`.

Differs from Vault (`jwks_cache.go`), which tries only the first set that has the `kid`: here the
keys of every set that has it are tried, since two issuers may have chosen the same `kid`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.keys.jwks_url import JWKSURLKind
from vault_jwt_plugin.sdk import UserError
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.fetched import RemoteKeys
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
    from vault_jwt_plugin.jwt_auth.keys.stored import Origin
    from vault_jwt_plugin.sdk.request import MaybeAwaitable

_MEMBERS = ("jwks_url", "jwks_ca_pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class JWKSPair:
    """One key set.

    Attributes:
        jwks_url: of the set.
        jwks_ca_pem: CA certificates for its server; "" means the system's.
    """

    jwks_url: str
    jwks_ca_pem: str = ""


def parse_pairs(pairs: Iterable[Any]) -> tuple[JWKSPair, ...]:
    """Parse the parameter; the pairs stay in its order.

    As with mapstructure in Go, members are found whatever the case of their names (an exact
    name first), other members are ignored, and null counts as empty.

    Args:
        pairs: decoded JSON.

    Raises:
        UserError: an element is not an object, a member is not a string, or a URL is missing.
            Differs from Vault, which fetches an empty URL and reports that.
    """
    return tuple(_parse(pair, position) for position, pair in enumerate(pairs, start=1))


def _parse(pair: Any, position: int) -> JWKSPair:
    if not isinstance(pair, Mapping):
        raise UserError(
            "invalid jwks_pairs: it must be a list of objects with the members 'jwks_url' and "
            f"'jwks_ca_pem', but element {position} is {kind_of(pair)}"
        )
    members = {name: _member(pair, name, position) for name in _MEMBERS}
    if not members["jwks_url"]:
        raise UserError(f"invalid jwks_pairs: element {position} has no 'jwks_url'")
    return JWKSPair(**members)


def _member(pair: Mapping[str, Any], name: str, position: int) -> str:
    value = pair.get(name)
    if name not in pair:
        value = next((pair[each] for each in pair if each.lower() == name), None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(
            f"invalid jwks_pairs: '{name}' of element {position} must be a string, "
            f"is {kind_of(value)}"
        )
    return value


class JWKSPairsKind(JWKSURLKind):
    """`jwks_pairs`. Pairs have rules of their own, though there may be only one."""

    name = "multi_jwks"
    parameter = "jwks_pairs"

    def origins(self) -> tuple[Origin, ...]:
        """See `KeySourceKind.origins`."""
        pairs = parse_pairs(self.config.jwks_pairs or ())
        return tuple(self._origin(each.jwks_url, each.jwks_ca_pem) for each in pairs)

    def joined(self, sources: Sequence[RemoteKeys]) -> MultiKeys:
        """See `FetchedKind.joined`."""
        return MultiKeys(sources)

    async def probe(self) -> None:
        """Check that every key set is there, all at a time.

        Raises:
            UserError: `jwks_ca_pem` or `bound_issuer` is set as well; or as for `jwks_url`.
            FetchError: a key set can't be fetched; the first in the configuration's order.
        """
        if self.config.jwks_ca_pem:
            raise UserError(
                "CA PEMs must be provided as part of the 'jwks_pairs' when using multiple JWKS URLs"
            )
        if self.config.bound_issuer:
            raise UserError("'bound_issuer' is not supported for use with 'jwks_pairs'")
        failures = await asyncio.gather(
            *(self._probe(origin) for origin in self.origins()), return_exceptions=True
        )
        # All have ended, so that none is left that nobody waits for. What `skip_jwks_validation`
        # does not excuse comes first.
        found = [failure for failure in failures if failure is not None]
        found.sort(key=lambda failure: isinstance(failure, FetchError))
        if found:
            raise found[0]


class MultiKeys:
    """Several key sets as one source; each is fetched, refreshed and trusted by itself.

    Args:
        sources: in the order of the configuration; at least one.
    """

    def __init__(self, sources: Sequence[RemoteKeys]) -> None:
        self._sources = tuple(sources)

    def candidates(self, header: JoseHeader) -> MaybeAwaitable[Sequence[VerificationKey]]:
        """See `KeySource.candidates`; a set that can't be fetched does not delay the others.

        Raises:
            LoginDenied: `kid_missing`: the token does not name its key; `keys_unavailable`:
                no set is cached, and none can be fetched.
        """
        if header.kid is None:
            # As in Vault since 0.26.2: no token makes us try every key of every issuer.
            raise LoginDenied(
                "kid_missing", "the token must name its key (kid) where jwks_pairs are configured"
            )
        keys, missing = self._known(header)
        return keys if keys or not missing else self._first_candidates(header, missing)

    def _known(self, header: JoseHeader) -> tuple[list[VerificationKey], list[RemoteKeys]]:
        """Return the cached candidates, and the sources that have no trusted keys."""
        keys: list[VerificationKey] = []
        missing: list[RemoteKeys] = []
        for source in self._sources:
            known = source.known(header)
            if known is None:
                missing.append(source)
            else:
                keys += known
        return keys, missing

    async def _first_candidates(
        self, header: JoseHeader, missing: Sequence[RemoteKeys]
    ) -> Sequence[VerificationKey]:
        async def fetched(source: RemoteKeys) -> bool:
            source.start()
            await source.settle()
            return bool(source.known(header))

        await _until(fetched(source) for source in missing)
        keys, missing = self._known(header)
        if len(missing) == len(self._sources):
            raise missing[0].unavailable()
        return keys

    async def refetch_for(self, header: JoseHeader) -> Sequence[VerificationKey] | None:
        """See `KeySource.refetch_for`; all sets are fetched at once, each with its cooldown."""

        async def refetched(source: RemoteKeys) -> bool:
            return bool(await source.refetch_for(header))

        if not await _until(refetched(source) for source in self._sources):
            return None
        return self._known(header)[0]

    def start(self) -> None:
        """See `KeySource.start`."""
        for source in self._sources:
            source.start()

    async def settle(self) -> None:
        """See `KeySource.settle`."""
        await asyncio.gather(*(source.settle() for source in self._sources))

    def refresh(self) -> None:
        """See `KeySource.refresh`."""
        for source in self._sources:
            source.refresh()

    def status(self) -> KeySourceStatus:
        """Return the state of all sets together, with that of each set in `parts`."""
        parts = tuple(source.status() for source in self._sources)
        return replace(
            parts[0],
            keys=sum(part.keys for part in parts),
            unusable=tuple(each for part in parts for each in part.unusable),
            fetched_at=max((part.fetched_at for part in parts if part.fetched_at), default=None),
            last_error=next((part.last_error for part in parts if part.last_error), None),
            url="",
            parts=parts,
        )

    async def close(self) -> None:
        """Close the sources of all sets."""
        await asyncio.gather(*(source.close() for source in self._sources))


async def _until(found: Iterable[Coroutine[None, None, bool]]) -> bool:
    """Wait for all at once until one returns True; return False if none does.

    The fetches that they wait for go on: those belong to their sources.
    """
    waiting = [asyncio.ensure_future(each) for each in found]
    try:
        for each in asyncio.as_completed(waiting):
            if await each:
                return True
        return False
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
