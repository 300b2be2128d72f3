"""Programs: what they give beside what OpenBao gave, and that nothing but pb.Auth grants."""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from tests.jwt_auth.cel.mounted import GRANT, make_engine, program
from vault_jwt_plugin.jwt_auth.cel.errors import CELProgramError
from vault_jwt_plugin.jwt_auth.cel.guards import MAX_ITEMS
from vault_jwt_plugin.jwt_auth.cel.program import INLINE_CHARS, INLINE_ITEMS
from vault_jwt_plugin.jwt_auth.cel.role import Program, Variable
from vault_jwt_plugin.jwt_auth.cel.values import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_TEXT_CHARS,
    TooLargeError,
    plain,
)
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.sdk import Alias, TokenType, quoted

NOW = 1_700_000_000.25
RECORDED = json.loads((Path(__file__).parent / "fixtures" / "openbao.json").read_text())
CASES = RECORDED["cases"]
ENGINE = make_engine()
SECOND = 1_000_000_000


def evaluate(compiled, claims=None, operation="update", role="demo"):
    inputs = compiled.inputs(
        RECORDED["claims"] if claims is None else claims, now=NOW, operation=operation
    )
    return compiled.evaluate(inputs, role)


def granted(expression, claims=None, **variables):
    return evaluate(ENGINE.compile(program(expression, **variables)), claims)


def denied(expression, claims=None, **variables):
    with pytest.raises(LoginDenied) as caught:
        granted(expression, claims, **variables)
    return caught.value.code, caught.value.message


def refused(expression, **variables):
    with pytest.raises(CELProgramError) as caught:
        ENGINE.check(program(expression, **variables))
    return caught.value.code, caught.value.message


# As OpenBao 2.7.2 answered each program, once and for all.

CODES = {
    "text": "cel_denied_text",
    "false": "cel_denied",
    "other": "cel_result",
    "error": "cel_evaluation",
    "unfit": "cel_auth",
    # The host refuses what the program granted.
    "host": "granted",
    "granted": "granted",
    "refused": "refused",
}

# What we give instead, by decision: docs/differences.md.
DIFFERENT: dict[tuple[str, ...], tuple[str, str]] = {
    # Never as the library's own "%s", which would lose digits.
    ("'%s'.format([{'a':1234567.0}])",): ("cel_evaluation", ""),
    ("'%s'.format([1e21])",): ("cel_denied_text", "1e+21"),
    ("'%s'.format([1e-7])",): ("cel_denied_text", "1e-07"),
    ("'%s'.format([123456789.125])",): ("cel_denied_text", "1.23456789125e+08"),
    # JSON's null, not 0; protobuf's JSON for what JSON has no numbers for.
    ("encode_json({'n':null})",): ("cel_denied_text", '{"n":null}'),
    ("encode_json({'a':9007199254740993})",): ("cel_denied_text", '{"a":"9007199254740993"}'),
    ("encode_json({'u': 5u, 'd': duration('90s')})",): ("cel_denied_text", '{"d":"90s","u":5}'),
    ("pb.Auth{token_type: 7u}",): ("cel_auth", ""),
    ("'%s'.format([list])", "list"): ("refused", ""),
    ("'%s'.format([claims.n])", "double"): ("refused", ""),
}


def key_of(case):
    return (case["expression"], *(each["name"] for each in case.get("variables", ())))


def written(case):
    variables = tuple(
        Variable(name=each["name"], expression=each["expression"])
        for each in case.get("variables", ())
    )
    return Program(expression=case["expression"], variables=variables)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(" ; ".join(key_of(case)))[:80])
def test_as_openbao(case):
    code, text = CODES[case["outcome"]], case.get("text", "")
    different = DIFFERENT.get(key_of(case))
    if different is not None:
        assert different != (code, text), "no longer different"
        code, text = different
    try:
        ENGINE.check(written(case))
    except CELProgramError:
        assert code == "refused"
        return
    seen, auth, message = outcome(ENGINE.compile(written(case)))
    assert seen == code
    if code == "cel_denied_text":
        assert message == f'CEL role "demo" denied the login: {quoted(text)}'
    elif case["outcome"] == "granted" and auth is not None:
        assert auth.display_name == case["display_name"]
        assert sorted(auth.policies) == sorted(case["policies"])


