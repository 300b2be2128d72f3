"""The compact form of a signed token (RFC 7515 3.1, 7.1), strictly.

We parse it ourselves: joserfc refuses headers that Go accepts (over 512 bytes, unknown members) and
accepts invalid ones (duplicate members, NaN, `crit: []`). Only a token's header is decoded as JSON
before a key has verified the token.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NewType

from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_CHARS = 1024 * 1024
"""Longest token, in characters."""

MAX_HEADER_BYTES = 16 * 1024
"""Longest header, in decoded bytes."""

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "EdDSA",
)
"""All that use a public key (RFC 7518 3.1, RFC 8037 3.1), in the Go methods' order."""

_CACHED_HEADER_CHARS = 512
_CACHED_HEADERS = 256

# Go's unicode.IsSpace, which go-jose strips anywhere in the token; Python's `isspace` has more.
_WHITESPACE = dict.fromkeys(
    map(ord, "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"), None
) | dict.fromkeys(range(0x2000, 0x200B), None)

# The URL alphabet to the standard one; `+`, `/` and `=` become invalid (RFC 7515 2).
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")

VerifiedClaims = NewType("VerifiedClaims", dict[str, Any])
"""Claims whose signature a key has verified: decoded JSON, numbers int or Decimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoseHeader:
    """The members of a header that are read before verification: enough to choose a key.

    Attributes:
        alg: one of `ALGORITHMS`.
        kid: the id of the key that signed; None if it is missing or "".
    """

    alg: str
    kid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedToken:
    """A parsed token, not to be trusted yet.

    Attributes:
        header: names the algorithm and key.
        signing_input: header and payload as sent, which the signature covers.
        signature: decoded bytes, of any length.
        unverified_payload: the payload as sent, base64url; decode it only after verification.
    """

    header: JoseHeader
    signing_input: bytes
    signature: bytes
    unverified_payload: bytes


def decode_base64url(encoded: bytes) -> bytes:
    """Decode unpadded base64url (RFC 7515 2).

    As in go-jose (`base64.RawURLEncoding`, not its strict form) the unused bits of the last
    character are ignored. So a signature can be written in more than one way; nothing here
    identifies a token by its text.

    Raises:
        ValueError: a character outside the alphabet, padding, or an impossible length.
    """
    padding = b"=="[: -len(encoded) % 4]
    if len(encoded) % 4 == 1:
        raise ValueError("impossible length")
    return binascii.a2b_base64(encoded.translate(_TO_STANDARD) + padding, strict_mode=True)


def parse(compact: str) -> UnverifiedToken:
    """Parse `header.payload.signature`; white space anywhere is ignored, as in Go.

    Raises:
        LoginDenied: `token_missing`, `token_too_large`, `token_malformed`, `token_json`,
            `token_encrypted`, or a `header_*` code of `parse_header`.
    """
    if len(compact) > MAX_TOKEN_CHARS:
        raise LoginDenied("token_too_large", "the token is longer than 1 MiB")
    # One pass in C finds whether the token has white space, which is rare.
    if compact.split(None, 1) != [compact]:
        compact = compact.translate(_WHITESPACE)
    parts = compact.split(".", 5)
    if len(parts) != 3:
        raise _not_three_parts(compact, len(parts))
    try:
        header, payload, signature = (part.encode("ascii") for part in parts)
        return UnverifiedToken(
            header=_header(header),
            signing_input=b"%b.%b" % (header, payload),
            signature=decode_base64url(signature),
            unverified_payload=payload,
        )
    except ValueError:
        raise LoginDenied(
            "token_malformed", "the token is malformed: its parts must be base64url without padding"
        ) from None


def _not_three_parts(compact: str, parts: int) -> LoginDenied:
    if not compact:
        return LoginDenied("token_missing", "missing token")
    if compact.startswith("{"):
        return LoginDenied(
            "token_json",
            "the token is in JSON serialization; send it in compact form "
            "(header.payload.signature)",
        )
    if parts == 5:
        return LoginDenied(
            "token_encrypted", "the token is encrypted (JWE); only signed tokens are supported"
        )
    return LoginDenied(
        "token_malformed",
        "the token is malformed: it must have three parts (header.payload.signature)",
    )


def _header(encoded: bytes) -> JoseHeader:
    if len(encoded) <= _CACHED_HEADER_CHARS:
        return _cached_header(encoded)
    return parse_header(encoded)


@lru_cache(maxsize=_CACHED_HEADERS)
def _cached_header(encoded: bytes) -> JoseHeader:
    """Cache an issuer's few headers; callers can fill the cache only with small ones."""
    return parse_header(encoded)


