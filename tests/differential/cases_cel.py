"""CEL roles (OpenBao): programs written, patched, listed, and logged in with."""

from __future__ import annotations

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
    Step,
    config,
    delete,
    demo,
    listing,
    read,
    story,
)

GRANT = "pb.Auth{display_name: claims.sub, alias: logical.Alias{name: claims.sub}}"


def program(expression: Any, **variables: str) -> dict[str, Any]:
    """What a role's `cel_program` is; variables in order."""
    listed = [{"name": name, "expression": source} for name, source in variables.items()]
    return {"expression": expression} | ({"variables": listed} if listed else {})


def put(name: str = "demo", /, **data: Any) -> Call:
    """Write a CEL role from exactly this data."""
    return Call(method="POST", path=f"cel/role/{name}", data=data)


def patch(name: str = "demo", /, **data: Any) -> Call:
    """Patch a CEL role."""
    return Call(method="PATCH", path=f"cel/role/{name}", data=data)


def bound(
    expression: Any = GRANT, /, *, variables: dict[str, str] | None = None, **data: Any
) -> Call:
    """Write the CEL role `demo` for the usual audience."""
    written = {"cel_program": program(expression, **(variables or {})), "bound_audiences": AUDIENCE}
    merged = written | data
    return put(**{name: value for name, value in merged.items() if value is not ABSENT})


def enter(**login: Any) -> Login:
    """Log in with a CEL role."""
    return Login(path="cel/login", **login)


def cel(name: str, *steps: Step) -> Case:
    """A story that only OpenBao's builtin method can be told."""
    return story(f"cel-{name}", *steps, families=("bao",))


def writes(name: str, *attempts: Call) -> Case:
    """Each write in turn, then what reads back."""
    return cel(name, *attempts, read("cel/role/demo"))


def logs_in(name: str, expression: str, *attempts: Login, **variables: str) -> Case:
    """Logins with one program; without any, one with the usual claims."""
    role = bound(expression, variables=variables)
    return cel(name, STATIC, role, *(attempts or (enter(),)))


def shows(name: str, expression: str, **variables: str) -> Case:
    """A login whose display name is what an expression gives."""
    return logs_in(name, f"pb.Auth{{display_name: {expression}}}", **variables)


