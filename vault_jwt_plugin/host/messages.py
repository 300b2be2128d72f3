"""The protocol's messages for a backend whose users may build them: programs in CEL.

Mirrors `ProtoAuthToLogicalAuth` (`sdk/plugin/pb/translation.go`), which OpenBao's CEL roles use
too.
The backend itself declares which part it needs (`CELMessages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from vault_jwt_plugin.host.auth import auth_from_pb
from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf import descriptor_pool

    from vault_jwt_plugin.pb import logical_pb2
    from vault_jwt_plugin.sdk.request import Auth


class AuthMessages:
    """Access to `pb.Auth`, and conversion of JSON to messages."""

    @property
    def descriptor_pool(self) -> descriptor_pool.DescriptorPool:
        """Return the pool that contains the generated modules."""
        pool: descriptor_pool.DescriptorPool = backend_pb2.DESCRIPTOR.pool
        return pool

    def struct(self, members: Mapping[str, Any]) -> Struct:
        """Convert a JSON object to a message; numbers must be `float`.

        Raises:
            ValueError: JSON cannot express a value.
        """
        message = Struct()
        message.update(members)
        return message

    def value(self, value: Any) -> Value:
        """Convert a JSON value to a message; numbers must be `float`."""
        match value:
            case None:
                return Value(null_value=NULL_VALUE)
            case bool():
                return Value(bool_value=value)
            case str():
                return Value(string_value=value)
            case float():
                return Value(number_value=value)
            case list():
                return Value(list_value=ListValue(values=map(self.value, value)))
            case _:
                return Value(struct_value=self.struct(value))

    def held(self, holder: logical_pb2.EventData) -> dict[str, Any]:
        """Return an event's metadata as decoded JSON."""
        return _object(holder.metadata)

    def has_issue_time(self, auth: backend_pb2.Auth) -> bool:
        """Return whether the lease options have an issue time; Go refuses those that do not."""
        return not auth.HasField("lease_options") or auth.lease_options.HasField("issue_time")

    def auth(self, auth: backend_pb2.Auth) -> Auth:
        """Convert the message to the SDK's type, without loss.

        Raises:
            ValueError: `internal_data` is not a JSON object or null.
        """
        if auth.internal_data and not isinstance(jsonutil.loads(auth.internal_data), dict | None):
            raise ValueError("internal_data is not a JSON object")
        return auth_from_pb(auth)


def _object(message: Struct) -> dict[str, Any]:
    return {name: _plain(member) for name, member in message.fields.items()}


def _plain(message: Value) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            return _object(message.struct_value)
        case "list_value":
            return [_plain(element) for element in message.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(message, kind)
