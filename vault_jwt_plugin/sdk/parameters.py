"""Parameters of a stored object, each declared once: on the attribute that holds it.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Thing:
        colour: str = parameter(FieldType.STRING, KEEP, "Colour of the thing.")
        extra: Mapping[str, Any] = field(default_factory=dict)

The fields of its path, the stored form, what a read returns and what a write changes are
derived from the declaration. `extra` keeps the stored members that are no parameters.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.fields import (
    BOTH_HOSTS,
    TYPE_INFO,
    Field,
    FieldData,
    FieldError,
    FieldType,
    HostFamily,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import DataclassInstance

    from vault_jwt_plugin.sdk.coercion import Coercer

    class StoredObject(DataclassInstance, Protocol):
        """A dataclass with parameters, as it is stored."""

        @property
        def extra(self) -> Mapping[str, Any]:
            """The stored members that are no parameters."""

    T = TypeVar("T", bound=StoredObject)

_KEY = "parameter"

OURS: frozenset[HostFamily] = frozenset()
"""The parameter is an addition of this plugin, which neither Go method has.

Its attribute is None until somebody sets it, and until then it is neither stored nor read
back, so that a client that does not know it sees what it saw before.
"""


class OnOmit(Enum):
    """What a write that does not send a parameter does to it."""

    KEEP = "keep"
    """The stored value stays."""
    RESET = "reset"
    """The default of the field comes back, or the empty value where there is none."""


KEEP = OnOmit.KEEP
RESET = OnOmit.RESET


class StoredFormError(ValueError):
    """What is stored is not what it should be; the text never holds a stored value."""


def _same(value: Any) -> Any:
    return value


def _always(_value: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Field):
    """A field that is also an attribute of a stored object of the same name.

    Attributes:
        on_omit: what a write that does not send it does.
        alias_of: the parameter that replaced it; empty unless it is deprecated.
        parse: from the typed value of a request to the attribute.
        decode: from stored JSON to the attribute, instead of the type's own way; raises
            `StoredFormError` with what is wrong ("is no token type").
        encode: from the attribute to stored JSON, instead of the type's own way.
        show: from the attribute to what a read returns, instead of the type's own way.
        if_unset: what an empty or missing stored value stands for.
        stored_if, shown_if: whether a value is stored, and read back.
    """

    on_omit: OnOmit
    alias_of: str = ""
    parse: Coercer = _same
    decode: Coercer | None = None
    encode: Coercer | None = None
    show: Coercer | None = None
    if_unset: Any = None
    stored_if: Callable[[Any], bool] = _always
    shown_if: Callable[[Any], bool] = _always

    def is_stored(self, value: Any) -> bool:
        """Whether the attribute's value is written to storage."""
        return self._is_set(value) and self.stored_if(value)

    def is_shown(self, value: Any) -> bool:
        """Whether a read returns the attribute's value; never if it is sensitive."""
        return not self.sensitive and self._is_set(value) and self.shown_if(value)

    def _is_set(self, value: Any) -> bool:
        return value is not None or self.hosts != OURS


def parameter(
    type_: FieldType,
    on_omit: OnOmit,
    description: str,
    *,
    initial: Any = None,
    hosts: frozenset[HostFamily] = BOTH_HOSTS,
    sensitive: bool = False,
    show_in_repr: bool = True,
    **details: Any,
) -> Any:
    """Declare a parameter as an attribute of a dataclass.

    Args:
        type_: how input is read.
        on_omit: what a write that does not send it does.
        description: for help, OpenAPI and documentation.
        initial: the attribute's default if it is not the type's empty value (None for
            lists and maps, which is stored as null); MISSING for one without default.
        hosts: the families whose own method has it, or `OURS`.
        sensitive: never read back, nor shown in the object's repr.
        show_in_repr: False keeps a value that may hold secrets out of the object's repr.
        details: the other attributes of `Parameter` and `Field`; `default` is what
            `FieldData` gives for a parameter that was not sent, and documentation.

    Returns:
        A `dataclasses.field`, typed so that the attribute keeps its own annotation.
    """
    if initial is None and hosts != OURS and TYPE_INFO[type_].stored_as is None:
        initial = TYPE_INFO[type_].coerce(None)
    declared = details | {
        "type": type_,
        "on_omit": on_omit,
        "description": description,
        "hosts": hosts,
        "sensitive": sensitive,
    }
    return dataclasses.field(
        default=initial,
        repr=show_in_repr and not sensitive,
        metadata={_KEY: declared},
    )


