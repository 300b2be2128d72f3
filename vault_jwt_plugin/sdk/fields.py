"""Parameters, declared once: parsing, stored form, read-back form and documentation.

Mirrors `sdk/framework/backend.go` (FieldSchema) and `field_type.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from vault_jwt_plugin.sdk import coercion
from vault_jwt_plugin.sdk.coercion import NS_PER_S, UnfitError
from vault_jwt_plugin.sdk.errors import UserError


class FieldType(Enum):
    """The closed set of types; see `coercion` for what each reads."""

    STRING = "string"
    LOWER_STRING = "lower_string"
    BOOL = "bool"
    INT = "int"
    COMMA_STRINGS = "comma_strings"
    MAP = "map"
    KV_PAIRS = "kv_pairs"
    LIST = "list"
    DURATION = "duration"
    SIGNED_DURATION = "signed_duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeInfo:
    """What there is to know of a field type."""

    coerce: coercion.Coercer
    expected: str
    """The kind expected, for messages: `expected a boolean, got a list`."""
    help_name: str
    """Name in `path-help`, as the framework spells it."""
    openapi_type: str
    openapi_format: str = ""
    openapi_items: str = ""
    is_duration: bool = False
    stored_as: tuple[type, str] | None = None
    """Of a list or a map: the kind that must be stored, and its name for messages."""


_DURATION_EXPECTED = 'a duration (seconds, or a string such as "90s", "1h30m", "30d")'

TYPE_INFO: Mapping[FieldType, TypeInfo] = {
    FieldType.STRING: TypeInfo(
        coerce=coercion.to_string,
        expected="a string",
        help_name="string",
        openapi_type="string",
    ),
    FieldType.LOWER_STRING: TypeInfo(
        coerce=coercion.to_lower_string,
        expected="a string",
        help_name="lowercase string",
        openapi_type="string",
        openapi_format="lowercase",
    ),
    FieldType.BOOL: TypeInfo(
        coerce=coercion.to_bool,
        expected="a boolean",
        help_name="bool",
        openapi_type="boolean",
    ),
    FieldType.INT: TypeInfo(
        coerce=coercion.to_int,
        expected="a whole number",
        help_name="int",
        openapi_type="integer",
    ),
    FieldType.COMMA_STRINGS: TypeInfo(
        coerce=coercion.to_comma_strings,
        expected="a comma-separated string or a list of strings",
        help_name="slice",
        openapi_type="array",
        openapi_items="string",
        stored_as=(list, "a list of strings"),
    ),
    FieldType.MAP: TypeInfo(
        coerce=coercion.to_map,
        expected="an object",
        help_name="map",
        openapi_type="object",
        openapi_format="map",
        stored_as=(Mapping, "an object"),
    ),
    FieldType.KV_PAIRS: TypeInfo(
        coerce=coercion.to_kv_pairs,
        expected='an object of strings or "key=value" strings',
        help_name="keypair",
        openapi_type="object",
        openapi_format="kvpairs",
        stored_as=(Mapping, "an object of strings"),
    ),
    FieldType.LIST: TypeInfo(
        coerce=coercion.to_list,
        expected="a list",
        help_name="slice",
        openapi_type="array",
        openapi_items="object",
        stored_as=(list, "a list"),
    ),
    FieldType.DURATION: TypeInfo(
        coerce=coercion.to_duration_ns,
        expected=_DURATION_EXPECTED + " that is not negative",
        help_name="duration (sec)",
        openapi_type="string",
        openapi_format="duration",
        is_duration=True,
    ),
    FieldType.SIGNED_DURATION: TypeInfo(
        coerce=coercion.to_signed_duration_ns,
        expected=_DURATION_EXPECTED,
        help_name="duration (sec)",
        openapi_type="string",
        openapi_format="duration",
        is_duration=True,
    ),
}


class HostFamily(Enum):
    """A family of servers; only documentation depends on it, never what a method does."""

    VAULT = "Vault"
    OPENBAO = "OpenBao"


BOTH_HOSTS = frozenset(HostFamily)
"""The parameter is in both Go methods."""

VAULT_ONLY = frozenset({HostFamily.VAULT})
OPENBAO_ONLY = frozenset({HostFamily.OPENBAO})
"""It is in that of one family only."""


class FieldError(UserError):
    """A value that a field's type can't read; the text never holds the value.

    Attributes:
        field: the field's name.
        expected: the kind that its type reads, in words.
        received: the kind received, in words.
    """

    code = "field_invalid"

    def __init__(self, name: str, expected: str, received: str, *, hint: str = "") -> None:
        super().__init__(
            f'Field validation failed: error converting input for field "{name}": '
            f"expected {expected}, got {received}{hint and f'; {hint}'}"
        )
        self.field = name
        self.expected = expected
        self.received = received


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One parameter (SDK `framework.FieldSchema`).

    Attributes:
        name: as callers spell it; matched exactly.
        type: how input is read.
        description: for help and OpenAPI.
        default: typed value when the caller sent none (durations: nanoseconds);
            None stands for the type's zero value.
        required: documentation only, as in the framework: handlers check.
        deprecated: documentation only.
        sensitive: shown as a secret in user interfaces.
        query: taken from the query in GET, LIST and DELETE; documentation only.
        allowed_values: documentation only.
        display_name, display_value, display_group: hints to user interfaces.
        display_edit_type: the kind of input that user interfaces show, in their words
            ("json"), where they have none for the type.
        hosts: the families whose own method has it; documentation only.
    """

    name: str
    type: FieldType
    description: str = ""
    default: object = None
    required: bool = False
    deprecated: bool = False
    sensitive: bool = False
    query: bool = False
    allowed_values: tuple[object, ...] = ()
    display_name: str = ""
    display_value: object = None
    display_group: str = ""
    display_edit_type: str = ""
    hosts: frozenset[HostFamily] = BOTH_HOSTS
    # Looked up once: an Enum hashes in Python, and login reads its fields at every request.
    _info: TypeInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Bind the type's functions."""
        object.__setattr__(self, "_info", TYPE_INFO[self.type])

    @property
    def info(self) -> TypeInfo:
        """What there is to know of the field's type."""
        return self._info

    def coerce(self, raw: Any) -> Any:
        """Read what a caller sent.

        Args:
            raw: decoded JSON; query and form values are strings.

        Returns:
            The typed value: str, bool, int, tuple of str, dict or None (MAP,
            KV_PAIRS: null), tuple of decoded JSON (LIST), or int nanoseconds.

        Raises:
            FieldError: the type can't read it.
        """
        try:
            return self._info.coerce(raw)
        except UnfitError as unfit:
            expected = self._info.expected
            raise FieldError(self.name, expected, unfit.received, hint=unfit.hint) from None

    def default_or_zero(self) -> Any:
        """The declared default, or the type's zero value (SDK `DefaultOrZero`)."""
        if self.default is not None:
            return self.default
        if self.type is FieldType.MAP or self.type is FieldType.KV_PAIRS:
            return {}
        return self._info.coerce(None)

    def stored(self, value: Any) -> Any:
        """A typed value as it is stored: durations nanoseconds, tuples lists."""
        if isinstance(value, tuple):
            return list(value)
        if isinstance(value, Mapping):
            return dict(value)
        return value

    def from_stored(self, value: Any) -> Any:
        """A stored value (decoded JSON) as a typed one.

        Null is None for lists and maps, and the zero value for everything else. A list is
        a list and a map an object, though callers may write them in other ways: `{}` for a
        list must not pass for one that was never set, which Go refuses to decode too.

        Raises:
            FieldError: stored data of another kind.
        """
        if self._info.stored_as is not None:
            if value is None:
                return None
            kind, expected = self._info.stored_as
            if not isinstance(value, kind):
                raise FieldError(self.name, expected, coercion.kind_of(value))
        if self._info.is_duration and isinstance(value, int) and not isinstance(value, bool):
            if not coercion.INT64_MIN <= value <= coercion.INT64_MAX:
                raise FieldError(self.name, self._info.expected, "one of more than 292 years")
            return value
        return self.coerce(value)

    def read(self, value: Any) -> Any:
        """A typed value as a read returns it: durations whole seconds, tuples lists."""
        if self._info.is_duration and value is not None:
            return value // NS_PER_S if value >= 0 else -(-value // NS_PER_S)
        return self.stored(value)


