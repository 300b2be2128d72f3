"""Routing, fields and hooks (framework/backend.go)."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from vault_jwt_plugin.sdk import (
    NAME_PATTERN,
    Auth,
    Backend,
    Field,
    FieldError,
    FieldType,
    LogicalError,
    Operation,
    OperationSpec,
    Path,
    ReadOnlyError,
    Response,
    UnsupportedOperation,
    UnsupportedPath,
    UserError,
)
from vault_jwt_plugin.sdk.testing import FakeRequest, FakeSystemView, InMemoryStorage, make_context

NAME = Field(name="name", type=FieldType.LOWER_STRING)


def echo(request, data):
    return Response(data={"path": request.path, "sent": {name: data[name] for name in data}})


async def echo_later(request, data):
    return echo(request, data)


def nothing(_request, _data):
    return None


def paths():
    return [
        Path(
            pattern="login",
            fields=[
                Field(name="role", type=FieldType.LOWER_STRING),
                Field(name="ttl", type=FieldType.DURATION),
            ],
            operations={Operation.UPDATE: echo, Operation.READ: nothing},
        ),
        Path(
            pattern=f"role/{NAME_PATTERN}",
            fields=[NAME],
            operations={Operation.READ: echo, Operation.UPDATE: echo_later},
            existence_check=lambda _request, data: data["name"] == "there",
        ),
        Path(pattern="role/?", operations={Operation.LIST: echo}),
        Path(
            pattern="(?P<any>.*)/tail",
            fields=[Field(name="any", type=FieldType.STRING)],
            operations={Operation.READ: echo},
        ),
        Path(pattern="lit/tail", operations={Operation.READ: nothing}),
    ]


def backend(**kwargs):
    kwargs.setdefault("paths", paths())
    return Backend(kwargs.pop("context", make_context()), **kwargs)


def ask(what, **kwargs):
    answer = what(FakeRequest(**kwargs))

    async def wait():
        return await answer

    return asyncio.run(wait()) if inspect.isawaitable(answer) else answer


def test_sync_handlers_stay_sync():
    request = FakeRequest(path="login", data={"role": "X", "ttl": None})
    answer = backend().handle_request(request)
    assert answer == Response(data={"path": "login", "sent": {"role": "x"}})


def test_async_handlers_stay_async():
    answer = backend().handle_request(FakeRequest(path="role/a"))
    assert inspect.isawaitable(answer)

    async def wait():
        return await answer

    assert asyncio.run(wait()).data == {"path": "role/a", "sent": {"name": "a"}}


@pytest.mark.parametrize(
    ("path", "operation", "error"),
    [
        ("nope", Operation.UPDATE, UnsupportedPath),
        ("", Operation.UPDATE, UnsupportedPath),
        ("login/", Operation.UPDATE, UnsupportedPath),
        ("login\n", Operation.UPDATE, UnsupportedPath),
        ("xlogin", Operation.UPDATE, UnsupportedPath),
        ("role/a@b", Operation.READ, UnsupportedPath),
        ("role/é", Operation.READ, UnsupportedPath),
        ("role/a.", Operation.READ, UnsupportedPath),
        ("role/a/b", Operation.READ, UnsupportedPath),
        ("login", Operation.DELETE, UnsupportedOperation),
        ("login", Operation.REVOKE, UnsupportedOperation),
        ("", Operation.ROTATE, UnsupportedOperation),
    ],
)
def test_no_route(path, operation, error):
    with pytest.raises(error):
        backend().handle_request(FakeRequest(path=path, operation=operation))


@pytest.mark.parametrize("name", ["a", "A_b-c.d", "0", "a" * 5000])
def test_names(name):
    answer = ask(backend().handle_request, path=f"role/{name}", operation=Operation.READ)
    assert answer.data["sent"] == {"name": name.lower()}


def test_list_path_ends_in_slash():
    assert ask(backend().handle_request, path="role/", operation=Operation.LIST).data == {
        "path": "role/",
        "sent": {},
    }


def test_first_match_wins_over_a_later_literal():
    answer = ask(backend().handle_request, path="lit/tail", operation=Operation.READ)
    assert answer.data["sent"] == {"any": "lit"}
    assert backend().route("lit/tail").pattern == "(?P<any>.*)/tail"
    assert backend().route("nope") is None


def test_path_captures_override_and_warn():
    answer = ask(
        backend().handle_request,
        path="role/real",
        operation=Operation.READ,
        data={"name": "forged", "b": 1, "a": 2},
    )
    assert answer.data["sent"] == {"name": "real"}
    assert answer.warnings == (
        "Endpoint ignored these unrecognized parameters: [a b]",
        (
            "Endpoint replaced the value of these parameters with the values captured from the "
            "endpoint's path: [name]"
        ),
    )


def test_warnings_come_with_late_answers_too():
    answer = ask(backend().handle_request, path="role/x", data={"zz": 1})
    assert answer.warnings == ("Endpoint ignored these unrecognized parameters: [zz]",)


def test_no_answer_no_warning():
    data = {"zz": 1}
    assert ask(backend().handle_request, path="login", operation=Operation.READ, data=data) is None


def test_a_write_that_answers_nothing_tells_what_it_ignored():
    data = {"zz": 1, "name": "y"}
    answer = ask(silent().handle_request, path="role/x", data=data)
    assert answer == Response(warnings=("Endpoint ignored these unrecognized parameters: [zz]",))
    # Clients send the name along; for them the answer stays as empty as before.
    assert ask(silent().handle_request, path="role/x", data={"name": "y"}) is None


def silent():
    paths = [
        Path(pattern=f"role/{NAME_PATTERN}", fields=[NAME], operations={Operation.UPDATE: nothing})
    ]
    return Backend(make_context(), paths=paths)


def test_warning_leaves_out_what_hosts_act_on():
    sent = {"node is not the leader": 1, "x" * 300: 1}
    (warning,) = ask(backend().handle_request, path="login", data=sent).warnings
    assert "leader" not in warning
    assert len(warning) < 200


def test_who_is_refused_has_no_warnings_made(monkeypatch):
    async def refuse(_request, _data):
        raise UserError("no")

    monkeypatch.setattr("vault_jwt_plugin.sdk.backend._unrecognized", pytest.fail)
    refusing = Backend(
        make_context(), paths=[Path(pattern="a", operations={Operation.UPDATE: refuse})]
    )
    with pytest.raises(UserError):
        ask(refusing.handle_request, path="a", data={"zz": 1})


def test_fields_are_read_before_the_handler():
    with pytest.raises(FieldError, match='field "ttl"'):
        backend().handle_request(FakeRequest(path="login", data={"ttl": "soon"}))


@pytest.mark.parametrize(
    ("path", "exists"), [("login", None), ("role/there", True), ("role/other", False)]
)
def test_existence_check(path, exists):
    assert ask(backend().handle_existence_check, path=path) is exists


def test_existence_check_of_unknown_path():
    with pytest.raises(UnsupportedPath):
        backend().handle_existence_check(FakeRequest(path="nope"))


@pytest.mark.parametrize("path", ["login", "gone/login", ""])
def test_renew_is_a_hook_whatever_the_path(path):
    class Renewing(Backend):
        def renew(self, request):
            return Response(auth=request.auth)

    renewing = Renewing(make_context(), paths=paths())
    auth = Auth(display_name="u")
    answer = ask(renewing.handle_request, path=path, operation=Operation.RENEW, auth=auth)
    assert answer.auth is auth
    with pytest.raises(UserError, match="this auth type doesn't support renew"):
        backend().handle_request(FakeRequest(path=path, operation=Operation.RENEW))


def test_rollback_is_the_periodic_tick():
    ticks = []

    class Ticking(Backend):
        async def periodic(self):
            ticks.append(1)

    assert backend().handle_request(FakeRequest(operation=Operation.ROLLBACK)) is None
    ticking = Ticking(make_context(), paths=paths())
    assert ask(ticking.handle_request, operation=Operation.ROLLBACK) is None
    assert ticks == [1]


@pytest.mark.parametrize(
    ("state", "local", "standby", "secondary"),
    [
        (12288, False, False, False),
        (24576, False, True, False),
        (64, False, False, True),
        (64, True, False, False),
        (64 | 16384, True, True, False),
    ],
)
def test_forwarding(state, local, standby, secondary):
    system = FakeSystemView(state=state, local=local)
    forwarding = Backend(
        make_context(system=system),
        paths=[
            Path(
                pattern="s",
                operations={
                    Operation.UPDATE: OperationSpec(handler=echo_later, forward_standby=True)
                },
            ),
            Path(
                pattern="p",
                operations={Operation.UPDATE: OperationSpec(handler=echo, forward_secondary=True)},
            ),
        ],
    )
    for path, refused in (("s", standby), ("p", secondary)):
        if refused:
            with pytest.raises(ReadOnlyError) as caught:
                ask(forwarding.handle_request, path=path)
            assert caught.value.message == "cannot write to readonly storage"
        else:
            assert ask(forwarding.handle_request, path=path).data["path"] == path


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"pattern": "", "operations": {}}, "a path's pattern is empty"),
        (
            {"pattern": "a", "operations": {Operation.CREATE: echo}},
            "a: create without an existence check",
        ),
        ({"pattern": "(?P<x>a)", "operations": {}}, r"\(\?P<x>a\): undeclared x"),
        ({"pattern": "a", "operations": {}, "fields": [NAME, NAME]}, "two fields are named name"),
    ],
)
def test_declarations_that_cannot_work(declared, message):
    with pytest.raises(ValueError, match=message):
        Backend(make_context(), paths=[Path(**declared)])


@pytest.mark.parametrize("entry", ["/login", "a*b", "a/+*", "a+/b", "a**"])
def test_special_paths_that_fail_a_mount(entry):
    with pytest.raises(ValueError, match="special path"):
        backend(unauthenticated=[entry])


def test_special_paths():
    made = backend(unauthenticated=["login", "oidc/+/x", "a*"], root=["b*"])
    assert made.unauthenticated == ("login", "oidc/+/x", "a*")
    with pytest.raises(ValueError, match="special path"):
        backend(root=["a/+"])


def test_hooks_do_nothing_by_default():
    async def run():
        made = backend()
        await made.initialize()
        await made.cleanup()
        await made.periodic()
        made.invalidate_key("config")

    asyncio.run(run())


def test_fakes_behave():
    async def run():
        storage = InMemoryStorage({"role/a": b"{}", "role/b/c": b"1", "config": b"2"})
        assert await storage.list("role/") == ["a", "b/"]
        assert await storage.list("") == ["config", "role/"]
        assert await storage.list_page("role/", after="a", limit=0) == ["b/"]
        assert storage.json("role/a") == {}
        storage.read_only = True
        with pytest.raises(ReadOnlyError):
            await storage.delete("config")
        storage.fail_with = "down"
        with pytest.raises(LogicalError, match="down"):
            await storage.get("config")
        assert storage.calls[-1] == ("get", "config")
        system = FakeSystemView()
        assert (await system.replication_state()).writable(local_mount=False)
        assert await system.vault_version() == "1.21.0"
        assert await system.default_lease_ttl_ns() == await system.max_lease_ttl_ns()
        assert not await system.local_mount()

    asyncio.run(run())