def outcome(compiled):
    try:
        return "granted", evaluate(compiled), ""
    except LoginDenied as error:
        return error.code, None, error.message


def test_every_difference_is_of_a_recorded_case():
    assert DIFFERENT.keys() <= {key_of(case) for case in CASES}


# Nothing but pb.Auth grants, whatever is missing or wrong.


@pytest.mark.parametrize(
    "claims", [{}, {"other": 1}, {"admin": None}], ids=["none", "other", "null"]
)
@pytest.mark.parametrize(
    ("expression", "variables"),
    [
        ("v ? pb.Auth{} : pb.Auth{}", {"v": "claims.missing == true || claims.x"}),
        ("pb.Auth{}", {"v": "claims.missing"}),
        ("pb.Auth{}", {"v": "claims['missing']"}),
        ("pb.Auth{}", {"v": "[claims.missing]"}),
        ("pb.Auth{}", {"v": "{'a': claims.missing}"}),
        ("pb.Auth{}", {"v": "claims.missing.map(x, x)"}),
        ("pb.Auth{}", {"v": "size(claims.missing)"}),
        ("pb.Auth{}", {"v": "1", "w": "claims.missing"}),
        ("pb.Auth{}", {"w": "claims.missing", "v": "1"}),
        ("pb.Auth{}", {"v": "pb.Auth{display_name: claims.missing}"}),
        ("pb.Auth{}", {"v": "decode_json(claims.missing)"}),
        ("pb.Auth{}", {"v": "encode_json(claims.missing)"}),
        ("pb.Auth{}", {"v": "check_valid_email(claims.missing)"}),
        ("pb.Auth{display_name: claims.missing}", {}),
        ("claims.missing ? pb.Auth{} : pb.Auth{}", {}),
        ("claims.admin ? pb.Auth{} : pb.Auth{}", {}),
        ("claims.missing", {}),
    ],
)
def test_a_missing_claim_never_grants(expression, variables, claims):
    code, _ = denied(expression, claims, **variables)
    assert code == "cel_evaluation"


def test_an_unused_variable_that_fails_denies_and_one_that_does_not_grants():
    assert granted("pb.Auth{display_name: 'x'}", {"sub": "bob"}, v="claims.sub").display_name == "x"
    assert denied("pb.Auth{display_name: 'x'}", {}, v="claims.sub") == (
        "cel_evaluation",
        'the program of CEL role "demo" failed: no such key: "sub"',
    )


def test_a_name_given_twice_is_evaluated_twice():
    twice = Program(
        expression="pb.Auth{}",
        variables=(
            Variable(name="v", expression="claims.missing"),
            Variable(name="v", expression="2"),
        ),
    )
    with pytest.raises(LoginDenied):
        evaluate(ENGINE.compile(twice), {})


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("true", "cel_result"),
        ("false", "cel_denied"),
        ("'pb.Auth'", "cel_denied_text"),
        ("''", "cel_denied_text"),
        ("1", "cel_result"),
        ("1u", "cel_result"),
        ("1.5", "cel_result"),
        ("null", "cel_result"),
        ("b'x'", "cel_result"),
        ("[]", "cel_result"),
        ("[pb.Auth{}]", "cel_result"),
        ("{'a': pb.Auth{}}", "cel_result"),
        ("claims", "cel_result"),
        ("now", "cel_result"),
        ("duration('1s')", "cel_result"),
        ("type(1)", "cel_result"),
        ("pb.Auth", "cel_result"),
        ("optional.none()", "cel_result"),
        ("pb.LeaseOptions{}", "cel_result"),
        ("logical.Alias{name: 'x'}", "cel_result"),
        ("pb.Secret{}", "cel_result"),
        ("google.protobuf.Any{}", "cel_evaluation"),
    ],
)
def test_no_other_value_grants(expression, code):
    assert denied(expression)[0] == code


def test_a_claim_that_looks_like_an_auth_is_none():
    hostile = {"sub": {"display_name": "root", "policies": ["root"], "@type": "pb.Auth"}}
    assert denied("claims.sub", hostile)[0] == "cel_result"
    assert denied("dyn(claims.sub)", hostile)[0] == "cel_result"
    assert denied("decode_json(encode_json(claims.sub))", hostile)[0] == "cel_result"


