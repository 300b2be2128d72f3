"""Where ours deliberately answers otherwise than the builtin method, and why.

The suite fails on a difference that is not here, and on an entry here that no longer differs.
`scripts/gen-docs` makes docs/differences.md of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One answer that differs.

    Attributes:
        case: The case's name.
        step: Which of its steps, from 0.
        values: Dotted path of the answer -> builtin's value and ours; `...` = it has none. With
            `status` among them the rest of the answer follows from that, and is not compared.
        topic: What differs, in an operator's words.
        reason: Why ours is the better answer.
        families: The hosts whose builtin method differs.
    """

    case: str
    step: int
    values: Mapping[str, tuple[Any, Any]]
    topic: str
    reason: str
    families: tuple[str, ...] = ("bao", "vault")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Members that a read of ours always has and one family's builtin read lacks.

    Attributes:
        path: What is read: `config`, or `role/` for any role.
        values: Member -> the value it has when nothing set it.
    """

    family: str
    path: str
    values: Mapping[str, Any]
    reason: str


_UNION = "Ours has the parameters of both servers' methods on either server."

EXTRAS: tuple[Extra, ...] = (
    Extra(
        family="bao",
        path="config",
        values={"jwks_pairs": [], "unsupported_critical_cert_extensions": []},
        reason=_UNION,
    ),
    Extra(
        family="vault",
        path="config",
        values={"override_allowed_server_names": [], "status": "valid"},
        reason=_UNION,
    ),
    Extra(family="bao", path="role/", values={"alias_metadata": {}}, reason=_UNION),
    # Vault's own method has alias_metadata only since v0.26.
    Extra(
        family="vault",
        path="role/",
        values={
            "alias_metadata": {},
            "callback_mode": "client",
            "oauth2_metadata": None,
            "oidc_disable_confirmation": False,
            "token_policies_template_claims": False,
            "token_strictly_bind_ip": False,
        },
        reason=_UNION,
    ),
)

EVERY_RENEWAL: Mapping[str, tuple[Any, Any]] = {"auth.orphan": (True, False)}
"""The protocol between host and external plugin has no `orphan`: the answer to a renewal shows the
default. The token stays an orphan, as its lookup says; every external plugin has this."""


def _refused(
    case: str, topic: str, reason: str, *, status: int = 400, **more: Any
) -> tuple[Difference, ...]:
    """A write that the builtin method accepts and ours does not, and so its read-back."""
    common = {"case": case, "topic": topic, "reason": reason, **more}
    return (
        Difference(step=0, values={"status": (204, status)}, **common),
        Difference(step=1, values={"status": (200, 404)}, **common),
    )


_DOUBLES = "Numbers that a double can't hold, read back"
_DOUBLES_REASON = (
    "The server decodes a plugin's answer into doubles. They are stored and compared exactly as "
    "they were written."
)


def _exact(case: str, builtin: int, ours: int) -> Difference:
    """A login that compares numbers beyond 2^53."""
    return Difference(
        case=case,
        step=2,
        values={"status": (builtin, ours)},
        topic="A claim's number beyond 2^53, against `bound_claims`",
        reason="Compared digit by digit: the builtin method takes 9007199254740993 for "
        "9007199254740992, which may be somebody else's id.",
    )


_CEL_400: Mapping[str, Any] = {
    "topic": "A CEL program that can't be compiled",
    "reason": "Refused as the caller's mistake (400), not as a fault of the server (500).",
    "families": ("bao",),
}


def _cel_refused(case: str, what: str, reason: str) -> tuple[Difference, ...]:
    """A CEL role that the builtin method takes and ours does not, and so its read-back."""
    common = {"case": case, "topic": f"A CEL program with {what}", "reason": reason}
    return (
        Difference(step=0, values={"status": (200, 400)}, families=("bao",), **common),
        Difference(step=1, values={"status": (200, 404)}, families=("bao",), **common),
    )


_CEL: tuple[Difference, ...] = (
    *(
        Difference(case=f"cel-{case}", step=step, values={"status": (500, 400)}, **_CEL_400)
        for case, step in (
            ("role-syntax", 0),
            ("role-type", 0),
            ("role-undeclared", 0),
            ("role-unknown-field", 0),
            ("role-variable-syntax", 0),
            ("role-variable-of-a-builtin-name", 0),
            ("patch-syntax", 1),
        )
    ),
    Difference(
        case="cel-role-unbound",
        step=0,
        values={"warnings": (False, True)},
        topic="A CEL role without `bound_audiences`",
        reason="Written with a warning: tokens meant for anybody are accepted unless the program "
        "looks at `claims.aud`.",
        families=("bao",),
    ),
    *_cel_refused(
        "cel-role-variable-of-a-types-name",
        "a variable named like a type (`list`, `int`)",
        "Refused: the library declares each name once.",
    ),
    *_cel_refused(
        "cel-role-variable-with-a-dot",
        "a variable whose name has a dot",
        "Refused: not supported.",
    ),
    *_cel_refused(
        "cel-role-format-of-a-claim",
        "`format` on a string or list that is not a literal",
        "Refused: the library rounds numbers there, and two users could become one name.",
    ),
    *_cel_refused(
        "cel-role-own-function-in-a-macro",
        "`check_valid_email`, `encode_json` or `decode_json` on a macro's variable",
        "Refused: not supported.",
    ),
    *_cel_refused(
        "cel-role-many-pluses",
        "more than 32 operators in a row, or levels of nesting",
        "Refused: a bound of the library.",
    ),
    Difference(
        case="cel-login-alias-without-name",
        step=2,
        values={"status": (500, 400)},
        topic="A `pb.Auth` whose alias has no name",
        reason="Denied, not a fault of the server.",
        families=("bao",),
    ),
    Difference(
        case="cel-login-token-type-unknown",
        step=2,
        values={"status": (200, 400)},
        topic="A `pb.Auth` with a `token_type` that does not exist",
        reason="Denied: the builtin method issues a batch token.",
        families=("bao",),
    ),
    Difference(
        case="cel-value-encode-json-null",
        step=2,
        values={"token.display_name": ('MOUNT-{"n":0}', 'MOUNT-{"n":null}')},
        topic="A null in CEL's `encode_json`",
        reason="Stays null.",
        families=("bao",),
    ),
    Difference(
        case="cel-value-encode-json-duration",
        step=2,
        values={"token.display_name": ('MOUNT-{"d":90000000000}', 'MOUNT-{"d":"90s"}')},
        topic="A duration, or an integer above 2^53, in CEL's `encode_json`",
        reason="Written as a string, as protobuf's JSON does.",
        families=("bao",),
    ),
    Difference(
        case="cel-value-format-huge",
        step=2,
        values={"token.display_name": ("MOUNT-1000000000000000000000", "MOUNT-1e+21")},
        topic="`%s` in CEL's `format` with a fraction or a number above 2^53",
        reason="As `string` writes it.",
        families=("bao",),
    ),
    Difference(
        case="cel-value-format-map",
        step=2,
        values={"status": (200, 400)},
        topic="`%s` in CEL's `format` with a map or a list of lists",
        reason="Denied: not supported.",
        families=("bao",),
    ),
)


def _judged(
    topic: str, reason: str, *cases: str, builtin: int = 200, ours: int = 400, **more: Any
) -> tuple[Difference, ...]:
    """Logins that one of the methods takes and the other one does not."""
    return tuple(
        Difference(
            case=f"login-hostile-{case}",
            step=2,
            values={"status": (builtin, ours)},
            topic=topic,
            reason=reason,
            **more,
        )
        for case in cases
    )


_HOSTILE: tuple[Difference, ...] = (
    *_judged(
        "A token that holds half of a surrogate pair, or is not UTF-8",
        "Refused: Go replaces such characters, so two names could become one.",
        "header-half-a-pair",
        "header-latin-1",
        "payload-half-a-pair",
        "payload-half-a-pair-as-a-name",
        "payload-surrogate-in-utf-8",
    ),
    *_judged(
        "A token whose JSON is nested deeper than 64 levels",
        "Refused: nobody's claims are, and reading them costs.",
        "header-deep",
        "header-very-deep",
        "payload-deep",
    ),
    *_judged(
        "A token with a number below 1e-1000",
        "Refused as out of range; Go reads 0.",
        "payload-tiny-number",
    ),
    *_judged(
        "A token whose header is longer than 16 KiB",
        "Refused: it is read before any key has verified it.",
        "header-17-kilobytes",
    ),
    *_judged(
        "A token whose header has any `crit`, `zip`, or `b64` other than true",
        "Refused: each changes the meaning of a token, and nothing here gives it that meaning.",
        "header-crit-null",
        "header-crit-b64-true",
        "header-b64-text",
        "header-zip",
    ),
    *_judged(
        "A token with base64 padding",
        "Refused: RFC 7515 2 has none, and a token has one spelling.",
        "form-padding-in-the-payload",
    ),
    *_judged(
        "A claim whose name differs from a registered one by case alone (`SUB`)",
        "Refused, as by OpenBao: the claim that is checked could be another than the one used.",
        "payload-SUB",
        "payload-long-s",
        "payload-Aud",
        "payload-EXP",
        families=("vault",),
    ),
    *_judged(
        "A key in a token's header (`jwk`, `x5c`) that can't be read",
        "Not looked at: no key is ever taken from a token.",
        "header-jwk",
        "header-x5c",
        builtin=400,
        ours=200,
    ),
)

_TEMPLATES = (
    *(
        difference
        for case, refused in (
            ("html", "the function `html`, `js`, `urlquery` or `println`"),
            (
                "hex",
                (
                    "a directive of `printf` other than `%s %d %f %t %v %%`, zeros in front, a "
                    "width, and a precision of `%f` and `%s`"
                ),
            ),
            (
                "number",
                (
                    "a number that is not decimal, a character in single quotes, an escape `\\x`, "
                    "`\\U` or of octal digits, or an integer written with a fraction "
                    "(`truncate 10.0`)"
                ),
            ),
            (
                "layout",
                "a part of `timestamp`'s layout other than `2006 06 01 02 002 15 04 05 MST -0700`",
            ),
            ("assignment", "a variable set within parentheses, or by `range` with `=`"),
        )
        for difference in _refused(
            f"role-template-claims-{case}",
            f"A policy template with {refused}",
            "Refused by name when the role is written: no policy name needs it. A stored role "
            "with one denies its logins until it is written anew.",
            # As for every template that OpenBao refuses.
            status=500,
            families=("bao",),
        )
    ),
    *_refused(
        "role-template-claims-slice",
        "A policy template with `slice` and three indexes, `index` of a string, `range` over an "
        "integer, or `printf` of a list or map but by `%v` without a width",
        "No policy name needs it. Where only the claims show it, the login is denied; the rest is "
        "refused when the role is written.",
        status=500,
        families=("bao",),
    ),
)


DIFFERENCES: tuple[Difference, ...] = (
    *_HOSTILE,
    Difference(
        case="oidc-callback-post",
        step=1,
        values={"status": (405, 400)},
        topic="A POST of `oidc/callback` without an OIDC client",
        reason="Says that OIDC logins are not configured; the builtin method says nothing.",
    ),
    *(
        Difference(
            case=f"{what}-unknown-parameter",
            step=0,
            values={"status": (204, 200), "warnings": (False, True)},
            topic="A `config` or `role` write with a parameter that neither method knows",
            reason="Written all the same, with a warning that names it: a misspelt "
            "`bound_claims` binds nothing.",
        )
        for what in ("config", "role")
    ),
    *_refused(
        "config-jwks-no-keys-member",
        "A `jwks_url` whose document has no `keys`",
        "Refused when it is written: no login could ever succeed with it.",
    ),
    *_refused(
        "config-discovery-no-jwks-uri",
        "A discovery document without `jwks_uri`",
        "Refused when it is written: no login could ever succeed with it.",
    ),
    *_refused(
        "config-pairs-no-keys-member",
        "A `jwks_url` whose document has no `keys`",
        "Refused when it is written: no login could ever succeed with it.",
        families=("vault",),
    ),
    *(
        each
        for case in ("config-oids-static-bad", "config-oids-discovery-bad")
        for each in _refused(
            case,
            "`unsupported_critical_cert_extensions` with a value that is not an OID",
            "Refused wherever keys come from; the builtin method looks only with an OIDC client.",
            families=("vault",),
        )
    ),
    *_refused(
        "config-names-empty-element",
        "An empty name among `override_allowed_server_names`",
        "Refused: the builtin method then takes a certificate for any name.",
        families=("bao",),
    ),
    *(
        Difference(
            case=f"config-{name}",
            step=1,
            values={"warnings": (False, True)},
            topic="A key set without a key that can be used, read back",
            reason="The read warns: no token can be verified with it.",
            families=families,
        )
        for name, families in (
            ("jwks-empty-set", ("bao", "vault")),
            ("pairs-empty-set", ("vault",)),
        )
    ),
    *(
        Difference(
            case=f"config-skip-{name}",
            step=1,
            values={"data.status": ("valid", "invalid"), "warnings": (False, True)},
            topic="`status` of a `jwks_url` that can't be fetched",
            reason="The plugin has tried, and says why; the builtin method tries no `jwks_url`.",
            families=("bao",),
        )
        for name in ("jwks-down", "jwks-404", "jwks-no-ca")
    ),
    Difference(
        case="login-pairs-no-kid",
        step=2,
        values={"status": (200, 400)},
        topic="A token without `kid` where keys come from `jwks_pairs`",
        reason="Refused, as Vault's method does since v0.26.2.",
        families=("vault",),
    ),
    Difference(
        case="login-oidc-flow",
        step=2,
        values={"status": (400, 200)},
        topic="A login with a token where an OIDC client is configured",
        reason="It works with the issuer's keys, as with OpenBao's method.",
        families=("vault",),
    ),
    *_refused(
        "role-alias-batch-period",
        "Batch tokens with a `period` (the deprecated alias)",
        "Refused, as with `token_period`: the aliases do not go around the checks.",
    ),
    Difference(
        case="role-claims-numbers",
        step=1,
        values={
            "data.bound_claims.a": (42.0, 42),
            "data.bound_claims.b": (9007199254740993, 9007199254740992),
            "data.bound_claims.c": (1000.0, 1000),
        },
        topic=_DOUBLES,
        reason=_DOUBLES_REASON,
    ),
    Difference(
        case="json-token_num_uses-9223372036854775807",
        step=1,
        values={"data.token_num_uses": (9223372036854775807, 9223372036854776000)},
        topic=_DOUBLES,
        reason=_DOUBLES_REASON,
    ),
    _exact("json-bound-large-odd", 400, 200),
    _exact("json-bound-large-odd-in-the-token", 200, 400),
    _exact("json-bound-int64-max", 400, 200),
    _exact("json-bound-beyond-int64", 400, 200),
    _exact("json-bound-beyond-int64-wraps", 200, 400),
    Difference(
        case="role-cidrs-socket",
        step=1,
        values={"data.token_bound_cidrs": (['"\\"/run/x.sock\\""'], ["/run/x.sock"])},
        topic="A bound address that is not an IP address, read back",
        reason="As it was written; the builtin method adds quotes.",
    ),
    Difference(
        case="role-cidrs-prefix-too-long",
        step=1,
        values={"data.token_bound_cidrs": (['"\\"10.0.0.1/33\\""'], ["10.0.0.1/33"])},
        topic="A bound address that is not an IP address, read back",
        reason="As it was written; the builtin method adds quotes.",
    ),
    Difference(
        case="login-crit-empty",
        step=2,
        values={"status": (200, 400)},
        topic="A token whose header has an empty `crit`",
        reason="Refused: RFC 7515 4.1.11 forbids it.",
    ),
    Difference(
        case="login-padding",
        step=2,
        values={"status": (200, 400)},
        topic="A token with base64 padding",
        reason="Refused: RFC 7515 2 has none, and a token has one spelling.",
    ),
    Difference(
        case="login-user-empty",
        step=2,
        values={"status": (500, 400)},
        topic="An empty user claim",
        reason="Refused as a wrong token, not as a fault of the server.",
    ),
    *_TEMPLATES,
    *_CEL,
)


def expected(case: str, step: int, family: str) -> dict[str, tuple[Any, Any]]:
    """What must differ at this step: dotted path -> builtin's value and ours."""
    found: dict[str, tuple[Any, Any]] = {}
    for difference in DIFFERENCES:
        if (difference.case, difference.step) == (case, step) and family in difference.families:
            found |= difference.values
    return found


def allowed_extras(path: str, family: str) -> dict[str, Any]:
    """The members that a read of ours may have more: name -> value."""
    found: dict[str, Any] = {}
    for extra in EXTRAS:
        matches = path == extra.path or (extra.path.endswith("/") and path.startswith(extra.path))
        if matches and family == extra.family:
            found |= extra.values
    return found


def table() -> str:
    """Return the differences as a Markdown table, one row per topic."""
    names = {"bao": "OpenBao", "vault": "Vault"}
    families: dict[tuple[str, str], set[str]] = {}
    for d in DIFFERENCES:
        families.setdefault((d.topic, d.reason), set()).update(names[f] for f in d.families)
    lines = ["| Topic | Differs from | Why |", "| --- | --- | --- |"]
    lines += [
        f"| {topic} | {', '.join(sorted(who))} | {reason} |"
        for (topic, reason), who in sorted(families.items())
    ]
    return "\n".join(lines)
