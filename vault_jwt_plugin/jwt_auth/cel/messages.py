"""What CEL needs of the host protocol's messages, handed in by whoever wires the method.

A program makes a `pb.Auth`: the very message that a plugin sends its host. This
layer knows no protobuf (its imports are checked), and a second description of
that message here could drift from the first. So the adapter to the host, which
owns the messages, lends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault_jwt_plugin.sdk import Auth

HOLDER = "logical.EventData"
"""A message whose field `HOLDER_FIELD` is a `google.protobuf.Struct`.

The library hands a map to Python member by member, and its way of doing so is
not safe (see `environment`). Inside a message the map crosses as bytes.
"""

HOLDER_FIELD = "metadata"


class CELMessages(Protocol):
    """The messages, and what they mean to us. Messages are opaque here."""

    @property
    def descriptor_pool(self) -> Any:
        """A protobuf descriptor pool that knows `pb.Auth`, all it refers to, and `HOLDER`."""

    def struct(self, members: Mapping[str, Any]) -> Any:
        """A `google.protobuf.Struct`.

        Args:
            members: decoded JSON whose numbers are `float`.
        """

    def value(self, value: Any) -> Any:
        """A `google.protobuf.Value`; decoded JSON whose numbers are `float`."""

    def held(self, holder: Any) -> dict[str, Any]:
        """The map in a `HOLDER` message: decoded JSON, every number a `float`."""

    def has_issue_time(self, auth: Any) -> bool:
        """Whether a `pb.Auth` with `lease_options` says when it was issued; True without them."""

    def auth(self, auth: Any) -> Auth:
        """A `pb.Auth` as the SDK's value, without loss.

        Raises:
            ValueError: `internal_data` is not the JSON text of an object, or of null.
        """
