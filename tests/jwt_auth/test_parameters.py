"""Every parameter of the configuration and of roles does what its declaration says."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from tests.jwt_auth.cel.mounted import CELMounted
from vault_jwt_plugin.jwt_auth.cel.role import CELRole, Program
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.paths.role import merge
from vault_jwt_plugin.jwt_auth.role.role import Role
from vault_jwt_plugin.sdk import (
    KEEP,
    NS_PER_S,
    OURS,
    RESET,
    FieldData,
    FieldType,
    OnOmit,
    Operation,
    Parameter,
    TokenType,
    by_name,
    fields_of,
)


class Sample(NamedTuple):
    """One value of a parameter, which is not its default, in each of its forms."""

    sent: Any
    value: Any
    stored: Any
    read: Any


OF_TYPE = {
    FieldType.STRING: Sample("marked", "marked", "marked", "marked"),
    FieldType.LOWER_STRING: Sample("Marked", "marked", "marked", "marked"),
    FieldType.BOOL: Sample("true", True, True, True),
    FieldType.INT: Sample("7", 7, 7, 7),
    FieldType.COMMA_STRINGS: Sample("a, b", ("a", "b"), ["a", "b"], ["a", "b"]),
    FieldType.MAP: Sample({"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
    FieldType.KV_PAIRS: Sample("a=b", {"a": "b"}, {"a": "b"}, {"a": "b"}),
    FieldType.LIST: Sample([{"a": "b"}], ({"a": "b"},), [{"a": "b"}], [{"a": "b"}]),
    FieldType.DURATION: Sample("90s", 90 * NS_PER_S, 90 * NS_PER_S, 90),
    FieldType.SIGNED_DURATION: Sample("-90s", -90 * NS_PER_S, -90 * NS_PER_S, -90),
}


def same(value: Any) -> Sample:
    return Sample(value, value, value, value)


CIDRS = Sample(
    "10.0.0.0/8, 1.1.1.1/32",
    ("10.0.0.0/8", "1.1.1.1"),
    ["10.0.0.0/8", "1.1.1.1"],
    ["10.0.0.0/8", "1.1.1.1"],
)
PROGRAM = {"variables": [{"name": "a", "expression": "claims.sub"}], "expression": "false"}
OF_NAME = {
    "role_type": same("oidc"),
    "bound_claims_type": same("glob"),
    "callback_mode": same("device"),
    "oauth2_metadata": Sample("id_token", ("id_token",), ["id_token"], ["id_token"]),
    "token_bound_cidrs": CIDRS,
    "bound_cidrs": CIDRS,
    "policies": Sample("B, a, a", ("a", "b"), ["a", "b"], ["a", "b"]),
    "token_type": Sample("service", TokenType.SERVICE, 1, "service"),
    "name": same("demo"),
    "cel_program": Sample(PROGRAM, Program.from_json(PROGRAM), PROGRAM, PROGRAM),
}

# What a role needs beside the parameter in question; each is stored and not sent.
BESIDE: dict[type, dict[str, Any]] = {
    Config: {},
    Role: {"role_type": "jwt", "user_claim": "sub", "bound_subject": "me"}
    | {"allowed_redirect_uris": ["http://localhost/x"]},
    CELRole: {"name": "demo", "cel_program": {"expression": "true"}},
}
ALL = [(cls, each) for cls in (Config, Role, CELRole) for each in fields_of(cls)]
every_parameter = pytest.mark.parametrize(
    ("cls", "each"), ALL, ids=[f"{cls.__name__}-{each.name}" for cls, each in ALL]
)


def sample(each: Parameter) -> Sample:
    return OF_NAME.get(each.name, OF_TYPE[each.type])


def decoded(cls: Any, members: dict[str, Any]) -> Any:
    raw = json.dumps(members).encode()
    return Config.from_stored(raw) if cls is Config else cls.from_stored("demo", raw)


def written(cls: Any, sent: dict[str, Any], stored: Any) -> Any:
    """What is stored after a write."""
    if cls is CELRole:
        return decoded(CELRole, asyncio.run(_cel(Operation.UPDATE, sent, stored)))
    data = FieldData(by_name(fields_of(cls)), sent)
    if cls is Config:
        return Config.from_request(data, stored)
    return merge(stored, data, max_lease_ttl_ns=10**15)


async def _cel(operation: Operation, sent: dict[str, Any], stored: Any) -> dict[str, Any]:
    entries = {} if stored is None else {"cel/role/demo": stored.to_stored()}
    async with CELMounted(entries) as mounted:
        await mounted.ask(operation, "cel/role/demo", sent)
        members: dict[str, Any] = json.loads(mounted.storage.entries["cel/role/demo"].value)
        return members


def needed(cls: Any) -> dict[str, Any]:
    """What every write must send."""
    return {"cel_program": PROGRAM} if cls is CELRole else {}


@every_parameter
def test_is_declared_in_full(cls, each):
    assert each.description.strip()
    assert isinstance(each.on_omit, OnOmit)
    assert not each.alias_of or (each.deprecated and each.alias_of in by_name(fields_of(cls)))
    assert hasattr(cls, each.name)


@every_parameter
def test_stored_form_round_trips(cls, each):
    form = sample(each)
    value = decoded(cls, BESIDE[cls] | {each.name: form.stored})
    assert getattr(value, each.name) == form.value
    again = value.to_stored()
    assert json.loads(again)[each.name] == form.stored
    assert decoded(cls, json.loads(again)) == value
    assert value.extra == {}


@every_parameter
def test_what_is_sent_is_stored_and_read_back(cls, each):
    form = sample(each)
    before = decoded(cls, BESIDE[cls])
    value = written(cls, needed(cls) | {each.name: form.sent}, before)
    assert getattr(value, each.name) == form.value
    assert json.loads(value.to_stored())[each.name] == form.stored
    if each.sensitive:
        assert each.name not in value.read_data()
    else:
        assert value.read_data()[each.name] == form.read


@every_parameter
def test_a_write_that_omits_it(cls, each):
    before = decoded(cls, BESIDE[cls] | {each.name: sample(each).stored})
    after = getattr(written(cls, needed(cls), before), each.name)
    if each.name in needed(cls):
        return  # A write can't omit it.
    if each.on_omit is KEEP:
        assert after == sample(each).value
    else:
        assert after == each.parse(each.default_or_zero())
        assert after != sample(each).value or each.name == "role_type"


@pytest.mark.parametrize("each", fields_of(CELRole), ids=lambda each: each.name)
def test_a_patch_keeps_what_it_omits(each):
    members = BESIDE[CELRole] | {each.name: sample(each).stored}
    after = asyncio.run(_cel(Operation.PATCH, {}, decoded(CELRole, members)))
    assert after[each.name] == sample(each).stored


def test_which_parameters_a_write_keeps_and_resets():
    """A second opinion: a bound that is reset by mistake would open a role to strangers."""

    def names(cls: Any, on_omit: OnOmit) -> set[str]:
        return {each.name for each in fields_of(cls) if each.on_omit is on_omit}

    assert names(Role, RESET) == {
        "role_type",
        "bound_claims_type",
        "callback_mode",
        "oidc_disable_confirmation",
        "alias_metadata",
    }
    assert names(Config, KEEP) == {"namespace_in_state", "jwks_refresh_after", "jwks_trust_for"}
    assert names(CELRole, KEEP) == {"name", "cel_program"}


def test_secrets_are_declared_and_neither_read_back_nor_shown():
    assert [each.name for _, each in ALL if each.sensitive] == ["oidc_client_secret"]
    secrets = {"gsuite_service_account": "hush", "api_token": "hush"}
    config = Config(oidc_client_secret="hush", provider_config=secrets)
    for shown in (str(config.read_data()), repr(config)):
        assert "hush" not in shown


@pytest.mark.parametrize(
    "each", [each for each in fields_of(Config) if each.hosts == OURS], ids=lambda each: each.name
)
@pytest.mark.parametrize("stored", [{}, None], ids=["missing", "null"])
def test_an_addition_of_ours_is_invisible_until_it_is_set(each, stored):
    config = decoded(Config, {} if stored == {} else {each.name: None})
    assert getattr(config, each.name) is None
    assert each.name not in json.loads(config.to_stored())
    assert each.name not in config.read_data()
