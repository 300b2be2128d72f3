"""JSON Web Key Sets (RFC 7517 5), key by key: one bad key never spoils a set.

Differs from Vault: go-jose fails the whole set for one key that it can't read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vault_jwt_plugin.jwt_auth.jose.jws import decode_base64url
from vault_jwt_plugin.jwt_auth.jose.keys import (
    MAX_RSA_BITS,
    UnusableKeyError,
    VerificationKey,
    from_public_key,
)
from vault_jwt_plugin.sdk.coercion import kind_of

MAX_KEYS = 256
"""Most keys of one set that are used: a token without kid is checked against all of them."""

_MAX_KID_CHARS = 1024
_MAX_MEMBER_CHARS = MAX_RSA_BITS // 8 * 4 // 3 + 16

# The members that each type needs. Others are not passed on, so an odd one spoils no key.
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_USABLE_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}


class NotAKeySetError(ValueError):
    """The document is not a JWK set; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableKey:
    """A key of a set that is skipped.

    Attributes:
        position: its place in the set, counted from 1.
        reason: why it is skipped; the text holds nothing of the key.
    """

    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """A set as read.

    Attributes:
        keys: those that can verify, in the order of the set.
        unusable: those that are skipped.
        jwks: `keys` as JWKs with only the members that were used.
    """

    keys: tuple[VerificationKey, ...] = ()
    unusable: tuple[UnusableKey, ...] = ()
    jwks: tuple[Mapping[str, str], ...] = field(default=(), repr=False)


def parse_key_set(document: Any) -> KeySet:
    """Read a JWK set from decoded JSON.

    Raises:
        NotAKeySetError: it is not an object with a list under `keys`.
    """
    if not isinstance(document, Mapping):
        raise NotAKeySetError(f"it must be a JSON object, is {kind_of(document)}")
    members = document.get("keys")
    if not isinstance(members, list):
        received = kind_of(members) if "keys" in document else "missing"
        raise NotAKeySetError(f"its member 'keys' must be a list, is {received}")
    keys = []
    jwks = []
    unusable = []
    for position, jwk in enumerate(members[:MAX_KEYS], start=1):
        try:
            public = _public_jwk(jwk)
            keys.append(from_public_key(_public_key(public), kid=public.get("kid")))
            jwks.append(public)
        except UnusableKeyError as error:
            unusable.append(UnusableKey(position=position, reason=str(error)))
    if len(members) > MAX_KEYS:
        reason = f"only the first {MAX_KEYS} keys of {len(members)} are used"
        unusable.append(UnusableKey(position=MAX_KEYS + 1, reason=reason))
    return KeySet(keys=tuple(keys), unusable=tuple(unusable), jwks=tuple(jwks))


def _public_jwk(jwk: Any) -> dict[str, str]:
    """Return the members of a JWK that are used: `kty`, `kid` if any, and those of its public key.

    RFC 7517 4, RFC 7518 6, RFC 8037 2. A key with private or symmetric members is skipped, since
    every reader of the set could sign with it; go-jose can't verify with one either.

    Raises:
        UnusableKeyError: its members are invalid.
    """
    if not isinstance(jwk, Mapping):
        raise UnusableKeyError(f"it must be a JSON object, is {kind_of(jwk)}")
    kty = jwk.get("kty")
    if not isinstance(kty, str):
        raise UnusableKeyError("it names no key type (kty)")
    if kty == "oct":
        raise UnusableKeyError("it is symmetric (oct): whoever reads the set could sign")
    if kty not in _PUBLIC_MEMBERS:
        raise UnusableKeyError("its key type (kty) is none of RSA, EC, OKP")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnusableKeyError("it holds a private key: whoever reads the set could sign")
    kid = jwk.get("kid")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= _MAX_KID_CHARS)):
        raise UnusableKeyError(f"its key id (kid) must be a string of at most {_MAX_KID_CHARS}")
    public = {"kty": kty, **_members(jwk, kty)}
    if kid:
        public["kid"] = kid
    return public


def _members(jwk: Mapping[str, Any], kty: str) -> dict[str, str]:
    members = {}
    for name in _PUBLIC_MEMBERS[kty]:
        value = jwk.get(name)
        if not isinstance(value, str) or not value:
            received = kind_of(value) if name in jwk else "missing"
            raise UnusableKeyError(f"its member '{name}' must be a string, is {received}")
        members[name] = value
    curve = members.get("crv")
    if curve is not None and curve not in _USABLE_CURVES[kty]:
        raise UnusableKeyError(f"its curve (crv) is none of {', '.join(_USABLE_CURVES[kty])}")
    for name, value in members.items():
        if name == "crv":
            continue
        try:
            # joserfc would decode leniently, and a modulus of a megabyte is refused by its length.
            if len(value) > _MAX_MEMBER_CHARS or not value.isascii():
                raise ValueError
            decode_base64url(value.encode())
        except ValueError:
            raise UnusableKeyError(f"its member '{name}' is not base64url or is too long") from None
    return members


def _public_key(public: Mapping[str, str]) -> object:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kty = public["kty"]
    members = {name: public[name] for name in _PUBLIC_MEMBERS[kty]}
    key_type: Any = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}[kty]
    try:
        # The binding, since `import_key` warns of RSA keys below 2048 bits; we judge those.
        return key_type.binding.import_public_key(members)
    except Exception:  # noqa: BLE001 - a foreign key can cause any exception in the library
        raise UnusableKeyError(f"its members are not a valid {kty} key") from None
