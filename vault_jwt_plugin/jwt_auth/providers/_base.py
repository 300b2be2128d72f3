"""What a provider is, and what all of them share.

Mirrors `provider_config.go` of both Go methods: one required interface, optional
ones for each ability.
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
            f"{provider}: claim {quoted(name)} must be a string that names the user, is "
            f"{'missing' if value is None else found}",
            claim=name,
            expected="a string",
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
