"""The last check of a log text: it removes tokens and keys."""

from __future__ import annotations

import base64
import binascii
import re

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,64}-----.*?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.DOTALL
)
# Two parts are enough, because a token that was cut off still reveals its claims. The search starts
# only where a run of such characters begins; a long run without a dot would take quadratic time.
_COMPACT = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){1,4}")
_HOST_TOKEN = re.compile(r"\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{24,}")

# `code` is not among them: it is usually the stable code of an error, rarely an OAuth one.
_SECRET_NAMES = frozenset(
    {
        "authorization",
        "assertion",
        "client_assertion",
        "code_verifier",
        "jwt",
        "nonce",
        "password",
        "private_key",
        "secret",
        "state",
        "token",
    }
)
_SECRET_ENDINGS = ("_secret", "_password", "_private_key", "_jwt")
_SECRET_TOKENS = frozenset(
    {"access_token", "client_token", "device_token", "id_token", "refresh_token", "vault_token"}
)


def redact(text: str) -> str:
    """Remove JWTs (JWS and JWE compact forms), PEM blocks and the hosts' own tokens from a text."""
    if "-----BEGIN" in text:
        text = _PEM.sub("[redacted PEM]", text)
    if "." in text:
        text = _COMPACT.sub(_redact_compact, text)
        text = _HOST_TOKEN.sub("[redacted token]", text)
    return text


def is_secret_name(name: str) -> bool:
    """Return whether a key/value pair of this name must be left out, whatever its value."""
    name = name.lower()
    return name in _SECRET_NAMES or name in _SECRET_TOKENS or name.endswith(_SECRET_ENDINGS)


def _redact_compact(match: re.Match[str]) -> str:
    text = match.group()
    parts = text.split(".")
    if _is_json_object(parts[0]) or _looks_random(parts):
        return "[redacted JWT]"
    return text


def _is_json_object(part: str) -> bool:
    """Return whether the part is base64url of the start of a JSON object: a JOSE header."""
    head = part[:24]
    try:
        decoded = base64.urlsafe_b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return False
    return decoded.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _looks_random(parts: list[str]) -> bool:
    """Return whether there are three long parts and the last looks like a signature.

    Host names have dots and length too, but no capital letters.
    """
    if len(parts) < 3 or min(map(len, parts)) < 10:
        return False
    last = parts[-1]
    return (
        len(last) >= 32
        and any(map(str.isupper, last))
        and any(map(str.islower, last))
        and any(map(str.isdigit, last))
    )
