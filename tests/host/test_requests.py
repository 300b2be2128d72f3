"""Each operation of HandleRequest, called as hosts call it."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from typing import Any

import pytest

from tests.host.fakes import (
    READ_ONLY,
    FakeChannel,
    Host,
    HostServices,
    backend_of,
    run,
)
from tests.host.toy_backend import THING_FIELDS, ToyBackend
from vault_jwt_plugin.host.response import FAULT_TEXT
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.sdk import (
    CodedError,
    FieldType,
    Response,
    UserError,
)


@pytest.mark.parametrize("pages", [True, False], ids=["OpenBao", "Vault"])
def test_a_thing_with_every_type(pages):
    sent = {
        "a_string": 5,
        "a_lower_string": "ABC",
        "a_bool": "t",
        "a_int": "0x10",
        "a_comma_strings": "a, b",
        "a_map": {"n": 1},
        "a_kv_pairs": ["k=v"],
        "a_list": {"x": 1},
        "a_duration": "1h",
        "a_signed_duration": -30,
    }
    assert len(sent) == len(FieldType) == len(THING_FIELDS)

    async def go():
        host = Host(ToyBackend, services=HostServices(pages=pages))
        await host.setup()
        data = json.dumps(sent)
        reply = await host.request("create", "thing/A", data=data)
        assert list(reply.response.warnings) == ["a warning"]
        assert reply.response.data == "null"
        reply = await host.request("read", "thing/a")
        assert json.loads(reply.response.data) == {
            "a_string": "5",
            "a_lower_string": "abc",
            "a_bool": True,
            "a_int": 16,
            "a_comma_strings": ["a", "b"],
            "a_map": {"n": 1},
            "a_kv_pairs": {"k": "v"},
            "a_list": [{"x": 1}],
            "a_duration": 3600,
            "a_signed_duration": -30,
        }
        assert host.services.storage.json("thing/a")["a_duration"] == 3600 * 10**9
        assert host.services.storage.entries["thing/a"].seal_wrap
        for name in ("b", "c", "d"):
            assert await host.request("create", f"thing/{name}", data="{}") == (
                pb.HandleRequestReply()
            )
        for query, names in (
            ({}, ["a", "b", "c", "d"]),
            ({"after": "a", "limit": "2"}, ["b", "c"]),
            ({"after": "bb"}, ["c", "d"]),
            ({"limit": "-1"}, ["a", "b", "c", "d"]),
        ):
            reply = await host.request("list", "thing/", data=json.dumps(query))
            assert json.loads(reply.response.data) == {"keys": names}
        assert host.services.calls.count("/pb.Storage/ListPage") == (4 if pages else 1)
        await host.request("delete", "thing/a")
        assert await host.request("read", "thing/a") == pb.HandleRequestReply()
        assert set(host.broker.channels[1].timeouts) == {30.0}

    run(go)


def test_login_reply():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request(
            "update",
            "login",
            data='{"user":"bob","role":"Demo","token_policies":"a,b","token_bound_cidrs":"::1/128"}',
            connection=pb.Connection(remote_addr="10.1.2.3", remote_port=5),
        )
        assert not reply.HasField("err")
        auth = reply.response.auth
        assert reply.response.data == "null"
        assert auth.lease_options.issue_time.seconds == -62135596800
        assert auth.lease_options.TTL == 600 * 10**9
        assert auth.lease_options.renewable
        assert list(auth.policies) == ["a", "b"]
        assert list(auth.bound_cidrs) == ["::1"]
        assert dict(auth.metadata) == {"addr": "10.1.2.3", "role": "demo"}
        assert auth.internal_data == '{"user":"bob","big":9007199254740993}'
        assert auth.alias.name == "bob"
        assert dict(auth.alias.metadata) == {"from": "toy"}
        assert [group.name for group in auth.group_aliases] == ["toys"]
        role = await host.request("resolve-role", "login", data='{"role":"Demo"}')
        assert role.response.data == '{"role":"demo"}'

    run(go)


def test_a_login_makes_no_task():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        for operation in ("update", "resolve-role"):
            request = pb.Request(operation=operation, path="login", data='{"user":"bob"}')
            message = pb.HandleRequestArgs(request=request).SerializeToString()
            assert isinstance(host.call_now("/pb.Backend/HandleRequest", message), bytes)
        assert host.services.calls == []

    run(go)


def test_renewal_echoes_everything():
    stored = pb.Auth(
        lease_options=pb.LeaseOptions(
            TTL=1, MaxTTL=2, renewable=True, increment=3, issue_time={"seconds": 7, "nanos": 9}
        ),
        internal_data='{"user":"bob","big":9007199254740993}',
        display_name="toy-bob",
        policies=["default", "a"],
        metadata={"k": "v"},
        accessor="acc",
        period=4,
        num_uses=5,
        entity_id="e",
        alias={
            "name": "bob",
            "mount_accessor": "acc",
            "mount_type": "toy",
            "ID": "i",
            "namespace_id": "n",
            "custom_metadata": {"c": "d"},
            "local": True,
        },
        group_aliases=[{"name": "g"}],
        bound_cidrs=["10.0.0.0/8"],
        token_policies=["a"],
        identity_policies=["default"],
        explicit_max_ttl=6,
        token_type=1,
        no_default_policy=True,
    )
    newer = stored.SerializeToString() + b"\xf2\x3f\x03new"  # field 1022, which we do not know

    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("renew", "login", auth=pb.Auth.FromString(newer))
        assert reply.response.auth == pb.Auth.FromString(newer)
        assert b"\xf2\x3f\x03new" in reply.response.auth.SerializeToString()
        refused = await host.request("renew", "login", auth=pb.Auth(internal_data="{}"))
        assert refused.err.err_msg == "no user in the token"

    run(go)


@pytest.mark.parametrize(
    ("name", "err", "response"),
    [
        ("user", None, {"error": "you did it"}),
        ("invalid", (7, 0, "invalid request"), None),
        ("denied", (8, 0, "permission denied"), None),
        ("operation", (5, 0, "unsupported operation"), None),
        ("path", (6, 0, "unsupported path"), None),
        ("coded", (3, 418, "a teapot"), None),
        ("internal", (0, 0, "we did it"), None),
        ("sentinel", (0, 0, "plugin error: permission denied"), None),
        ("forward", None, {"error": "plugin error: (text left out)"}),
        ("fault", (0, 0, FAULT_TEXT), None),
    ],
)
def test_errors(name, err, response, caplog):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("read", f"error/{name}", id="req-1")
        got = reply.err
        assert (reply.HasField("err"), reply.HasField("response")) == (
            err is not None,
            response is not None,
        )
        if err is not None:
            assert (got.err_type, got.err_code, got.err_msg) == err
        if response is not None:
            assert json.loads(reply.response.data) == response

    run(go)
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(faults) == (name == "fault")
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (name in {"internal", "sentinel"})
    if faults:
        assert faults[0].exc_info
        assert faults[0].__dict__["fields"] == {
            "event": "request_fault",
            "operation": "read",
            "path": "error/fault",
            "request": "req-1",
        }


@pytest.mark.parametrize("operation", ["frobnicate", "", "CREATE"])
def test_unknown_operations(operation):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request(operation, "login")
        assert reply.err.err_type == 5

    run(go)


@pytest.mark.parametrize("operation", ["resolve_role", "alias_lookahead"])
@pytest.mark.parametrize(
    "answer",
    [None, Response(), Response(data={"role": 5}), Response(data={"x": 1})],
    ids=["none", "empty", "number", "other"],
)
def test_answers_that_hosts_read_without_a_check_are_never_absent(operation, answer):
    async def go():
        host = Host(backend_of(**{operation: lambda _request, _data: answer}))
        await host.setup()
        reply = await host.request(operation.replace("_", "-"), "x")
        assert reply.err.err_type == 5
        assert not reply.HasField("response")

    run(go)


def test_alias_lookahead():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("alias-lookahead", "login", data='{"user":"bob"}')
        assert reply.response.auth.alias.name == "bob"
        assert reply.response.data == "null"

    run(go)


def test_raw_answers_are_base64_always():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        data = json.loads((await host.request("read", "page")).response.data)
        assert data == {
            "http_status_code": 200,
            "http_content_type": "text/html",
            # This body is itself valid base64: sent unencoded, the host would decode it.
            "http_raw_body": base64.b64encode(b"PGI+aGk8L2I+").decode(),
        }

    run(go)


def test_help_answers_always():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("help", "", data='{"requestResponsePrefix":"toy"}')
        data = json.loads(reply.response.data)
        assert data["help"].startswith("## DESCRIPTION\n\nA toy")
        assert data["openapi"]["paths"]["/login"]["post"]["operationId"] == "toy-login"
        reply = await host.request("help", "thing/a")
        assert "a_duration (duration (sec))" in json.loads(reply.response.data)["help"]
        assert (await host.request("help", "nope")).err.err_type == 6

    run(go)


def test_rollback_ticks():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        assert await host.request("rollback", "") == pb.HandleRequestReply()
        assert host.backends[0].ticks == 1

    run(go)


def test_rollback_has_a_deadline(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.host.plugin.ROLLBACK_TIMEOUT_S", 0.01)

    class Hanging(ToyBackend):
        async def periodic(self):
            await asyncio.Event().wait()

    async def go():
        host = Host(Hanging)
        await host.setup()
        assert (await host.request("rollback", "")).err.err_msg == (
            "periodic work took longer than 0.01 s"
        )

    run(go)


@pytest.mark.parametrize("operation", ["create", "delete"])
def test_read_only_storage_passes_unchanged(operation):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        host.services.storage.read_only = True
        reply = await host.request(operation, "thing/a", data="{}")
        assert (reply.err.err_type, reply.err.err_msg) == (0, READ_ONLY)

    run(go)


def test_standbys_refuse_what_the_active_node_must_do():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        host.services.system.state = 24576
        reply = await host.request("update", "active")
        assert (reply.err.err_type, reply.err.err_msg) == (0, READ_ONLY)
        host.services.system.state = 8224
        assert json.loads((await host.request("update", "active")).response.data) == {"done": True}

    run(go)


@pytest.mark.parametrize(
    "answer",
    [
        Response(data={"error": 1}),
        Response(data={"x": float("nan")}),
        Response(data={"x": object()}),
        Response(data={"http_status_code": 200}),
    ],
    ids=["error", "nan", "object", "raw"],
)
def test_answers_without_wire_form_are_faults(answer, caplog):
    async def later(_request, _data):
        return answer

    for handler in (later, lambda _request, _data: answer):

        async def go(handler=handler):
            host = Host(backend_of(read=handler))
            await host.setup()
            assert (await host.request("read", "x")).err.err_msg == FAULT_TEXT

        run(go)
    assert caplog.text.count("request failed") == 2


def test_answers_keep_headers_and_redirect():
    answer = Response(
        data={"a": 1}, headers={"X-A": ("1", "2")}, redirect="https://x.test/", warnings=("w",)
    )

    async def go():
        host = Host(backend_of(read=lambda _request, _data: answer))
        await host.setup()
        response = (await host.request("read", "x")).response
        assert list(response.headers["X-A"].header) == ["1", "2"]
        assert response.redirect == "https://x.test/"
        assert list(response.warnings) == ["w"]

    run(go)


def test_request_fields():
    seen: dict[str, Any] = {}

    def look(request, _data):
        seen.update(
            id=request.id,
            mount_point=request.mount_point,
            mount_type=request.mount_type,
            mount_accessor=request.mount_accessor,
            entity_id=request.entity_id,
            display_name=request.display_name,
            headers=request.headers,
            connection=request.connection,
            auth=request.auth,
            unauthenticated=request.unauthenticated,
            size=request.size,
            data=request.data,
        )

    async def go():
        host = Host(backend_of(read=look))
        await host.setup()
        await host.request(
            "read",
            "x",
            id="i",
            mount_point="ns/auth/x/",
            mount_type="x",
            mount_accessor="acc",
            entity_id="e",
            display_name="d",
            unauthenticated=True,
            headers={"X-A": pb.Header(header=["1", "2"])},
        )

    run(go)
    assert seen == {
        "id": "i",
        "mount_point": "ns/auth/x/",
        "mount_type": "x",
        "mount_accessor": "acc",
        "entity_id": "e",
        "display_name": "d",
        "headers": {"X-A": ("1", "2")},
        "connection": None,
        "auth": None,
        "unauthenticated": True,
        "size": len("null"),
        "data": {},
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("[]", "request body is not a JSON object"),
        ('{"a":NaN}', "request body: NaN is no JSON"),
        ('{"a":' * 200, "request body: nested deeper than 128 levels"),
        ('{"a":1e999}', "request body: a number's power of ten is beyond 308"),
        (
            '{"a":1e99999999999999999999}',
            "request body: a number's power of ten is beyond 308",
        ),
        (
            "{",
            (
                "request body: not JSON at character 1: Expecting property name enclosed in "
                "double quotes"
            ),
        ),
    ],
    ids=["list", "nan", "deep", "huge", "beyond decimals", "cut"],
)
def test_bodies_that_cannot_be_decoded(data, text):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("update", "login", data=data)
        assert json.loads(reply.response.data) == {"error": text}

    run(go)


def test_body_too_large(monkeypatch):
    monkeypatch.setattr("vault_jwt_plugin.host.request.MAX_DATA_CHARS", 10)

    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("update", "login", data='{"user":"bob"}')
        assert json.loads(reply.response.data) == {
            "error": "request body has more than 10 characters"
        }

    run(go)


@pytest.mark.parametrize(
    ("operation", "unauthenticated"),
    [("update", True), ("alias-lookahead", False), ("resolve-role", False)],
)
def test_a_body_that_nobody_needs_a_token_for_is_smaller(monkeypatch, operation, unauthenticated):
    monkeypatch.setattr("vault_jwt_plugin.host.request.MAX_OPEN_DATA_CHARS", 10)

    async def go():
        host = Host(ToyBackend)
        await host.setup()
        data = '{"user":"bob"}'
        reply = await host.request(operation, "login", data=data, unauthenticated=unauthenticated)
        assert json.loads(reply.response.data) == {
            "error": "request body has more than 10 characters"
        }

    run(go)


@pytest.mark.parametrize(
    "body",
    ['{"a":[' + "1.1," * 20_000 + "1]}", '{"a":[' + "[{}]" * 20_000, '{"user":"' + "," * 70_000],
    ids=["numbers", "brackets", "commas in text"],
)
def test_bodies_of_very_many_values(body):
    """Check that a body of millions of numbers, which would block everybody, is refused."""

    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.request("update", "login", data=body)
        assert json.loads(reply.response.data) == {
            "error": "request body has more than 20000 commas and brackets"
        }

    run(go)


def test_a_large_body_of_few_values():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        data = json.dumps({"user": "bob", "a": "x" * 1_000_000, "b": list(range(15_000))})
        reply = await host.request("update", "login", data=data)
        assert reply.response.auth.display_name == "bob"

    run(go)


def test_cancelled_requests_cancel_their_callbacks():
    cancelled = asyncio.Event()

    class Hanging(FakeChannel):
        async def unary(self, *args, **kwargs):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    async def go():
        host = Host(ToyBackend)
        await host.setup()
        backend = host.backends[0]
        backend.context.storage._channel = Hanging(host.services)
        request = pb.Request(operation="read", path="thing/a", data="null")
        message = pb.HandleRequestArgs(request=request).SerializeToString()
        answer = host.call_now("/pb.Backend/HandleRequest", message)
        assert inspect.isawaitable(answer)
        task = asyncio.ensure_future(answer)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.is_set()

    run(go)


def test_coded_and_user_errors_from_late_handlers():
    async def coded(_request, _data):
        raise CodedError(404, "not here")

    async def user(_request, _data):
        raise UserError("")

    async def go():
        host = Host(backend_of(read=coded, update=user))
        await host.setup()
        err = (await host.request("read", "x")).err
        assert (err.err_type, err.err_code, err.err_msg) == (3, 404, "not here")
        reply = await host.request("update", "x")
        assert json.loads(reply.response.data) == {"error": "invalid input"}

    run(go)
