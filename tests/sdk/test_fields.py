"""Declared parameters: defaults, the stored and returned forms, and what was sent."""

from __future__ import annotations

import pytest

from vault_jwt_plugin.sdk import BOTH_HOSTS, Field, FieldData, FieldError, FieldType, by_name

S = 1_000_000_000

FIELDS = by_name(
    [
        Field(name="name", type=FieldType.LOWER_STRING),
        Field(name="leeway", type=FieldType.SIGNED_DURATION, default=150 * S),
        Field(name="claims", type=FieldType.MAP),
        Field(name="on", type=FieldType.BOOL, default=True),
        Field(name="list", type=FieldType.COMMA_STRINGS),
    ]
)


def test_data_tells_sent_from_default():
    data = FieldData(FIELDS, {"name": "Demo", "leeway": None, "other": 1, "list": None})
    assert data["name"] == "demo"
    assert "name" in data
    assert data["leeway"] == 150 * S
    assert "leeway" not in data  # null is absent for durations
    assert "other" not in data
    assert "list" in data
    assert data["list"] == ()
    assert data["on"] is True
    assert "on" not in data
    assert data["claims"] == {}
    assert sorted(data) == ["list", "name"]
    assert len(data) == 2
    assert data.raw["other"] == 1


def test_undeclared_name_is_the_authors_fault():
    with pytest.raises(KeyError):
        FieldData(FIELDS, {})["nope"]


def test_first_unfit_field_is_named():
    with pytest.raises(FieldError, match=r'field "claims": expected an object, got a number$'):
        FieldData(FIELDS, {"name": "x", "claims": 1})


def test_text_for_an_object_is_a_commands_usual_mistake():
    with pytest.raises(FieldError) as caught:
        FieldData(FIELDS, {"claims": "{}"})
    assert caught.value.message == (
        'Field validation failed: error converting input for field "claims": expected an object, '
        "got a string; in a command, send the whole request as JSON (write PATH @FILE)"
    )


def test_two_fields_of_one_name():
    with pytest.raises(ValueError, match="two fields are named a"):
        by_name([Field(name="a", type=FieldType.INT)] * 2)


@pytest.mark.parametrize(
    ("kind", "zero"),
    [
        (FieldType.STRING, ""),
        (FieldType.LOWER_STRING, ""),
        (FieldType.BOOL, False),
        (FieldType.INT, 0),
        (FieldType.COMMA_STRINGS, ()),
        (FieldType.MAP, {}),
        (FieldType.KV_PAIRS, {}),
        (FieldType.LIST, ()),
        (FieldType.DURATION, 0),
        (FieldType.SIGNED_DURATION, 0),
    ],
    ids=lambda value: getattr(value, "value", None),
)
def test_zero_values(kind, zero):
    field = Field(name="f", type=kind)
    assert field.default_or_zero() == zero
    assert field.hosts is BOTH_HOSTS


@pytest.mark.parametrize(
    ("kind", "value", "stored", "read"),
    [
        (FieldType.DURATION, 90 * S, 90 * S, 90),
        (FieldType.SIGNED_DURATION, -90 * S, -90 * S, -90),
        (FieldType.COMMA_STRINGS, ("a", "b"), ["a", "b"], ["a", "b"]),
        (FieldType.COMMA_STRINGS, None, None, None),
        (FieldType.MAP, {"a": 1}, {"a": 1}, {"a": 1}),
        (FieldType.MAP, None, None, None),
        (FieldType.LIST, ({"u": "x"},), [{"u": "x"}], [{"u": "x"}]),
        (FieldType.STRING, "x", "x", "x"),
        (FieldType.BOOL, True, True, True),
        (FieldType.INT, 3, 3, 3),
    ],
    ids=str,
)
def test_stored_and_read_back_forms(kind, value, stored, read):
    field = Field(name="f", type=kind)
    assert field.stored(value) == stored
    assert field.from_stored(stored) == value
    assert field.read(value) == read


@pytest.mark.parametrize("value", [{}, "", "a", [], 7, True], ids=repr)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FieldType.COMMA_STRINGS, "a list of strings"),
        (FieldType.LIST, "a list"),
        (FieldType.MAP, "an object"),
        (FieldType.KV_PAIRS, "an object of strings"),
    ],
)
def test_what_is_stored_as_a_list_or_a_map_is_one(kind, expected, value):
    """What callers may write as an empty one must not pass for a bound that was never set."""
    field = Field(name="f", type=kind)
    if isinstance(value, list if "list" in expected else dict):
        assert not field.from_stored(value)
    else:
        with pytest.raises(FieldError) as caught:
            field.from_stored(value)
        assert caught.value.expected == expected


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**300])
def test_stored_durations_fit_into_64_bits(value):
    field = Field(name="f", type=FieldType.SIGNED_DURATION)
    with pytest.raises(FieldError) as caught:
        field.from_stored(value)
    assert caught.value.received == "one of more than 292 years"
    fitting = min(max(value, -(2**63)), 2**63 - 1)
    assert field.from_stored(fitting) == fitting


@pytest.mark.parametrize("value", ["90", 1.5, [1]], ids=["text", "float", "list"])
def test_stored_durations_are_nanoseconds_or_refused(value):
    field = Field(name="f", type=FieldType.DURATION)
    if value == "90":
        assert field.from_stored(value) == 90 * S
    else:
        with pytest.raises(FieldError):
            field.from_stored(value)
