"""The bounds of policy templates: each by name, and hostile claims against all of them."""

import timeit
import tracemalloc
from contextlib import suppress

import pytest

from vault_jwt_plugin.jwt_auth.policies.go_template import limits
from vault_jwt_plugin.jwt_auth.policies.templates import (
    PolicyTemplates,
    TemplateError,
    TemplateSyntaxError,
)

CANT = "the role's token_policies can't be made"


def render(*policies, claims):
    return PolicyTemplates.parse(policies).render(claims)


def test_the_number_of_policies_is_bounded():
    PolicyTemplates.parse(["a"] * limits.MAX_POLICIES)
    with pytest.raises(TemplateSyntaxError) as caught:
        PolicyTemplates.parse(["a"] * (limits.MAX_POLICIES + 1))
    assert caught.value.message == (
        "policy 1025: a role whose policies are templates has at most 1024 of them"
    )


def test_the_length_of_a_template_is_bounded():
    PolicyTemplates.parse(["a" * limits.MAX_TEMPLATE_LENGTH])
    with pytest.raises(TemplateSyntaxError) as caught:
        PolicyTemplates.parse(["a" * (limits.MAX_TEMPLATE_LENGTH + 1)])
    assert caught.value.message == "policy 1: has more than 16384 characters"


@pytest.mark.parametrize(
    "nest",
    [
        lambda depth: "{{" + "(" * depth + ".a" + ")" * depth + "}}",
        lambda depth: "{{if .a}}" * depth + "{{end}}" * depth,
        lambda depth: "{{if .a}}" + "{{else if .a}}" * (depth - 1) + "{{end}}",
        lambda depth: "{{range .a}}" * depth + "{{end}}" * depth,
    ],
    ids=["parentheses", "if", "else if", "range"],
)
def test_the_nesting_of_a_template_is_bounded(nest):
    render(
        nest(limits.MAX_NESTING_DEPTH), claims={"a": ""} if "range" not in nest(1) else {"a": []}
    )
    with pytest.raises(TemplateSyntaxError, match="is nested deeper than 48 levels"):
        PolicyTemplates.parse([nest(limits.MAX_NESTING_DEPTH + 1)])


def test_the_variables_of_a_template_are_bounded():
    declarations = [f"{{{{$v{number} := 1}}}}" for number in range(limits.MAX_VARIABLES)]
    PolicyTemplates.parse(["".join(declarations[1:])])
    with pytest.raises(TemplateSyntaxError, match="has more than 64 variables"):
        PolicyTemplates.parse(["".join(declarations)])


def _deep(depth):
    value: list[object] = ["x"]
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("template", "fits", "exceeds", "reason"),
    [
        ("{{ .c }}", "a" * 4096, "a" * 4097, "the policy name grows beyond 4096 characters"),
        (
            "{{ len (print .c .c) }}",
            "a" * 32768,
            "a" * 32769,
            "character 9: print: a string grows beyond 65536 characters",
        ),
        (
            '{{ len (replace "a" .c .c) }}',
            "a" * 256,
            "a" * 257,
            "character 9: replace: a string grows beyond 65536 characters",
        ),
        (
            '{{ len (replace "é" .c .c) }}',
            "é" * 181,
            "é" * 182,
            "character 9: replace: a string grows beyond 65536 characters",
        ),
        (
            "{{ range .c }}{{ end }}",
            [1] * 5000,
            [1] * 5001,
            "range takes more than 5000 rounds",
        ),
        (
            "{{ range $.c }}{{ if . }}{{ if . }}{{ if . }}{{ end }}{{ end }}{{ end }}{{ end }}",
            [1] * 4999,
            [1] * 5000,
            None,
        ),
        (
            "{{ range .c }}{{ $x := 1 }}{{ $x = 2 }}{{ $x = 3 }}{{ $x = 4 }}{{ end }}",
            [1] * 4999,
            [1] * 5000,
            "evaluation takes more than 20000 steps",
        ),
        (
            "{{ range .c }}{{ if sha256 $.s }}{{ end }}{{ end }}",
            [1] * 517,
            [1] * 518,
            "character 21: sha256: evaluation handles more than 524288 characters",
        ),
        (
            "{{ range .c }}{{ if slice $.c }}{{ end }}{{ end }}",
            [1] * 724,
            [1] * 725,
            "character 21: slice: evaluation handles more than 524288 characters",
        ),
        (
            "{{ len (timestamp .c) }}",
            "x" * 256,
            "x" * 257,
            "character 9: timestamp: the layout has over 256 characters",
        ),
        ("{{ .c }}", _deep(48), _deep(49), "a printed claim is nested deeper than 48 levels"),
        (
            "{{ len (print .c) }}",
            ["a"] * 32767,
            ["a"] * 32768,
            "character 9: print: a string grows beyond 65536 characters",
        ),
        (
            "{{ len (print .c) }}",
            {f"{number:04d}": "a" for number in range(9361)},
            {f"{number:04d}": "a" for number in range(9362)},
            "character 9: print: a string grows beyond 65536 characters",
        ),
    ],
    ids=[
        "name",
        "text",
        "replace",
        "replace bytes",
        "rounds",
        "steps fit",
        "steps",
        "work",
        "slice",
        "layout",
        "printed depth",
        "printed list",
        "printed map",
    ],
)
def test_evaluation_is_bounded(template, fits, exceeds, reason):
    text = "x" * 950
    render(template, claims={"c": fits, "s": text})
    if reason is None:
        render(template, claims={"c": exceeds, "s": text})
        return
    with pytest.raises(TemplateError) as caught:
        render(template, claims={"c": exceeds, "s": text})
    assert caught.value.code == "policy_template_failed"
    separator = ", " if reason.startswith("character") else ": "
    assert caught.value.message == f"{CANT}: policy 1{separator}{reason}"


