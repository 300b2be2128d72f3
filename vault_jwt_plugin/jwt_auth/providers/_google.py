"""Access tokens of Google's APIs, without Google's SDK.

There are three ways, as in `provider_gsuite.go` and its Go libraries: a service account's key
(RFC 7523), impersonation of a service account, and the machine's own credentials (Application
Default Credentials). Tokens are kept until shortly before they expire.

Secrets are sent only to the endpoints of `GoogleEndpoints`, whatever a key file names.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.providers._calls import Calls, answer_invalid, is_header_text
from vault_jwt_plugin.jwt_auth.providers._google_credentials import (
    Credentials,
    MachineAccount,
    RefreshToken,
    sign_assertion,
)
from vault_jwt_plugin.jwt_auth.providers._settings import init_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""The scope that impersonating another account needs."""

_EARLY_S = 60.0
_LIFETIME_S = 3600
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}@[A-Za-z0-9.-]{1,127}", re.ASCII)
_TOKEN_API = "Google's token endpoint"  # noqa: S105 - a name
_IAM_API = "Google's IAM credentials API"
_METADATA_API = "Google's metadata server"
_PROVIDER = "gsuite"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleEndpoints:
    """The URLs of Google's APIs.

    Attributes:
        token: exchanges assertions for access tokens.
        iam: signs and makes tokens for impersonated accounts.
        directory: lists users and groups (Admin SDK).
        metadata: gives the machine's tokens on Google Cloud; an address, since a resolver could
            name another host.
    """

    token: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
    iam: str = "https://iamcredentials.googleapis.com/v1"
    directory: str = "https://admin.googleapis.com/admin/directory/v1"
    metadata: str = "http://169.254.169.254/computeMetadata/v1"


class AccessToken(NamedTuple):
    """A token and its lifetime."""

    text: str
    lifetime_s: float


class TokenSource:
    """Access tokens for the Directory API.

    Args:
        find: returns the current credentials; it reads files, so it runs in a thread.
        scopes: the tokens'.
        subject: the Workspace user to act as; "" = the account itself.
        principal: the service account to impersonate; "" = none.
        endpoints: Google's.
        clock: Unix seconds.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        find: Callable[[], Credentials],
        *,
        scopes: Sequence[str],
        subject: str,
        principal: str,
        endpoints: GoogleEndpoints,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if principal and _ACCOUNT.fullmatch(principal) is None:
            raise init_error(
                _PROVIDER, "'impersonate_principal' must be the e-mail address of a service account"
            )
        self._find = find
        self._scopes = tuple(scopes)
        self._subject = subject
        self._principal = principal
        self._endpoints = endpoints
        self._clock = clock
        self._monotonic = monotonic
        self._kept: tuple[bytes, str, float] | None = None

    async def check(self) -> None:
        """Check that the credentials can be read; raise `ProviderError` if not."""
        await asyncio.to_thread(self._find)

    async def token(self, calls: Calls) -> tuple[str, bool]:
        """Return an access token, and whether it is one that was used before.

        Raises:
            ProviderError: the credentials can't be used.
            LoginDenied: Google gives no token.
        """
        credentials = await asyncio.to_thread(self._find)
        kept = self._kept
        if kept is not None and kept[0] == credentials.digest and self._monotonic() < kept[2]:
            return kept[1], True
        if not self._principal:
            # Only a key can act as another user; the other kinds don't, in Go either.
            token = await self._own(calls, credentials, self._scopes, self._subject)
        else:
            own = await self._own(calls, credentials, (CLOUD_SCOPE,), "")
            token = await self._impersonated(calls, own.text)
        good_until = self._monotonic() + token.lifetime_s - _EARLY_S
        self._kept = (credentials.digest, token.text, good_until)
        return token.text, False

    def drop(self) -> None:
        """Forget the kept token: an API refused it."""
        self._kept = None

    async def _own(
        self, calls: Calls, credentials: Credentials, scopes: Sequence[str], subject: str
    ) -> AccessToken:
        if isinstance(credentials, MachineAccount):
            return await self._of_the_machine(calls, scopes)
        if isinstance(credentials, RefreshToken):
            return await self._exchanged(
                calls,
                {
                    "grant_type": "refresh_token",
                    "client_id": credentials.client_id,
                    "client_secret": credentials.client_secret,
                    "refresh_token": credentials.refresh_token,
                },
            )
        claims = self._assertion(credentials.email, scopes, subject)
        assertion = await asyncio.to_thread(sign_assertion, credentials, claims)
        return await self._exchanged(calls, {"grant_type": _JWT_BEARER, "assertion": assertion})

    def _assertion(self, issuer: str, scopes: Sequence[str], subject: str) -> dict[str, Any]:
        """Return an assertion's claims (RFC 7523 3), valid for an hour, the longest for Google."""
        now = int(self._clock())
        claims = {
            "iss": issuer,
            "scope": " ".join(scopes),
            "aud": self._endpoints.token,
            "iat": now,
            "exp": now + _LIFETIME_S,
        }
        return claims | {"sub": subject} if subject else claims

    async def _exchanged(self, calls: Calls, form: Mapping[str, str]) -> AccessToken:
        request = APIRequest(
            url=self._endpoints.token,
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        answer = (await calls.send(request, _TOKEN_API)).json
        return _token_of(answer, "access_token", _TOKEN_API)

    async def _impersonated(self, calls: Calls, own: str) -> AccessToken:
        async def ask(method: str, body: Mapping[str, Any]) -> Any:
            account = f"{self._endpoints.iam}/projects/-/serviceAccounts/{self._principal}"
            request = APIRequest(
                url=f"{account}:{method}",
                method="POST",
                headers={"Authorization": f"Bearer {own}", "Content-Type": "application/json"},
                body=json.dumps(body).encode(),
            )
            return (await calls.send(request, _IAM_API)).json

        if not self._subject:
            body = {"lifetime": f"{_LIFETIME_S}s", "scope": self._scopes}
            answer = await ask("generateAccessToken", body)
            return _token_of(answer, "accessToken", _IAM_API)
        payload = json.dumps(self._assertion(self._principal, self._scopes, self._subject))
        answer = await ask("signJwt", {"payload": payload})
        signed = answer.get("signedJwt") if isinstance(answer, dict) else None
        if not isinstance(signed, str) or not signed:
            raise answer_invalid(_PROVIDER, _IAM_API, "it holds no 'signedJwt'")
        return await self._exchanged(calls, {"grant_type": _JWT_BEARER, "assertion": signed})

    async def _of_the_machine(self, calls: Calls, scopes: Sequence[str]) -> AccessToken:
        query = urlencode({"scopes": ",".join(scopes)})
        request = APIRequest(
            url=f"{self._endpoints.metadata}/instance/service-accounts/default/token?{query}",
            headers={"Metadata-Flavor": "Google"},
            direct=True,
        )
        what = (
            f"{_METADATA_API} (neither gsuite_service_account nor application default credentials "
            "are set)"
        )
        answer = (await calls.send(request, what)).json
        return _token_of(answer, "access_token", _METADATA_API)


def _token_of(answer: Any, name: str, what: str) -> AccessToken:
    token = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not is_header_text(token):
        raise answer_invalid(_PROVIDER, what, f"it holds no '{name}'")
    # generateAccessToken gives tokens of the hour that was asked for.
    lifetime = answer.get("expires_in", _LIFETIME_S if name == "accessToken" else 0)
    if not isinstance(lifetime, int) or isinstance(lifetime, bool) or lifetime < 0:
        lifetime = 0
    return AccessToken(token, float(min(lifetime, _LIFETIME_S)))
