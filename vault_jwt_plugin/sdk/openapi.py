"""The OpenAPI document of a backend, made from the declarations that its router uses.

Mirrors `sdk/framework/openapi.go`: the hosts merge `paths` and `components` of every mount into
their own document, and clients are generated from it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.sdk.path_templates import UnsupportedPatternError, expand
from vault_jwt_plugin.sdk.request import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vault_jwt_plugin.sdk.fields import Field
    from vault_jwt_plugin.sdk.path import OperationSpec, Path

OPENAPI_VERSION = "3.0.2"

_METHODS: Mapping[Operation, str] = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.CREATE: "post",
    Operation.UPDATE: "post",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
}
"""The operations that are published, and their HTTP methods."""

_WITH_BODY = frozenset((Operation.CREATE, Operation.UPDATE, Operation.PATCH))
_LIST_RESPONSE = "StandardListResponse"
_LIST_SCHEMA = {
    "type": "object",
    "properties": {"keys": {"type": "array", "items": {"type": "string"}}},
}
_PATH_FIELD = re.compile(r"{(\w+)}")
_NON_WORD = re.compile(r"\W+", re.ASCII)


def document(
    paths: Iterable[Path],
    *,
    prefix: str = "",
    unauthenticated: Sequence[str] = (),
    root: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the OpenAPI document of `paths` as decoded JSON.

    Args:
        paths: the paths to describe.
        prefix: the first part of operation ids that are made from a path.
        unauthenticated: the backend's paths that need no token.
        root: the backend's paths that need `sudo`.
    """
    described: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for path in paths:
        for template, item in _path_items(path, prefix, schemas):
            if _special(template, unauthenticated):
                item["x-vault-unauthenticated"] = True
            if _special(template, root):
                item["x-vault-sudo"] = True
            described[f"/{template}"] = item
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Auth method API",
            "description": "Routes of one auth mount; every route is below the mount's path.",
            "version": "",
            "license": {"name": "", "url": ""},
        },
        "paths": described,
        "components": {"schemas": schemas},
    }


