"""Which kind of key source a configuration selects."""

from __future__ import annotations

import pytest

from tests.jwt_auth import stored
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.keys.kinds import KINDS, selected_kind


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (Config(), None),
        (Config(jwt_validation_pubkeys=("k",), jwks_url="u"), "static"),
        (Config(jwks_url="u", jwks_pairs=({},)), "jwks"),
        (Config(jwks_pairs=({},), oidc_discovery_url="d"), "multi_jwks"),
        (Config(oidc_discovery_url="d"), "discovery"),
        (Config(oidc_discovery_url="d", oidc_client_id="i"), "discovery"),
        (
            Config(oidc_discovery_url="d", oidc_client_id="i", oidc_client_secret="s"),
            "oidc_flow",
        ),
        (Config(provider_config={"provider": "kubernetes"}), "kubernetes"),
        (Config(provider_config={"provider": "azure"}), None),
        (Config.from_stored(stored.OPENBAO_CONFIG), "oidc_flow"),
    ],
)
def test_the_kind(config, name):
    kind = selected_kind(config)
    assert (kind and kind.status_name(config)) == name


def test_every_kind_has_names_of_its_own():
    for attribute in ("name", "parameter"):
        assert len({getattr(kind, attribute) for kind in KINDS}) == len(KINDS)
