"""What a provider is, and what all of them share.

Mirrors `provider_config.go` of both Go methods: a required interface and one for each ability.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import UserError, quoted
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims


class ProviderError(UserError):
    """`provider_config` can't be used: HTTP 400 at a write. The text holds no value of it."""

    code = "provider_invalid"


class ForeignTokenURIError(ProviderError):
    """A key file's `token_uri` is not Google's, which the builtin methods do not check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLogin:
    """What a provider sees of a login; every check of the token has passed.

    Attributes:
        claims: the token's, and those that the provider added so far.
        user_claim: the role's, as written.
        groups_claim: the role's, if it has one.
        access_token: `distributed_claim_access_token`; "" if none was sent.
    """

    claims: VerifiedClaims
    user_claim: str
    groups_claim: ClaimPath | None
    access_token: str = field(default="", repr=False)

    def groups(self) -> Any:
        """Return the groups claim as decoded JSON; None when it is missing or null."""
        return None if self.groups_claim is None else self.groups_claim.find(self.claims)

    def user_id(self, provider: str, name: str = "") -> str:
        """Return the bearer's id at a provider, fit for a URL.

        Args:
            provider: the provider's name, for the message.
            name: the claim, a pointer even where the role takes it literally, as in Go; "" means
                the role's user claim.

        Raises:
            LoginDenied: `provider_user_id`: the claim is not a string, or cannot be an id.
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
            f"{provider}: claim {quoted(name)} must be a string that names the user, is "
            f"{'missing' if value is None else found}",
            claim=name,
        )


class Provider(Protocol):
    """Every provider; the interfaces below are its abilities."""

    @property
    def name(self) -> str:
        """Return the name that `provider_config` uses."""


@runtime_checkable
class Checker(Protocol):
    """A provider that needs more than its settings, such as credentials in a file."""

    async def check(self) -> None:
        """Check, at a write or read of the configuration and at logins, that it has what it needs.

        Raises:
            ProviderError: something is missing.
        """


@runtime_checkable
class UserInfoFetcher(Protocol):
    """A provider that adds claims about the bearer."""

    async def fetch_user_info(self, login: ProviderLogin) -> Mapping[str, Any]:
        """Return the top-level claims to set, as decoded JSON by name; raise `LoginDenied`."""


@runtime_checkable
class GroupsFetcher(Protocol):
    """A provider that says which groups the bearer is in."""

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """Return what the groups claim becomes, decoded JSON; None erases it. Raise `LoginDenied`.

        This is called only for roles with a groups claim.
        """