_ROLES: tuple[Case, ...] = (
    writes("role", bound()),
    writes("role-unbound", bound(bound_audiences=ABSENT)),
    writes("role-everything", bound(variables={"a": "1", "b": "a"}, message="hi")),
    writes(
        "role-leeways", bound(expiration_leeway="1h", not_before_leeway=-1, clock_skew_leeway=0)
    ),
    writes("role-leeway-fraction", bound(clock_skew_leeway="1500ms")),
    writes("role-leeway-null", bound(expiration_leeway=None)),
    writes("role-leeway-nonsense", bound(expiration_leeway="x")),
    writes("role-audiences-list", bound(bound_audiences=["a,b", " c"])),
    writes("role-audiences-text", bound(bound_audiences="a, b")),
    writes("role-message-number", bound(message=5)),
    writes("role-replaces", bound(message="hi", clock_skew_leeway=5), bound("false")),
    writes("role-no-program", put(message="x")),
    writes("role-program-null", bound(cel_program=None)),
    writes("role-program-empty", bound(cel_program={})),
    writes("role-program-text", bound(cel_program="x")),
    writes("role-program-list", bound(cel_program=[1])),
    writes("role-expression-empty", bound("")),
    writes("role-expression-number", bound(5)),
    writes("role-expression-bool", bound(True)),
    writes("role-expression-list", bound(["a"])),
    writes("role-variables-null", bound(cel_program={"expression": GRANT, "variables": None})),
    writes("role-variables-empty", bound(cel_program={"expression": GRANT, "variables": []})),
    writes("role-variables-text", bound(cel_program={"expression": GRANT, "variables": "x"})),
    writes("role-variables-texts", bound(cel_program={"expression": GRANT, "variables": ["x"]})),
    writes(
        "role-members-in-any-case",
        bound(
            cel_program={
                "Expression": GRANT,
                "VARIABLES": [{"NAME": "a", "Expression": "1", "other": 2}],
                "more": 1,
            }
        ),
    ),
    writes("role-unknown-parameter", bound(failure_policy="Deny")),
    writes("role-name-in-the-body", bound(name="other")),
    writes("role-syntax", bound("1 +")),
    writes("role-type", bound("1 == 'a'")),
    writes("role-undeclared", bound("nope")),
    writes("role-unknown-field", bound("pb.Auth{nope: 1}")),
    writes("role-variable-syntax", bound(variables={"a": "1 +"})),
    writes("role-variable-of-a-builtin-name", bound(variables={"claims": "1"})),
    writes("role-variable-of-a-types-name", bound(variables={"list": "1"})),
    writes("role-variable-with-a-dot", bound(variables={"a.b": "1"})),
    writes("role-format-of-a-claim", bound("pb.Auth{display_name: string(claims.t).format([1])}")),
    writes(
        "role-own-function-in-a-macro",
        bound("claims.l.all(e, check_valid_email(e)) ? pb.Auth{} : false"),
    ),
    writes("role-many-pluses", bound(" + ".join(["'a'"] * 40))),
    writes("role-variable-is-only-parsed", bound(variables={"a": "1 + 'a'", "b": "nope()"})),
    cel("role-absent", read("cel/role/demo"), delete("cel/role/demo"), listing("cel/role")),
    cel("role-delete", bound(), delete("cel/role/demo"), read("cel/role/demo")),
    cel(
        "role-put",
        Call(
            method="PUT",
            path="cel/role/demo",
            data={"cel_program": program(GRANT), "bound_audiences": "a"},
        ),
        read("cel/role/demo"),
    ),
    cel(
        "role-names-and-pages",
        *(
            put(name, cel_program=program(GRANT), bound_audiences="a")
            for name in ("Zed", "a.b", "a-b", "x_", "b")
        ),
        listing("cel/role"),
        listing("cel/role", limit="2"),
        listing("cel/role", after="a.b"),
        listing("cel/role", after="a", limit="1"),
        listing("cel/role", limit="-1"),
        read("cel/role/Zed"),
        read("cel/role/zed"),
    ),
    cel("role-bad-names", put("-x", cel_program=program(GRANT)), put("a/b"), read("cel/role/x-")),
    cel("role-unknown-operations", read("cel/login"), listing("cel/login"), read("cel/roles")),
    cel("role-apart-from-native", demo(), bound(), listing("role"), listing("cel/role")),
)

_FULL = bound(variables={"a": "1"}, message="hi", expiration_leeway=10)
_SENT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "message": {"message": "new"},
    "message-null": {"message": None},
    "leeway": {"expiration_leeway": "1m"},
    "leeway-null": {"expiration_leeway": None},
    "leeway-nonsense": {"clock_skew_leeway": "x"},
    "audiences": {"bound_audiences": "z"},
    "expression": {"cel_program": {"expression": "'e'"}},
    "expression-null": {"cel_program": {"expression": None}},
    "variables": {"cel_program": {"variables": [{"name": "b", "expression": "2"}]}},
    "variables-empty": {"cel_program": {"variables": []}},
    "variables-null": {"cel_program": {"variables": None}},
    "program-text": {"cel_program": "x"},
    "syntax": {"cel_program": {"expression": "1 +"}},
    "unknown-parameter": {"nonsense": 1},
}
_PATCHES: tuple[Case, ...] = (
    *(writes(f"patch-{name}", _FULL, patch(**sent)) for name, sent in _SENT.items()),
    cel("patch-absent", patch(message="x"), read("cel/role/demo")),
    cel("patch-native", demo(), Call(method="PATCH", path="role/demo", data={"user_claim": "x"})),
)

