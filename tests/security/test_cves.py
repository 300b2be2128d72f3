"""Vulnerabilities of this method, of its hosts and of JOSE libraries, each tested by its name.

Each is tested on every path that issues a token, or on every path that has the rule.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jwt_auth.tokens import NOW, b64url, key_for, public_jwk, public_pem, token
from tests.security.issuing import (
    CEL,
    CLAIMS,
    MARK,
    NATIVE,
    PATHS,
    STATIC_KEYS,
    Denied,
    Mounted,
    attempt,
    check_denied,
    check_granted,
    fragments,
    nothing_logged,
    on_every_path,
    on_paths_with,
)
from vault_jwt_plugin.host.response import ResponseError, reply
from vault_jwt_plugin.jwt_auth.config.config import CONFIG_FIELDS
from vault_jwt_plugin.jwt_auth.paths.oidc import NOT_CONFIGURED, NOT_SUPPORTED
from vault_jwt_plugin.jwt_auth.paths.oidc import UNAUTHENTICATED as OIDC_PATHS
from vault_jwt_plugin.jwt_auth.role.role import ROLE_FIELDS
from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.sdk import (
    Auth,
    Connection,
    FieldError,
    InternalError,
    LogicalError,
    Operation,
    RawResponse,
    Response,
    StorageEntry,
    UnsupportedOperation,
    UserError,
)

ROLE: dict[str, Any] = {"bound_audiences": "vault"}
URL = "https://issuer.example/keys"


def jwt(**claims: Any) -> str:
    return token({**CLAIMS, **claims}, alg="EdDSA")


def jwt_without(*names: str) -> str:
    return token({name: CLAIMS[name] for name in CLAIMS if name not in names}, alg="EdDSA")


def test_every_path_that_needs_no_token_is_tried_here():
    """Check that every path without a token is in PATHS or among those that issue none."""

    async def run() -> set[str]:
        async with Mounted() as mounted:
            return set(mounted.backend.unauthenticated)

    assert asyncio.run(run()) == {path.login for path in PATHS} | set(OIDC_PATHS)


# CVE-2024-5798: an `aud` of one string was ignored if the role binds none.


@on_paths_with("unbound audience")
@pytest.mark.parametrize("aud", ["x", ["x"], "", [""], ["x", "y"]], ids=str)
def test_cve_2024_5798_an_audience_that_no_role_binds(path, aud):
    check_denied(path, jwt(aud=aud), "audience_unbound", bound_subject="me")


@on_every_path
@pytest.mark.parametrize("aud", [5, {"vault": 1}, [1], None, True, [None], [["vault"]]], ids=str)
def test_cve_2024_5798_an_audience_of_another_type(path, aud):
    for role in (ROLE, {"bound_subject": "me"} if "subject" in path.rules else {}):
        check_denied(path, jwt(aud=aud), "claim_type", **role)


@on_every_path
def test_cve_2024_5798_a_bound_audience_is_wanted_in_either_form(path):
    for aud in ("vault", ["vault"], ["x", "vault"]):
        check_granted(path, jwt(aud=aud), **ROLE)
    for aud in ("x", ["x"], ["x", "y"], "", [""]):
        check_denied(path, jwt(aud=aud), "audience_mismatch", **ROLE)
    check_denied(path, jwt(aud=[]), "audience_missing", **ROLE)
    check_denied(path, jwt_without("aud"), "audience_missing", **ROLE)


@on_paths_with("unbound audience")
def test_cve_2024_5798_no_audience_is_fine_where_none_is_bound(path):
    check_granted(path, jwt(aud=[]), bound_subject="me")
    check_granted(path, jwt_without("aud"), bound_subject="me")


# cap#191, SECVULN-47712: the claim that was checked was not the claim that was used.


@on_every_path
@pytest.mark.parametrize("name", ["SUB", "Sub", "\u017fub", "AUD", "Exp", "i\u017fs", "IAT", "JTI"])
def test_cap_191_names_that_differ_by_case_folding(path, name):
    check_denied(path, jwt(**{name: "root"}), "claim_name", **ROLE)


@on_every_path
@pytest.mark.parametrize("twice", ['"sub":"root"', '"s\\u0075b":"root"', '"aud":"vault"'])
def test_cap_191_a_name_given_twice(path, twice):
    payload = json.dumps(dict(CLAIMS))[:-1] + "," + twice + "}"
    check_denied(path, token(payload.encode(), alg="EdDSA"), "claims_invalid", **ROLE)


# J#377 J#370 V#31808: alias names are used byte for byte; an empty one is the caller's mistake.

ALIKE = [
    ("\u00e9", "e\u0301"),
    ("\u212b", "\u00c5"),
    ("\ufb01", "fi"),
    ("me", "ME"),
    ("me", "me "),
    ("me", "\uff4d\uff45"),
    ("stra\u00dfe", "strasse"),
    ("\u0131", "i"),
]


@on_every_path
@pytest.mark.parametrize(("one", "other"), ALIKE, ids=ascii)
def test_j_377_names_that_look_alike_are_two(path, one, other):
    names = []
    for sub in (one, other):
        auth = check_granted(path, jwt(sub=sub), **ROLE)
        assert auth.alias is not None
        names.append(auth.alias.name)
    assert names == [one, other]


@on_every_path
def test_j_370_an_empty_user_claim(path):
    check_denied(path, jwt(sub=""), "user_claim_empty", **ROLE)


# CVE-2026-33757: a callback issued tokens without consent. CVE-2026-33758: it showed raw HTML.


@pytest.mark.parametrize("has_client", [False, True], ids=["no client", "client"])
@pytest.mark.parametrize("path", OIDC_PATHS)
@pytest.mark.parametrize("operation", [Operation.READ, Operation.UPDATE], ids=str)
def test_cve_2026_33757_and_33758_no_path_of_the_browser_flow_issues(operation, path, has_client):
    sent = {"state": "x", "code": "c", "id_token": jwt(), "error_description": "<script>"}

    async def run() -> None:
        async with Mounted() as mounted:
            if has_client:
                client = {"oidc_client_id": "me", "oidc_client_secret": "x"}
                stored = {"oidc_discovery_url": "https://issuer.example", **client}
                entry = StorageEntry(key="config", value=json.dumps(stored).encode())
                await mounted.storage.put(entry)
            else:
                await mounted.configure()
            if operation is Operation.READ and path != "oidc/callback":
                with pytest.raises(UnsupportedOperation):
                    await mounted.ask(operation, path, sent)
            elif has_client and path == "oidc/auth_url":
                answer = await mounted.ask(operation, path, sent)
                assert (answer.auth, answer.data) == (None, None)
                assert answer.raw.content_type == "application/json"
                errors = [NOT_CONFIGURED, NOT_SUPPORTED]
                assert json.loads(answer.raw.body) == {"errors": errors}
            else:
                with pytest.raises(UserError) as caught:
                    await mounted.ask(operation, path, sent)
                assert caught.value.message == (NOT_SUPPORTED if has_client else NOT_CONFIGURED)

    asyncio.run(run())


# CVE-2026-46405: an answer with both a grant and an error hid a valid token.


@pytest.mark.parametrize(
    "response",
    [
        Response(auth=Auth(display_name="me"), data={"error": "no"}),
        Response(auth=Auth(display_name="me"), data={"error": "no", "data": {}}),
        Response(
            auth=Auth(display_name="me"),
            raw=RawResponse(status=400, content_type="text/html", body=b"no"),
        ),
        Response(
            data={"error": "no"}, raw=RawResponse(status=400, content_type="text/html", body=b"no")
        ),
    ],
    ids=["error", "error and data", "raw", "raw and data"],
)
def test_cve_2026_46405_no_answer_grants_and_refuses(response):
    with pytest.raises(ResponseError):
        reply(response, Operation.UPDATE)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_names = st.sampled_from(["error", "data", "http_status_code", "role", "warnings", "x"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names, _json, max_size=4), st.booleans())
def test_cve_2026_46405_fuzzed(data, has_auth):
    auth = Auth(display_name="me") if has_auth else None
    try:
        raw = reply(Response(auth=auth, data=data), Operation.UPDATE)
    except ResponseError:
        return
    response = backend_pb2.HandleRequestReply.FromString(raw).response
    sent = json.loads(response.data or "null")
    # logical.Response.IsError: data with `error`, and `data` at most beside it.
    is_error = "error" in sent and sent.keys() <= {"error", "data"}
    assert not (is_error and response.HasField("auth"))


# CVE-2026-4525: the caller's own token for the host reached methods in Authorization.


@on_every_path
def test_cve_2026_4525_headers_are_neither_read_nor_kept(path):
    headers = {
        "Authorization": (f"Bearer {MARK}",),
        "X-Vault-Token": (MARK,),
        "Cookie": (f"a={MARK}",),
        "X-Forwarded-For": ("10.0.0.1",),
    }

    async def run() -> Auth | Denied:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE)
            granted = await attempt(path, mounted, jwt(mark="-"), headers=headers)
            denied = await attempt(path, mounted, "x.y.z", headers=headers)
            assert isinstance(denied, Denied)
            assert MARK not in denied.message
            assert all(MARK.encode() not in e.value for e in mounted.storage.entries.values())
            return granted

    with nothing_logged(MARK):
        granted = asyncio.run(run())
    assert isinstance(granted, Auth)
    assert MARK not in repr(granted)
    # A bearer token in a header is not a login.
    with nothing_logged(MARK):
        check_denied(path, "", "token_missing", **ROLE)


# CVE-2025-4166, CVE-2025-52893: the error revealed the contents of an invalid request.

WRONG_KINDS = {
    "object": {"a": MARK},
    "list": [MARK],
    "nested list": [[MARK]],
    "text": MARK,
    "object of objects": {"a": {"b": MARK}},
}


@on_every_path
@pytest.mark.parametrize("field", ["jwt", "role", "distributed_claim_access_token"])
@pytest.mark.parametrize("value", WRONG_KINDS.values(), ids=WRONG_KINDS.keys())
def test_cve_2025_4166_a_login_of_the_wrong_kind(path, field, value):
    if field == "role" and isinstance(value, str):
        pytest.skip("the name of a role that is not there is told: it is the caller's own text")

    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.configure()
            await path.write_role(mounted, **ROLE)
            data = {"role": "demo", "jwt": "x.y.z", field: value}
            with pytest.raises(UserError) as refused:
                await mounted.ask(Operation.UPDATE, path.login, data)
            assert MARK not in refused.value.message

    with nothing_logged(MARK):
        asyncio.run(run())


_SECRET = {
    *("oidc_client_secret", "jwt_validation_pubkeys", "jwks_ca_pem", "oidc_discovery_ca_pem"),
    *("provider_config", "jwks_pairs", "cel_program"),
}
_WRITTEN = [
    *(("config", field.name) for field in CONFIG_FIELDS),
    *(("role/demo", field.name) for field in ROLE_FIELDS),
    *(("cel/role/demo", name) for name in ("cel_program", "bound_audiences", "message")),
]


@pytest.mark.parametrize(("path", "field"), _WRITTEN, ids="-".join)
@pytest.mark.parametrize("value", WRONG_KINDS.values(), ids=WRONG_KINDS.keys())
def test_cve_2025_52893_a_write_of_the_wrong_kind(path, field, value):
    async def run() -> None:
        async with Mounted() as mounted:
            usual = {"config": {"jwt_validation_pubkeys": STATIC_KEYS}}
            usual["role/demo"] = {**NATIVE.parameters, **ROLE}
            told = ""
            try:
                await mounted.write(path, {**usual.get(path, {}), field: value})
            except UserError as refused:
                # A wrong value of the right type may be quoted if it is not a secret.
                if isinstance(refused, FieldError) or field in _SECRET:
                    told = refused.message
            except LogicalError as error:
                pytest.fail(f"a fault: {error!r}")
            assert MARK not in told

    with nothing_logged(MARK):
        asyncio.run(run())


# CVE-2025-62513, CVE-2025-62705: raw bodies went to the audit log unredacted.


@on_every_path
def test_cve_2025_62513_no_answer_is_raw(path):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE)
            for operation in (Operation.UPDATE, Operation.ALIAS_LOOKAHEAD):
                answer = await path.attempt(mounted, jwt(), operation)
                assert answer.raw is None
            for asked in ("config", "role/demo", "cel/role/demo"):
                try:
                    answer = await mounted.ask(Operation.READ, asked)
                except LogicalError:
                    continue
                assert answer is None or answer.raw is None

    asyncio.run(run())


# CVE-2025-6004: the alias that was looked up first was not the login's.


@on_every_path
def test_cve_2025_6004_the_lookahead_tells_the_same_alias_and_leaves_nothing(path):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE)
            stored = dict(mounted.storage.entries)
            login = jwt(jti="once")
            # Hosts send it without a connection.
            ahead = await path.attempt(mounted, login, Operation.ALIAS_LOOKAHEAD, connection=None)
            again = await path.attempt(mounted, login, Operation.ALIAS_LOOKAHEAD, connection=None)
            real = await path.attempt(mounted, login)
            assert ahead.auth is not None
            assert again.auth is not None
            assert real.auth is not None
            assert ahead.auth.alias == again.auth.alias == real.auth.alias
            assert real.auth.alias is not None
            assert mounted.storage.entries == stored

    asyncio.run(run())


@on_every_path
@pytest.mark.parametrize(
    "bad",
    [
        "x.y.z",
        jwt(aud="x"),
        jwt(exp=1),
        token(dict(CLAIMS), alg="EdDSA", key=key_for("EdDSA", "b")),
    ],
    ids=["garbage", "audience", "expired", "stranger's"],
)
def test_cve_2025_6004_the_lookahead_refuses_what_a_login_does(path, bad):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE)
            for operation in (Operation.ALIAS_LOOKAHEAD, Operation.UPDATE):
                with pytest.raises(UserError):
                    await path.attempt(mounted, bad, operation)

    asyncio.run(run())


# CVE-2025-11621: two accounts shared a cache.


@on_every_path
def test_cve_2025_11621_two_mounts_of_one_process_share_nothing(path):
    async def run() -> None:
        async with Mounted() as one, Mounted() as two:
            mine, theirs = key_for("ES256", "a"), key_for("ES256", "b")
            for mounted, key in ((one, mine), (two, theirs)):
                # The URL, role name and kid are the same; only the mount differs.
                mounted.fetcher.documents[URL] = {"keys": [public_jwk(key, kid="k")]}
                await mounted.write("config", {"jwks_url": URL})
                await path.write_role(mounted, **ROLE)
            by_me = token(dict(CLAIMS), alg="ES256", key=mine, header={"kid": "k"})
            for _ in range(2):
                assert isinstance(await attempt(path, one, by_me), Auth)
                assert isinstance(await attempt(path, two, by_me), Denied)

    asyncio.run(run())


@on_every_path
def test_cve_2025_11621_a_changed_config_leaves_no_key_behind(path):
    async def run() -> None:
        async with Mounted() as mounted:
            mounted.fetcher.documents[URL] = {"keys": [public_jwk(key_for("EdDSA"), kid="k")]}
            await mounted.write("config", {"jwks_url": URL})
            await path.write_role(mounted, **ROLE)
            assert isinstance(await attempt(path, mounted, jwt()), Auth)
            other = public_pem(key_for("EdDSA", "b"))
            await mounted.write("config", {"jwt_validation_pubkeys": other})
            assert isinstance(await attempt(path, mounted, jwt()), Denied)

    asyncio.run(run())


# CVE-2025-3879: the decision used what the caller said beside the verified token.


@on_every_path
def test_cve_2025_3879_claims_are_taken_from_the_verified_payload_alone(path):
    # RFC 7519 5.3 lets a header repeat claims; nobody has to read them there.
    header = {"sub": "root", "aud": "vault", "iss": "x", "exp": NOW + 10**6}
    granted = check_granted(path, token(dict(CLAIMS), alg="EdDSA", header=header), **ROLE)
    assert granted.alias is not None
    assert granted.alias.name == "me"
    wrong = token({**CLAIMS, "aud": "x"}, alg="EdDSA", header=header)
    check_denied(path, wrong, "audience_mismatch", **ROLE)


@on_every_path
def test_cve_2025_3879_what_is_sent_beside_the_token_means_nothing(path):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE)
            data = {"role": "demo", "jwt": jwt(), "sub": "root", "policies": ["root"]}
            data |= {"token_policies": ["root"], "user_claim": "mark", "bound_audiences": ""}
            answer = await mounted.ask(Operation.UPDATE, path.login, data)
            assert answer.auth.alias.name == "me"
            assert list(answer.auth.policies) == ["p"]

    asyncio.run(run())


# CVE-2020-16250, CVE-2020-16251: keys were fetched from a place that the token named.


@on_every_path
@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": public_jwk(key_for("EdDSA", "b"))},
        {"kid": "https://evil.example/keys"},
        {"iss": "https://evil.example"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_cve_2020_16250_nothing_is_fetched_that_a_token_names(path, header):
    async def run() -> None:
        async with Mounted() as mounted:
            mounted.fetcher.documents[URL] = {"keys": [public_jwk(key_for("EdDSA"), kid="k")]}
            mounted.fetcher.documents["https://evil.example/keys"] = {
                "keys": [public_jwk(key_for("EdDSA", "b"))]
            }
            await mounted.write("config", {"jwks_url": URL})
            await path.write_role(mounted, **ROLE)
            claims = {**CLAIMS, "iss": "https://evil.example"}
            evil = token(claims, alg="EdDSA", key=key_for("EdDSA", "b"), header=header)
            assert isinstance(await attempt(path, mounted, evil), Denied)
            assert {asked[0] for asked in mounted.fetcher.asked} == {URL}

    asyncio.run(run())


# J#138, J#149: bound_claims were checked before the groups had been fetched.


@on_paths_with("groups")
def test_j_138_bound_claims_see_what_the_provider_makes_of_groups(path):
    config = {"jwt_validation_pubkeys": STATIC_KEYS, "provider_config": {"provider": "ibmisam"}}
    role = {**ROLE, "groups_claim": "groups", "bound_claims": {"groups": "b"}}
    granted = check_granted(path, jwt(groups="a b"), config=config, **role)
    assert [alias.name for alias in granted.group_aliases] == ["a", "b"]
    check_denied(path, jwt(groups="ab"), "bound_claim_mismatch", config=config, **role)


# J#34, J#38, J#31: rules that one path enforced and another forgot.


@on_paths_with("cidrs")
@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "", "127.0.0.1.evil.example"])
def test_j_34_the_client_address_counts_on_every_path(path, address):
    async def run() -> Auth | Denied:
        async with Mounted() as mounted:
            await mounted.write("config", {"jwt_validation_pubkeys": STATIC_KEYS})
            await path.write_role(mounted, **ROLE, token_bound_cidrs="127.0.0.1")
            assert isinstance(await attempt(path, mounted, jwt()), Auth)
            nobody = await attempt(path, mounted, jwt(), connection=None)
            assert isinstance(nobody, Denied)
            assert nobody.is_forbidden
            there = Connection(remote_addr=address)
            return await attempt(path, mounted, jwt(), connection=there)

    outcome = asyncio.run(run())
    assert isinstance(outcome, Denied)
    assert outcome.is_forbidden


@on_paths_with("type")
def test_j_38_a_role_of_the_browser_flow_takes_no_token(path):
    role = {**ROLE, "role_type": "oidc", "allowed_redirect_uris": "http://localhost/cb"}
    check_denied(path, jwt(), "role_type", **role)


@on_paths_with("claims")
def test_j_31_bound_claims_count_on_every_path(path):
    check_granted(path, jwt(team="a"), **ROLE, bound_claims={"team": "a"})
    check_denied(path, jwt(team="b"), "bound_claim_mismatch", **ROLE, bound_claims={"team": "a"})
    check_denied(path, jwt(), "bound_claim_missing", **ROLE, bound_claims={"team": "a"})


@on_paths_with("subject")
def test_j_31_the_bound_subject_counts_on_every_path(path):
    check_denied(path, jwt(sub="you"), "subject_mismatch", **ROLE, bound_subject="me")
    check_denied(path, jwt_without("sub"), "subject_mismatch", **ROLE, bound_subject="me")


# GHSA-59w7-v8rr-pr4p: `* + / ,` in a value became part of a policy's name. CVE-2025-64761,
# CVE-2025-5999: another casing of "root" gave root.

TEMPLATED = {
    "token_policies_template_claims": True,
    "token_policies": ["{{ .team }}"],
}


@pytest.mark.parametrize("team", ["a,b", "a,root", "*", "a/*", "+", "a b", "../x", "{{ .sub }}"])
def test_ghsa_59w7_a_value_is_one_policy_as_it_is(team):
    granted = check_granted(NATIVE, jwt(team=team), **ROLE, **TEMPLATED)
    assert list(granted.policies) == [team]


@pytest.mark.parametrize(
    "team", ["root", "Root", "ROOT", "rOOt", " root", "root ", "\troot", "\u00a0root"]
)
def test_cve_2025_64761_no_casing_of_root_is_given(team):
    check_denied(NATIVE, jwt(team=team), "policy_name_refused", **ROLE, **TEMPLATED)


@pytest.mark.parametrize("team", ["a\nroot", "a\0", "\x1b[31m", "a\x7f", "a\u0085b"], ids=ascii)
def test_cve_2025_5999_control_characters_are_refused(team):
    check_denied(NATIVE, jwt(team=team), "policy_name_refused", **ROLE, **TEMPLATED)


def test_cve_2025_5999_an_empty_name_is_left_out():
    granted = check_granted(NATIVE, jwt(team=" "), **ROLE, **TEMPLATED)
    assert list(granted.policies) == []


# CVE-2025-6203: JSON that is cheap to send and expensive to read.


@on_every_path
@pytest.mark.parametrize(
    "extra",
    [
        '"x":' + "[" * 100_000 + "]" * 100_000,
        '"x":' + '{"a":' * 50_000 + "1" + "}" * 50_000,
        '"x":' + "9" * 500_000,
        '"x":1e' + "9" * 20,
        '"x":"' + "\\ud800" * 50_000 + '"',
    ],
    ids=["lists", "objects", "digits", "exponent", "surrogates"],
)
def test_cve_2025_6203_dear_json(path, extra):
    payload = json.dumps(dict(CLAIMS))[:-1] + "," + extra + "}"
    check_denied(path, token(payload.encode(), alg="EdDSA"), "claims_invalid", **ROLE)


@on_every_path
def test_cve_2025_6203_many_members_are_read_in_time(path):
    check_granted(path, jwt(**{f"claim{n}": n for n in range(900)}), **ROLE)
    many = jwt(**{f"claim{n}": n for n in range(30_000)})
    if path is CEL:
        check_denied(path, many, "cel_claims_too_large", **ROLE)
    else:
        check_granted(path, many, **ROLE)


# B#2148: renewing a token of an older version crashed. B#3551: PATCH lost fields.


@pytest.mark.parametrize(
    "internal",
    [{}, {"role": ""}, {"role": None}, {"role": 5}, {"role": ["demo"]}, {"role": {"a": 1}}],
    ids=str,
)
def test_b_2148_renewing_without_a_role(internal):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.configure()
            auth = Auth(internal_data=internal)
            request = replace(_request(), auth=auth, operation=Operation.RENEW)
            with pytest.raises(InternalError) as failed:
                mounted.backend.renew(request)
            assert failed.value.code == "renew_without_role"

    asyncio.run(run())


def test_b_2148_renewing_without_any_auth():
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.configure()
            with pytest.raises(InternalError):
                mounted.backend.renew(replace(_request(), auth=None, operation=Operation.RENEW))

    asyncio.run(run())


def _request() -> Any:
    from vault_jwt_plugin.sdk.testing import FakeRequest

    return FakeRequest(path="")


PATCHES = {
    "message": "another",
    "bound_audiences": ["b"],
    "expiration_leeway": 11,
    "not_before_leeway": 12,
    "clock_skew_leeway": 13,
    "cel_program": {"expression": "false"},
}


@pytest.mark.parametrize(("field", "value"), PATCHES.items(), ids=PATCHES.keys())
def test_b_3551_a_patch_changes_one_field_alone(field, value):
    async def run() -> None:
        async with Mounted() as mounted:
            await mounted.configure()
            role = {
                "message": "one",
                "bound_audiences": ["a"],
                "expiration_leeway": 1,
                "not_before_leeway": 2,
                "clock_skew_leeway": 3,
                "cel_program": {
                    "variables": [{"name": "x", "expression": "1"}],
                    "expression": "true",
                },
            }
            await mounted.ask(Operation.UPDATE, "cel/role/demo", role)
            before = (await mounted.ask(Operation.READ, "cel/role/demo")).data
            await mounted.ask(Operation.PATCH, "cel/role/demo", {field: value})
            after = (await mounted.ask(Operation.READ, "cel/role/demo")).data
            changed = {name for name in before.keys() | after.keys() if before[name] != after[name]}
            assert changed == {field}

    asyncio.run(run())


# No CVE: with `jwks_pairs` any key could sign for any issuer, and a kid that two sets have belonged
# to the first.

CLUSTERS = {
    "jwks_pairs": [
        {"jwks_url": "https://a.example/keys"},
        {"jwks_url": "https://b.example/keys"},
    ]
}


def clusters(kid_a: str = "a", kid_b: str = "b") -> dict[str, Any]:
    return {
        "https://a.example/keys": {"keys": [public_jwk(key_for("ES256", "a"), kid=kid_a)]},
        "https://b.example/keys": {"keys": [public_jwk(key_for("ES256", "b"), kid=kid_b)]},
    }


def by_cluster(name: str, kid: str, **claims: Any) -> str:
    key = key_for("ES256", name)
    return token({**CLAIMS, **claims}, alg="ES256", key=key, header={"kid": kid})


@on_every_path
def test_jwks_pairs_the_same_kid_in_two_sets(path):
    arguments = {"config": CLUSTERS, "documents": clusters("k", "k"), **ROLE}
    check_granted(path, by_cluster("a", "k"), **arguments)
    check_granted(path, by_cluster("b", "k"), **arguments)
    stranger = by_cluster("c", "k")
    check_denied(path, stranger, "signature_invalid", **arguments)


@on_every_path
def test_jwks_pairs_a_key_under_another_sets_kid(path):
    arguments = {"config": CLUSTERS, "documents": clusters(), **ROLE}
    check_granted(path, by_cluster("a", "a"), **arguments)
    check_denied(path, by_cluster("a", "b"), "signature_invalid", **arguments)
    no_kid = token(dict(CLAIMS), alg="ES256", key=key_for("ES256", "a"))
    check_denied(path, no_kid, "kid_missing", **arguments)


@on_paths_with("claims")
def test_jwks_pairs_another_cluster_s_issuer(path):
    role = {**ROLE, "bound_claims": {"iss": "https://b.example"}}
    arguments = {"config": CLUSTERS, "documents": clusters(), **role}
    check_granted(path, by_cluster("b", "b", iss="https://b.example"), **arguments)
    foreign = by_cluster("a", "a", iss="https://a.example")
    check_denied(path, foreign, "bound_claim_mismatch", **arguments)


# CVE-2022-29217, CVE-2026-48526, CVE-2026-32597, CVE-2026-28498, CVE-2024-53861: JOSE libraries.


@on_every_path
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", ["RS256", "ES256", "EdDSA"])
def test_cve_2022_29217_a_public_key_as_a_shared_secret(path, alg, key):
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    for secret in (public_pem(key_for(key)), json.dumps(public_jwk(key_for(key)))):
        start = b64url(json.dumps({"alg": alg}).encode())
        start += "." + b64url(json.dumps(dict(CLAIMS)).encode())
        mac = hmac.new(secret.encode(), start.encode(), digest).digest()
        check_denied(path, f"{start}.{b64url(mac)}", "header_alg", **ROLE)


@on_every_path
@pytest.mark.parametrize("crit", [["x"], ["exp"], ["b64"], [], "x", None], ids=str)
def test_cve_2026_32597_a_critical_extension(path, crit):
    critical = token(dict(CLAIMS), alg="EdDSA", header={"crit": crit, "x": 1})
    check_denied(path, critical, "header_crit", **ROLE)


@on_every_path
@pytest.mark.parametrize("alg", ["none", "RS257", "XYZ", "", None])
def test_cve_2026_28498_an_unknown_algorithm(path, alg):
    unknown = token(dict(CLAIMS), alg="EdDSA", header={"alg": alg})
    check_denied(path, unknown, "header_alg", **ROLE)


@on_every_path
@pytest.mark.parametrize(
    "iss",
    [
        "https://issuer.exampl",
        "https://issuer.example/",
        "https://issuer.example.evil.example",
        "HTTPS://issuer.example",
        "https://Issuer.example",
        " https://issuer.example",
        "https://issuer.example\0",
        "issuer",
        "",
        "h",
        None,
    ],
    ids=ascii,
)
def test_cve_2024_53861_the_issuer_is_compared_whole(path, iss):
    config = {"jwt_validation_pubkeys": STATIC_KEYS, "bound_issuer": "https://issuer.example"}
    check_granted(path, jwt(), config=config, **ROLE)
    check_denied(path, jwt(iss=iss), "issuer_mismatch", config=config, **ROLE)
    check_denied(path, jwt_without("iss"), "issuer_mismatch", config=config, **ROLE)


@on_every_path
@pytest.mark.parametrize("iss", [["https://issuer.example"], {"a": 1}, 5, True], ids=str)
def test_cve_2024_53861_the_issuer_is_text(path, iss):
    config = {"jwt_validation_pubkeys": STATIC_KEYS, "bound_issuer": "https://issuer.example"}
    check_denied(path, jwt(iss=iss), "claim_type", config=config, **ROLE)


def test_the_tokens_here_would_be_found():
    assert any(part in jwt() for part in fragments(jwt()))