def parse_header(encoded: bytes) -> JoseHeader:
    """Decode and check a base64url header (RFC 7515 4.1); unknown members are ignored.

    Raises:
        ValueError: it is not base64url.
        LoginDenied: `header_too_large`, `header_invalid`, `header_alg`, `header_kid`,
            `header_crit`, `header_b64`, `header_zip`.
    """
    raw = decode_base64url(encoded)
    if len(raw) > MAX_HEADER_BYTES:
        raise LoginDenied("header_too_large", "the token's header is longer than 16 KiB")
    try:
        header = jsonutil.loads_strict(raw)
    except jsonutil.StrictJSONError as error:
        raise LoginDenied("header_invalid", f"the token's header can't be read: {error}") from None
    if not isinstance(header, dict):
        raise LoginDenied(
            "header_invalid", f"the token's header must be a JSON object, is {kind_of(header)}"
        )
    _check_extensions(header)
    return JoseHeader(alg=_algorithm(header), kid=_kid(header))


def _algorithm(header: Mapping[str, Any]) -> str:
    alg = header.get("alg")
    if isinstance(alg, str) and alg in ALGORITHMS:
        return alg
    # Only the two confusions that attackers try are named; other names are the caller's text.
    if alg in ("HS256", "HS384", "HS512"):
        problem = "its algorithm is symmetric (HS256, HS384, HS512)"
    elif isinstance(alg, str) and alg.lower() == "none":
        problem = "it is not signed (algorithm none)"
    elif isinstance(alg, str):
        problem = "its algorithm is unknown"
    else:
        received = kind_of(alg) if "alg" in header else "missing"
        problem = f"the algorithm in its header (alg) must be a string, is {received}"
    raise LoginDenied(
        "header_alg", f"the token can't be verified: {problem}; supported: {', '.join(ALGORITHMS)}"
    )


def _kid(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if kid is None or isinstance(kid, str):
        return kid or None
    raise LoginDenied(
        "header_kid", f"the key id in the token's header (kid) must be a string, is {kind_of(kid)}"
    )


def _check_extensions(header: Mapping[str, Any]) -> None:
    """Refuse members that change a token's meaning in ways that are not supported here."""
    if "crit" in header:
        # RFC 7515 4.1.11: a token with an unknown critical extension is invalid, and so is an empty
        # list or another type. We know no extension.
        # Differs from Vault: go-jose knows "b64" and takes {"crit": ["b64"], "b64": true}.
        raise LoginDenied(
            "header_crit", "the token's header names critical extensions (crit), none is supported"
        )
    if header.get("b64", True) is not True:
        raise LoginDenied(
            "header_b64", "the token's payload is not base64url (b64), a JWT's must be"
        )  # RFC 7797 7
    if header.get("zip") is not None:
        raise LoginDenied(
            "header_zip", "the token is compressed (zip), which signed tokens can't be"
        )  # RFC 7516 4.1.3: JWE only


def decode_claims(encoded: bytes) -> VerifiedClaims:
    """Decode the base64url payload of a token whose signature was verified (RFC 7519 7.2).

    Raises:
        LoginDenied: `claims_invalid`.
    """
    try:
        claims = jsonutil.loads_strict(decode_base64url(encoded))
    except jsonutil.StrictJSONError as error:
        raise LoginDenied("claims_invalid", f"the token's claims can't be read: {error}") from None
    except ValueError:
        raise LoginDenied(
            "claims_invalid", "the token's claims can't be read: they are not base64url"
        ) from None
    if not isinstance(claims, dict):
        raise LoginDenied(
            "claims_invalid", f"the token's claims must be a JSON object, are {kind_of(claims)}"
        )
    return VerifiedClaims(claims)
