"""The OpenAPI document of a backend, made from the declarations that its router uses.

Mirrors `sdk/framework/openapi.go`: the hosts merge `paths` and `components` of every mount into
their own document, and clients are generated from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.sdk.fields import HostFamily
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
_LIST_PARAMETER = {
    "name": "list",
    "description": "Must be set to `true`",
    "in": "query",
    "schema": {"type": "string", "enum": ["true"]},
    "required": True,
}
_PATH_FIELD = re.compile(r"{(\w+)}")
_NON_WORD = re.compile(r"\W+", re.ASCII)


def document(
    paths: Iterable[Path],
    *,
    prefix: str = "",
    unauthenticated: Sequence[str] = (),
    root: Sequence[str] = (),
    family: HostFamily | None = None,
) -> dict[str, Any]:
    """Return the OpenAPI document of `paths`, as decoded JSON.

    Args:
        paths: the paths to describe.
        prefix: the first part of operation ids that are made from a path.
        unauthenticated: the backend's paths that need no token.
        root: the backend's paths that need `sudo`.
        family: the servers whose own form is used; None = Vault's.
    """
    form = _Form(prefix=prefix, is_openbao=family is HostFamily.OPENBAO)
    described: dict[str, Any] = {}
    for path in paths:
        for template, item in form.path_items(path):
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
        "components": {"schemas": form.schemas},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """The form of one document; the families' frameworks describe the same things differently.

    Attributes:
        prefix: first part of the operation ids that are made from a path.
        is_openbao: durations are integers, parameters of the query are declared for the
            whole path, and a list without other operations has a template without `/`.
        schemas: the named schemas so far.
    """

    prefix: str
    is_openbao: bool
    schemas: dict[str, Any] = field(default_factory=dict)

    def path_items(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the templates of one path, each with its path object."""
        try:
            templates, captures = expand(path.pattern)
        except UnsupportedPatternError:
            # Named for a human reader, without operations.
            yield path.pattern, _without_empty({"description": _clean(path.help_synopsis)})
            return
        fields = [declared for declared in path.fields if declared.name not in captures]
        for template in templates:
            published = {
                operation: spec
                for operation in path.operations
                if operation in _METHODS and (spec := path.spec(operation)) and not spec.unpublished
            }
            if Operation.UPDATE in published:
                published.pop(Operation.CREATE, None)
            base = _without_empty(
                {
                    "description": _clean(path.help_synopsis),
                    "parameters": self._path_parameters(path.fields, template, fields),
                }
            )
            list_spec = published.pop(Operation.LIST, None)
            item = dict(base)
            if Operation.CREATE in path.operations:
                item["x-vault-createSupported"] = True
            for operation, spec in published.items():
                item[_METHODS[operation]] = self._operation(template, operation, spec, fields)
            if published or list_spec is None:
                yield template, item
            if list_spec is not None:
                slash = "" if self.is_openbao and not published else "/"
                listed = self._operation(template, Operation.LIST, list_spec, fields)
                yield template.removesuffix("/") + slash, {**base, "get": listed}

    def _path_parameters(
        self, declared: Sequence[Field], template: str, others: Sequence[Field]
    ) -> list[dict[str, Any]]:
        names = set(_PATH_FIELD.findall(template))
        parameters = [
            {**self._parameter(each, "path"), "required": True}
            for each in declared
            if each.name in names
        ]
        if self.is_openbao:
            parameters += [self._parameter(each, "query") for each in others if each.query]
        return sorted(parameters, key=lambda parameter: str(parameter["name"]))

    def _operation(
        self, template: str, operation: Operation, spec: OperationSpec, fields: Sequence[Field]
    ) -> dict[str, Any]:
        operation_id = spec.operation_id or _operation_id(template, operation, self.prefix)
        described: dict[str, Any] = {
            "summary": _clean(spec.summary),
            "description": _clean(spec.description),
            "operationId": operation_id,
            "tags": ["auth"],
            "deprecated": spec.deprecated,
            "responses": self._responses(spec, operation),
        }
        if operation in _WITH_BODY:
            if body := [each for each in fields if not (self.is_openbao and each.query)]:
                name = "".join(part.title() for part in operation_id.split("-")) + "Request"
                self.schemas[name] = self._body_schema(body)
                described["requestBody"] = {"required": True, "content": _content(name)}
        else:
            described["parameters"] = self._query_parameters(operation, fields)
        return _without_empty(described)

    def _query_parameters(
        self, operation: Operation, fields: Sequence[Field]
    ) -> list[dict[str, Any]]:
        parameters = []
        if not self.is_openbao:
            parameters += [self._parameter(each, "query") for each in fields if each.query]
        if operation is Operation.LIST:
            parameters.append(_LIST_PARAMETER)
        return sorted(parameters, key=lambda one: str(one["name"]))

    def _responses(self, spec: OperationSpec, operation: Operation) -> dict[str, Any]:
        if spec.responses:
            return {str(status): {"description": text} for status, text in spec.responses.items()}
        if operation is Operation.DELETE:
            return {"204": {"description": "empty body"}}
        if operation is Operation.LIST:
            self.schemas[_LIST_RESPONSE] = _LIST_SCHEMA
            return {"200": {"description": "OK", "content": _content(_LIST_RESPONSE)}}
        return {"200": {"description": "OK"}}

    def _parameter(self, declared: Field, location: str) -> dict[str, Any]:
        schema = self._schema(declared)
        # Go's framework declares them beside the schema, and no format at all.
        for name in ("description", "deprecated", "format"):
            schema.pop(name, None)
        return _without_empty(
            {
                "name": declared.name,
                "description": _clean(declared.description),
                "in": location,
                "schema": schema,
                "deprecated": declared.deprecated,
            }
        )

    def _body_schema(self, fields: Sequence[Field]) -> dict[str, Any]:
        return _without_empty(
            {
                "type": "object",
                "properties": {declared.name: self._schema(declared) for declared in fields},
                "required": sorted(declared.name for declared in fields if declared.required),
            }
        )

    def _schema(self, declared: Field) -> dict[str, Any]:
        info = declared.info
        schema: dict[str, Any] = {
            "type": info.openapi_type,
            "description": _clean(declared.description),
            "format": info.openapi_format,
            "items": _without_empty({"type": info.openapi_items}),
            "deprecated": declared.deprecated,
            "x-vault-displayAttrs": _display(declared),
        }
        if info.is_duration and self.is_openbao:
            schema |= {"type": "integer", "format": "seconds"}
        if declared.allowed_values:
            _restrict(schema, declared)
        schema = _without_empty(schema)
        if declared.default is not None:
            schema["default"] = declared.read(declared.default)
        return schema


