"""Logins: signatures, time, audiences, bound claims, identity; renewal; what hosts ask beside."""

from __future__ import annotations

import json
from typing import Any

from tests.differential.steps import (
    ABSENT,
    AUDIENCE,
    STATIC,
    SUBJECT,
    Call,
    Case,
    Group,
    Login,
    Now,
    Renew,
    Tune,
    config,
    delete,
    demo,
    logins,
    role,
    story,
)

_ALGORITHMS = {
    "RS256": "rsa",
    "RS384": "rsa",
    "RS512": "rsa",
    "PS256": "rsa",
    "PS384": "rsa",
    "PS512": "rsa",
    "ES256": "ec256",
    "ES384": "ec384",
    "ES512": "ec521",
    "EdDSA": "ed",
}
_EXPONENT = (
    json.dumps({"aud": AUDIENCE, "https://vault/user": "jeff", "exp": "EXP", "iat": 1.7e9})
    .replace('"EXP"', "9.9e9")
    .encode()
)
_ALL_KEYS = ["$pem:rsa", "$pem:ec256", "$pem:ec384", "$pem:ec521", "$pem:ed"]


def time_case(
    name: str, exp: float | None, nbf: float | None, iat: float | None, **parameters: Any
) -> Case:
    """One login whose dates are so many seconds from now; None = the claim is missing."""
    dates = {"exp": exp, "nbf": nbf, "iat": iat}
    claims = {claim: ABSENT if at is None else Now(at) for claim, at in dates.items()}
    return logins(f"time-{name}", Login(claims=claims), **parameters)


def claims_case(name: str, bound: dict[str, Any], claims: dict[str, Any], **more: Any) -> Case:
    """One login against bound claims."""
    return logins(f"bound-{name}", Login(claims=claims), bound_claims=bound, **more)


# `exp`, `nbf`, `iat` seconds from now; every row on both sides of an edge, 5 s away from it.
_TIMES: tuple[Case, ...] = (
    time_case("none", None, None, None),
    time_case("exp-and-skew", -55, -300, -300),
    time_case("exp-past-skew", -65, -300, -300),
    time_case("nbf-within-skew", 300, 55, -10),
    time_case("nbf-beyond-skew", 300, 65, -10),
    time_case("iat-within-skew", 300, -10, 55),
    time_case("iat-beyond-skew", 300, -10, 65),
    time_case("exp-iat-no-nbf", 300, None, 55),
    time_case("exp-iat-no-nbf-early", 300, None, 65),
    time_case("exp-alone", 205, None, None),
    time_case("exp-alone-early", 215, None, None),
    time_case("exp-alone-long-lived", 3600, None, None),
    time_case("exp-alone-late", -65, None, None),
    time_case("exp-alone-leeway", 3600, None, None, not_before_leeway=3600),
    time_case("exp-alone-leeway-off", 55, None, None, not_before_leeway=-1),
    time_case("exp-alone-leeway-off-early", 65, None, None, not_before_leeway=-1),
    time_case("nbf-alone", None, -205, None),
    time_case("nbf-alone-late", None, -215, None),
    time_case("iat-alone", None, None, -205),
    time_case("iat-alone-late", None, None, -215),
    time_case("iat-alone-leeway", None, None, -1000, expiration_leeway=1000),
    time_case("iat-alone-leeway-off", None, None, -55, expiration_leeway=-1),
    time_case("iat-alone-leeway-off-late", None, None, -65, expiration_leeway=-5),
    time_case("nbf-iat", None, -205, -300),
    time_case("nbf-iat-late", None, -215, -300),
    time_case("skew-set", -15, -300, -300, clock_skew_leeway=20),
    time_case("skew-set-late", -25, -300, -300, clock_skew_leeway=20),
    time_case("skew-off", -5, -300, -300, clock_skew_leeway=-1),
    time_case("skew-off-good", 5, -300, -300, clock_skew_leeway=-1),
    time_case("leeways-do-nothing-when-present", -65, -300, -300, expiration_leeway=1000),
    logins("time-fraction", Login(claims={"exp": Now(100, float), "iat": Now(-1.5, float)})),
    logins("time-text", Login(claims={"exp": "1999999999"})),
    logins("time-null", Login(claims={"exp": None, "nbf": None, "iat": Now(-5)})),
    logins("time-zero", Login(claims={"exp": 0, "nbf": 0, "iat": Now(-5)})),
    logins("time-bool", Login(claims={"iat": True})),
    logins("time-huge", Login(claims={"exp": 1e15})),
    logins("time-exponent", Login(payload=_EXPONENT)),
)

