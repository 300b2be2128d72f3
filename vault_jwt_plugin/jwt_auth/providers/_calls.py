"""The calls that a provider makes for one login, and the checks of their answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest, Document
    from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

T = TypeVar("T", dict[str, Any], list[Any], str)

LOGIN_DEADLINE_S = 30.0
"""How long all calls of one login may take together, in seconds; the Go methods set no limit."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Largest answer of an API, in bytes after decompression."""

MAX_PAGES = 200
"""Most pages of one list that are read."""

MAX_GROUPS = 20_000
"""Most groups of one bearer. Microsoft Graph answers at most 11,000."""

_KINDS = {dict: "an object", list: "a list", str: "a string"}


class Calls:
    """The calls of one login, which share a deadline and their connections.

    Args:
        provider: the provider's name, for messages.
        fetcher: makes the requests.
        trust: what the servers' certificates must be.
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
            request: the request to send.
            what: the API as a message names it, such as "the Graph API", without a claim's value.

        Raises:
            CallFailed: there is no JSON answer with status 200 in time.
        """
        left_s = self._ends_at - self._monotonic()
        if left_s <= 0:
            problem = f"the calls of this login took longer than {LOGIN_DEADLINE_S:g} s in all"
            raise CallFailed(self._provider, what, FetchError("timeout", problem, url=""))
        try:
            return await self._session.send(
                request, deadline_s=min(DEADLINE_S, left_s), max_bytes=MAX_ANSWER_BYTES
            )
        except FetchError as error:
            raise CallFailed(self._provider, what, error) from error


class CallFailed(LoginDenied):
    """A call of a provider's API failed: `provider_` and the code of the `FetchError`.

    Attributes:
        status: the HTTP status, if it was the cause; None otherwise.
    """

    def __init__(self, provider: str, what: str, error: FetchError) -> None:
        # The URL is left out because its path may hold a claim's value.
        super().__init__(
            f"provider_{error.code}", f"{provider}: calling {what} failed: {error.problem}"
        )
        self.status = error.status


def answer_invalid(provider: str, what: str, problem: str) -> LoginDenied:
    """Return the denial for an answer of another form than the API promises."""
    return LoginDenied(
        "provider_answer", f"{provider}: the answer of {what} is not usable: {problem}"
    )


def part_of_answer(provider: str, what: str, name: str, value: Any, kind: type[T]) -> T:
    """Return a part of an API's answer after checking its type.

    Raises:
        LoginDenied: `provider_answer`: it is not a `kind`.
    """
    if not isinstance(value, kind):
        raise answer_invalid(provider, what, f"{name} must be {_KINDS[kind]}, is {kind_of(value)}")
    return value


def text_list(provider: str, what: str, value: Any) -> list[str]:
    """Return an API's list of groups after checking it.

    Raises:
        LoginDenied: `provider_answer`, `provider_too_many_groups`.
    """
    if not isinstance(value, list):
        raise answer_invalid(provider, what, f"the groups must be a list, are {kind_of(value)}")
    for each in value:
        part_of_answer(provider, what, "a group", each, str)
    check_count(provider, len(value))
    return value


def check_count(provider: str, groups: int) -> None:
    """Check that the bearer has no more than `MAX_GROUPS`.

    Raises:
        LoginDenied: `provider_too_many_groups`.
    """
    if groups > MAX_GROUPS:
        raise LoginDenied(
            "provider_too_many_groups",
            f"{provider}: the bearer is in more than {MAX_GROUPS} groups",
        )


def is_header_text(text: str) -> bool:
    """Tell whether a secret is visible ASCII, so that it can't become two headers."""
    return text.isascii() and text.isprintable() and " " not in text
