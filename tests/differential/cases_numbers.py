"""Numbers, booleans and texts as JSON writes them: a builtin method sees every digit of them."""

from __future__ import annotations

import json
from typing import Any

from tests.differential.steps import (
    AUDIENCE,
    CLAIMS,
    STATIC,
    Call,
    Case,
    Login,
    Now,
    logins,
    read,
    story,
)

_LEAST = f'"role_type":"jwt","user_claim":"https://vault/user","bound_audiences":"{AUDIENCE}"'
_NOT_WHOLE = ("1.5", "90.7", "2.0", "0.0", "1e3", "1E3", "1e-3", "-1.5")
_NUMBERS = (
    *_NOT_WHOLE,
    *("0", "-1", "9007199254740992", "9223372036854775807", "9223372036854775808", "1e20"),
)
_TEXTS = ('"5"', '"+5"', '"-0"', '" 5"', '"2.0"', '"0x10"', '"1_000"', '"1e3"')
_DURATIONS = (
    *('"1.5s"', '".5s"', '"5."', '"1e3s"', '"5 s"', '"1d2h"', '"1.5d"', '"-5d"', '"106752d"'),
    *("true", "[5]", "{}", "9223372037"),
)
_BOOLS = (
    *("2", "-1", "1.0", "0.0", "0.5", "1e0"),
    *('"2"', '"yes"', '"on"', '"t"', '" true"', '["true"]', "{}"),
)
_LIST_LITERALS = (
    *("1e3", "2.0", "[1e3,2.0]", "true", "{}", "[[]]", "[{}]", '" "', '","', '[""]'),
    *('["a",null]', '"a\\u00a0,b"', '["\\u00a0a"]', '"\\ta\\n,b"'),
)
_MAPS = (
    *("[]", "null", "[{}]", '[{"a":"b"}]', '[{"a":"b"},{"c":"d"}]', '["a=b"]', '["=b"]'),
    *('["a="]', '["a"]', '"a=b,c=d"', '["a=b",{"c":"d"}]', "[5]", "true", '["a=b=c"]'),
    *('{"a":true}', '{"a":null}', '{"a":[]}', '{"a":{}}', '{"a":["b"]}'),
)


def _written(parameter: str, literal: str, *, families: tuple[str, ...] | None = None) -> Case:
    """A role with one parameter in exactly this JSON text, then what reads back."""
    write = Call(method="POST", path="role/demo", body=_role(f'"{parameter}":{literal}'))
    return story(f"json-{parameter}-{literal}", write, read("role/demo"), families=families)


def _role(members: str) -> bytes:
    return f"{{{_LEAST},{members}}}".encode()


def _bound(name: str, bound: str, claim: str, *, bound_type: str = "string") -> Case:
    """A login whose claim `n` and the role's bound value of it are exactly these JSON texts."""
    members = f'"bound_claims_type":"{bound_type}","bound_claims":{{"n":{bound}}}'
    write = Call(method="POST", path="role/demo", body=_role(members))
    return story(f"json-bound-{name}", STATIC, write, Login(payload=_payload("n", claim)))


def _payload(name: str, literal: str) -> bytes:
    """The usual claims, timeless, with one more whose JSON text is this."""
    claims = {k: v for k, v in CLAIMS.items() if not isinstance(v, Now) and k != name}
    members = json.dumps(claims | {"iat": 1_600_000_000, "exp": 9_999_999_999} | {name: "@@"})
    return members.replace('"@@"', literal).encode()


def _dated(name: str, claim: str, literal: str, **parameters: Any) -> Case:
    """A login whose date claim is exactly this JSON text."""
    return logins(f"json-{claim}-{name}", Login(payload=_payload(claim, literal)), **parameters)


