"""Conversion of sdk.Auth to pb.Auth and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_jwt_plugin.host.auth import ZERO_TIME_S, auth_from_pb, fill_auth, unknown_fields
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.sdk import Alias, Auth, TokenType, jsonutil

# What protobuf strings can contain: no lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
maps = st.dictionaries(texts, texts, max_size=3)
lists = st.lists(texts, max_size=3).map(tuple)
times_ns = st.none() | st.integers(0, 4 * 10**18) | st.integers(-(10**18), -1)
aliases = st.builds(
    Alias,
    name=texts,
    metadata=maps,
    custom_metadata=maps,
    mount_type=texts,
    mount_accessor=texts,
    id=texts,
    namespace_id=texts,
    local=st.booleans(),
)
auths = st.builds(
    Auth,
    policies=lists,
    metadata=maps,
    internal_data=st.dictionaries(texts, st.none() | st.integers() | texts, max_size=3),
    display_name=texts,
    alias=st.none() | aliases,
    group_aliases=st.lists(aliases, max_size=2).map(tuple),
    renewable=st.booleans(),
    ttl_ns=int64s,
    max_ttl_ns=int64s,
    period_ns=int64s,
    explicit_max_ttl_ns=int64s,
    num_uses=int64s,
    token_type=st.sampled_from(TokenType),
    no_default_policy=st.booleans(),
    bound_cidrs=lists,
    increment_ns=int64s,
    issue_time_ns=times_ns,
    client_token=texts,
    accessor=texts,
    entity_id=texts,
    token_policies=lists,
    identity_policies=lists,
)


def to_pb(auth: Auth) -> pb.Auth:
    message = pb.Auth()
    fill_auth(auth, message)
    return pb.Auth.FromString(message.SerializeToString())


@given(auths)
def test_sdk_to_pb_and_back(auth):
    message = to_pb(auth)
    assert auth_from_pb(message) == auth
    assert message.lease_options.HasField("issue_time")


def _filled(draw: Any, message: Any) -> None:
    """Fill every field of a message, so that a forgotten one shows."""
    for field in message.DESCRIPTOR.fields:
        if field.full_name == "pb.Auth.internal_data":
            message.internal_data = '{"a":9007199254740993}'
        elif field.full_name == "pb.Auth.token_type":
            message.token_type = draw(st.integers(0, 9))
        elif field.full_name == "google.protobuf.Timestamp.nanos":
            message.nanos = draw(st.integers(0, 999_999_999))
        elif field.full_name == "google.protobuf.Timestamp.seconds":
            message.seconds = draw(st.integers(ZERO_TIME_S, 253402300799))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name).update(draw(maps))
        elif field.is_repeated and field.message_type is not None:
            _filled(draw, getattr(message, field.name).add())
        elif field.message_type is not None:
            _filled(draw, getattr(message, field.name))
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(lists))
        elif field.type == field.TYPE_BOOL:
            setattr(message, field.name, draw(st.booleans()))
        elif field.type == field.TYPE_INT64:
            setattr(message, field.name, draw(int64s))
        else:
            setattr(message, field.name, draw(texts))


@given(st.data())
def test_pb_to_sdk_and_back(data):
    message = pb.Auth()
    _filled(data.draw, message)
    assert to_pb(auth_from_pb(message)) == message


def test_no_time_is_the_zero_time():
    message = to_pb(Auth())
    assert message.lease_options.issue_time.seconds == ZERO_TIME_S
    assert auth_from_pb(message).issue_time_ns is None
    assert auth_from_pb(pb.Auth(internal_data="null")) == Auth()
    assert auth_from_pb(pb.Auth()) == Auth()
    assert to_pb(Auth()).internal_data == "{}"


def test_internal_data_that_is_not_json():
    with pytest.raises(jsonutil.JSONError):
        auth_from_pb(pb.Auth(internal_data="{"))


def test_unknown_fields():
    known = to_pb(Auth(display_name="x", policies=("a",), alias=Alias(name="n"), ttl_ns=5))
    assert unknown_fields(known) == b""
    newer = pb.Auth.FromString(known.SerializeToString() + b"\xf2\x3f\x03new")
    assert unknown_fields(newer) == b"\xf2\x3f\x03new"
    assert newer.display_name == "x"


@pytest.mark.parametrize(
    "changes",
    [{"ttl_ns": 2**63}, {"display_name": "\ud800"}, {"internal_data": {"x": float("nan")}}],
    ids=["int64", "surrogate", "nan"],
)
def test_values_without_wire_form(changes):
    with pytest.raises((ValueError, TypeError)):
        fill_auth(Auth(**changes), pb.Auth())