_SIGNATURES: tuple[Case, ...] = (
    *(
        story(
            f"login-alg-{alg}",
            config(jwt_validation_pubkeys=_ALL_KEYS),
            demo(),
            Login(key=key, alg=alg),
        )
        for alg, key in _ALGORITHMS.items()
    ),
    logins("alg-not-of-the-key", Login(key="ec256", alg="ES256")),
    logins("alg-wrong-key", Login(key="rsa-other")),
    logins("alg-none", Login(alg="none")),
    logins("alg-hmac-with-public-key", Login(alg="HS256")),
    logins("alg-header-lies", Login(header={"alg": "RS512"})),
    logins("alg-header-missing", Login(header={"alg": None})),
    logins("alg-header-case", Login(header={"alg": "rs256"})),
    story(
        "login-alg-restricted",
        config(jwt_validation_pubkeys="$pem:rsa", jwt_supported_algs="RS512,PS256"),
        demo(),
        Login(),
        Login(alg="RS512"),
        Login(alg="PS256"),
    ),
    story(
        "login-alg-es256-with-p384-key",
        config(jwt_validation_pubkeys="$pem:ec384"),
        demo(),
        Login(key="ec384", alg="ES384"),
        Login(key="ec384", alg="ES256"),
    ),
    story("login-certificate", config(jwt_validation_pubkeys="$cert:rsa"), demo(), Login()),
    logins("kid-ignored-for-static-keys", Login(header={"kid": "nobody"})),
    logins("crit-unknown", Login(header={"crit": ["x"], "x": 1})),
    logins("crit-empty", Login(header={"crit": []})),
    logins("header-extra", Login(header={"x": "y", "jku": "http://127.0.0.1:1/"})),
    logins("header-typ", Login(header={"typ": "at+jwt"})),
    logins("header-no-typ", Login(header={"typ": None})),
    logins("header-long", Login(header={"x": "y" * 2000})),
    logins("header-cty", Login(header={"cty": "JWT"})),
    logins("header-b64-false", Login(header={"b64": False, "crit": ["b64"]})),
    # Tampered compact forms.
    logins("signature-missing", Login(edit=(r"\.[^.]*$", "."))),
    logins("signature-cut", Login(edit=(r"....$", ""))),
    logins("signature-of-other", Login(edit=(r"[^.]*$", "AAAA"))),
    logins("two-parts", Login(edit=(r"\.[^.]*$", ""))),
    logins("four-parts", Login(edit=(r"$", ".AAAA"))),
    logins("newline-at-the-end", Login(edit=(r"$", "\n"))),
    logins("spaces-around", Login(edit=(r"^", "  "))),
    logins("padding", Login(edit=(r"$", "=="))),
    logins("not-base64", Login(edit=(r"\.", ".***"))),
    logins("garbage", Login(jwt="garbage")),
    logins("empty", Login(jwt="")),
    logins("number", Login(jwt=5)),
    logins("object", Login(jwt={"a": 1})),
    logins("payload-not-json", Login(payload=b"{")),
    logins("payload-list", Login(payload=b"[]")),
    logins("payload-text", Login(payload=b'"x"')),
    logins("payload-empty", Login(payload=b"")),
    logins("payload-null", Login(payload=b"null")),
)

