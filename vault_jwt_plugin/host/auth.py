"""Conversion between `sdk.Auth` and `pb.Auth`, without loss: a renewal sends back all of it.

Mirrors `sdk/plugin/pb/translation.go` (LogicalAuthToProtoAuth and back).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.sdk import NS_PER_S, jsonutil
from vault_jwt_plugin.sdk.request import Alias, Auth, TokenType

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from vault_jwt_plugin.pb import logical_pb2

ZERO_TIME_S = -62_135_596_800
"""Go's zero time, 0001-01-01, in Unix seconds: "no time", yet valid where one is required."""

_TOKEN_TYPES = {int(token_type): token_type for token_type in TokenType}


def auth_from_pb(message: backend_pb2.Auth) -> Auth:
    """Return the Auth that the host stored and sends with a renewal.

    Raises:
        jsonutil.JSONError: `internal_data` is not JSON.
    """
    lease = message.lease_options
    has_time = lease.HasField("issue_time")
    internal = jsonutil.loads(message.internal_data) if message.internal_data else None
    return Auth(
        policies=tuple(message.policies),
        metadata=dict(message.metadata),
        internal_data=internal if isinstance(internal, dict) else {},
        display_name=message.display_name,
        alias=alias_from_pb(message.alias) if message.HasField("alias") else None,
        group_aliases=tuple(map(alias_from_pb, message.group_aliases)),
        renewable=lease.renewable,
        ttl_ns=lease.TTL,
        max_ttl_ns=lease.MaxTTL,
        period_ns=message.period,
        explicit_max_ttl_ns=message.explicit_max_ttl,
        num_uses=message.num_uses,
        # A newer host may know more types: keep the number, so that it can be sent back.
        token_type=cast("TokenType", _TOKEN_TYPES.get(message.token_type, message.token_type)),
        no_default_policy=message.no_default_policy,
        bound_cidrs=tuple(message.bound_cidrs),
        increment_ns=lease.increment,
        issue_time_ns=_unix_ns(lease.issue_time) if has_time else None,
        client_token=message.client_token,
        accessor=message.accessor,
        entity_id=message.entity_id,
        token_policies=tuple(message.token_policies),
        identity_policies=tuple(message.identity_policies),
    )


def _unix_ns(timestamp: Timestamp) -> int | None:
    if timestamp.seconds == ZERO_TIME_S and not timestamp.nanos:
        return None
    return timestamp.seconds * NS_PER_S + timestamp.nanos


def fill_auth(auth: Auth, message: backend_pb2.Auth) -> None:
    """Write an Auth into an empty message.

    Only values that differ from the wire's default are set: this runs in every login, and setting
    attributes takes half the time of the message's constructor.

    Raises:
        ValueError, TypeError: the wire or JSON cannot express a value.
    """
    lease = message.lease_options
    # The time is required wherever lease_options is set: Go refuses an absent time.
    if auth.issue_time_ns is None:
        lease.issue_time.seconds = ZERO_TIME_S
    else:
        seconds, nanos = divmod(auth.issue_time_ns, NS_PER_S)
        lease.issue_time.seconds = seconds
        lease.issue_time.nanos = nanos
    lease.renewable = auth.renewable
    lease.TTL = auth.ttl_ns
    if auth.max_ttl_ns:
        lease.MaxTTL = auth.max_ttl_ns
    if auth.increment_ns:
        lease.increment = auth.increment_ns
    message.internal_data = jsonutil.dumps(auth.internal_data)
    message.display_name = auth.display_name
    message.policies.extend(auth.policies)
    message.metadata.update(auth.metadata)
    if auth.alias is not None:
        fill_alias(auth.alias, message.alias)
    for group in auth.group_aliases:
        fill_alias(group, message.group_aliases.add())
    if auth.period_ns:
        message.period = auth.period_ns
    if auth.explicit_max_ttl_ns:
        message.explicit_max_ttl = auth.explicit_max_ttl_ns
    if auth.num_uses:
        message.num_uses = auth.num_uses
    if auth.token_type:
        message.token_type = auth.token_type
    if auth.no_default_policy:
        message.no_default_policy = True
    if auth.bound_cidrs:
        message.bound_cidrs.extend(auth.bound_cidrs)
    if auth.client_token or auth.accessor or auth.entity_id:
        message.client_token = auth.client_token
        message.accessor = auth.accessor
        message.entity_id = auth.entity_id
    if auth.token_policies or auth.identity_policies:
        message.token_policies.extend(auth.token_policies)
        message.identity_policies.extend(auth.identity_policies)


def alias_from_pb(message: logical_pb2.Alias) -> Alias:
    """Return an alias as the host stored it."""
    return Alias(
        name=message.name,
        metadata=dict(message.metadata),
        custom_metadata=dict(message.custom_metadata),
        mount_type=message.mount_type,
        mount_accessor=message.mount_accessor,
        id=message.ID,
        namespace_id=message.namespace_id,
        local=message.local,
    )


def fill_alias(alias: Alias, message: logical_pb2.Alias) -> None:
    """Write an alias into an empty message.

    Raises:
        ValueError, TypeError: the wire cannot express a value.
    """
    message.SetInParent()
    message.name = alias.name
    if alias.metadata:
        message.metadata.update(alias.metadata)
    if alias.custom_metadata:
        message.custom_metadata.update(alias.custom_metadata)
    if alias.mount_accessor or alias.mount_type or alias.id:
        message.mount_accessor = alias.mount_accessor
        message.mount_type = alias.mount_type
        message.ID = alias.id
    if alias.namespace_id:
        message.namespace_id = alias.namespace_id
    if alias.local:
        message.local = True


def unknown_fields(message: backend_pb2.Auth) -> bytes:
    """Return the serialised fields that our protocol does not know, to send them back."""
    rest = backend_pb2.Auth()
    rest.CopyFrom(message)
    for known in backend_pb2.Auth.DESCRIPTOR.fields:
        rest.ClearField(known.name)
    return rest.SerializeToString()