def by_name(fields: Iterable[Field]) -> dict[str, Field]:
    """Fields keyed by name.

    Raises:
        ValueError: two share a name.
    """
    named: dict[str, Field] = {}
    for declared in fields:
        if declared.name in named:
            raise ValueError(f"two fields are named {declared.name}")
        named[declared.name] = declared
    return named


class FieldData:
    """What a caller sent, typed (SDK `framework.FieldData`).

    Every known field that was sent has been read by its type when the handler
    runs. `name in data` says whether the caller sent it (a null duration counts
    as absent); `data[name]` is its value, the default or the zero value.

    Attributes:
        raw: what was sent, with the path's captures over it; decoded JSON.
    """

    __slots__ = ("_fields", "_values", "raw")

    def __init__(self, fields: Mapping[str, Field], raw: Mapping[str, Any]) -> None:
        """Read `raw`; unknown members are left alone.

        Raises:
            FieldError: a known field holds what its type can't read.
        """
        self.raw = raw
        self._fields = fields
        values: dict[str, Any] = {}
        for name, given in raw.items():
            declared = fields.get(name)
            if declared is not None and not (given is None and declared.info.is_duration):
                values[name] = declared.coerce(given)
        self._values = values

    def __getitem__(self, name: str) -> Any:
        """The value sent, the default, or the zero value.

        Raises:
            KeyError: no such field is declared: a fault of the backend's author.
        """
        try:
            return self._values[name]
        except KeyError:
            return self._fields[name].default_or_zero()

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        """Names of the known fields that were sent."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
