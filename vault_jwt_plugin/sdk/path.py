"""A path as data: pattern, fields, operations and help (SDK `framework.Path`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vault_jwt_plugin.sdk.fields import Field, FieldData
from vault_jwt_plugin.sdk.request import MaybeAwaitable, Operation, Request, Response

Handler = Callable[[Request, FieldData], MaybeAwaitable[Response | None]]
"""Answers an operation; None is an empty answer: 204, or 404 for reads and lists."""

ExistenceCheck = Callable[[Request, FieldData], MaybeAwaitable[bool]]
"""Returns whether the object of a write exists: if so, it is an update, else a create."""


def name_regex(name: str) -> str:
    """Return a pattern for one path segment, captured as the field `name` (SDK `GenericNameRegex`).

    The segment is one ASCII word character, or word characters with `-` and `.` between them.
    """
    return rf"(?P<{name}>\w(([\w.-]+)?\w)?)"


NAME_PATTERN = name_regex("name")
"""`name_regex` for a field called `name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSpec:
    """One operation of a path (SDK `framework.PathOperation`).

    Attributes:
        handler: answers the operation.
        summary, description: for OpenAPI.
        operation_id: OpenAPI operation id; if empty, it is made from the path.
        deprecated: only documentation.
        unpublished: left out of OpenAPI.
        forward_standby: refused as read-only on a performance standby, so that the active node
            answers.
        forward_secondary: the same on a performance secondary, unless the mount is local.
        responses: HTTP status to description, for OpenAPI; empty means the usual ones.
    """

    handler: Handler
    summary: str = ""
    description: str = ""
    operation_id: str = ""
    deprecated: bool = False
    unpublished: bool = False
    forward_standby: bool = False
    forward_secondary: bool = False
    responses: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One path of a backend.

    Attributes:
        pattern: a regular expression; the router anchors it at both ends and matches it in ASCII
            mode.
            Named groups must be declared in `fields`.
        fields: the parameters.
        operations: the handlers by operation.
        existence_check: required if CREATE is among the operations; None makes every write an
            UPDATE.
        help_synopsis: one line.
        help_description: paragraphs.
    """

    pattern: str
    fields: Sequence[Field] = ()
    operations: Mapping[Operation, OperationSpec | Handler]
    existence_check: ExistenceCheck | None = None
    help_synopsis: str = ""
    help_description: str = ""

    def spec(self, operation: Operation) -> OperationSpec | None:
        """Return the operation's declaration, or None if the path has none."""
        declared = self.operations.get(operation)
        if declared is None or isinstance(declared, OperationSpec):
            return declared
        return OperationSpec(handler=declared, summary=self.help_synopsis)
