"""One login and what its checks have found; what a check is.

A check reads the evidence that earlier checks left on the `Login`, and adds its own. The tables of
checks are in `pipeline`, and `flow` walks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.claims.dates import Dates, Leeways
    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.config.provider import ConfiguredProvider
    from vault_jwt_plugin.jwt_auth.jose.jws import UnverifiedToken, VerifiedClaims
    from vault_jwt_plugin.jwt_auth.jose.keys import VerificationKey
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.login.waiting import WaitingRoom
    from vault_jwt_plugin.jwt_auth.providers import Enrichment
    from vault_jwt_plugin.sdk import Auth, FieldData, Request


class LoginRole(Protocol):
    """What the flow and the shared checks need of a role of any kind, prepared for logins.

    Attributes:
        name: the role's name.
        role: the role as it is stored; says what counts as a change of it.
        subject: the `sub` claim that a token must carry; "" binds nothing.
        audiences: audiences of which a token must name one; empty binds nothing here.
        leeways: the leeways in effect, in seconds.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def role(self) -> Stored: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def audiences(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def leeways(self) -> Leeways: ...  # noqa: D102


class Stored(Protocol):
    """A config or a role, which two byte strings in storage tell apart."""

    def to_stored(self) -> bytes:
        """Encode for storage."""


R = TypeVar("R", bound=LoginRole)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginContext:
    """What all logins of a mount use.

    Attributes:
        key_source: gives the key source of a configuration.
        waiting_room: where large logins wait for keys.
        clock: Unix seconds.
        providers: gives the provider of a configuration.
    """

    key_source: Callable[[Config], KeySource]
    waiting_room: WaitingRoom
    clock: Callable[[], float]
    providers: ConfiguredProvider


class Login(Generic[R]):
    """One login under one config and role, and what its checks have found so far.

    A login whose config or role changes while it waits starts again as a new `Login`.

    Attributes:
        context, config, role, request, data: what the login was begun with.
        position: the check to run next.
        token: the parsed token, set by `TOKEN_FORM`; None before.
        keys: the candidates to verify with; None until they are known.
        refetches: how many newer key sets this login has waited for.
        claims: the verified claims, set by `PAYLOAD`, or by a flow that brings them.
        audience: the audiences of the token; None without `aud`. Set by `CLAIM_TYPES`.
        dates: the dates of the token, set by `CLAIM_TYPES`.
        name, metadata, groups, policies, bound_cidrs: what a native role grants.
        enrichment: what asks the provider; None if there is none, or before it is asked.
        has_groups: whether the provider has been asked for groups.
        auth: what a CEL program grants; None before.
    """

    __slots__ = (
        "audience",
        "auth",
        "bound_cidrs",
        "claims",
        "config",
        "context",
        "data",
        "dates",
        "enrichment",
        "groups",
        "has_groups",
        "keys",
        "metadata",
        "name",
        "policies",
        "position",
        "refetches",
        "request",
        "role",
        "token",
    )

    token: UnverifiedToken
    claims: VerifiedClaims
    audience: list[str] | None
    dates: Dates
    name: str
    metadata: dict[str, str]
    groups: tuple[Any, ...]
    policies: tuple[str, ...]
    bound_cidrs: tuple[str, ...]

    def __init__(
        self, context: LoginContext, config: Config, role: R, request: Request, data: FieldData
    ) -> None:
        self.context = context
        self.config = config
        self.role = role
        self.request = request
        self.data = data
        self.position = 0
        self.keys: Sequence[VerificationKey] | None = None
        self.refetches = 0
        self.enrichment: Enrichment | None = None
        self.has_groups = False
        self.auth: Auth | None = None

    def is_under(self, config: Config, role: R) -> bool:
        """Return whether the login was begun with this config and this role.

        They are compared by their stored bytes: to Python 1 equals true.
        """
        return _is_same(self.config, config) and _is_same(self.role.role, role.role)


def _is_same(before: Stored, now: Stored) -> bool:
    return before is now or before.to_stored() == now.to_stored()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of a table of checks.

    Attributes:
        name: what messages and reports call it.
        run: checks; returns None, or an awaitable of what it lacks, and is then run again.
        codes: of the denials that it raises.
        parameters: of the config and the role that it looks at.
        claims: registered claims that it looks at. Claims that a parameter names are not listed.
    """

    name: str
    run: Callable[[Login[Any]], Awaitable[None] | None]
    codes: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


def walk(login: Login[Any], checks: Sequence[Check]) -> Awaitable[None] | None:
    """Run the checks that are left, in order.

    Returns:
        What the login has to wait for before it goes on; None if every check has passed.

    Raises:
        LoginDenied: A check refused the login.
        LogicalError: A check could not be made.
    """
    for position in range(login.position, len(checks)):
        pending = checks[position].run(login)
        if pending is not None:
            login.position = position
            return pending
    login.position = len(checks)
    return None