@functools.cache
def own_fields_of(cls: type[DataclassInstance]) -> tuple[Parameter, ...]:
    """Return the parameters that the class declares itself, in order."""
    bases = filter(dataclasses.is_dataclass, cls.__bases__)
    inherited = {each.name for base in bases for each in dataclasses.fields(base)}
    return tuple(
        Parameter(name=each.name, **each.metadata[_KEY])
        for each in dataclasses.fields(cls)
        if _KEY in each.metadata and each.name not in inherited
    )


@functools.cache
def fields_of(cls: type[DataclassInstance]) -> tuple[Parameter, ...]:
    """Return the parameters of the class: its own in order, then the inherited ones."""
    return tuple(
        each
        for base in cls.__mro__
        if dataclasses.is_dataclass(base)
        for each in own_fields_of(base)
    )


def changes(
    cls: type[DataclassInstance], data: FieldData, *, patch: bool = False
) -> dict[str, Any]:
    """Return what a write changes of the parameters that the class declares itself.

    Args:
        cls: whose parameters are read; inherited ones are merged by their own module.
        data: what was sent.
        patch: keep everything that was not sent.

    Returns:
        Values by name, for `dataclasses.replace`.
    """
    return {
        each.name: each.parse(data[each.name])
        for each in own_fields_of(cls)
        if each.name in data or (each.on_omit is RESET and not patch)
    }


def from_stored(cls: type[T], members: Any, **given: Any) -> T:
    """Return the object that is stored.

    Args:
        cls: what it is; takes `extra`.
        members: decoded JSON.
        given: values that do not come from storage, by name.

    Raises:
        StoredFormError: it is no JSON object, or a member is of the wrong kind; the text
            names the member.
    """
    if not isinstance(members, dict):
        raise StoredFormError("no JSON object")
    extra = dict(members)
    values = dict(given)
    for each in fields_of(cls):
        name = each.name
        if name in extra:
            stored = extra.pop(name)
            # Null of an addition is "not set"; its type would read it as 0.
            if name not in given and (each.hosts != OURS or stored is not None):
                values[name] = _decode(each, stored)
        if each.if_unset is not None:
            values[name] = values.get(name) or each.if_unset
    make: Callable[..., T] = cls
    return make(**values, extra=extra)


def _decode(declared: Parameter, stored: Any) -> Any:
    try:
        return (declared.decode or declared.from_stored)(stored)
    except FieldError as error:
        raise StoredFormError(
            f"{declared.name!r} should be {error.expected}, is {error.received}"
        ) from None
    except StoredFormError as error:
        raise StoredFormError(f"{declared.name!r} {error}") from None


def to_stored(value: StoredObject) -> bytes:
    """Encode an object for storage: its parameters, then the members of `extra`."""
    members: dict[str, Any] = {}
    for each in fields_of(type(value)):
        attribute = getattr(value, each.name)
        if each.is_stored(attribute):
            members[each.name] = (each.encode or each.stored)(attribute)
    members.update((name, value.extra[name]) for name in value.extra if name not in members)
    return jsonutil.dumps(members).encode()


def read_back(value: DataclassInstance) -> dict[str, Any]:
    """Return what a read of the object shows, by parameter; nothing that is sensitive."""
    data: dict[str, Any] = {}
    for each in fields_of(type(value)):
        attribute = getattr(value, each.name)
        if each.is_shown(attribute):
            data[each.name] = (each.show or each.read)(attribute)
    return data
