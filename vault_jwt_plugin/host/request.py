"""A request as a thin view of the host's message: values are converted only when read."""

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
"""The largest request body that is decoded, in characters; hosts pass on up to 32 MiB."""

MAX_OPEN_DATA_CHARS = 4 * 1024 * 1024
"""The same limit where the caller needs no token. Handling a body of 16 MiB holds up every caller
for up to a second, whatever it contains; a token has at most 1 MiB.
"""

MAX_DATA_VALUES = 20_000
"""The most commas and brackets in a request body, which limits its number of values. A body of
16 MiB can hold millions of numbers, which take seconds, and an unauthenticated caller would hold
up everybody.
"""

_UNCOUNTED_CHARS = 64 * 1024
"""A body of this length cannot hold so many values that counting them pays."""

OPERATIONS: Mapping[str, Operation] = {operation.value: operation for operation in Operation}
"""Operation by its name on the wire."""

_NO_DATA: Mapping[str, Any] = MappingProxyType({})
# Hosts send these on behalf of a login without saying that it needs no token.
_OF_LOGINS = frozenset((Operation.ALIAS_LOOKAHEAD, Operation.RESOLVE_ROLE))


class RequestDataError(UserError):
    """A request body that cannot be decoded; the text never contains the body."""

    code = "request_data_invalid"


class RequestView:
    """`sdk.Request` as a view of a `pb.Request`."""

    __slots__ = ("_auth", "_data", "_message", "operation", "path")

    operation: Operation
    path: str

    def __init__(self, message: backend_pb2.Request, operation: Operation) -> None:
        """View `message`; `operation` is the value of its `operation` field."""
        self._message = message
        self.operation = operation
        self.path = message.path
        self._data: Mapping[str, Any] | None = None
        self._auth: Auth | None = None

    @property
    def id(self) -> str:
        """Return the request's UUID; empty for the host's own calls."""
        return self._message.id

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the decoded JSON body or query; empty if there was none.

        Raises:
            RequestDataError: it is not a JSON object, too large, or too deep.
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
        """Return the length of the body or query, in characters."""
        return len(self._message.data)

    @property
    def mount_point(self) -> str:
        """Return the API path of the mount with its namespace, such as `ns1/auth/jwt/`."""
        return self._message.mount_point

    @property
    def mount_type(self) -> str:
        """Return the type under which the mount was enabled."""
        return self._message.mount_type

    @property
    def mount_accessor(self) -> str:
        """Return the mount's accessor, if the host sends it."""
        return self._message.mount_accessor

    @property
    def entity_id(self) -> str:
        """Return the entity id of the calling token; empty if it has none."""
        return self._message.entity_id

    @property
    def display_name(self) -> str:
        """Return the display name of the calling token; empty if it has none."""
        return self._message.display_name

    @property
    def headers(self) -> Mapping[str, tuple[str, ...]]:
        """Return the headers that the mount passes through."""
        return {name: tuple(values.header) for name, values in self._message.headers.items()}

    @property
    def connection(self) -> Connection | None:
        """Return the client's connection; None if the host names none."""
        if not self._message.HasField("connection"):
            return None
        return Connection(remote_addr=self._message.connection.remote_addr)

    @property
    def auth(self) -> Auth | None:
        """Return the token's stored Auth, which comes only with a renewal.

        Raises:
            jsonutil.JSONError: its `internal_data` is not JSON.
        """
        if self._auth is None and self._message.HasField("auth"):
            self._auth = auth_from_pb(self._message.auth)
        return self._auth

    @property
    def unauthenticated(self) -> bool:
        """Return whether the path needs no token."""
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