# Texts whole: the library ends what Python gives it at a NUL.


@pytest.mark.parametrize(
    "expression",
    [
        "claims.sub == 'admin' ? pb.Auth{} : 'no'",
        "claims.list[0] == 'admin' ? pb.Auth{} : 'no'",
        "claims.deep.x == 'admin' ? pb.Auth{} : 'no'",
        "'admin' in claims.list ? pb.Auth{} : 'no'",
        "has(claims.names.admin) ? pb.Auth{} : 'no'",
        "decode_json(claims.json).x == 'admin' ? pb.Auth{} : 'no'",
        "decode_json(encode_json({'x': claims.sub})).x == 'admin' ? pb.Auth{} : 'no'",
        "'%s'.format([claims.sub]) == 'admin' ? pb.Auth{} : 'no'",
        "'%s'.format([claims.list]) == '[admin]' ? pb.Auth{} : 'no'",
    ],
)
def test_a_nul_ends_no_text(expression):
    nul = "admin\0x"
    claims = {
        "sub": nul,
        "list": [nul],
        "deep": {"x": nul},
        "names": {nul: 1},
        "json": json.dumps({"x": nul}),
    }
    assert denied(expression, claims) == (
        "cel_denied_text",
        'CEL role "demo" denied the login: "no"',
    )


def test_a_nul_goes_through_to_what_is_granted():
    auth = granted(
        "pb.Auth{display_name: claims.sub, metadata: {'x': claims.sub}}", {"sub": "a\0b"}
    )
    assert auth.display_name == "a\0b"
    assert auth.metadata == {"x": "a\0b"}


# Numbers whole.


def test_no_two_numbers_become_one_name():
    for template in (
        "'u%s'.format([claims.n])",
        "'u%d'.format([claims.n])",
        "'u' + string(claims.n)",
        "'u%s'.format([[claims.n]])",
        "encode_json({'n': claims.n})",
    ):
        compiled = ENGINE.compile(program(f"pb.Auth{{display_name: {template}}}"))
        numbers = [*range(1234560, 1234570), 9007199254740991, 9007199254740992, 0.1, 0.10000001]
        names = {evaluate(compiled, {"n": number}).display_name for number in numbers}
        assert len(names) == len(numbers), template


@pytest.mark.parametrize(
    ("given", "seen"),
    [(1, 1.0), (-5, -5.0), (Decimal("90.7"), 90.7), (2**53 + 1, float(2**53)), (True, True)],
)
def test_numbers_are_doubles(given, seen):
    value = plain(given)
    assert value == seen
    assert type(value) is type(seen)


# The library takes references of None that it does not own.


@pytest.mark.parametrize(
    "expression",
    [
        "null",
        "[null, {'a': null}]",
        "claims",
        "claims.list",
        "encode_json(claims)",
        "decode_json('[null, null]')",
        "decode_json(encode_json(claims)).list[0] == null ? pb.Auth{} : false",
        "pb.Auth{alias: null}",
        "'%s'.format([claims.list])",
        "claims.list.map(x, x)",
    ],
)
def test_none_keeps_its_references(expression):
    compiled = ENGINE.compile(program(expression, v="claims.list", w="null"))
    claims = {"list": [None] * 50, "nothing": None, "sub": "x"}
    before = sys.getrefcount(None)
    for _ in range(100):
        with contextlib.suppress(LoginDenied):
            evaluate(compiled, claims)
    assert abs(sys.getrefcount(None) - before) < 100


def test_what_own_functions_get_and_give_is_freed():
    compiled = ENGINE.compile(
        program(
            "pb.Auth{display_name: v, internal_data: encode_json(w)}",
            v="encode_json(claims)",
            w="decode_json(claims.json)",
            x="check_valid_email(v)",
        )
    )
    claims = {"json": '{"a": [1, "b"]}', "sub": "bob"}
    evaluate(compiled, claims)
    gc.collect()
    before = sum(isinstance(each, (Message, tuple)) for each in gc.get_objects())
    for _ in range(300):
        evaluate(compiled, claims)
    gc.collect()
    assert sum(isinstance(each, (Message, tuple)) for each in gc.get_objects()) - before < 100


