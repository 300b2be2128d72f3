"""A request as a thin view over the host's message: nothing is copied that nobody reads."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.host.auth import auth_from_pb
from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.errors import UserError
from vault_jwt_plugin.sdk.request import Auth, Connection, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.pb import backend_pb2

MAX_DATA_CHARS = 16 * 1024 * 1024
"""Largest request body that is decoded, in characters; hosts pass on up to 32 MiB."""

MAX_OPEN_DATA_CHARS = 4 * 1024 * 1024
"""The same where the caller needs no token: what is done to a body of 16 MiB, whatever is in it,
holds up everybody for up to a second. A token is of 1 MiB at most."""

MAX_DATA_VALUES = 20_000
"""Commas and brackets in a request body that is decoded: a bound of its values. Of numbers alone
16 MiB hold millions, which take seconds; an unauthenticated caller would hold up everybody."""

_UNCOUNTED_CHARS = 64 * 1024
"""A body of this length can't hold so many values that counting them pays."""

OPERATIONS: Mapping[str, Operation] = {operation.value: operation for operation in Operation}
"""Operation by its name on the wire."""

_NO_DATA: Mapping[str, Any] = MappingProxyType({})
# What hosts ask on behalf of a login, without saying that it needs no token.
_OF_LOGINS = frozenset((Operation.ALIAS_LOOKAHEAD, Operation.RESOLVE_ROLE))


class RequestDataError(UserError):
    """A request body that can't be decoded; the text never holds it."""

    code = "request_data_invalid"


class RequestView:
    """`sdk.Request` over a `pb.Request`."""

    __slots__ = ("_auth", "_data", "_message", "operation", "path")

    operation: Operation
    path: str

    def __init__(self, message: backend_pb2.Request, operation: Operation) -> None:
        """View `message`; `operation` is its own, looked up."""
        self._message = message
        self.operation = operation
        self.path = message.path
        self._data: Mapping[str, Any] | None = None
        self._auth: Auth | None = None

    @property
    def id(self) -> str:
        """Request UUID; empty for the host's own calls."""
        return self._message.id

    @property
    def data(self) -> Mapping[str, Any]:
        """Decoded JSON body or query; empty when there was none.

        Raises:
            RequestDataError: no JSON object, too large, or too deep.
        """
        data = self._data
        if data is None:
            is_open = self._message.unauthenticated or self.operation in _OF_LOGINS
            data = self._data = _decode(
                self._message.data, MAX_OPEN_DATA_CHARS if is_open else MAX_DATA_CHARS
            )
        return data

    @property
    def size(self) -> int:
        """Of the body or query, in characters."""
        return len(self._message.data)

    @property
    def mount_point(self) -> str:
        """API path of the mount with namespace, e.g. `ns1/auth/jwt/`."""
        return self._message.mount_point

    @property
    def mount_type(self) -> str:
        """Type name under which the mount was enabled."""
        return self._message.mount_type

    @property
    def mount_accessor(self) -> str:
        """The mount's accessor, where the host fills it."""
        return self._message.mount_accessor

    @property
    def entity_id(self) -> str:
        """Entity of the calling token; empty if none."""
        return self._message.entity_id

    @property
    def display_name(self) -> str:
        """Display name of the calling token; empty if none."""
        return self._message.display_name

    @property
    def headers(self) -> Mapping[str, tuple[str, ...]]:
        """The headers that the mount passes through."""
        return {name: tuple(values.header) for name, values in self._message.headers.items()}

    @property
    def connection(self) -> Connection | None:
        """The client's connection; None where the host names none."""
        if not self._message.HasField("connection"):
            return None
        return Connection(remote_addr=self._message.connection.remote_addr)

    @property
    def auth(self) -> Auth | None:
        """The stored Auth of the token; only at a renewal.

        Raises:
            jsonutil.JSONError: its `internal_data` is no JSON.
        """
        if self._auth is None and self._message.HasField("auth"):
            self._auth = auth_from_pb(self._message.auth)
        return self._auth

    @property
    def unauthenticated(self) -> bool:
        """Whether the path is one that needs no token."""
        return self._message.unauthenticated


def _decode(text: str, max_chars: int) -> Mapping[str, Any]:
    if text in ("null", ""):
        return _NO_DATA
    if len(text) > max_chars:
        raise RequestDataError(f"request body has more than {max_chars} characters")
    if len(text) > _UNCOUNTED_CHARS and sum(map(text.count, ",[{")) > MAX_DATA_VALUES:
        raise RequestDataError(f"request body has more than {MAX_DATA_VALUES} commas and brackets")
    try:
        data = jsonutil.loads(text)
    except jsonutil.JSONError as error:
        raise RequestDataError(f"request body: {error}") from None
    if data is None:
        return _NO_DATA
    if not isinstance(data, dict):
        raise RequestDataError("request body is not a JSON object")
    return data
