"""path-help and OpenAPI from the declarations (framework/path.go, openapi.go)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vault_jwt_plugin.sdk import (
    NAME_PATTERN,
    Backend,
    Field,
    FieldType,
    HostFamily,
    Operation,
    OperationSpec,
    Path,
    UnsupportedPath,
    jsonutil,
    openapi,
)
from vault_jwt_plugin.sdk.path_templates import UnsupportedPatternError, expand
from vault_jwt_plugin.sdk.testing import FakeRequest, make_context


def handler(_request, _data):
    return None


BACKEND = Backend(
    make_context(),
    help_text="A backend for tests.",
    unauthenticated=["login"],
    root=["secret*"],
    paths=[
        Path(
            pattern="login",
            fields=[
                Field(name="role", type=FieldType.LOWER_STRING, description="The role."),
                Field(name="jwt", type=FieldType.STRING, required=True, sensitive=True),
            ],
            operations={
                Operation.UPDATE: OperationSpec(handler=handler, operation_id="jwt-login"),
                Operation.RESOLVE_ROLE: handler,
            },
            help_synopsis="Logs in.",
            help_description="Long text.",
        ),
        Path(
            pattern=f"role/{NAME_PATTERN}",
            fields=[
                Field(name="name", type=FieldType.LOWER_STRING),
                Field(name="ttl", type=FieldType.DURATION, default=60 * 10**9, deprecated=True),
                Field(
                    name="old",
                    type=FieldType.COMMA_STRINGS,
                    description="Old.",
                    deprecated=True,
                    hosts=frozenset({HostFamily.VAULT}),
                ),
            ],
            operations=dict.fromkeys(
                (Operation.CREATE, Operation.UPDATE, Operation.READ, Operation.DELETE), handler
            ),
            existence_check=lambda _request, _data: True,
        ),
        Path(
            pattern="role/?",
            fields=[Field(name="after", type=FieldType.STRING, query=True)],
            operations={Operation.LIST: OperationSpec(handler=handler, operation_id="jwt-list")},
        ),
        Path(pattern="secret/[a-z]+", operations={Operation.READ: handler}),
    ],
)


def ask(path, data=None):
    request = FakeRequest(operation=Operation.HELP, path=path, data=data or {})
    answer: Any = BACKEND.handle_request(request)
    return answer.data


def test_root_help():
    data = ask("")
    assert data["see_also"] is None
    assert data["help"] == (
        "## DESCRIPTION\n\nA backend for tests.\n\n## PATHS\n\n"
        "The following paths are supported by this backend. To view help for\n"
        "any of the paths below, use the help command with any route matching\n"
        "the path pattern. Note that depending on the policy of your auth token,\n"
        "you may or may not be able to access certain paths.\n\n"
        "    ^login$\n        Logs in.\n\n"
        r"    ^role/(?P<name>\w(([\w.-]+)?\w)?)$" + "\n\n\n"
        "    ^role/?$\n\n\n"
        "    ^secret/[a-z]+$"
    )


def test_path_help():
    assert ask("login")["help"] == (
        "Request:        login\nMatching Route: ^login$\n\nLogs in.\n\n## PARAMETERS\n\n"
        "    jwt (string)\n\n        <no description>\n\n"
        "    role (lowercase string)\n\n        The role.\n\n"
        "## DESCRIPTION\n\nLong text."
    )


def test_path_help_names_deprecation_and_origin():
    text = ask("role/x")["help"]
    assert "    old (slice)\n\n        (DEPRECATED) Old. (From Vault's own method;" in text
    assert "<no synopsis>" in text
    assert text.endswith("## DESCRIPTION\n\n<no description>")


def test_help_of_unknown_path():
    with pytest.raises(UnsupportedPath):
        ask("nope")


def test_openapi():
    document = ask("", {"requestResponsePrefix": "jwt"})["openapi"]
    jsonutil.dumps(document)
    assert document["openapi"] == "3.0.2"
    assert set(document["paths"]) == {"/login", "/role/{name}", "/role/", "/secret/[a-z]+"}
    login = document["paths"]["/login"]
    assert login["x-vault-unauthenticated"] is True
    assert login["post"]["operationId"] == "jwt-login"
    assert login["post"]["tags"] == ["auth"]
    reference = login["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/JwtLoginRequest"
    assert document["components"]["schemas"]["JwtLoginRequest"] == {
        "type": "object",
        "properties": {
            "role": {"type": "string", "description": "The role.", "format": "lowercase"},
            "jwt": {"type": "string", "x-vault-displayAttrs": {"sensitive": True}},
        },
        "required": ["jwt"],
    }
    assert document["paths"]["/secret/[a-z]+"] == {"x-vault-sudo": True}


def test_openapi_of_roles():
    paths = ask("", {"requestResponsePrefix": "jwt"})["openapi"]["paths"]
    role = paths["/role/{name}"]
    assert role["x-vault-createSupported"] is True
    assert [parameter["name"] for parameter in role["parameters"]] == ["name"]
    assert role["parameters"][0]["required"] is True
    assert role["get"]["operationId"] == "jwt-read-role-name"
    assert role["post"]["operationId"] == "jwt-write-role-name"
    assert role["delete"]["responses"] == {"204": {"description": "empty body"}}
    listed = paths["/role/"]["get"]
    assert listed["operationId"] == "jwt-list"
    assert [parameter["name"] for parameter in listed["parameters"]] == ["after", "list"]


FORMS = [
    Path(
        pattern="thing",
        fields=[
            Field(name="ttl", type=FieldType.DURATION, default=60 * 10**9),
            Field(name="kinds", type=FieldType.COMMA_STRINGS, allowed_values=("a", "b")),
            Field(name="mode", type=FieldType.STRING, allowed_values=("x", "y")),
            Field(name="kind", type=FieldType.STRING, allowed_values=("x", "y"), default="x"),
            Field(name="pairs", type=FieldType.LIST, display_edit_type="json"),
            Field(name="state", type=FieldType.LOWER_STRING, query=True),
        ],
        operations=dict.fromkeys((Operation.UPDATE, Operation.READ), handler),
    ),
    Path(pattern="plain", operations={Operation.READ: handler}),
    Path(pattern="both/?", operations=dict.fromkeys((Operation.LIST, Operation.READ), handler)),
    Path(pattern="list/?", operations={Operation.LIST: handler}),
]
STATE = {"name": "state", "in": "query", "schema": {"type": "string"}}


def properties(document):
    return document["components"]["schemas"]["WriteThingRequest"]["properties"]


@pytest.mark.parametrize("family", [None, *HostFamily])
def test_what_is_empty_is_left_out(family):
    paths = openapi.document(FORMS, family=family)["paths"]
    answers = {"200": {"description": "OK"}}
    assert paths["/plain"] == {
        "get": {"operationId": "read-plain", "tags": ["auth"], "responses": answers}
    }


@pytest.mark.parametrize("family", [None, *HostFamily])
def test_allowed_values_are_those_of_what_is_chosen(family):
    declared = properties(openapi.document(FORMS, family=family))
    assert declared["kinds"] == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "b"]},
    }
    assert declared["mode"]["enum"] == ["", "x", "y"]
    assert declared["kind"] == {"type": "string", "enum": ["x", "y"], "default": "x"}
    assert declared["pairs"]["x-vault-displayAttrs"] == {"editType": "json"}


@pytest.mark.parametrize("family", [None, *HostFamily])
def test_a_reference_is_also_in_the_name_that_hosts_decode(family):
    post = openapi.document(FORMS, family=family)["paths"]["/thing"]["post"]
    reference = "#/components/schemas/WriteThingRequest"
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": reference, "Ref": reference}


@pytest.mark.parametrize("family", [None, HostFamily.VAULT])
def test_the_form_of_vault(family):
    document = openapi.document(FORMS, family=family)
    assert set(document["paths"]) == {"/thing", "/plain", "/both", "/both/", "/list/"}
    assert properties(document)["ttl"] == {"type": "string", "format": "duration", "default": 60}
    assert properties(document)["state"] == {"type": "string", "format": "lowercase"}
    thing = document["paths"]["/thing"]
    assert "parameters" not in thing
    assert thing["get"]["parameters"] == [STATE]


def test_the_form_of_openbao():
    document = openapi.document(FORMS, family=HostFamily.OPENBAO)
    assert set(document["paths"]) == {"/thing", "/plain", "/both", "/both/", "/list"}
    assert properties(document)["ttl"] == {"type": "integer", "format": "seconds", "default": 60}
    assert "state" not in properties(document)
    thing = document["paths"]["/thing"]
    assert thing["parameters"] == [STATE]
    assert "parameters" not in thing["get"]


def test_help_is_in_the_form_of_the_host():
    context = replace(make_context(), host_family=HostFamily.OPENBAO)
    backend = Backend(context, paths=FORMS)
    answer: Any = backend.handle_request(FakeRequest(operation=Operation.HELP, path="thing"))
    assert properties(answer.data["openapi"])["ttl"]["format"] == "seconds"


def test_a_broken_document_never_breaks_the_hosts(monkeypatch, caplog):
    def broken(*_args, **_kwargs):
        raise RuntimeError("boom")

    monkeypatch.setattr(openapi, "document", broken)
    data = ask("")
    assert "openapi" not in data
    assert data["help"]
    assert "no OpenAPI document" in caplog.text


def test_prefix_of_another_kind_is_ignored():
    assert ask("", {"requestResponsePrefix": {"a": 1}})["openapi"]


@pytest.mark.parametrize(
    ("pattern", "templates"),
    [
        ("login", ["login"]),
        ("^login$", ["login"]),
        ("role/?", ["role"]),
        ("role/?$", ["role"]),
        (r"role/(?P<name>\w(([\w.-]+)?\w)?)", ["role/{name}"]),
        (r"a/(?P<n>[)(]\))/b", ["a/{n}/b"]),
        ("a(/b)?", ["a", "a/b"]),
        ("a(/b|/c)", ["a/b", "a/c"]),
        ("(?:x|y)/z", ["x/z", "y/z"]),
        ("crl(/pem|/delta(/pem)?)?", ["crl", "crl/pem", "crl/delta", "crl/delta/pem"]),
        (r"a\.b", ["a.b"]),
        ("a/?b", ["ab", "a/b"]),
    ],
)
def test_expand(pattern, templates):
    assert expand(pattern)[0] == templates


@pytest.mark.parametrize(
    "pattern", ["a.*", "[ab]", "a+", "(a", "a)", "a{2}", "?", "(?P<n>a", "(a)*"]
)
def test_patterns_without_openapi_form(pattern):
    with pytest.raises(UnsupportedPatternError):
        expand(pattern)
