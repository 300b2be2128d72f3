"""The calls that a provider makes for one login, and what it makes of the answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from vault_jwt_plugin.jwt_auth.errors import FetchError, LoginDenied
from vault_jwt_plugin.jwt_auth.fetching.fetcher import DEADLINE_S
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
            raise answer_invalid(provider, what, f"a group must be a string, is {kind_of(each)}")
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
