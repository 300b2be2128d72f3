from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from tests.jwt_auth import stored
from vault_jwt_plugin.jwt_auth.config.config import (
    CONFIG_FIELDS,
    Config,
    StoredConfigError,
    listed,
)
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.sdk import FieldData, by_name

READ_EMPTY = {
    "oidc_discovery_url": "",
    "oidc_discovery_ca_pem": "",
    "oidc_client_id": "",
    "oidc_response_mode": "",
    "oidc_response_types": [],
    "jwks_url": "",
    "jwks_ca_pem": "",
    "jwks_pairs": [],
    "jwt_validation_pubkeys": [],
    "jwt_supported_algs": [],
    "bound_issuer": "",
    "default_role": "",
    "provider_config": {},
    "namespace_in_state": True,
    "unsupported_critical_cert_extensions": [],
    "override_allowed_server_names": [],
}


def requested(sent, before=None):
    return Config.from_request(FieldData(by_name(CONFIG_FIELDS), sent), before)


def test_every_stored_parameter_is_an_attribute_and_nothing_else_is():
    names = {each.name for each in CONFIG_FIELDS} - {"skip_jwks_validation"}
    assert names == {each.name for each in fields(Config)} - {"extra"}


def test_every_parameter_is_described():
    assert [each.name for each in CONFIG_FIELDS if not each.description.strip()] == []


def test_nothing_sent():
    assert requested({}).read_data() == READ_EMPTY


def test_vault_config():
    config = Config.from_stored(stored.VAULT_CONFIG)
    assert config.jwks_url == "https://issuer.example/keys"
    assert config.jwt_supported_algs == ("RS256",)
    assert config.override_allowed_server_names is None


def test_openbao_config():
    config = Config.from_stored(stored.OPENBAO_CONFIG)
    assert config.trust("PEM") == Trust(ca_pem="PEM", server_names=("issuer.internal",))


def test_secrets_are_neither_read_nor_shown():
    config = Config.from_stored(stored.OPENBAO_CONFIG)
    data = config.read_data()
    assert "oidc_client_secret" not in data
    assert data["provider_config"] == {
        "provider": "gsuite",
        "domain": "example.com",
        "groups_recurse_max_depth": 5,
    }
    for text in (str(data), repr(config)):
        assert "hush" not in text
        assert "{secret}" not in text


def test_lists_that_are_stored_as_null_or_not_at_all_are_read_as_empty():
    data = Config.from_stored(stored.OPENBAO_CONFIG).read_data()
    assert data["jwt_validation_pubkeys"] == []
    assert data["jwt_supported_algs"] == []
    assert data["jwks_pairs"] == data["unsupported_critical_cert_extensions"] == []


@pytest.mark.parametrize(
    "raw", [stored.VAULT_CONFIG, stored.OPENBAO_CONFIG], ids=["vault", "openbao"]
)
def test_members_survive_a_rewrite(raw):
    before = json.loads(raw)
    after = json.loads(Config.from_stored(raw).to_stored())
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"{", "stored config: not JSON at character 1: "),
        (b"null", "stored config: no JSON object"),
        (b'{"jwks_url":{"hush":1}}', "stored config: 'jwks_url' should be a string, is an object"),
    ],
    ids=["cut", "null", "kind"],
)
def test_what_is_stored_and_no_config(raw, text):
    with pytest.raises(StoredConfigError) as caught:
        Config.from_stored(raw)
    assert caught.value.message.startswith(text)
    assert caught.value.code == "stored_config_invalid"


@pytest.mark.parametrize(
    ("before", "sent", "after"),
    [
        (None, {}, True),
        (None, {"namespace_in_state": False}, False),
        (Config(namespace_in_state=True), {}, True),
        (Config(namespace_in_state=False), {}, False),
        (Config(namespace_in_state=False), {"namespace_in_state": "true"}, True),
        (Config.from_stored(b"{}"), {}, False),
    ],
    ids=["new", "new, sent", "kept true", "kept false", "sent", "stored without"],
)
def test_namespace_in_state(before, sent, after):
    assert requested(sent, before).namespace_in_state is after


def test_a_write_replaces_everything_else():
    before = replace(Config.from_stored(stored.OPENBAO_CONFIG), extra={"from_the_future": [1.5]})
    after = requested({"jwks_url": "u"}, before)
    assert after == replace(
        requested({"jwks_url": "u"}), namespace_in_state=False, extra={"from_the_future": [1.5]}
    )
    assert after.oidc_client_secret == ""


def test_extras_never_replace_ours():
    config = replace(Config(jwks_url="u"), extra={"jwks_url": "x", "more": 1})
    members = json.loads(config.to_stored())
    assert members["jwks_url"] == "u"
    assert members["more"] == 1


def test_default_role_is_lowercased():
    assert requested({"default_role": "Demo"}).default_role == "demo"


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "'a'"), (["a", "b"], "'a' and 'b'"), (["a", "b", "c"], "'a', 'b' and 'c'")],
)
def test_listed(names, text):
    assert listed(names) == text