CASES: tuple[Case, ...] = (
    *(
        _written(parameter, literal)
        for parameter in ("token_ttl", "clock_skew_leeway")
        for literal in (*_NUMBERS, *_TEXTS, *_DURATIONS)
    ),
    *(_written("ttl", literal) for literal in ("1.5", "2.0", '"1.5s"')),
    *(_written("max_age", literal) for literal in _NOT_WHOLE),
    *(_written("token_num_uses", literal) for literal in (*_NUMBERS, *_TEXTS, "true", "[5]")),
    *(_written("num_uses", literal) for literal in ("1.5", "5.0", "1e1", "5")),
    *(_written("poll_interval", literal, families=("bao",)) for literal in _NOT_WHOLE),
    *(
        _written(parameter, literal)
        for parameter in ("token_no_default_policy", "user_claim_json_pointer")
        for literal in _BOOLS
    ),
    *(
        _written("groups_claim", literal)
        for literal in ("1e3", "1E3", "2.0", "0.10", "9007199254740993", "true", "[]", "{}")
    ),
    *(_written("token_policies", literal) for literal in _LIST_LITERALS),
    *(_written("claim_mappings", literal) for literal in _MAPS),
    *(_written("bound_claims", literal) for literal in _MAPS),
    # Bound claims: the literal of the role against the number of the token.
    _bound("whole", "2", "2"),
    _bound("whole-and-float", "2", "2.0"),
    _bound("float-and-whole", "2.0", "2"),
    _bound("float-and-float", "2.0", "2.0"),
    _bound("truncated", "2", "2.99"),
    _bound("truncated-negative", "-2", "-2.99"),
    _bound("negative-zero", "0", "-0.9"),
    _bound("exponent-in-the-token", "1000", "1e3"),
    _bound("exponent-in-the-role", "1e3", "1000"),
    _bound("tiny", "0", "1e-300"),
    _bound("large", "9007199254740992", "9007199254740992"),
    _bound("large-odd", "9007199254740993", "9007199254740993"),
    _bound("large-odd-in-the-token", "9007199254740992", "9007199254740993"),
    _bound("int64-max", "9223372036854775807", "9223372036854775807"),
    _bound("beyond-int64", "10000000000000000000", "10000000000000000000"),
    _bound("beyond-int64-wraps", "-9223372036854775808", "10000000000000000000"),
    _bound("any-of", "[1,2.0,3]", "3"),
    _bound("any-of-float", "[1,2.0,3]", "2"),
    _bound("in-a-list", "2", "[1,2]"),
    _bound("list-in-list", "[2]", "[1,2]"),
    _bound("text-and-number", '"2"', "2"),
    _bound("number-and-text", "2", '"2"'),
    _bound("number-and-bool", "1", "true"),
    _bound("bool-and-number", "true", "1"),
    _bound("mixed-list", '["a",2,true]', "true"),
    _bound("object-in-a-list", '["a"]', '[{"a":1},"a"]'),
    _bound("null-in-a-list", '["a"]', '[null,"a"]'),
    _bound("nested-list", '["a"]', '[["a"]]'),
    _bound("glob-number", '"2*"', "25", bound_type="glob"),
    _bound("glob-list-of-numbers", '"2*"', '[25,"x","2y"]', bound_type="glob"),
    # Dates.
    _dated("float", "exp", "9999999999.9"),
    _dated("exponent", "exp", "9.9e9"),
    _dated("float-zero", "exp", "0.0"),
    _dated("below-one", "exp", "0.9"),
    _dated("negative", "exp", "-1"),
    _dated("negative-float", "exp", "-1.5"),
    _dated("text", "exp", '"9999999999"'),
    _dated("bool", "exp", "true"),
    _dated("list", "exp", "[9999999999]"),
    _dated("beyond-2-53", "exp", "9007199254740993"),
    _dated("int64-max", "exp", "9223372036854775807"),
    _dated("float", "nbf", "1600000000.5"),
    _dated("negative", "nbf", "-1"),
    _dated("text", "nbf", '"1600000000"'),
    _dated("float", "iat", "1600000000.5"),
    _dated("negative", "iat", "-1"),
    _dated("exponent", "iat", "1.6e9"),
    _dated("null", "iat", "null"),
    # Identity: what is no text.
    *(
        logins(f"json-user-{name}", Login(payload=_payload("https://vault/user", literal)))
        for name, literal in {
            "whole": "5",
            "float": "5.0",
            "large": "9007199254740993",
            "bool": "false",
            "list": '["jeff"]',
            "object": "{}",
            "text-of-number": '"5.0"',
        }.items()
    ),
    *(
        logins(
            f"json-group-{name}",
            Login(payload=_payload("https://vault/groups", literal)),
            groups_claim="https://vault/groups",
        )
        for name, literal in {
            "number": "5",
            "bool": "true",
            "mixed": '["a",5]',
            "nulls": "[null]",
            "nested": '[["a"]]',
            "duplicates": '["a","a"]',
            "spaces": '[" a "," "]',
        }.items()
    ),
)
