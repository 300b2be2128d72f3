"""The pipeline as a whole: what a login needs, in which order, and what it grants."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.jwt_auth.login import walking
from tests.jwt_auth.tokens import NOW, key_for, token, verified
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.errors import LoginDenied, LoginForbidden
from vault_jwt_plugin.jwt_auth.jose.keys import from_public_key
from vault_jwt_plugin.jwt_auth.role.prepared import PreparedRole
from vault_jwt_plugin.jwt_auth.role.role import Role
from vault_jwt_plugin.sdk import Alias, Auth, Connection, TokenType
from vault_jwt_plugin.sdk.errors import PermissionDenied, UserError

SECOND = 1_000_000_000
CLAIMS = {
    "iss": "https://issuer",
    "sub": "me",
    "aud": "vault",
    "exp": NOW + 60,
    "iat": NOW - 60,
    "groups": ["dev", "ops"],
    "user": "jeff",
    "project": "p",
    "nest": {"id": 7},
}
ROLE = Role(
    role_type="jwt",
    bound_claims_type="string",
    bound_audiences=("vault", "other"),
    bound_subject="me",
    bound_claims={"project": ["o", "p"], "/nest/id": 7},
    claim_mappings={"project": "project", "missing": "gone"},
    user_claim="user",
    groups_claim="groups",
    alias_metadata={"team": "a"},
    token_policies=("web", "Dev"),
    token_ttl=60 * SECOND,
    token_max_ttl=120 * SECOND,
    token_period=3 * SECOND,
    token_explicit_max_ttl=500 * SECOND,
    token_num_uses=4,
    token_type=TokenType.SERVICE,
    token_no_default_policy=True,
    token_bound_cidrs=("10.0.0.0/8",),
)
CONFIG = Config(bound_issuer="https://issuer")
HERE = Connection(remote_addr="10.1.2.3")
KEYS = (from_public_key(key_for("RS256").public_key(), kid="k"),)


def authenticate(compact, role, config, keys=KEYS, now=NOW, connection=HERE):
    return walking.authenticate(
        compact, PreparedRole.of("demo", role), config, keys, now, connection
    )


def login(claims=None, *, role=ROLE, config=CONFIG, connection=HERE, keys=KEYS, now=NOW, **header):
    compact = token(CLAIMS if claims is None else claims, **header)
    return authenticate(compact, role, config, keys, now, connection)


def denied(**changes):
    with pytest.raises(LoginDenied) as caught:
        login(**changes)
    return caught.value.code


def test_what_a_login_grants():
    metadata = {"project": "p", "role": "demo"}
    assert login() == Auth(
        policies=("web", "Dev"),
        metadata=metadata,
        internal_data={"role": "demo", "role_type": "native"},
        display_name="jeff",
        alias=Alias(name="jeff", metadata=metadata, custom_metadata={"team": "a"}),
        group_aliases=(Alias(name="dev"), Alias(name="ops")),
        renewable=True,
        ttl_ns=60 * SECOND,
        max_ttl_ns=120 * SECOND,
        period_ns=3 * SECOND,
        explicit_max_ttl_ns=500 * SECOND,
        num_uses=4,
        token_type=TokenType.SERVICE,
        no_default_policy=True,
        bound_cidrs=("10.0.0.0/8",),
    )


def test_the_least_role():
    auth = login(
        {"sub": "me", "exp": NOW + 1},
        role=Role(role_type="jwt", user_claim="sub"),
        config=Config(),
        connection=None,
    )
    assert (auth.policies, auth.group_aliases, auth.bound_cidrs) == ((), (), ())
    assert auth.metadata == {"role": "demo"}
    assert auth.alias == Alias(name="me", metadata={"role": "demo"})


def without(*names):
    return {name: value for name, value in CLAIMS.items() if name not in names}


# In the order of the checks: each row also breaks what every later row is about, so that a row
# that passes shows that its check comes first.
ORDER: list[tuple[str, dict[str, Any]]] = [
    ("role_type", {"role": {"role_type": "oidc"}}),
    ("token_missing", {}),
    ("address_forbidden", {"connection": Connection(remote_addr="192.168.0.1")}),
    ("header_crit", {}),
    ("algorithm_not_allowed", {"config": {"jwt_supported_algs": ("ES256",)}}),
    ("signature_invalid", {}),
    ("claim_name", {"claims": {"SUB": "x"}}),
    ("claim_type", {"claims": {"jti": 1}}),
    ("issuer_mismatch", {"config": {"bound_issuer": "other"}}),
    ("subject_mismatch", {"role": {"bound_subject": "other"}}),
    ("audience_mismatch", {"role": {"bound_audiences": ("x",)}}),
    ("expired", {"claims": {"exp": NOW - 600}}),
    ("user_claim_missing", {"role": {"user_claim": "nobody"}}),
    ("mapped_claim_type", {"role": {"claim_mappings": {"nest": "x"}}}),
    ("groups_claim_missing", {"role": {"groups_claim": "none"}}),
    ("bound_claim_mismatch", {"role": {"bound_claims": {"project": "z"}}}),
]


@pytest.mark.parametrize("first", range(len(ORDER)), ids=[row[0] for row in ORDER])
def test_the_first_check_that_fails_decides(first):
    claims, role, config, connection = dict(CLAIMS), ROLE, CONFIG, HERE
    codes = [row[0] for row in ORDER[first:]]
    for _, changes in ORDER[first:]:
        claims |= changes.get("claims", {})
        role = replace(role, **changes.get("role", {}))
        config = replace(config, **changes.get("config", {}))
        connection = changes.get("connection", connection)
    if "token_missing" in codes:
        compact = ""
    else:
        header = {"crit": ["x"]} if "header_crit" in codes else {}
        key = key_for("RS256", "b") if "signature_invalid" in codes else None
        compact = token(claims, header=header, key=key)
    with pytest.raises((LoginDenied, LoginForbidden)) as caught:
        authenticate(compact, role, config, connection=connection)
    assert caught.value.code == codes[0]


@pytest.mark.parametrize(
    ("claims", "role", "code"),
    [
        (CLAIMS, {"bound_audiences": None}, "audience_unbound"),
        ({**CLAIMS, "aud": ""}, {"bound_audiences": ()}, "audience_unbound"),
        ({**CLAIMS, "aud": [""]}, {"bound_audiences": None}, "audience_unbound"),
        ({**CLAIMS, "aud": []}, {"bound_audiences": None}, None),
        (without("aud"), {"bound_audiences": None}, None),
        (without("aud"), {}, "audience_missing"),
        ({**CLAIMS, "aud": 5}, {"bound_audiences": None}, "claim_type"),
        ({**CLAIMS, "aud": ["x", "other"]}, {}, None),
    ],
    ids=["bound none", "an empty string", "list of empty", "[]", "absent", "missing", "5", "list"],
)
def test_audiences_of_every_shape(claims, role, code):
    """CVE-2024-5798."""
    role = replace(ROLE, **role)
    assert (denied(claims=claims, role=role) if code else login(claims, role=role)) == (
        code or login(CLAIMS)
    )


def test_an_unbound_audience_is_found_after_the_times():
    role = replace(ROLE, bound_audiences=None)
    assert denied(claims={**CLAIMS, "exp": NOW - 600}, role=role) == "expired"


@pytest.mark.parametrize(
    ("address", "passes"),
    [("10.255.0.1", True), ("11.0.0.1", False), ("::1", False), ("", False), (None, False)],
)
def test_client_addresses(address, passes):
    connection = None if address is None else Connection(remote_addr=address)
    if passes:
        assert login(connection=connection).display_name == "jeff"
        return
    with pytest.raises(LoginForbidden) as caught:
        login(connection=connection)
    assert isinstance(caught.value, PermissionDenied)
    assert caught.value.code == "address_forbidden"


def test_a_token_bound_to_the_clients_address():
    role = replace(ROLE, token_strictly_bind_ip=True, token_bound_cidrs=None)
    assert login(role=role).bound_cidrs == ("10.1.2.3",)
    with pytest.raises(LoginForbidden):
        login(role=role, connection=None)


def test_leeways_come_from_the_role():
    late = {**CLAIMS, "exp": NOW - 90}
    assert denied(claims=late) == "expired"
    assert login(late, role=replace(ROLE, clock_skew_leeway=90 * SECOND)).display_name == "jeff"


def test_now_has_fractions():
    role = replace(ROLE, clock_skew_leeway=-SECOND)
    claims = {**CLAIMS, "exp": NOW}
    assert login(claims, role=role, now=NOW + 0.0).display_name == "jeff"
    with pytest.raises(LoginDenied):
        login(claims, role=role, now=NOW + 0.001)


@pytest.mark.parametrize("allowed", [None, (), ("RS256",), ("ES256", "RS256")], ids=str)
def test_algorithms_allowed(allowed):
    assert login(config=replace(CONFIG, jwt_supported_algs=allowed)).display_name == "jeff"


def test_exact_numbers():
    role = replace(ROLE, bound_claims={"id": 2**53 + 1}, bound_claims_type="string")
    assert login({**CLAIMS, "id": 2**53 + 1}, role=role).display_name == "jeff"
    assert denied(claims={**CLAIMS, "id": 2**53}, role=role) == "bound_claim_mismatch"


def test_policy_templates_see_the_verified_claims():
    role = replace(
        ROLE, token_policies_template_claims=True, token_policies=("p-{{.project}}", "plain")
    )
    assert login(role=role).policies == ("p-p", "plain")
    role = replace(role, token_policies=("p-{{.nothing}}",))
    with pytest.raises(UserError) as caught:
        login(role=role)
    assert caught.value.code == "policy_template_claim_missing"


@pytest.mark.parametrize(("pointer", "name"), [(False, "literal"), (True, "deep")])
def test_a_user_claim_is_a_pointer_if_the_role_says_so(pointer, name):
    role = replace(ROLE, user_claim="/a/b", user_claim_json_pointer=pointer)
    claims = {**CLAIMS, "/a/b": "literal", "a": {"b": "deep"}}
    assert login(claims, role=role).display_name == name


def test_a_glob_role():
    role = replace(ROLE, bound_claims={"project": "p*"}, bound_claims_type="glob")
    assert login(role=role).display_name == "jeff"


def test_claims_of_another_source_go_through_the_same_grant():
    claims = {"user": "jeff", "project": "p", "nest": {"id": Decimal("7.5")}, "groups": []}
    granted = walking.grant_claims(verified(claims), PreparedRole.of("demo", ROLE), HERE)
    assert granted.display_name == "jeff"


def test_heavy_libraries_are_not_loaded_before_they_are_needed():
    script = (
        "import sys\n"
        "import vault_jwt_plugin.jwt_auth.login.pipeline\n"
        "import vault_jwt_plugin.jwt_auth.keys.documents\n"
        "import vault_jwt_plugin.jwt_auth.keys.key_source\n"
        "heavy = {'requests', 'urllib3', 'joserfc', 'authlib', 'cryptography', 'certifi'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