def _restrict(schema: dict[str, Any], declared: Field) -> None:
    """Add the values that are allowed: of the elements if it is a list, which may be empty."""
    values = list(declared.allowed_values)
    if info_items := schema["items"]:
        info_items["enum"] = values
    else:
        # What is not sent is the empty text, and user interfaces offer only what is listed.
        schema["enum"] = values if declared.default is not None else ["", *values]


def _content(schema: str) -> dict[str, Any]:
    """Return the JSON body that has a named schema.

    Servers decode a plugin's document by the names of Go's struct members, and so lose `$ref`;
    the member is `Ref`. OpenAPI has readers ignore what stands beside `$ref`.
    """
    reference = f"#/components/schemas/{schema}"
    return {"application/json": {"schema": {"$ref": reference, "Ref": reference}}}


def _without_empty(described: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty or false, as Go's framework does."""
    return {name: value for name, value in described.items() if value}


def _operation_id(template: str, operation: Operation, prefix: str) -> str:
    """Return the framework's fallback id: prefix, verb, and the path's words."""
    verb = "write" if operation is Operation.UPDATE else operation.value
    parts = (prefix, verb, *_NON_WORD.split(template))
    return "-".join(part for part in parts if part).lower()


def _display(declared: Field) -> dict[str, Any]:
    display = _without_empty(
        {
            "name": declared.display_name,
            "sensitive": declared.sensitive,
            "editType": declared.display_edit_type,
            "group": declared.display_group,
        }
    )
    if declared.display_value is not None:
        display["value"] = declared.display_value
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