def test_the_keys_of_a_map_are_sorted_within_the_bounds():
    template = "{{ range .rounds }}{{ range $.map }}{{ break }}{{ end }}{{ end }}"
    with pytest.raises(TemplateError) as caught:
        render(template, claims=_HOSTILE)
    assert caught.value.message == (
        f"{CANT}: policy 1: evaluation handles more than 524288 characters"
    )


def test_bounds_hold_for_all_policies_of_a_login_together():
    template = "{{ range .c }}{{ end }}"
    render(template, template, claims={"c": [1] * 2500})
    with pytest.raises(TemplateError) as caught:
        render(template, template, claims={"c": [1] * 2501})
    assert caught.value.message == f"{CANT}: policy 2: range takes more than 5000 rounds"


def test_the_depth_of_printed_claims_is_that_of_one():
    render("{{ .c }}" * (limits.MAX_NESTING_DEPTH + 1), claims={"c": ["x"]})


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_text_that_is_too_long_is_not_made(letter):
    templates = PolicyTemplates.parse([f'{{{{ replace "{letter}" .c .c }}}}'])
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            templates.render({"c": letter * 4000})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # the text would have 16 million letters


_HOSTILE = {
    "big": "a" * 900_000,
    "letters": "é" * 60_000,
    "stars": "*a" * 30_000,
    "format": "\u200b" * 60_000,
    "rounds": ["x"] * 5000,
    "map": {f"k{number}": number for number in range(50_000)},
}


@pytest.mark.parametrize(
    "body",
    [
        "sha256 $.big",
        "uppercase $.letters",
        'printf "%999s" $.letters',
        "glob $.stars $.big",
        "eq $.big $.big",
        "lt $.letters $.letters",
        'replace "a" $.big $.big',
        'replace "" $.big $.big',
        "random 60000",
        "random 1000000000",
        "print $.map",
        'timestamp "200620062006200620062006200620062006200620062006"',
        "index $.letters 1",
        'printf "%999d" 1',
        "hex (hex (hex (hex (hex $.stars))))",
        "uuid",
        "len (slice $.rounds 1)",
    ],
)
def test_hostile_claims_do_not_hold_up_a_login(body):
    # Measured: at most 60 ms; without the bounds minutes.
    template = "{{ range .rounds }}{{ if " + body + " }}{{ end }}{{ end }}"
    templates = PolicyTemplates.parse([template])

    def attempt():
        with suppress(TemplateError):
            templates.render(_HOSTILE)

    assert timeit.timeit(attempt, number=1) < 2


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.%s}}", "policy 1, character 3: the claim .%s… is missing from the token"),
        ("{{.a.%s}}", "policy 1, character 3: .a is a number, which has no member %s…"),
    ],
    ids=["missing", "no map"],
)
def test_long_names_are_cut_in_messages(template, message):
    with pytest.raises(TemplateError) as caught:
        render(template % ("x" * 5000), claims={"a": 1})
    shown = 127 if "claim" in message else 128
    assert caught.value.message == f"{CANT}: {message % ('x' * shown)}"


@pytest.mark.parametrize(
    "number", ["1" * 5000, "-0x" + "f" * 5000, "1" * 5000 + ".5"], ids=["decimal", "hex", "float"]
)
def test_numbers_of_any_length_are_refused(number):
    with pytest.raises(TemplateSyntaxError) as caught:
        PolicyTemplates.parse(["{{%s}}" % number])  # noqa: UP031 - braces
    assert caught.value.message.startswith("policy 1, character 3: ")
