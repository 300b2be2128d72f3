"""Public keys of the configuration itself (`jwt_validation_pubkeys`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey, parse_public_key_pem
from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
from vault_jwt_plugin.jwt_auth.keys.kind import KeySourceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.jwt_auth.jose.jws import JoseHeader


class StaticKind(KeySourceKind):
    """`jwt_validation_pubkeys`."""

    name = "static"
    parameter = "jwt_validation_pubkeys"

    def source(self, remote: object = None) -> StaticKeys:
        """See `KeySourceKind.source`.

        Raises:
            PublicKeyError: a key can't be used; it says which one.
        """
        del remote
        pems = self.config.jwt_validation_pubkeys or ()
        return StaticKeys(
            [parse_public_key_pem(pem, index=index) for index, pem in enumerate(pems, start=1)]
        )

    async def probe(self) -> None:
        """Check that every key can be used.

        Raises:
            PublicKeyError: as `source`.
        """
        self.source()


class StaticKeys:
    """Keys of the configuration; `kid` means nothing, all are tried in order.

    Args:
        keys: in the order of the configuration.
    """

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = tuple(keys)

    def candidates(self, header: JoseHeader) -> Sequence[VerificationKey]:
        """Return all keys; those that do not fit the algorithm are passed over when verifying."""
        del header
        return self._keys

    async def refetch_for(self, header: JoseHeader) -> None:
        """Return None: there are never newer ones."""

    def start(self) -> None:
        """Do nothing: the keys are there."""

    async def settle(self) -> None:
        """Do nothing: nothing is under way."""

    def refresh(self) -> None:
        """Do nothing: the keys don't age."""

    def status(self) -> KeySourceStatus:
        """Say how many keys there are."""
        return KeySourceStatus(keys=len(self._keys))

    async def close(self) -> None:
        """Do nothing: there is nothing to end."""
