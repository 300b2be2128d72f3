"""The method table of pb.Backend, called as hosts call it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.host.fakes import READ_ONLY, Host, HostServices, raising, run
from tests.host.toy_backend import ToyBackend
from vault_jwt_plugin import rpc
from vault_jwt_plugin.goplugin import BrokerError
from vault_jwt_plugin.host.response import FAULT_TEXT
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.pb import logical_pb2, multiplexing_pb2
from vault_jwt_plugin.sdk import (
    Backend,
    HostFamily,
    InternalError,
    Path,
    ReadOnlyError,
    StorageEntry,
)

# Setup, identity and end of an instance


def test_life_of_a_mount():
    async def go():
        host = Host(ToyBackend)
        assert await host.setup(plugin_name="toy") == ""
        kind = await host.call("/pb.Backend/Type")
        assert pb.TypeReply.FromString(kind).type == 2
        special = pb.SpecialPathsReply.FromString(await host.call("/pb.Backend/SpecialPaths"))
        assert list(special.paths.unauthenticated) == ["login", "page"]
        assert list(special.paths.seal_wrap_storage) == ["thing/"]
        assert await host.call("/pb.Backend/Initialize") == b""
        (backend,) = host.backends
        assert backend.initialized == 1
        assert backend.context.backend_uuid == "uuid-1"
        assert backend.context.config == {"plugin_name": "toy"}
        assert backend.context.version == "v1.2.3"
        assert backend.context.protocol_version == 5
        key = pb.InvalidateKeyArgs(key="thing/a").SerializeToString()
        assert await host.call("/pb.Backend/InvalidateKey", key) == b""
        assert backend.invalidated == ["thing/a"]
        for _ in range(2):  # A second Cleanup is not an error.
            assert await host.call("/pb.Backend/Cleanup") == b""
        assert backend.cleaned == 1
        assert host.broker.channels[1].closed
        with pytest.raises(rpc.RPCError) as caught:
            await host.call("/pb.Backend/Type")
        assert caught.value.code is rpc.StatusCode.UNKNOWN
        assert caught.value.message == "no backend instance found"

    run(go)


@pytest.mark.parametrize(
    ("variables", "family"),
    [
        ({}, HostFamily.VAULT),
        ({"VAULT_VERSION": "1.21.0"}, HostFamily.VAULT),
        ({"VAULT_VERSION": "2.7.2", "BAO_VERSION": "2.7.2"}, HostFamily.OPENBAO),
    ],
)
def test_a_backend_knows_the_hosts_family(monkeypatch, variables, family):
    for name in ("VAULT_VERSION", "BAO_VERSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    async def go():
        host = Host(ToyBackend)
        assert await host.setup() == ""
        assert host.backends[0].context.host_family is family

    run(go)


def test_a_mount_s_logger_goes_with_it(caplog):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        (backend,) = host.backends
        backend.context.logger.warning("seen")
        assert "vault_jwt_plugin.backend.uuid-1" not in logging.Logger.manager.loggerDict

    run(go)
    (record,) = caplog.records
    assert (record.name, record.message) == ("vault_jwt_plugin.backend.uuid-1", "seen")


def test_version_and_multiplexing_need_no_metadata():
    async def go():
        host = Host(ToyBackend)
        version = await host.call("/logical.PluginVersion/Version", instance=None)
        assert logical_pb2.VersionReply.FromString(version).plugin_version == "v1.2.3"
        answer = await host.call(
            "/pluginutil.multiplexing.PluginMultiplexing/MultiplexingSupport", instance=None
        )
        assert multiplexing_pb2.MultiplexingSupportResponse.FromString(answer).supported

    run(go)


@pytest.mark.parametrize("instance", [None, "", "other"])
@pytest.mark.parametrize(
    "method",
    [
        "Type",
        "SpecialPaths",
        "Initialize",
        "HandleExistenceCheck",
        "HandleRequest",
        "InvalidateKey",
    ],
)
def test_unknown_instances_are_refused(method, instance):
    async def go():
        host = Host(ToyBackend)
        assert await host.setup() == ""
        with pytest.raises(rpc.RPCError) as caught:
            await host.call(f"/pb.Backend/{method}", instance=instance)
        assert caught.value.code is rpc.StatusCode.UNKNOWN

    run(go)


def test_mounts_are_isolated():
    async def go():
        host = Host(ToyBackend)
        assert await host.setup("a", uuid="1") == ""
        assert await host.setup("b", uuid="2") == ""
        first, second = host.backends
        assert first is not second
        await host.call("/pb.Backend/Initialize", instance="b")
        assert (first.initialized, second.initialized) == (0, 1)
        assert host.broker.channels[1] is not host.broker.channels[2]
        await host.call("/pb.Backend/Cleanup", instance="a")
        assert (host.broker.channels[1].closed, host.broker.channels[2].closed) == (True, False)
        assert await host.call("/pb.Backend/Type", instance="b")

    run(go)


def test_setup_again_ends_the_instance_before():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        await host.setup()
        await asyncio.sleep(0)
        await host.plugin.close()
        assert [backend.cleaned for backend in host.backends] == [1, 1]
        assert all(channel.closed for channel in host.broker.channels.values())

    run(go)


def test_a_probe_needs_no_storage():
    async def go():
        host = Host(ToyBackend, services=HostServices(probe=True))
        assert await host.setup(uuid="") == ""
        assert host.services.calls == []
        reply = await host.request("read", "thing/a")
        assert reply.err.err_msg == (
            "storage is not available while the plugin is being registered"
        )

    run(go)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InternalError("no luck"), "setup failed: no luck"),
        (ValueError("secret detail"), f"setup failed: {FAULT_TEXT}"),
    ],
)
def test_failed_setup_is_reported_and_ends_an_unused_process(error, text):
    def factory(_context):
        raise error

    async def go():
        host = Host(factory)
        assert await host.setup() == text
        assert host.broker.channels[1].closed
        await host.ended.wait()

    run(go)


def test_unannounced_broker_id():
    async def go():
        host = Host(ToyBackend)
        host.broker.error = BrokerError("the host did not announce 7", service_id=7)
        assert await host.setup() == "setup failed: the host did not announce 7"
        await host.ended.wait()

    run(go)


def test_failed_setup_beside_a_living_mount_ends_nothing():
    async def go():
        host = Host(ToyBackend)
        await host.setup("a")
        host.broker.error = BrokerError("gone", service_id=7)
        assert await host.setup("b")
        await asyncio.sleep(0.05)
        assert not host.ended.is_set()

    run(go)


def test_next_setup_keeps_the_process():
    async def go():
        host = Host(ToyBackend, linger_s=0.05)
        host.broker.error = BrokerError("gone", service_id=7)
        assert await host.setup("a")
        host.broker.error = None
        assert await host.setup("b") == ""
        await asyncio.sleep(0.1)
        assert not host.ended.is_set()

    run(go)


def test_close_ends_every_mount_whatever_fails(caplog):
    class Stubborn(ToyBackend):
        async def cleanup(self):
            raise ZeroDivisionError

    async def go():
        host = Host(Stubborn)
        await host.setup("a")
        await host.setup("b")
        await host.plugin.close()
        assert all(channel.closed for channel in host.broker.channels.values())
        assert await host.call("/pb.Backend/Cleanup") == b""

    run(go)
    assert caplog.text.count("cleanup failed") == 2


def test_cleanup_finishes_though_its_call_was_cancelled():
    class Slow(ToyBackend):
        async def cleanup(self):
            await asyncio.sleep(0.02)
            self.cleaned += 1

    async def go():
        host = Host(Slow)
        await host.setup()
        call = asyncio.ensure_future(host.call("/pb.Backend/Cleanup"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await host.plugin.close()
        assert host.backends[0].cleaned == 1
        assert host.broker.channels[1].closed

    run(go)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ReadOnlyError(READ_ONLY), ""),
        (InternalError("no luck"), "no luck"),
        (ZeroDivisionError("secret"), FAULT_TEXT),
    ],
)
def test_initialize_failures(error, text):
    class Failing(ToyBackend):
        async def initialize(self):
            raise error

    async def go():
        host = Host(Failing)
        await host.setup()
        answer = await host.call("/pb.Backend/Initialize")
        assert pb.InitializeReply.FromString(answer).err.err_msg == text

    run(go)


def test_invalidation_that_fails_is_logged_only(caplog):
    class Failing(ToyBackend):
        def invalidate_key(self, key):
            raise ZeroDivisionError

    async def go():
        host = Host(Failing)
        await host.setup()
        assert await host.call("/pb.Backend/InvalidateKey") == b""

    run(go)
    assert "invalidation failed" in caplog.text


def test_nonsense_is_a_transport_error():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        with pytest.raises(rpc.RPCError) as caught:
            await host.call("/pb.Backend/HandleRequest", b"\xff\xff")
        assert caught.value.code is rpc.StatusCode.INTERNAL
        assert caught.value.message == "not a pb.HandleRequestArgs"

    run(go)


# Existence checks


@pytest.mark.parametrize(
    ("path", "found", "exists"),
    [("login", False, False), ("thing/a", True, True), ("thing/b", True, False)],
)
def test_existence_check(path, found, exists):
    async def go():
        host = Host(ToyBackend, services=HostServices())
        await host.setup()
        await host.services.storage.put(StorageEntry(key="thing/a", value=b"{}"))
        reply = await host.exists(path)
        assert (reply.check_found, reply.exists) == (found, exists)
        assert not reply.HasField("err")

    run(go)


@pytest.mark.parametrize(
    ("path", "data", "kind", "text"),
    [
        ("nope", "null", 6, "unsupported path"),
        (
            "thing/a",
            '{"a_int":"x"}',
            1,
            (
                'Field validation failed: error converting input for field "a_int": '
                "expected a whole number, got a string that is no number"
            ),
        ),
        ("thing/a", "[1]", 1, "request body is not a JSON object"),
    ],
)
def test_existence_check_errors(path, data, kind, text):
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        reply = await host.exists(path, data=data)
        assert (reply.err.err_type, reply.err.err_msg) == (kind, text)

    run(go)


def test_existence_check_of_a_login_is_answered_at_once():
    async def go():
        host = Host(ToyBackend)
        await host.setup()
        args = pb.HandleExistenceCheckArgs(
            request=pb.Request(operation="update", path="login", data="not decoded")
        )
        message = args.SerializeToString()
        assert host.call_now("/pb.Backend/HandleExistenceCheck", message) == b""

    run(go)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [(ZeroDivisionError("secret"), 0, FAULT_TEXT), (InternalError("down"), 0, "down")],
)
def test_existence_check_that_fails(error, kind, text):
    async def later(_request, _data):
        raise error

    for check in (raising(error), later):

        async def go(check=check):
            host = Host(
                lambda context: Backend(
                    context, paths=[Path(pattern="x", operations={}, existence_check=check)]
                )
            )
            await host.setup()
            reply = await host.exists("x")
            assert (reply.err.err_type, reply.err.err_msg) == (kind, text)

        run(go)
