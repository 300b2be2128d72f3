"""The host protocol: messages of pb.Backend, in any order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tests.fuzz import mutation
from tests.fuzz.answers import URL, pod
from tests.fuzz.target import FoundError, Target, check
from tests.fuzz.world import ANSWERED, GRANT, LEAST, PEM, TOKEN, runs
from tests.host.fakes import Host
from tests.jwt_auth.fakes import FakeFetcher
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.host.response import FAULT_TEXT
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.pb import backend_pb2 as pb
from vault_jwt_plugin.rpc import RPCError
from vault_jwt_plugin.sdk import (
    jsonutil,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.sdk import BackendContext

_REPLIES: tuple[tuple[str, Any, Any], ...] = (
    ("HandleRequest", pb.HandleRequestArgs, pb.HandleRequestReply),
    ("HandleExistenceCheck", pb.HandleExistenceCheckArgs, pb.HandleExistenceCheckReply),
    ("InvalidateKey", pb.InvalidateKeyArgs, pb.Empty),
    ("SpecialPaths", pb.Empty, pb.SpecialPathsReply),
    ("Type", pb.Empty, pb.TypeReply),
    ("Initialize", pb.InitializeArgs, pb.InitializeReply),
    ("Setup", pb.SetupArgs, pb.SetupReply),
    ("Cleanup", pb.Empty, pb.Empty),
)


def _backend(context: BackendContext) -> JWTBackend:
    fetcher = FakeFetcher()
    fetcher.documents = dict(ANSWERED)
    return JWTBackend(context, fetcher=fetcher, messages=AuthMessages(), pod=pod())


async def _converse(data: bytes) -> None:
    """Records: the kind is the method, the content its message."""
    host = Host(_backend, linger_s=0)
    try:
        check(await host.setup() == "", "setup failed")
        for kind, message in mutation.split_records(data)[:20]:
            method, _, reply = _REPLIES[kind % len(_REPLIES)]
            setup = pb.SetupArgs(broker_id=1000 + len(host.broker.channels)).SerializeToString()
            try:
                answer = await host.call(
                    f"/pb.Backend/{method}", setup if method == "Setup" else message
                )
            except RPCError as error:
                known = error.message.startswith("not a pb.") or "instance" in error.message
                check(known, f"another status: {error}")
                continue
            if FAULT_TEXT.encode() in answer:
                # Only the host itself can send a token's data that is no JSON.
                renewed = method == "HandleRequest" and b"renew" in message
                check(renewed, "a fault of ours was answered")
            try:
                reply.FromString(answer)
            except DecodeError as error:
                raise FoundError(f"{method}: an answer that is none") from error
    finally:
        await host.plugin.close()


def _requests() -> dict[str, bytes]:
    def asked(operation: str, path: str, data: Any = None, kind: int = 0, **fields: Any) -> bytes:
        text = json.dumps(data) if data is not None else "null"
        request = pb.Request(operation=operation, path=path, data=text, **fields)
        arguments = _REPLIES[kind][1](request=request)
        return mutation.record(kind, arguments.SerializeToString())

    config = asked("update", "config", {"jwt_validation_pubkeys": PEM})
    role = asked("create", "role/demo", LEAST)
    connection = pb.Connection(remote_addr="127.0.0.1")
    login = asked(
        "update",
        "login",
        {"role": "demo", "jwt": TOKEN},
        connection=connection,
        unauthenticated=True,
    )
    cel = asked(
        "update",
        "cel/role/demo",
        {"cel_program": {"expression": GRANT}},
    )
    auth = pb.Auth(
        internal_data='{"role":"demo","role_type":"native"}',
        policies=["p"],
        display_name="me",
        alias={"name": "me", "mount_type": "jwt"},
        metadata={"role": "demo"},
    )
    auth.lease_options.TTL = 3600 * 10**9
    return {
        "login": config + role + login,
        "lookahead": config
        + role
        + asked("alias-lookahead", "login", {"role": "demo", "jwt": TOKEN})
        + asked("resolve-role", "login", {"role": "demo", "jwt": TOKEN}),
        "renew": config + role + asked("renew", "login", auth=auth),
        "read": config
        + role
        + asked("read", "config")
        + asked("read", "role/demo")
        + asked("list", "role/")
        + asked("list", "role", {"limit": 1}),
        "exists": asked("update", "role/demo", {}, kind=1)
        + role
        + asked("update", "role/demo", {}, kind=1),
        "help": asked("help", "")
        + asked("help", "role/demo", {"requestResponsePrefix": "jwt"})
        + asked("help", "nothing"),
        "delete": role
        + asked("delete", "role/demo")
        + asked("rollback", "")
        + asked("revoke", "login", auth=auth),
        "status": config + role + login + asked("read", "status") + asked("rollback", ""),
        "cel": config
        + cel
        + asked("patch", "cel/role/demo", {"bound_audiences": "vault"})
        + asked("update", "cel/login", {"role": "demo", "jwt": TOKEN}),
        "jwks": asked("update", "config", {"jwks_url": URL})
        + role
        + login
        + asked("read", "config"),
        "wrong": asked("update", "login", {"role": "nobody", "jwt": "a.b.c"})
        + asked("nonsense", "login")
        + asked("update", "no/such"),
        "invalidate": config
        + role
        + login
        + mutation.record(2, pb.InvalidateKeyArgs(key="role/demo").SerializeToString())
        + mutation.record(2, pb.InvalidateKeyArgs(key="config").SerializeToString())
        + login,
        "life": mutation.record(3, b"")
        + mutation.record(4, b"")
        + mutation.record(5, b"")
        + mutation.record(6, b"")
        + mutation.record(7, b"")
        + mutation.record(7, b"")
        + login,
    }


TARGETS = (
    Target(
        name="backend",
        run=runs(_converse, jsonutil.JSONError),
        examples=_requests,
        mutate=mutation.records,
        max_bytes=16_384,
    ),
)
