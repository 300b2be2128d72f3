from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import CLAIMS, Mounted
from vault_jwt_plugin.jwt_auth.counters import MAX_REASONS, OTHER, Counters
from vault_jwt_plugin.sdk import LogicalError, Operation, StorageError
from vault_jwt_plugin.sdk.testing import FakeRequest


def counters(**options):
    return Counters(clock=lambda: 100.0, **options)


def roles(counts):
    return {name: (role.logins, role.denied) for name, role in counts.roles.items()}


def test_logins_are_counted_by_role():
    counts = counters()
    for role in ("a", "b", "a"):
        counts.login_granted(role)
    assert counts.logins == 3
    assert roles(counts) == {"a": (2, 0), "b": (1, 0)}


def test_denials_are_counted_by_reason_and_by_role():
    counts = counters()
    counts.login_denied("token_expired", role="a")
    counts.login_denied("signature_invalid", role="a")
    counts.login_denied("role_unknown", role=None)
    assert counts.denied == {"token_expired": 1, "signature_invalid": 1, "role_unknown": 1}
    assert roles(counts) == {"a": (0, 2)}
    assert counts.roles["a"].last_reason == "signature_invalid"
    assert counts.roles["a"].last_denied_at == 100.0


def test_faults_are_no_denials():
    counts = counters()
    counts.login_failed("storage_error")
    assert counts.failed == {"storage_error": 1}
    assert counts.denied == {}


def test_roles_are_bounded():
    counts = counters(max_roles=2)
    for role in ("a", "b", "c", "d", "a"):
        counts.login_granted(role)
        counts.login_denied("x", role=role)
    assert roles(counts) == {"a": (2, 2), "b": (1, 1)}
    assert (counts.other_roles.logins, counts.other_roles.denied) == (2, 2)
    assert counts.logins == 5
    counts.forget_role("b")
    counts.login_granted("c")
    assert roles(counts) == {"a": (2, 2), "c": (1, 0)}


@pytest.mark.parametrize("method", ["denied", "failed"])
def test_codes_are_bounded(method):
    counts = counters()
    for index in range(MAX_REASONS + 50):
        if method == "denied":
            counts.login_denied(f"code_{index}", role=None)
        else:
            counts.login_failed(f"code_{index}")
    counted = getattr(counts, method)
    assert len(counted) == MAX_REASONS + 1
    assert counted[OTHER] == 50


# What a mount counts.


def mount_test(test):
    def run():
        async def mounted():
            async with Mounted() as mount:
                await mount.configure()
                await test(mount, mount.backend._mount.counters)

        asyncio.run(mounted())

    run.__name__ = test.__name__
    return run


async def refused(mount, **login):
    with pytest.raises(LogicalError):
        await mount.login(**login)


@mount_test
async def test_a_login(mount, counts):
    await mount.login()
    await mount.login()
    assert counts.logins == 2
    assert roles(counts) == {"demo": (2, 0)}
    assert counts.requests[Operation.UPDATE] == 3  # and the write of config
    assert counts.requests[Operation.CREATE] == 1


@mount_test
async def test_a_login_with_the_default_role(mount, counts):
    keys = {"jwt_validation_pubkeys": tokens.public_pem(tokens.key_for("RS256"))}
    await mount.configure(**keys, default_role="demo")
    await mount.login(role="")
    await refused(mount, role="", jwt="x")
    assert roles(counts) == {"demo": (1, 1)}


@mount_test
async def test_a_denial_names_its_reason(mount, counts):
    await refused(mount, jwt="x")
    await refused(mount, jwt=tokens.token(CLAIMS | {"exp": 1}))
    assert counts.denied == {"token_malformed": 1, "expired": 1}
    assert counts.logins == 0
    assert roles(counts) == {"demo": (0, 2)}


@mount_test
async def test_roles_that_callers_make_up_are_not_counted_by_name(mount, counts):
    for index in range(50):
        await refused(mount, role=f"made-up-{index}")
    await refused(mount, role="")
    assert counts.denied == {"role_unknown": 50, "role_missing": 1}
    assert roles(counts) == {}


@mount_test
async def test_a_lookahead_grants_nothing_and_counts_as_a_request_only(mount, counts):
    data = {"role": "demo", "jwt": tokens.token(CLAIMS)}
    await mount.ask(Operation.ALIAS_LOOKAHEAD, "login", data)
    with pytest.raises(LogicalError):
        await mount.ask(Operation.ALIAS_LOOKAHEAD, "login", data | {"jwt": "x"})
    assert counts.requests[Operation.ALIAS_LOOKAHEAD] == 2
    assert (counts.logins, counts.denied, roles(counts)) == (0, {}, {})


@mount_test
async def test_a_fault_is_no_denial(mount, counts):
    mount.backend.invalidate_key("config")
    mount.storage.fail_with = "disk on fire"
    with pytest.raises(StorageError):
        await mount.login()
    assert (counts.failed, counts.denied) == ({StorageError.code: 1}, {})


@mount_test
async def test_a_deleted_role_is_forgotten(mount, counts):
    await mount.login()
    await mount.ask(Operation.DELETE, "role/demo")
    assert roles(counts) == {}
    await refused(mount)
    assert roles(counts) == {}
    assert counts.logins == 1


@mount_test
async def test_a_role_that_another_node_deleted_is_forgotten(mount, counts):
    await mount.login()
    await mount.storage.delete("role/demo")
    mount.backend.invalidate_key("role/demo")
    await refused(mount)
    assert roles(counts) == {}


@mount_test
async def test_every_operation_counts(mount, counts):
    before = dict(counts.requests)
    for operation in Operation:
        try:
            answer = mount.backend.handle_request(FakeRequest(operation=operation, path="nowhere"))
        except LogicalError:
            continue
        if inspect.isawaitable(answer):
            await answer
    assert {op: count - before[op] for op, count in counts.requests.items()} == dict.fromkeys(
        Operation, 1
    )