_LEASE = (
    "lease_options: pb.LeaseOptions{TTL: 60000000000, MaxTTL: 3600000000000, renewable: true, "
    "issue_time: now}"
)
_LOGINS: tuple[Case, ...] = (
    logs_in("login", GRANT),
    logs_in("login-empty-auth", "pb.Auth{}"),
    logs_in(
        "login-everything",
        f"pb.Auth{{{_LEASE}, display_name: claims.sub, policies: ['p', 'q'], "
        "metadata: {'m': claims.first_name}, num_uses: 5, explicit_max_ttl: 7200000000000, "
        "alias: logical.Alias{name: claims.sub, metadata: {'k': 'v'}, custom_metadata: "
        "{'c': 'd'}}, bound_cidrs: ['127.0.0.0/8'], internal_data: '{\"a\": 1}'}",
    ),
    logs_in("login-period", f"pb.Auth{{{_LEASE}, period: 3600000000000}}", enter()),
    logs_in("login-batch", "pb.Auth{token_type: 2u, policies: ['p']}"),
    logs_in("login-service", "pb.Auth{token_type: 1u}"),
    logs_in("login-no-default-policy", "pb.Auth{no_default_policy: true, policies: ['p']}"),
    logs_in("login-cidrs-elsewhere", "pb.Auth{bound_cidrs: ['203.0.113.0/24']}"),
    logs_in(
        "login-negative-ttl", "pb.Auth{lease_options: pb.LeaseOptions{TTL: -5, issue_time: now}}"
    ),
    logs_in("login-token-type-unknown", "pb.Auth{token_type: 7u}"),
    logs_in("login-alias-without-name", "pb.Auth{alias: logical.Alias{}}"),
    logs_in("login-root-policy", "pb.Auth{policies: ['root']}"),
    logs_in(
        "login-lease-without-time", "pb.Auth{lease_options: pb.LeaseOptions{TTL: 60000000000}}"
    ),
    logs_in("login-bad-internal-data", "pb.Auth{internal_data: '[]'}"),
    logs_in("login-bad-cidr", "pb.Auth{bound_cidrs: ['nonsense']}"),
    logs_in("login-false", "false"),
    logs_in("login-true", "true"),
    logs_in("login-text", "'because'"),
    logs_in("login-number", "1"),
    logs_in("login-null", "null"),
    logs_in("login-claims", "claims"),
    logs_in("login-other-message", "logical.Alias{name: 'x'}"),
    logs_in("login-optional", "optional.of(pb.Auth{display_name: 'x'})"),
    logs_in("login-no-such-key", "claims.nope == 'x' ? pb.Auth{} : pb.Auth{}"),
    logs_in("login-error-absorbed", "claims.nope == 'x' || true ? pb.Auth{} : false"),
    logs_in(
        "login-decides",
        "claims.sub == 'x' && has(claims.color) ? pb.Auth{display_name: claims.color} : 'not you'",
        enter(claims={"sub": "x"}),
        enter(claims={"sub": "y"}),
        enter(claims={"sub": "x", "color": ABSENT}),
        enter(claims={"sub": None}),
    ),
    logs_in("login-unused-variable-fails", GRANT, v="claims.nope"),
    logs_in("login-unused-variable", GRANT, v="claims.color"),
    logs_in("login-variables", "b == 'green!' ? pb.Auth{} : b", a="claims.color", b="a + '!'"),
    logs_in("login-optional-variable", "pb.Auth{display_name: v}", v="claims[?'color']"),
    logs_in("login-optional-variable-none", "v == null ? pb.Auth{} : false", v="claims[?'nope']"),
    cel(
        "login-groups",
        STATIC,
        bound(
            "pb.Auth{alias: logical.Alias{name: claims.sub}, group_aliases: "
            "claims['https://vault/groups'].map(g, logical.Alias{name: g})}"
        ),
        Group(alias="foo", policies=("of-foo",)),
        enter(),
    ),
    cel("login-lookup-of-native-role", STATIC, demo(), enter()),
    cel("login-role-unknown", STATIC, enter(role="nobody")),
    cel("login-role-missing", STATIC, bound(), enter(role=None)),
    cel("login-role-in-upper-case", STATIC, bound(), enter(role="DEMO")),
    cel(
        "login-upper-case-role",
        STATIC,
        put("Up", cel_program=program(GRANT), bound_audiences=AUDIENCE),
        enter(role="Up"),
    ),
    cel(
        "login-default-role",
        config(jwt_validation_pubkeys="$pem:rsa", default_role="demo"),
        bound(),
        enter(role=None),
    ),
    cel("login-without-config", bound(), enter()),
    cel("login-without-token", STATIC, bound(), enter(jwt="")),
    cel("login-garbage", STATIC, bound(), enter(jwt="garbage")),
    cel("login-wrong-key", STATIC, bound(), enter(key="rsa-other")),
    cel("login-other-algorithm", STATIC, bound(), enter(alg="PS512")),
    cel(
        "login-issuer",
        config(jwt_validation_pubkeys="$pem:rsa", bound_issuer="https://team-vault.example/"),
        bound(),
        enter(),
        enter(claims={"iss": "x"}),
        enter(claims={"iss": ABSENT}),
    ),
    cel(
        "login-audiences",
        STATIC,
        bound(bound_audiences="x,y"),
        enter(claims={"aud": "y"}),
        enter(claims={"aud": ["z", "x"]}),
        enter(claims={"aud": "z"}),
        enter(claims={"aud": []}),
        enter(claims={"aud": ABSENT}),
        enter(claims={"aud": 5}),
    ),
    cel(
        "login-times",
        STATIC,
        bound(),
        enter(claims={"exp": Now(-55)}),
        enter(claims={"exp": Now(-65)}),
        enter(claims={"nbf": Now(65)}),
        enter(claims={"iat": Now(65)}),
        enter(claims={"exp": ABSENT, "nbf": ABSENT, "iat": ABSENT}),
        bound(clock_skew_leeway=-1),
        enter(claims={"exp": Now(-5)}),
        bound(expiration_leeway=1000),
        enter(claims={"exp": ABSENT, "nbf": ABSENT, "iat": Now(-1000)}),
    ),
    cel(
        "renew",
        STATIC,
        bound(f"pb.Auth{{{_LEASE}, display_name: claims.sub}}"),
        enter(),
        Renew(),
        Renew(increment=600),
        bound("false"),
        Renew(),
        delete("cel/role/demo"),
        Renew(),
        demo(),
        Renew(),
    ),
    cel("renew-not-renewable", STATIC, bound(), enter(), Renew()),
    cel(
        "aud-is-as-it-came",
        STATIC,
        bound(
            "claims.aud == 'x' ? pb.Auth{} : claims.aud == ['x'] ? pb.Auth{policies: ['l']} : ''",
            bound_audiences="x",
        ),
        enter(claims={"aud": "x"}),
        enter(claims={"aud": ["x"]}),
    ),
)

