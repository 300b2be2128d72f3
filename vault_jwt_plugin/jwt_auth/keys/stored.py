"""Fetched keys as they are stored, so that they outlive the process.

The Go methods store no keys: after a restart no token logs in until the issuer answers.
A copy says what it was fetched from, and is used for nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jwks import KeySet, NotAKeySetError, UnusableKey, parse_key_set
from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE_PREFIX = "key_source/"

MAX_ENTRY_BYTES = 512 * 1024
"""Largest copy, in bytes; a larger set is not stored. Raft refuses entries above 1 MiB."""

_FORMAT = 1
_MAX_REASON_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What keys are fetched from. Copies belong to one origin.

    Attributes:
        kind: of document that the URL is of: `jwks`, `discovery`, `kubernetes`. Stored.
        url: of the document, or of the API server.
        trust: what the server must show.
    """

    kind: str
    url: str
    trust: Trust = field(default_factory=Trust)

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of all attributes, in hexadecimal digits."""
        named = [self.kind, self.url, self.trust.ca_pem]
        # Only where they are set. After a change of whom to trust, keys must be fetched anew.
        if self.trust.server_names or self.trust.critical_extensions:
            named += [*self.trust.server_names, "", *self.trust.critical_extensions]
        return hashlib.sha256(jsonutil.dumps(named).encode()).hexdigest()

    @property
    def storage_key(self) -> str:
        """Return the key of the copy in storage."""
        return STORAGE_PREFIX + self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKeys:
    """Keys, and when they were fetched, in Unix seconds."""

    fetched: FetchedKeys
    fetched_at: float

    @property
    def content(self) -> bytes:
        """Return a digest of the keys, which does not depend on the form of their document."""
        key_set = self.fetched.key_set
        named = [[*key_set.jwks], [[each.position, each.reason] for each in key_set.unusable]]
        return hashlib.sha256(jsonutil.dumps(named).encode()).digest()

    def to_stored(self, origin: Origin) -> bytes:
        """Encode for storage."""
        key_set = self.fetched.key_set
        members = {
            "format": _FORMAT,
            "kind": origin.kind,
            "url": origin.url,
            "origin_sha256": origin.fingerprint,
            "fetched_at": int(self.fetched_at),
            "max_age": self.fetched.max_age_s,
            "document_sha256": self.fetched.digest.hex(),
            "keys": key_set.jwks,
            "unusable": [
                {"position": each.position, "reason": each.reason} for each in key_set.unusable
            ],
        }
        return jsonutil.dumps(members).encode()

    @classmethod
    def from_stored(cls, raw: bytes, origin: Origin) -> StoredKeys:
        """Decode; in a thread, since reading keys takes time.

        Raises:
            StoredKeysError: it is not a result of `to_stored` with keys of this origin.
        """
        if len(raw) > MAX_ENTRY_BYTES:
            raise StoredKeysError("they are larger than any that are written")
        try:
            members = jsonutil.loads(raw)
        except jsonutil.JSONError as error:
            raise StoredKeysError(str(error)) from None
        if not isinstance(members, dict) or members.get("format") != _FORMAT:
            raise StoredKeysError("they have another format")
        named = (members.get("kind"), members.get("url"), members.get("origin_sha256"))
        if named != (origin.kind, origin.url, origin.fingerprint):
            raise StoredKeysError("they are of another source")
        try:
            return cls(fetched=_fetched(members), fetched_at=_number(members["fetched_at"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise StoredKeysError("a member is missing or of another kind") from None


class StoredKeysError(ValueError):
    """A copy can't be used; the text says why."""


def _fetched(members: Mapping[str, Any]) -> FetchedKeys:
    try:
        key_set = parse_key_set({"keys": members["keys"]})
    except NotAKeySetError as error:
        raise ValueError(str(error)) from None
    unusable = tuple(
        UnusableKey(position=int(each["position"]), reason=str(each["reason"])[:_MAX_REASON_CHARS])
        for each in members["unusable"]
    )
    max_age_s = members["max_age"]
    return FetchedKeys(
        key_set=KeySet(keys=key_set.keys, unusable=unusable + key_set.unusable, jwks=key_set.jwks),
        digest=bytes.fromhex(members["document_sha256"]),
        max_age_s=None if max_age_s is None else int(_number(max_age_s)),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError
    return float(value)
