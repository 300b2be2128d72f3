"""What is derived from parameters that are declared on the attributes of a dataclass."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from vault_jwt_plugin.sdk import (
    KEEP,
    OURS,
    RESET,
    FieldData,
    FieldType,
    by_name,
    fields_of,
    parameter,
    parameters,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

S = 1_000_000_000


def _grade(stored: Any) -> int:
    if stored not in {"low", "high"}:
        raise parameters.StoredFormError("is no grade")
    return ("low", "high").index(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    lifetime: int = parameter(FieldType.DURATION, KEEP, "How long.", default=5 * S)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Base):
    name: str = parameter(FieldType.STRING, KEEP, "Name.", initial=MISSING)
    colour: str = parameter(FieldType.STRING, RESET, "Colour.", default="red", if_unset="grey")
    tags: tuple[str, ...] | None = parameter(FieldType.COMMA_STRINGS, KEEP, "Tags.")
    password: str = parameter(FieldType.STRING, KEEP, "Password.", sensitive=True)
    grade: int = parameter(
        FieldType.STRING,
        KEEP,
        "Grade.",
        initial=0,
        parse=len,
        decode=_grade,
        encode=("low", "high").__getitem__,
        show=str,
    )
    limit: int | None = parameter(FieldType.INT, KEEP, "Limit.", hosts=OURS)
    note: str = parameter(FieldType.STRING, KEEP, "Note.", stored_if=bool, shown_if=bool)


FIELDS = by_name(fields_of(Thing))
ENCODED = b'{"name":"n","colour":"grey","tags":null,"password":"","grade":"low","lifetime":0}'


def sent(**members):
    return FieldData(FIELDS, members)


def test_own_parameters_come_before_inherited_ones():
    assert list(FIELDS) == [
        *("name", "colour", "tags", "password", "grade", "limit", "note"),
        "lifetime",
    ]
    assert [each.name for each in parameters.own_fields_of(Base)] == ["lifetime"]
    assert fields_of(Thing) is fields_of(Thing)


def test_attributes_begin_with_the_empty_value_of_their_type():
    thing = Thing(name="n")
    assert (thing.colour, thing.tags, thing.limit, thing.lifetime) == ("", None, None, 0)
    with pytest.raises(TypeError, match="name"):
        Thing(colour="blue")


def test_what_is_stored_comes_back():
    thing = parameters.from_stored(Thing, {"name": "n", "more": 1.5})
    assert thing == Thing(name="n", colour="grey", extra={"more": 1.5})
    assert parameters.to_stored(thing) == ENCODED[:-1] + b',"more":1.5}'
    assert parameters.from_stored(Thing, {"name": "n", "grade": "high"}).grade == 1


def test_what_is_given_wins_over_what_is_stored():
    thing = parameters.from_stored(Thing, {"name": ["wrong"]}, name="n")
    assert (thing.name, thing.extra) == ("n", {})


def test_an_unknown_member_never_replaces_a_parameter():
    thing = Thing(name="n", colour="grey", extra={"name": "other", "note": "kept"})
    assert parameters.to_stored(thing) == ENCODED[:-1] + b',"note":"kept"}'


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], "no JSON object"),
        (None, "no JSON object"),
        ({"colour": {"hush": 1}}, "'colour' should be a string, is an object"),
        ({"tags": "hush"}, "'tags' should be a list of strings, is a string"),
        ({"grade": "hush"}, "'grade' is no grade"),
    ],
)
def test_what_can_not_be_decoded(members, text):
    with pytest.raises(parameters.StoredFormError) as caught:
        parameters.from_stored(Thing, members, name="n")
    assert str(caught.value) == text


def test_null_leaves_an_addition_unset():
    thing = parameters.from_stored(Thing, {"limit": None}, name="n")
    assert thing.limit is None
    assert thing.extra == {}
    assert parameters.from_stored(Thing, {"limit": 0}, name="n").limit == 0


def test_a_write_changes_own_parameters_only():
    stored = Thing(name="n", colour="blue", tags=("a",), lifetime=S)
    data = sent(tags="b,c", grade="abc", lifetime=9)
    changes = parameters.changes(Thing, data)
    assert changes == {"colour": "red", "tags": ("b", "c"), "grade": 3}
    assert parameters.changes(Thing, data, patch=True) == {"tags": ("b", "c"), "grade": 3}
    assert parameters.changes(Base, data) == {"lifetime": 9 * S}
    assert replace(stored, **changes).lifetime == S


def test_a_read_shows_no_secret_and_nothing_unset():
    thing = Thing(name="n", colour="blue", password="hush", lifetime=90 * S, tags=("a",))
    read = {"name": "n", "colour": "blue", "tags": ["a"], "grade": "0", "lifetime": 90}
    assert parameters.read_back(thing) == read
    assert parameters.read_back(replace(thing, limit=0, note="x")) == read | {
        "limit": 0,
        "note": "x",
    }
    assert "hush" not in repr(thing)
