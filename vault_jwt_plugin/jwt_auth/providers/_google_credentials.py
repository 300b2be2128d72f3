"""Google's credentials files: service account keys, and those that gcloud writes.

They are searched for as in golang.org/x/oauth2/google (`default.go`).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.urls import check_url
from vault_jwt_plugin.jwt_auth.providers._base import ForeignTokenURIError, ProviderError
from vault_jwt_plugin.jwt_auth.providers._settings import init_error
from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import RSAKey


MAX_FILE_BYTES = 64 * 1024
"""Largest credentials file, in bytes."""


_PROVIDER = "gsuite"
_GOOGLES_HOST = re.compile(r"accounts\.google\.com|([a-z0-9-]+\.)+googleapis\.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountKey:
    """The members of a service account's key file that are used.

    Attributes:
        email: the account's.
        key_id: "" when the file has none.
        private_key: the key, checked when it was read, which takes tens of milliseconds.
        digest: the whole file's, to recognise other credentials.
    """

    email: str
    key_id: str
    private_key: RSAKey = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """Credentials of `gcloud auth application-default login`."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAccount:
    """The service account of the machine that we run on."""

    digest: bytes = b"metadata"


Credentials = ServiceAccountKey | RefreshToken | MachineAccount


def parse_credentials(raw: bytes, *, where: str) -> ServiceAccountKey | RefreshToken:
    """Read a credentials file.

    Args:
        raw: its JSON.
        where: the file's source, as messages name it.

    Raises:
        ProviderError: its kind is not supported, or it can't be used. The text shows nothing of
            the file.
    """
    try:
        members = jsonutil.loads(raw)
    except jsonutil.JSONError as error:
        raise _unusable(where, f"it is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise _unusable(where, f"it must be a JSON object, is {kind_of(members)}")
    digest = hashlib.sha256(raw).digest()
    kind = members.get("type")
    if kind == "service_account":
        if not _is_googles(_text(members, "token_uri", where, needed=False)):
            problem = "its 'token_uri' is not Google's; the key is not used there"
            raise ForeignTokenURIError(_unusable(where, problem).message)
        return ServiceAccountKey(
            email=_text(members, "client_email", where),
            key_id=_text(members, "private_key_id", where, needed=False),
            private_key=_rsa_key(_text(members, "private_key", where), where),
            digest=digest,
        )
    if kind == "authorized_user":
        return RefreshToken(
            client_id=_text(members, "client_id", where),
            client_secret=_text(members, "client_secret", where),
            refresh_token=_text(members, "refresh_token", where),
            digest=digest,
        )
    raise _unusable(
        where,
        'its \'type\' must be "service_account" (or "authorized_user" in a file of gcloud\'s)',
    )


def _is_googles(token_uri: str) -> bool:
    """Return whether a `token_uri` is Google's; "" is, because it stands for the usual one.

    The assertion goes to Google's own endpoint whatever the file says, so that one that names
    somebody else's would not be used as its author means.
    """
    if not token_uri:
        return True
    try:
        parts = check_url(token_uri)
    except FetchError:
        return False
    return (
        parts.scheme == "https"
        and "@" not in parts.netloc
        and parts.port in {None, 443}
        and _GOOGLES_HOST.fullmatch(parts.hostname or "") is not None
    )


def _text(members: Mapping[str, Any], name: str, where: str, *, needed: bool = True) -> str:
    value = members.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value):
        received = kind_of(value) if name in members else "missing"
        raise _unusable(where, f"its '{name}' must be a string, is {received}")
    return value


def _rsa_key(pem: str, where: str) -> RSAKey:
    from joserfc.jwk import RSAKey

    try:
        key = RSAKey.import_key(pem)
        private = key.private_key
    except Exception:  # noqa: BLE001 - several of two libraries; none may show the key
        private = None
    if private is None or not 2048 <= private.key_size <= 8192:
        raise _unusable(
            where, "its 'private_key' must be an RSA private key of 2048 to 8192 bits in PEM format"
        )
    return key


def _unusable(where: str, problem: str) -> ProviderError:
    return init_error(_PROVIDER, f"{where} can't be used: {problem}")


class CredentialsReader:
    """Reads the credentials whenever they are needed; parses them only when they changed.

    Checking an RSA key takes tens of milliseconds, and a login asks twice.

    Args:
        setting: `gsuite_service_account`: JSON, or the path of a file that holds it; "" means
            Application Default Credentials, where the Go library looks for them.
        environ: the process's environment.
    """

    def __init__(self, setting: str, *, environ: Mapping[str, str] = os.environ) -> None:
        self._setting = setting
        self._environ = environ
        self._known: ServiceAccountKey | RefreshToken | None = None

    def read(self) -> Credentials:
        """Return the current credentials. This may read a file, so it blocks.

        Raises:
            ProviderError: they can't be read or used.
        """
        found = self._from_setting() if self._setting else self._by_default()
        if found is None:
            return MachineAccount()
        raw, where = found
        known = self._known
        if known is None or known.digest != hashlib.sha256(raw).digest():
            known = parse_credentials(raw, where=where)
            if self._setting and not isinstance(known, ServiceAccountKey):
                raise _unusable(where, "its 'type' must be \"service_account\"")
            self._known = known
        return known

    def _from_setting(self) -> tuple[bytes, str]:
        where = "'gsuite_service_account'"
        setting = self._setting
        if setting.lstrip().startswith("{"):
            return setting.encode("utf-8", "surrogatepass"), where
        try:
            is_file = Path(setting).is_file()
        except (OSError, ValueError):
            is_file = False
        if not is_file:
            raise _unusable(where, "it is neither JSON nor the path of a file")
        return _read_file(Path(setting), where), where

    def _by_default(self) -> tuple[bytes, str] | None:
        named = self._environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        if named:
            where = "the file that GOOGLE_APPLICATION_CREDENTIALS names"
            return _read_file(Path(named), where), where
        path = Path(
            self._environ.get("HOME") or "/nonexistent",
            ".config/gcloud/application_default_credentials.json",
        )
        if not path.is_file():
            return None
        where = "gcloud's file of application default credentials"
        return _read_file(path, where), where


def _read_file(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (
            os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else ""
        )
        raise _unusable(where, f"it can't be read ({reason or 'not a path'})") from None
    if len(raw) > MAX_FILE_BYTES:
        raise _unusable(where, f"it is larger than {MAX_FILE_BYTES // 1024} KiB")
    return raw


def sign_assertion(key: ServiceAccountKey, claims: Mapping[str, Any]) -> str:
    """Sign an assertion with a service account's key (RS256, the one that Google takes)."""
    from joserfc import jwt

    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key.key_id} if key.key_id else {})
    return jwt.encode(header, dict(claims), key.private_key)