_CLAIMS: tuple[Case, ...] = (
    logins("good", Login()),
    logins("unknown-parameter", Login(data={"x": "y"})),
    # Registered claims.
    logins("subject", Login(), Login(claims={"sub": "x"}), bound_subject=SUBJECT),
    logins("subject-missing", Login(claims={"sub": ABSENT}), bound_subject=SUBJECT),
    logins("subject-case", Login(claims={"sub": SUBJECT.upper()}), bound_subject=SUBJECT),
    logins("subject-number", Login(claims={"sub": 5})),
    logins("issuer-number", Login(claims={"iss": 5})),
    logins("issuer-missing", Login(claims={"iss": ABSENT})),
    logins("jti-number", Login(claims={"jti": 5})),
    logins("jti-repeated", Login(claims={"jti": "x"}), Login(claims={"jti": "x"})),
    story(
        "login-issuer-bound",
        config(jwt_validation_pubkeys="$pem:rsa", bound_issuer="https://team-vault.example/"),
        demo(),
        Login(),
        Login(claims={"iss": "https://team-vault.example"}),
        Login(claims={"iss": ABSENT}),
    ),
    # Audiences.
    logins("audience-list", Login(claims={"aud": ["x", AUDIENCE]})),
    logins("audience-other", Login(claims={"aud": "x"})),
    logins("audience-case", Login(claims={"aud": AUDIENCE.upper()})),
    logins("audience-missing", Login(claims={"aud": ABSENT})),
    logins("audience-null", Login(claims={"aud": None})),
    logins("audience-empty-list", Login(claims={"aud": []})),
    logins("audience-number", Login(claims={"aud": 5})),
    logins("audience-mixed-list", Login(claims={"aud": [AUDIENCE, 5]})),
    logins("audience-several", Login(claims={"aud": ["b"]}), bound_audiences=["a", "b"]),
    *(
        logins(
            f"audience-unbound-{name}",
            Login(claims={"aud": aud}),
            bound_audiences=ABSENT,
            bound_subject=SUBJECT,
        )
        for name, aud in {
            "text": "x",
            "list": ["x"],
            "empty-list": [],
            "missing": ABSENT,
            "null": None,
            "list-of-empty": [""],
        }.items()
    ),
    # The user claim.
    logins("user-missing", Login(claims={"https://vault/user": ABSENT})),
    logins("user-null", Login(claims={"https://vault/user": None})),
    logins("user-number", Login(claims={"https://vault/user": 5})),
    logins("user-bool", Login(claims={"https://vault/user": True})),
    logins("user-list", Login(claims={"https://vault/user": ["jeff"]})),
    logins("user-empty", Login(claims={"https://vault/user": ""})),
    logins("user-unicode", Login(claims={"https://vault/user": "jürgen ✓"})),
    logins("user-pointer", Login(), user_claim="/org/primary", user_claim_json_pointer=True),
    logins("user-pointer-off", Login(), user_claim="/org/primary"),
    logins("user-pointer-list", Login(), user_claim="/org/teams/1", user_claim_json_pointer=True),
    logins("user-pointer-escapes", Login(), user_claim="/org/a~1b", user_claim_json_pointer=True),
    logins("user-pointer-miss", Login(), user_claim="/org/x/y", user_claim_json_pointer=True),
    logins("user-slash-name", Login(claims={"/me": "x"}), user_claim="/me"),
    # Bound claims, texts and types.
    claims_case("text", {"color": "green"}, {}),
    claims_case("text-other", {"color": "blue"}, {}),
    claims_case("text-case", {"color": "Green"}, {}),
    claims_case("any-of", {"color": ["blue", "green"]}, {}),
    claims_case("none-of", {"color": ["blue", "red"]}, {}),
    claims_case("list-claim", {"size": "M"}, {}),
    claims_case("list-claim-any-of", {"size": ["L", "S"]}, {}),
    claims_case("list-claim-none-of", {"size": ["L"]}, {}),
    claims_case("all-must-match", {"color": "green", "size": "L"}, {}),
    claims_case("missing", {"nobody": "x"}, {}),
    claims_case("null", {"nothing": "x"}, {}),
    claims_case("empty-list", {"size": "M"}, {"size": []}),
    claims_case("empty-bound-list", {"size": []}, {}),
    claims_case("empty-text", {"color": ""}, {"color": ""}),
    claims_case("bool", {"flag": True}, {}),
    claims_case("bool-other", {"flag": False}, {}),
    claims_case("bool-text", {"flag": "true"}, {}),
    claims_case("text-bool", {"color": True}, {"color": "true"}),
    claims_case("number", {"number": 42}, {}),
    claims_case("number-other", {"number": 43}, {}),
    claims_case("number-text", {"number": "42"}, {}),
    claims_case("number-float-bound", {"number": 42.0}, {}),
    claims_case("number-truncated", {"fraction": 42}, {}),
    claims_case("number-fraction-bound", {"fraction": 42.9}, {}),
    claims_case("number-negative", {"number": -1}, {"number": -1.9}),
    claims_case("number-large", {"number": 1234567890123}, {"number": 1234567890123}),
    claims_case("number-exponent", {"number": 1000}, {"number": 1e3}),
    claims_case("number-any-of", {"number": [41, 42]}, {}),
    claims_case("number-in-list", {"sizes": 2}, {}),
    claims_case("number-in-list-text", {"sizes": "2"}, {}),
    claims_case("object", {"org": "x"}, {}),
    claims_case("pointer", {"/org/primary": "engineering"}, {}),
    claims_case("pointer-list", {"/org/teams": "b"}, {}),
    claims_case("pointer-element", {"/org/teams/0": "a"}, {}),
    claims_case("pointer-tilde", {"/org/m~0n": "tilde"}, {}),
    claims_case("pointer-miss", {"/org/nobody": "x"}, {}),
    claims_case("pointer-beyond", {"/org/teams/9": "x"}, {}),
    claims_case("pointer-through-text", {"/color/x": "x"}, {}),
    claims_case("dotted-name-is-literal", {"org.primary": "engineering"}, {}),
    claims_case("aud", {"aud": AUDIENCE}, {}),
    claims_case("sub", {"sub": SUBJECT}, {}),
    claims_case("glob", {"color": "gr*n"}, {}, bound_claims_type="glob"),
    claims_case("glob-any", {"color": "*"}, {}, bound_claims_type="glob"),
    claims_case("glob-any-empty", {"color": "*"}, {"color": ""}, bound_claims_type="glob"),
    claims_case("glob-middle", {"color": "*ee*"}, {}, bound_claims_type="glob"),
    claims_case("glob-other", {"color": "b*"}, {}, bound_claims_type="glob"),
    claims_case("glob-case", {"color": "G*"}, {}, bound_claims_type="glob"),
    claims_case("glob-no-question-mark", {"color": "gree?"}, {}, bound_claims_type="glob"),
    claims_case("glob-no-class", {"color": "[g]reen"}, {}, bound_claims_type="glob"),
    claims_case("glob-empty-pattern", {"color": ""}, {"color": ""}, bound_claims_type="glob"),
    claims_case("glob-list", {"size": ["X*", "M*"]}, {}, bound_claims_type="glob"),
    claims_case("glob-number-claim", {"number": "4*"}, {}, bound_claims_type="glob"),
    claims_case("glob-bool-claim", {"flag": "t*"}, {}, bound_claims_type="glob"),
    claims_case("glob-overlap", {"color": "ab*ba"}, {"color": "aba"}, bound_claims_type="glob"),
    claims_case("glob-is-text-otherwise", {"color": "g*"}, {}),
)