# What is granted.


def test_everything_that_an_auth_can_say():
    auth = granted(
        """pb.Auth{
          lease_options: pb.LeaseOptions{
            TTL: 60000000000, MaxTTL: 120000000000, renewable: true, issue_time: now},
          internal_data: '{"a": 1, "role": "other", "role_type": "native"}',
          display_name: claims.sub, policies: ['p', 'q'], metadata: {'m': '1'},
          period: 5000000000, num_uses: 3, explicit_max_ttl: 7000000000,
          alias: logical.Alias{name: 'al', metadata: {'k': 'v'}, custom_metadata: {'c': 'd'},
                               local: true},
          group_aliases: claims.groups.map(g, logical.Alias{name: g}),
          bound_cidrs: ['10.0.0.0/8', '127.0.0.1/32'], token_type: 1u, no_default_policy: true}""",
    )
    assert (auth.ttl_ns, auth.max_ttl_ns, auth.renewable) == (60 * SECOND, 120 * SECOND, True)
    assert auth.issue_time_ns == 1_700_000_000_250_000_000
    # The names of role and type are ours alone to say.
    assert auth.internal_data == {"a": 1, "role": "demo", "role_type": "cel"}
    assert (auth.display_name, auth.policies, auth.metadata) == ("bob", ("p", "q"), {"m": "1"})
    assert (auth.period_ns, auth.explicit_max_ttl_ns, auth.num_uses) == (5 * SECOND, 7 * SECOND, 3)
    assert auth.alias == Alias(
        name="al", metadata={"k": "v"}, custom_metadata={"c": "d"}, local=True
    )
    assert [group.name for group in auth.group_aliases] == ["a", "b"]
    assert auth.bound_cidrs == ("10.0.0.0/8", "127.0.0.1")
    assert auth.token_type is TokenType.SERVICE
    assert auth.no_default_policy


def test_an_empty_auth_is_the_least_that_is_granted():
    auth = granted("pb.Auth{}")
    assert not auth.renewable
    assert (auth.alias, auth.ttl_ns, auth.policies) == (None, 0, ())
    assert auth.internal_data == {"role": "demo", "role_type": "cel"}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (
            "pb.Auth{lease_options: pb.LeaseOptions{TTL: 60000000000}}",
            "whose lease_options have no issue_time (issue_time: now)",
        ),
        (
            "pb.Auth{internal_data: 'nonsense'}",
            "whose internal_data is not the JSON text of an object",
        ),
        ("pb.Auth{internal_data: '[]'}", "whose internal_data is not the JSON text of an object"),
        ("pb.Auth{internal_data: '1'}", "whose internal_data is not the JSON text of an object"),
        ("pb.Auth{bound_cidrs: ['nonsense']}", "with bound_cidrs that are no addresses"),
        ("pb.Auth{bound_cidrs: ['']}", "with bound_cidrs that are no addresses"),
        ("pb.Auth{token_type: 5u}", "with a token_type that does not exist"),
        ("pb.Auth{alias: logical.Alias{}}", "whose alias has no name"),
    ],
)
def test_an_auth_that_can_not_be_granted(expression, why):
    assert denied(expression) == (
        "cel_auth",
        f'the program of CEL role "demo" made a pb.Auth {why}',
    )


def test_the_operation_and_the_time():
    compiled = ENGINE.compile(program("operation + ' ' + string(now)"))
    with pytest.raises(LoginDenied) as caught:
        evaluate(compiled, operation="alias-lookahead")
    assert caught.value.message.endswith('"alias-lookahead 2023-11-14T22:13:20.250Z"')


# Programs that are refused when written.


