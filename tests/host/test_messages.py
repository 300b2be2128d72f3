from __future__ import annotations

import pytest
from google.protobuf import json_format

from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.cel import messages as cel_messages
from vault_jwt_plugin.pb import backend_pb2, logical_pb2
from vault_jwt_plugin.sdk import Auth

MESSAGES = AuthMessages()
JSON = {
    "text": "a\0ü",
    "number": 1.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [1.0, "x", None, [], {}],
    "object": {"deep": {"deeper": [{"a": 2.0}]}},
    "": "no name",
}


def test_it_is_what_the_method_asks_for():
    lent: cel_messages.CELMessages = MESSAGES
    pool = lent.descriptor_pool
    assert pool.FindMessageTypeByName("pb.Auth") is backend_pb2.Auth.DESCRIPTOR
    holder = pool.FindMessageTypeByName(cel_messages.HOLDER)
    field = holder.fields_by_name[cel_messages.HOLDER_FIELD]
    assert field.message_type.full_name == "google.protobuf.Struct"


def test_json_as_messages_and_back():
    struct = MESSAGES.struct(JSON)
    assert json_format.MessageToDict(struct) == JSON
    assert MESSAGES.held(logical_pb2.EventData(metadata=struct)) == JSON
    assert json_format.MessageToDict(MESSAGES.value(JSON)) == JSON


@pytest.mark.parametrize("value", [None, True, False, 1.5, "x", "", [], [None], {}, {"a": None}])
def test_values(value):
    message = MESSAGES.value(value)
    assert message.WhichOneof("kind") is not None
    assert json_format.MessageToDict(message) == value


def test_an_empty_holder_holds_an_empty_map():
    assert MESSAGES.held(logical_pb2.EventData()) == {}


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (backend_pb2.Auth(), True),
        (backend_pb2.Auth(lease_options=backend_pb2.LeaseOptions(TTL=5)), False),
        (
            backend_pb2.Auth(lease_options=backend_pb2.LeaseOptions(issue_time={"seconds": 0})),
            True,
        ),
    ],
    ids=["without lease options", "without time", "with"],
)
def test_issue_time(auth, expected):
    assert MESSAGES.has_issue_time(auth) is expected


@pytest.mark.parametrize("data", ["", "null", "{}", '{"a": 1}'])
def test_internal_data(data):
    auth = MESSAGES.auth(backend_pb2.Auth(internal_data=data, display_name="x"))
    assert auth == Auth(display_name="x", internal_data={"a": 1} if "a" in data else {})


@pytest.mark.parametrize("data", ["nonsense", "[]", "1", '"x"', "{", "true"])
def test_internal_data_that_is_not_an_object(data):
    with pytest.raises(ValueError, match=r"."):
        MESSAGES.auth(backend_pb2.Auth(internal_data=data))