_IDENTITY: tuple[Case, ...] = (
    logins(
        "metadata",
        Login(),
        claim_mappings={"first_name": "name", "/org/primary": "department", "color": "color"},
    ),
    logins("metadata-missing-is-skipped", Login(), claim_mappings={"nobody": "x", "color": "c"}),
    logins("metadata-null-is-skipped", Login(), claim_mappings={"nothing": "x"}),
    logins("metadata-number", Login(), claim_mappings={"number": "x"}),
    logins("metadata-bool", Login(), claim_mappings={"flag": "x"}),
    logins("metadata-list", Login(), claim_mappings={"size": "x"}),
    logins("metadata-empty-text", Login(claims={"color": ""}), claim_mappings={"color": "x"}),
    logins(
        "metadata-changes-with-the-token",
        Login(),
        Login(claims={"color": "red"}),
        claim_mappings={"color": "color"},
    ),
    logins(
        "groups",
        Group(alias="foo", policies=("from-foo",)),
        Group(alias="unrelated", policies=("other",)),
        Login(),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-change-with-the-token",
        Group(alias="foo", policies=("from-foo",)),
        Login(),
        Login(claims={"https://vault/groups": ["bar"]}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-text",
        Group(alias="foo", policies=("p",)),
        Login(claims={"https://vault/groups": "foo"}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-empty",
        Login(claims={"https://vault/groups": []}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-empty-text",
        Login(claims={"https://vault/groups": ""}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-of-empty-texts",
        Login(claims={"https://vault/groups": ["", "foo"]}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-missing",
        Login(claims={"https://vault/groups": ABSENT}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-null",
        Login(claims={"https://vault/groups": None}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-number",
        Login(claims={"https://vault/groups": [1]}),
        groups_claim="https://vault/groups",
    ),
    logins(
        "groups-object",
        Login(claims={"https://vault/groups": {}}),
        groups_claim="https://vault/groups",
    ),
    logins("groups-pointer", Group(alias="b", policies=("p",)), Login(), groups_claim="/org/teams"),
    # What the role gives the token.
    logins("policies", Login(), token_policies="Zeta,alpha,alpha"),
    logins("policies-none", Login(), token_policies=""),
    logins("policies-no-default", Login(), token_no_default_policy=True),
    logins("policies-old-name", Login(), token_policies=ABSENT, policies="Old,b"),
    logins("policies-root", Login(), token_policies="root"),
    logins("ttl", Login(), token_ttl="1h", token_max_ttl="2h"),
    logins("ttl-old-names", Login(), ttl="1h", max_ttl="2h"),
    logins("max-ttl-alone", Login(), token_max_ttl="90m"),
    logins("max-ttl-above-mount", Login(), token_ttl="9000h", token_max_ttl="10000h"),
    logins("explicit-max-ttl", Login(), token_explicit_max_ttl="90m", token_ttl="3h"),
    logins("period", Login(), token_period="2h"),
    logins("num-uses", Login(), token_num_uses=3),
    logins("batch", Login(), token_type="batch", token_ttl=60),
    logins("service", Login(), token_type="service"),
    logins("cidr-inside", Login(), token_bound_cidrs="127.0.0.0/8"),
    logins("cidr-host-bits", Login(), token_bound_cidrs="127.0.0.7/8"),
    logins("cidr-one-of", Login(), token_bound_cidrs="10.0.0.0/8,127.0.0.1"),
    logins("cidr-outside", Login(), token_bound_cidrs="10.0.0.0/8"),
    logins("cidr-ipv6-only", Login(), token_bound_cidrs="::1"),
    logins("cidr-socket", Login(), token_bound_cidrs="/run/x"),
    logins("cidr-before-signature", Login(key="rsa-other"), token_bound_cidrs="10.0.0.0/8"),
    logins("strict-ip", Login(), token_strictly_bind_ip=True, families=("bao",)),
    story("login-mount-type-batch", Tune(data={"token_type": "batch"}), STATIC, demo(), Login()),
    story(
        "login-mount-ttl",
        Tune(data={"default_lease_ttl": "7m", "max_lease_ttl": "1h"}),
        STATIC,
        demo(),
        Login(),
    ),
    story(
        "login-mount-max-ttl",
        Tune(data={"max_lease_ttl": "10m"}),
        STATIC,
        demo(token_ttl="1h"),
        Login(),
    ),
)

_ROLES: tuple[Case, ...] = (
    story("login-no-config", demo(), Login()),
    story("login-no-role", STATIC, Login(role="nobody")),
    story("login-role-not-sent", STATIC, demo(), Login(role=None)),
    story("login-role-empty", STATIC, demo(), Login(role="")),
    story("login-role-lowercased", STATIC, demo(), Login(role="DEMO")),
    story(
        "login-role-number",
        STATIC,
        role("7", role_type="jwt", user_claim="sub", bound_audiences=AUDIENCE),
        Login(role=7),
    ),
    story("login-role-object", STATIC, demo(), Login(role={})),
    story(
        "login-default-role",
        config(jwt_validation_pubkeys="$pem:rsa", default_role="Demo"),
        demo(),
        Login(role=None),
        Login(role="nobody"),
    ),
    story(
        "login-jwt-not-sent",
        STATIC,
        demo(),
        Call(method="POST", path="login", data={"role": "demo"}),
    ),
    story("login-get", STATIC, demo(), Call(method="GET", path="login")),
    story(
        "login-put",
        STATIC,
        demo(),
        Call(method="PUT", path="login", data={"role": "demo", "jwt": "x"}),
    ),
    story(
        "login-oidc-role",
        STATIC,
        demo(role_type="oidc", allowed_redirect_uris="http://localhost:8250/oidc/callback"),
        Login(),
    ),
    story(
        "login-after-role-change",
        STATIC,
        demo(),
        Login(),
        demo(token_policies="other", token_ttl=77),
        Login(),
    ),
    story(
        "login-after-role-delete",
        STATIC,
        demo(),
        Login(),
        delete("role/demo"),
        Login(),
        demo(),
        Login(),
    ),
    story(
        "login-after-key-change",
        STATIC,
        demo(),
        Login(),
        config(jwt_validation_pubkeys="$pem:ec256"),
        Login(),
        Login(key="ec256", alg="ES256"),
    ),
    story("login-after-refused-config", STATIC, demo(), Login(), config(jwks_url="$dead"), Login()),
    # Renewal.
    logins("renew", Login(), Renew(), Renew(increment=120), token_ttl="1h", token_max_ttl="2h"),
    logins(
        "renew-beyond-max", Login(), Renew(increment=100_000), token_ttl="1h", token_max_ttl="2h"
    ),
    logins("renew-period", Login(), Renew(increment=60), token_period="2h"),
    logins("renew-no-ttl", Login(), Renew(increment=60)),
    story(
        "renew-takes-the-current-ttl",
        STATIC,
        demo(token_ttl="1h"),
        Login(),
        demo(token_ttl="2h"),
        Renew(),
    ),
    story(
        "renew-keeps-the-policies", STATIC, demo(), Login(), demo(token_policies="other"), Renew()
    ),
    story(
        "renew-takes-the-current-period",
        STATIC,
        demo(token_period="1h"),
        Login(),
        demo(token_period="2h"),
        Renew(),
    ),
    story("renew-after-role-delete", STATIC, demo(), Login(), delete("role/demo"), Renew()),
    story(
        "renew-after-config-change",
        STATIC,
        demo(),
        Login(),
        config(jwt_validation_pubkeys="$pem:ec256"),
        Renew(),
    ),
    logins("renew-batch", Login(), Renew(), token_type="batch"),
)

_FETCHED: tuple[Case, ...] = (
    *(
        story(f"login-{name}", config(**source), demo(), *attempts)
        for name, (source, attempts) in {
            "jwks": ({"jwks_url": "$http/jwks"}, (Login(header={"kid": "rsa"}),)),
            "jwks-https": (
                {"jwks_url": "$https/jwks", "jwks_ca_pem": "$ca"},
                (Login(header={"kid": "rsa"}),),
            ),
            "jwks-without-kid": ({"jwks_url": "$http/jwks"}, (Login(),)),
            "jwks-ec": (
                {"jwks_url": "$http/jwks"},
                (Login(header={"kid": "ec256"}, key="ec256", alg="ES256"),),
            ),
            "jwks-ed": (
                {"jwks_url": "$http/jwks"},
                (Login(header={"kid": "ed"}, key="ed", alg="EdDSA"),),
            ),
            "jwks-unknown-kid": ({"jwks_url": "$http/jwks"}, (Login(header={"kid": "x"}),)),
            "jwks-kid-of-another": ({"jwks_url": "$http/jwks"}, (Login(header={"kid": "ed"}),)),
            "jwks-wrong-key": (
                {"jwks_url": "$http/jwks"},
                (Login(header={"kid": "rsa"}, key="rsa-other"),),
            ),
            "jwks-keys-without-kid": ({"jwks_url": "$http/jwks-no-kid"}, (Login(),)),
            "jwks-keys-without-kid-token-with": (
                {"jwks_url": "$http/jwks-no-kid"},
                (Login(header={"kid": "rsa"}),),
            ),
            "jwks-same-kid-twice": (
                {"jwks_url": "$http/jwks-same-kid"},
                (Login(header={"kid": "x"}),),
            ),
            "jwks-use-and-alg-ignored": (
                {"jwks_url": "$http/jwks-use-enc"},
                (Login(header={"kid": "rsa"}),),
            ),
            "jwks-alg-restricted": (
                {"jwks_url": "$http/jwks", "jwt_supported_algs": "ES256"},
                (Login(), Login(key="ec256", alg="ES256")),
            ),
            "jwks-issuer-bound": (
                {"jwks_url": "$http/jwks", "bound_issuer": "x"},
                (Login(), Login(claims={"iss": "x"})),
            ),
            "discovery": ({"oidc_discovery_url": "$http/plain"}, (Login(header={"kid": "rsa"}),)),
            "discovery-slash": (
                {"oidc_discovery_url": "$http/slash/"},
                (Login(header={"kid": "rsa"}), Login(key="rsa-other")),
            ),
            "discovery-https": (
                {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$ca"},
                (Login(header={"kid": "rsa"}),),
            ),
            "discovery-issuer-not-bound-by-itself": (
                {"oidc_discovery_url": "$http/plain"},
                (Login(claims={"iss": "https://somebody.example"}),),
            ),
        }.items()
    ),
)

CASES: tuple[Case, ...] = (
    *_SIGNATURES,
    *_TIMES,
    *_CLAIMS,
    *_IDENTITY,
    *_ROLES,
    *_FETCHED,
)