@pytest.mark.parametrize(
    ("expression", "variables", "code", "text"),
    [
        ("1 +", {}, "cel_syntax", "cel_program.expression: line 1, column 4: Syntax error: "),
        ("a\n +* b", {}, "cel_syntax", "cel_program.expression: line 2, column 3: "),
        (
            "nope",
            {},
            "cel_type",
            "cel_program.expression: line 1, column 1: undeclared reference to 'nope'",
        ),
        (
            "1 == 'a'",
            {},
            "cel_type",
            (
                "cel_program.expression: line 1, column 3: found no matching overload for '_==_' "
                "applied to '(int, string)'"
            ),
        ),
        ("pb.Auth{nope: 1}", {}, "cel_type", "cel_program.expression: line 1, column 13: "),
        ("pb.Auth{display_name: 1}", {}, "cel_type", "cel_program.expression: line 1, column 21: "),
        ("check_valid_email(1)", {}, "cel_type", "cel_program.expression: line 1, column 18: "),
        ("@0", {}, "cel_syntax", "cel_program.expression: line 1, column 1: "),
        ("@long_list()", {}, "cel_syntax", "cel_program.expression: line 1, column 1: "),
        ("cel.bind(x, 1, x)", {}, "cel_type", "cel_program.expression: line 1, column 10: "),
        ("v", {"v": "1 +"}, "cel_syntax", 'cel_program variable "v": line 1, column 4: '),
        ("'x'", {"v": ""}, "cel_syntax", 'cel_program variable "v": line 1, column '),
        (
            "'x'",
            {"claims": "1"},
            "cel_variable",
            'cel_program has a variable "claims", a name that every program already has',
        ),
        (
            "'x'",
            {"list": "1"},
            "cel_variable",
            'cel_program has a variable "list", which is the name of a type',
        ),
        (
            "'x'",
            {"a.b": "1"},
            "cel_unsupported",
            'cel_program has a variable "a.b": names with dots are not supported',
        ),
        (
            "claims.t.format([1])",
            {},
            "cel_unsupported",
            (
                "'format' is supported on a literal string with a literal list of values only, "
                "as in '%s@%s'.format([a, b])"
            ),
        ),
        (
            "'%s'.format(claims.l)",
            {},
            "cel_unsupported",
            "'format' is supported on a literal string",
        ),
        ("'%s'.format([?claims[?'a']])", {}, "cel_unsupported", "'format' is supported on a "),
        ("'x'", {"v": "claims.t.format([])"}, "cel_unsupported", "'format' is supported on a "),
        ("'%s'.format([])", {}, "cel_type", "'format' has fewer values than its string asks for"),
        (
            "'%s'.format([1, 2])",
            {},
            "cel_type",
            "'format' has more values than its string asks for",
        ),
        (
            "'%y'.format([1])",
            {},
            "cel_type",
            "'format' knows %s, %d, %f, %e, %b, %x, %X and %o, not %y",
        ),
        (
            "'%'.format([1])",
            {},
            "cel_type",
            "'format' knows %s, %d, %f, %e, %b, %x, %X and %o, not %",
        ),
        (
            "claims.l.map(x, decode_json(x))",
            {},
            "cel_unsupported",
            (
                "'decode_json' is not supported on a variable of map, filter, exists, all or "
                "another macro"
            ),
        ),
        ("claims.l.all(x, check_valid_email(x))", {}, "cel_unsupported", "'check_valid_email' is "),
        ("[1].exists(x, encode_json({'a': x}) == '')", {}, "cel_unsupported", "'encode_json' is "),
        (
            "(" * 40 + "1" + ")" * 40,
            {},
            "cel_syntax",
            "cel_program.expression: Expression recursion",
        ),
        (
            " + ".join(["'a'"] * 60),
            {},
            "cel_syntax",
            "cel_program.expression: Exceeded max recursion",
        ),
        ("'x' + " + "y" * 2000, {}, "cel_type", "cel_program.expression: line 1, column 7: undecl"),
    ],
)
def test_refused(expression, variables, code, text):
    seen_code, seen = refused(expression, **variables)
    assert seen_code == code
    assert seen.startswith(text)
    assert len(seen) < 700
    assert "\n" not in seen


def test_many_variables_leave_room_for_an_expression():
    names = {f"v{number}": "claims.sub" for number in range(25)}
    assert granted(GRANT, **names).display_name == "bob"


def test_too_many_variables_for_what_the_library_takes_are_refused():
    deep = "[" * 20 + "1" + "]" * 20
    names = {f"v{number}": deep for number in range(32)}
    assert refused(f"{deep} == {deep} ? pb.Auth{{}} : false", **names) == (
        "cel_too_large",
        "cel_program is nested too deeply, its variables counted with it",
    )


