"""What a provider is, and what all of them share.

Mirrors `provider_config.go` of both Go methods: one required interface, optional
ones for each ability.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied, kind_of
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.sdk import UserError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest, Document
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

LOGIN_DEADLINE_S = 30.0
"""How long all calls of one login may take together, in seconds; the Go methods set no limit."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Largest answer of an API, in bytes after decompression."""

MAX_PAGES = 200
"""Pages that are followed in one list."""

MAX_GROUPS = 20_000
"""Groups of one bearer. Microsoft Graph answers at most 11,000."""


class ProviderError(UserError):
    """`provider_config` can't be used: HTTP 400 at a write, never with a value of it."""

    code = "provider_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLogin:
    """What a provider sees of a login; every check of the token has passed.

    Attributes:
        claims: of the token, and what the provider added so far.
        user_claim: the role's, as written.
        groups_claim: the role's, compiled; None when the role has none.
        access_token: sent beside the token (`distributed_claim_access_token`); "" if none.
    """

    claims: VerifiedClaims
    user_claim: str
    groups_claim: ClaimPath | None
    access_token: str = field(default="", repr=False)

    def groups(self) -> Any:
        """The groups claim as decoded JSON; None when it is missing or null."""
        return None if self.groups_claim is None else self.groups_claim.find(self.claims)

    def user_id(self, provider: str, name: str = "") -> str:
        """The bearer's id at a provider, fit for a URL.

        Args:
            provider: that wants it, for the message.
            name: of the claim, a pointer even where the role takes it literally, as in Go;
                "" = the role's user claim.

        Raises:
            LoginDenied: `provider_user_id`: the claim is no text, or one that is no user's id.
        """
        name = name or self.user_claim
        value = ClaimPath.of(name).find(self.claims)
        # "" would list every group, "." and ".." are steps in a URL's path:
        # "/api/v1/users/../groups" is the list of all groups.
        if isinstance(value, str) and value not in {"", ".", ".."}:
            return value
        found = "a step of a path" if value in (".", "..") else kind_of(value)
        raise LoginDenied(
            "provider_user_id",
            f"{provider}: claim {quoted(name)} must be text that names the user, is "
            f"{'missing' if value is None else found}",
            claim=name,
            expected="text",
            received="nothing" if value is None else kind_of(value),
        )


class Provider(Protocol):
    """Every provider; what it can do beside is told by the interfaces below."""

    @property
    def name(self) -> str:
        """As `provider_config` names it."""


@runtime_checkable
class Checker(Protocol):
    """A provider that needs more than its settings: credentials in a file, an environment."""

    async def check(self) -> None:
        """See that what it needs is there. At config write, config read and every login.

        Raises:
            ProviderError: it is not.
        """


@runtime_checkable
class UserInfoFetcher(Protocol):
    """A provider that adds claims about the bearer."""

    async def fetch_user_info(self, login: ProviderLogin) -> Mapping[str, Any]:
        """Top-level claims to set: name and decoded JSON; empty adds none.

        Raises:
            LoginDenied: they can't be had.
        """


@runtime_checkable
class GroupsFetcher(Protocol):
    """A provider that says which groups the bearer is in."""

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """What the groups claim becomes, decoded JSON; None erases it.

        Called only for roles with a groups claim.

        Raises:
            LoginDenied: the groups can't be had.
        """


