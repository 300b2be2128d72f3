"""Policy templates over claims."""

from __future__ import annotations

import json
import unicodedata

from tests.fuzz import mutation
from tests.fuzz.login import CLAIMS
from tests.fuzz.target import Target, check
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import MAX_NAME_LENGTH
from vault_jwt_plugin.jwt_auth.policies.templates import (
    PolicyTemplates,
    TemplateError,
    TemplateSyntaxError,
)
from vault_jwt_plugin.sdk import jsonutil


def _template(data: bytes) -> None:
    """The template, NUL, the claims."""
    raw, _, claims_raw = data.partition(b"\0")
    text = raw.decode("utf-8", "replace")
    try:
        templates = PolicyTemplates.parse([text, "static"])
    except TemplateSyntaxError as error:
        check(len(error.message) < 500, "a message as long as the template")
        return
    try:
        claims = jsonutil.loads_strict(claims_raw)
    except jsonutil.StrictJSONError:
        claims = None
    if not isinstance(claims, dict):
        claims = dict(CLAIMS)
    try:
        names = templates.render(VerifiedClaims(claims))
    except TemplateError as error:
        check(len(error.message) < 500, "a message as long as the template")
        return
    # A policy that is no template is what the role's writer wrote.
    for name in names if "{{" in text else ():
        check(name.strip() and name.strip().lower() != "root", f"{name!r} is a policy")
        check(
            all(unicodedata.category(char) not in {"Cc", "Cs"} for char in name),
            "a control character",
        )
        check(len(name) <= MAX_NAME_LENGTH, "a policy's name is too long")


def _templates() -> dict[str, bytes]:
    made = {
        "field": "{{ .sub }}",
        "nested": "x-{{ .deep.groups }}-{{- .repo -}} ",
        "pipe": '{{ .repo | replace "/" "-" | upper | trimprefix "T" | printf "%5s|%v" }}',
        "if": '{{ if and (eq .sub "me") (gt .n 3) }}a{{ else if not .ok }}b{{ else }}c{{ end }}',
        "range": "{{ range $i, $g := .deep.groups }}{{ $i }}{{ $g }}{{ else }}none{{ end }}",
        "with": '{{ with $x := index .deep.list 0 "x/y~z" }}{{ $x }}{{ end }}',
        "functions": '{{ len .deep.groups }}{{ slice .repo 0 3 }}{{ join "," .deep.groups }}',
        "time": '{{ timestamp "2006-01-02" }}{{ unix_time }}{{ random 5 }}{{ uuid }}',
        "hash": "{{ sha256 .sub }}{{ base64 .sub }}{{ truncate 3 .repo }}",
        "cut": "{{ truncate_sha256 20 .repo }}",
        "comment": "{{/* a */}}a{{ `raw` }}{{ 'x' }}{{ 0x1F }}{{ 1e3 }}{{ nil }}",
        "long-number": "{{ " + "1" * 5000 + " }}",
        "wrong": "{{ .a.b | }}{{ end }}",
    }
    claims = json.dumps(dict(CLAIMS)).encode()
    return {name: text.encode() + b"\0" + claims for name, text in made.items()}


_TEMPLATE_WORDS = (
    *tuple(
        rb"""
    {{ }} {{- -}} | := = $x .sub .deep ( ) , ` ' "%v" "%*d" "%[3]q" 0x1p4 1i '\x41'
    """.split()
    ),
    b" if ",
    b" else ",
    b" end ",
    b" range ",
    b" with ",
    b" break ",
    b" continue ",
    b" define ",
    b" template ",
    b" and ",
    b" or ",
    b" not ",
    b" eq ",
    b" lt ",
    b" len ",
    b" index ",
    b" slice ",
    b" printf ",
    b" print ",
    b" join ",
    b" replace ",
    b" truncate ",
    b" truncate_sha256 ",
    b" random ",
    b" uuid ",
    b" timestamp ",
    b" decode_json ",
    b" call ",
)
TARGETS = (
    Target(
        name="policy_template",
        run=_template,
        examples=_templates,
        words=_TEMPLATE_WORDS,
        mutate=mutation.tokens,
        max_bytes=16_384,
    ),
)