def test_a_phrase_that_hosts_act_on_is_left_out():
    assert refused("`cannot write to readonly storage`") == (
        "cel_syntax",
        "cel_program.expression: (text left out)",
    )


# Errors say what went wrong, and nothing of the token.


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("claims.nope", 'no such key: "nope"'),
        ("claims[claims.secret]", "no such key"),
        ("claims.secret + 1", "no such overload: _+_(string, int64)"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("[1][3]", "a position beyond the end of a list or string"),
        ("9223372036854775807 + 1", "a number, time or duration out of range"),
        ("timestamp(claims.secret)", "a string that is not a timestamp"),
        ("duration(claims.secret)", "a string that is not a duration"),
        ("int(claims.secret)", "a value that can't be converted"),
        ("'x'.matches(claims.bad)", "an invalid regular expression"),
        ("optional.none().value()", "the value of an optional that has none"),
        ("pb.Auth{display_name: dyn(1)}", "a value of a type that its field can't hold"),
        ("'%d'.format([claims.secret])", "%d was given no number"),
        ("'%s'.format([claims])", "%s was given a map, or a list that holds a list or a map"),
        ("lists.range(5000)", "a list would be longer than 1000 elements"),
        (
            "decode_json(claims.n)",
            "a function was called on a value of a type that it does not take",
        ),
        ("encode_json({1: 2})", "a function was called on a value of a type that it does not take"),
        ("base64.decode(claims.secret + '!')", "a string that is not base64"),
        ("claims.secret.substring(50)", "a position beyond the end of a list or string"),
        ("claims.secret.charAt(50)", "a position beyond the end of a list or string"),
        ("[1, 2].slice(1, 9)", "a position beyond the end of a list or string"),
        ("claims.secret.member", "a member of a value that has no members"),
        ("claims.secret[0]", "an index into a value that has no elements"),
        ("dyn(pb.Auth{}).nope", "a field that the message does not have"),
        ("[1, dyn('a')].sort()", "a list of values that can't be sorted"),
        ("regex.extract('a', '(a)(b)')", "a regular expression with more than one group"),
        ("string(b'\\xff')", "bytes that are not UTF-8"),
        ("int(1e30)", "a number, time or duration out of range"),
        ("'%b'.format([dyn('x')])", "an evaluation error"),
        (
            "lists.range(1000).all(a, lists.range(1000).all(b, true))",
            "it took more than 10,000 steps",
        ),
    ],
)
def test_reasons(expression, reason):
    claims = {"secret": "hunter2", "bad": "hunter2(", "n": 5}
    code, text = denied(expression, claims)
    assert (code, text) == ("cel_evaluation", f'the program of CEL role "demo" failed: {reason}')
    assert "hunter2" not in text


# The library can make texts that are no Unicode.


def test_a_text_that_is_no_unicode():
    assert denied("'%s'.format([b'\\xff'])") == (
        "cel_denied_text",
        'CEL role "demo" denied the login: (text left out)',
    )
    assert denied("pb.Auth{display_name: '%s'.format([b'\\xff'])}") == (
        "cel_auth",
        'the program of CEL role "demo" made a pb.Auth with a string that is not Unicode',
    )
    for function in ("check_valid_email(v)", "decode_json(v)", "encode_json({'a': v})"):
        code, _ = denied(
            f"{function} == false ? pb.Auth{{}} : pb.Auth{{}}", v="'%s'.format([b'\\xff'])"
        )
        assert code == "cel_evaluation"


# Bounds.


def nested(levels, leaf="x"):
    value: Any = leaf
    for _ in range(levels - 1):
        value = {"a": value}
    return {"a": value} if levels else value


