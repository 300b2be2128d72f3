"""The requests that a backend gets, and the responses that it returns.

The host passes a `Request` to the backend and converts the `Response` (or the raised
`errors.LogicalError`) to its wire format. Durations are integer nanoseconds (`*_ns`), as on the
wire and in storage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""A handler that need not wait returns its answer; one that must wait returns an awaitable.

This was measured: a task per call costs more than a whole cached login.
"""


class Operation(StrEnum):
    """The operation that is requested of a path (SDK `logical.Operation`)."""

    # Enum's own hash is Python code, and every request looks its operation up in dicts.
    __hash__ = str.__hash__

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    LIST = "list"
    SCAN = "scan"
    HELP = "help"
    HEADER = "header"
    ALIAS_LOOKAHEAD = "alias-lookahead"
    RESOLVE_ROLE = "resolve-role"
    RENEW = "renew"
    REVOKE = "revoke"
    ROLLBACK = "rollback"
    RECOVER = "recover"
    ROTATE = "rotate"


class TokenType(IntEnum):
    """SDK `logical.TokenType`."""

    DEFAULT = 0
    SERVICE = 1
    BATCH = 2
    DEFAULT_SERVICE = 3
    DEFAULT_BATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The client's connection, as the host resolved it."""

    remote_addr: str
    """An IP address without port, after the host's trusted `X-Forwarded-For` rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """An entity alias or a group alias (SDK `logical.Alias`)."""

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    mount_type: str = ""
    mount_accessor: str = ""
    id: str = ""
    namespace_id: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """The result of a successful login or renewal (SDK `logical.Auth`).

    A TTL of 0 means the mount's default, and a maximum of 0 the mount's maximum.
    """

    policies: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    internal_data: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    alias: Alias | None = None
    group_aliases: tuple[Alias, ...] = ()
    renewable: bool = False
    ttl_ns: int = 0
    max_ttl_ns: int = 0
    period_ns: int = 0
    explicit_max_ttl_ns: int = 0
    num_uses: int = 0
    token_type: TokenType = TokenType.DEFAULT
    no_default_policy: bool = False
    bound_cidrs: tuple[str, ...] = ()
    # The host fills these in and sends them back with a renewal.
    increment_ns: int = 0
    issue_time_ns: int | None = None
    """Unix nanoseconds; None if the host sent none."""
    client_token: str = ""
    accessor: str = ""
    entity_id: str = ""
    token_policies: tuple[str, ...] = ()
    identity_policies: tuple[str, ...] = ()


class Request(Protocol):
    """One request of the host, read-only (SDK `logical.Request`)."""

    @property
    def id(self) -> str:
        """Return the request's UUID; empty for the host's own calls."""

    @property
    def operation(self) -> Operation:
        """Return the requested operation."""

    @property
    def path(self) -> str:
        """Return the path below the mount, without a leading slash; a list's path ends in `/`."""

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the decoded JSON body or query; empty if there was none.

        Integers are exact; other numbers are `decimal.Decimal`, so that no digit is lost before the
        field's
        type says what the number means.
        """

    @property
    def size(self) -> int:
        """Return the length of the body or query, in characters; waiting requests hold it."""

    @property
    def mount_point(self) -> str:
        """Return the API path of the mount with its namespace, such as `ns1/auth/jwt/`."""

    @property
    def mount_type(self) -> str:
        """Return the type under which the mount was enabled, such as `jwt`."""

    @property
    def mount_accessor(self) -> str:
        """Return the mount's accessor.

        It is empty in existence checks and in GET, LIST, DELETE, help, renew and rollback.
        """

    @property
    def entity_id(self) -> str:
        """Return the entity id of the calling token; empty if it has none."""

    @property
    def display_name(self) -> str:
        """Return the display name of the calling token; empty if it has none."""

    @property
    def headers(self) -> Mapping[str, tuple[str, ...]]:
        """Return only the headers in the mount's `passthrough_request_headers`."""

    @property
    def connection(self) -> Connection | None:
        """Return the client's connection.

        It is None for internal calls, alias lookahead, and resolve-role on OpenBao.
        """

    @property
    def auth(self) -> Auth | None:
        """Return the token's stored Auth; only with `Operation.RENEW`."""

    @property
    def unauthenticated(self) -> bool:
        """Return whether the path needs no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """A body that is sent as it is instead of the JSON envelope."""

    status: int
    content_type: str
    body: bytes = b""
    cache_control: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer to the caller. `auth` and an error are never sent together."""

    data: Mapping[str, Any] | None = None
    auth: Auth | None = None
    warnings: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    redirect: str = ""
    raw: RawResponse | None = None