class Settings:
    """The members of `provider_config`, decoded strictly: text `"true"` is no bool.

    Rules of Go's `mapstructure.Decode`: names in any case, the exact one first; null
    is the type's zero value; a number counts as text, as it was written.

    Args:
        provider: whose they are, for messages.
        members: decoded JSON.
    """

    def __init__(self, provider: str, members: Mapping[str, Any]) -> None:
        self._provider = provider
        self._members = members

    def text(self, name: str) -> str:
        """A text; "" when it is not set.

        Raises:
            ProviderError: it is something else.
        """
        value = self._find(name)
        if value is None:
            return ""
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self._wrong(name, "text", value)
        return value

    def flag(self, name: str) -> bool:
        """A bool; False when it is not set.

        Raises:
            ProviderError: it is something else.
        """
        value = self._find(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def whole_number(self, name: str) -> int:
        """A whole number; 0 when it is not set.

        Raises:
            ProviderError: it is something else, or beyond 64 bits.
        """
        value = self._find(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number", value)
        return value

    def invalid(self, problem: str) -> ProviderError:
        """The error that says what is wrong with a setting."""
        return init_error(self._provider, problem)

    def _find(self, name: str) -> Any:
        if name in self._members:
            return self._members[name]
        same = (value for key, value in self._members.items() if key.lower() == name)
        return next(same, None)

    def _wrong(self, name: str, expected: str, value: Any) -> ProviderError:
        received = kind_of(value)
        if received == "a number":
            received = "another number"
        return self.invalid(f"'{name}' must be {expected}, is {received}")


def init_error(provider: str, problem: str) -> ProviderError:
    """The error of a provider that can't be used, in the Go methods' words."""
    return ProviderError(f"error initializing {quoted(provider)} provider_config: {problem}")


class Calls:
    """The calls of one login: bounded together, errors told apart, connections kept.

    Args:
        provider: who calls, for messages.
        fetcher: for the requests.
        trust: whom the connections trust.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        provider: str,
        fetcher: Fetcher,
        *,
        trust: Trust,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._session = fetcher.open(trust=trust)
        self._monotonic = monotonic
        self._ends_at = monotonic() + LOGIN_DEADLINE_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    async def send(self, request: APIRequest, what: str) -> Document:
        """Make one call.

        Args:
            request: what to send.
            what: is called, as a message says it: "the Graph API". No claim's value.

        Raises:
            CallFailed: there is no JSON answer with status 200 in time.
        """
        left_s = self._ends_at - self._monotonic()
        if left_s <= 0:
            raise CallFailed(
                self._provider,
                what,
                FetchError(
                    "timeout",
                    f"the calls of this login took longer than {LOGIN_DEADLINE_S:g} s in all",
                    url="",
                ),
            )
        try:
            return await self._session.send(
                request, deadline_s=min(DEADLINE_S, left_s), max_bytes=MAX_ANSWER_BYTES
            )
        except FetchError as error:
            raise CallFailed(self._provider, what, error) from error


class CallFailed(LoginDenied):
    """A call of a provider's API failed: `provider_` and the code of the `FetchError`.

    Attributes:
        status: the HTTP status, if that was it; None otherwise.
    """

    def __init__(self, provider: str, what: str, error: FetchError) -> None:
        # The URL is left out: its path may hold a claim's value.
        super().__init__(
            f"provider_{error.code}", f"{provider}: calling {what} failed: {error.problem}"
        )
        self.status = error.status


def answer_invalid(provider: str, what: str, problem: str) -> LoginDenied:
    """The denial for an answer of another form than the API promises."""
    return LoginDenied(
        "provider_answer", f"{provider}: the answer of {what} is not usable: {problem}"
    )


def text_list(provider: str, what: str, value: Any) -> list[str]:
    """A list of texts out of an API's answer.

    Raises:
        LoginDenied: `provider_answer`: it is something else.
    """
    if not isinstance(value, list):
        raise answer_invalid(provider, what, f"the groups must be a list, are {kind_of(value)}")
    for each in value:
        if not isinstance(each, str):
            raise answer_invalid(provider, what, f"a group must be text, is {kind_of(each)}")
    check_count(provider, len(value))
    return value


def check_count(provider: str, groups: int) -> None:
    """The groups are not too many.

    Raises:
        LoginDenied: `provider_too_many_groups`.
    """
    if groups > MAX_GROUPS:
        raise LoginDenied(
            "provider_too_many_groups",
            f"{provider}: the bearer is in more than {MAX_GROUPS} groups",
        )


def is_header_text(text: str) -> bool:
    """Whether a secret can go into a header: visible ASCII, so that it can't become two headers."""
    return text.isascii() and text.isprintable() and " " not in text


def with_claim(claims: VerifiedClaims, path: ClaimPath, value: Any) -> VerifiedClaims:
    """The claims with one of them replaced (`setClaim` in `claims.go`); the argument stays.

    A pointer whose parent is missing changes nothing, so that the claim stays missing.

    Args:
        claims: of a token.
        path: which to set.
        value: decoded JSON; None is as good as missing.
    """
    if path.steps is None:
        return VerifiedClaims({**claims, path.name: value})
    return VerifiedClaims(_replaced(claims, path.steps, value))


def _replaced(parent: Any, steps: tuple[str, ...], value: Any) -> Any:
    step, *rest = steps
    if isinstance(parent, dict):
        if not rest:
            return {**parent, step: value}
        if step in parent:
            return {**parent, step: _replaced(parent[step], tuple(rest), value)}
    elif isinstance(parent, list) and step in map(str, range(len(parent))):
        index = int(step)
        changed = _replaced(parent[index], tuple(rest), value) if rest else value
        return [*parent[:index], changed, *parent[index + 1 :]]
    return parent