_VALUES: tuple[Case, ...] = (
    shows("value-subject", "claims.sub"),
    shows("value-number", "string(claims.number)"),
    shows("value-fraction", "string(claims.fraction)"),
    shows("value-big", "string(claims.big)"),
    shows("value-type", "type(claims.number) == double ? 'double' : 'int'"),
    shows("value-null", "claims.nothing == null ? 'null' : 'no'"),
    shows("value-object", "claims.org.primary + claims.org['a/b'] + claims.org.teams[1]"),
    shows("value-now", "now - duration('1h') < now && now.getFullYear() > 2020 ? 'y' : 'n'"),
    shows("value-operation", "operation"),
    shows("value-strings", "claims.color.upperAscii() + claims.color.reverse().substring(1, 3)"),
    shows("value-lists", "['b', 'a', 'a'].distinct().sort().join('-')"),
    shows("value-regex", "regex.replace(claims.color, 'e+', 'E')"),
    shows("value-math", "string(math.greatest(1, claims.number, 7))"),
    shows("value-sets", "sets.contains(claims.size, ['S']) ? 'y' : 'n'"),
    shows("value-base64", "base64.encode(bytes(claims.color))"),
    shows("value-optional", "claims.?org.?nope.orValue('none')"),
    shows("value-format", "'%s %d %.1f'.format([claims.color, 5, claims.fraction])"),
    shows("value-format-number", "'%s'.format([1234567.0])"),
    shows("value-encode-json", "encode_json(claims.org)"),
    shows("value-encode-json-fails", "encode_json(claims.color) == dyn(false) ? 'false' : 'no'"),
    shows("value-decode-json", 'decode_json(\'{"a": [1, "x"]}\').a[1]'),
    shows("value-decode-json-fails", "decode_json('{') == false ? 'false' : 'no'"),
    shows("value-valid-email", "check_valid_email('Jeff <j@example.com>') ? 'y' : 'n'"),
    shows("value-invalid-email", "check_valid_email(claims.color) ? 'y' : 'n'"),
    shows("value-not-text", "claims.number"),
    shows("value-encode-json-null", "encode_json({'n': null})"),
    shows("value-encode-json-duration", "encode_json({'d': duration('90s')})"),
    shows("value-format-huge", "'%s'.format([1e21])"),
    shows("value-format-map", "'%s'.format([{'a': 1}])"),
    shows("value-subject-again", "v", v=f"claims.sub == '{SUBJECT}' ? claims.sub : 'no'"),
)

CASES: tuple[Case, ...] = (*_ROLES, *_PATCHES, *_LOGINS, *_VALUES)