def _path_items(
    path: Path, prefix: str, schemas: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each template of a path with its path object; a list's template ends in `/`."""
    try:
        templates, captures = expand(path.pattern)
    except UnsupportedPatternError:
        # The pattern is named for a human reader, without operations.
        yield path.pattern, {"description": _clean(path.help_synopsis)}
        return
    for template in templates:
        published = {
            operation: spec
            for operation in path.operations
            if operation in _METHODS and (spec := path.spec(operation)) and not spec.unpublished
        }
        if Operation.UPDATE in published:
            published.pop(Operation.CREATE, None)
        base: dict[str, Any] = {
            "description": _clean(path.help_synopsis),
            "parameters": _path_parameters(path.fields, template),
        }
        if Operation.CREATE in path.operations:
            base["x-vault-createSupported"] = True
        list_spec = published.pop(Operation.LIST, None)
        body_fields = [declared for declared in path.fields if declared.name not in captures]
        item = dict(base)
        for operation, spec in published.items():
            item[_METHODS[operation]] = _operation(
                spec,
                operation,
                operation_id=spec.operation_id or _operation_id(template, operation, prefix),
                fields=body_fields,
                schemas=schemas,
            )
        if published or list_spec is None:
            yield template, item
        if list_spec is not None:
            operation_id = list_spec.operation_id or _operation_id(template, Operation.LIST, prefix)
            listed = _operation(
                list_spec,
                Operation.LIST,
                operation_id=operation_id,
                fields=body_fields,
                schemas=schemas,
            )
            yield template.removesuffix("/") + "/", {**base, "get": listed}


def _operation(
    spec: OperationSpec,
    operation: Operation,
    *,
    operation_id: str,
    fields: Sequence[Field],
    schemas: dict[str, Any],
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": _clean(spec.summary),
        "operationId": operation_id,
        "tags": ["auth"],
        "responses": _responses(spec, operation, schemas),
    }
    if spec.description:
        described["description"] = _clean(spec.description)
    if spec.deprecated:
        described["deprecated"] = True
    if operation in _WITH_BODY:
        if fields:
            name = "".join(part.title() for part in operation_id.split("-")) + "Request"
            schemas[name] = _body_schema(fields)
            reference = {"schema": {"$ref": f"#/components/schemas/{name}"}}
            described["requestBody"] = {
                "required": True,
                "content": {"application/json": reference},
            }
        return described
    parameters = [_parameter(declared, "query") for declared in fields if declared.query]
    if operation is Operation.LIST:
        parameters.append(
            {
                "name": "list",
                "description": "Must be set to `true`",
                "in": "query",
                "schema": {"type": "string", "enum": ["true"]},
                "required": True,
            }
        )
    if parameters:
        described["parameters"] = sorted(parameters, key=lambda one: str(one["name"]))
    return described


def _responses(
    spec: OperationSpec, operation: Operation, schemas: dict[str, Any]
) -> dict[str, Any]:
    if spec.responses:
        return {str(status): {"description": text} for status, text in spec.responses.items()}
    if operation is Operation.DELETE:
        return {"204": {"description": "empty body"}}
    if operation is Operation.LIST:
        schemas[_LIST_RESPONSE] = _LIST_SCHEMA
        reference = {"schema": {"$ref": f"#/components/schemas/{_LIST_RESPONSE}"}}
        return {"200": {"description": "OK", "content": {"application/json": reference}}}
    return {"200": {"description": "OK"}}


def _operation_id(template: str, operation: Operation, prefix: str) -> str:
    """Return the framework's fallback id: prefix, verb, and the path's words."""
    verb = "write" if operation is Operation.UPDATE else operation.value
    parts = (prefix, verb, *_NON_WORD.split(template))
    return "-".join(part for part in parts if part).lower()


def _path_parameters(fields: Sequence[Field], template: str) -> list[dict[str, Any]]:
    names = set(_PATH_FIELD.findall(template))
    parameters = [
        {**_parameter(declared, "path"), "required": True}
        for declared in fields
        if declared.name in names
    ]
    return sorted(parameters, key=lambda parameter: str(parameter["name"]))


def _parameter(declared: Field, location: str) -> dict[str, Any]:
    schema = _schema(declared)
    schema.pop("description", None)
    schema.pop("deprecated", None)
    parameter: dict[str, Any] = {
        "name": declared.name,
        "description": _clean(declared.description),
        "in": location,
        "schema": schema,
    }
    if declared.deprecated:
        parameter["deprecated"] = True
    return parameter


def _body_schema(fields: Sequence[Field]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {declared.name: _schema(declared) for declared in fields},
    }
    if required := sorted(declared.name for declared in fields if declared.required):
        schema["required"] = required
    return schema


def _schema(declared: Field) -> dict[str, Any]:
    info = declared.info
    schema: dict[str, Any] = {"type": info.openapi_type}
    if declared.description:
        schema["description"] = _clean(declared.description)
    if info.openapi_format:
        schema["format"] = info.openapi_format
    if info.openapi_items:
        schema["items"] = {"type": info.openapi_items}
    if declared.allowed_values:
        schema["enum"] = list(declared.allowed_values)
    if declared.default is not None:
        schema["default"] = declared.read(declared.default)
    if declared.deprecated:
        schema["deprecated"] = True
    if display := _display(declared):
        schema["x-vault-displayAttrs"] = display
    return schema


def _display(declared: Field) -> dict[str, Any]:
    display: dict[str, Any] = {}
    if declared.display_name:
        display["name"] = declared.display_name
    if declared.display_value is not None:
        display["value"] = declared.display_value
    if declared.sensitive:
        display["sensitive"] = True
    if declared.display_group:
        display["group"] = declared.display_group
    return display


def _clean(text: str) -> str:
    return " ".join(text.split())


def _special(template: str, entries: Sequence[str]) -> bool:
    """Return whether a special path covers the template (Go `specialPathMatch`)."""
    parts = template.split("/")
    for entry in entries:
        if entry == template:
            return True
        if "+" in entry:
            if _special_parts(parts, entry.split("/")):
                return True
        elif entry.endswith("*") and template.startswith(entry[:-1]):
            return True
    return False


def _special_parts(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if len(parts) < len(pattern):
        return False
    for part, wanted in zip(parts, pattern, strict=False):
        if wanted == "+":
            continue
        if wanted.endswith("*") and part.startswith(wanted[:-1]):
            return True
        if wanted != part:
            return False
    return len(parts) == len(pattern)