@pytest.mark.parametrize(
    "claims",
    [
        nested(MAX_DEPTH),
        {"l": ["x"] * MAX_ITEMS},
        {"t": "x" * MAX_TEXT_CHARS},
        {f"c{number}": "x" * 12_000 for number in range(5)},
        {f"c{number}": number for number in range(MAX_ITEMS)},
        {"n": 10**308},
    ],
    ids=["deep", "a list", "a text", "texts", "members", "a number"],
)
def test_claims_up_to_the_bounds(claims):
    assert granted("pb.Auth{}", claims, v="size(claims)").display_name == ""


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        (nested(MAX_DEPTH + 1), "more than 32 levels of nesting"),
        (
            {"l": [[[]] * 5, ["x"] * (MAX_ITEMS + 1)]},
            "a list or an object of more than 1000 elements",
        ),
        ({"t": "x" * (MAX_TEXT_CHARS + 1)}, "a string of more than 16384 characters"),
        ({f"c{n}": "x" * 14_000 for n in range(5)}, "more than 65536 characters in all"),
        ({"o": {"x" * 10_000 + str(n): 1 for n in range(7)}}, "more than 65536 characters in all"),
        ({"n": 10**309}, "a number beyond a double's range"),
    ],
    ids=["deep", "a list", "a text", "texts", "names", "a number"],
)
def test_claims_beyond_the_bounds(claims, what):
    assert denied("pb.Auth{}", claims) == (
        "cel_claims_too_large",
        f"the token's claims are too large for a CEL role: {what}",
    )


def test_decoded_json_has_the_same_bounds():
    long = json.dumps(["x"] * (MAX_ITEMS + 1))
    assert denied("decode_json(claims.j) == false ? 'too large' : 'no'", {"j": long})[1].endswith(
        '"too large"'
    )
    deep = "[" * 100 + "]" * 100
    assert denied("decode_json(claims.j) == false ? 'too deep' : 'no'", {"j": deep})[1].endswith(
        '"too deep"'
    )
    with pytest.raises(TooLargeError):
        plain(["x" * 20_000])


@pytest.mark.parametrize(
    "expression",
    [
        "claims.csv.split(',').size() == 0 ? pb.Auth{} : pb.Auth{}",
        "regex.extractAll(claims.csv, ',').size() == 0 ? pb.Auth{} : pb.Auth{}",
        "claims.l.map(x, claims.l).flatten().size() == 0 ? pb.Auth{} : pb.Auth{}",
        "lists.range(1001).size() == 0 ? pb.Auth{} : pb.Auth{}",
        "lists.range(1000000000000).size() == 0 ? pb.Auth{} : pb.Auth{}",
        "lists.range(-1).size() == 0 ? pb.Auth{} : pb.Auth{}",
        "claims.csv.replace(',', claims.csv) == '' ? pb.Auth{} : pb.Auth{}",
        "claims.csv.replace('', claims.csv, 5) == '' ? pb.Auth{} : pb.Auth{}",
        "regex.replace(claims.csv, ',', claims.csv) == '' ? pb.Auth{} : pb.Auth{}",
    ],
)
def test_what_could_grow_is_bounded(expression):
    claims = {"csv": "," * 15_000, "l": list(range(100))}
    code, text = denied(expression, claims)
    assert code == "cel_evaluation"
    assert text.endswith(("elements", "a string would be too long"))


def test_the_largest_claims_take_no_more_than_their_time():
    claims = {"l": [f"{number:04x}" for number in range(MAX_ITEMS)], "t": "x" * MAX_TEXT_CHARS}
    variables = {
        "a": "claims.l.map(x, claims.t + x)",
        "b": "claims.l.filter(x, x in claims.l)",
        "c": "claims.l.distinct().sort()",
        "d": "sets.contains(claims.l, claims.l)",
    }
    assert granted("pb.Auth{display_name: string(size(a))}", claims, **variables).display_name


def test_large_claims_are_told_from_usual_ones():
    compiled = ENGINE.compile(program(GRANT))

    def is_large(claims):
        return compiled.inputs(claims, now=NOW, operation="update").is_large

    assert not is_large(RECORDED["claims"])
    assert not is_large({"l": [1] * (INLINE_ITEMS - 1)})
    assert is_large({"l": [1] * INLINE_ITEMS})
    assert is_large({"t": "x" * INLINE_CHARS})
    assert MAX_CHARS > INLINE_CHARS


def test_one_program_in_several_threads():
    compiled = ENGINE.compile(program("pb.Auth{display_name: v}", v="claims.sub + '!'"))
    wrong: list[str] = []

    def work(name):
        names = {evaluate(compiled, {"sub": name}).display_name for _ in range(200)}
        wrong.extend(names - {f"{name}!"})

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
