"""The table of limits shows each constant as it is, with its unit."""

from __future__ import annotations

import pytest

from tests.scripts.loading import load

limits = load("scripts/_limits.py")


def limit(name, where="jwt_auth", unit=""):
    return limits.Limit(where=where, name=name, words="x", unit=unit)


@pytest.mark.parametrize(
    ("name", "unit", "number", "shown"),
    [
        ("KEY_SET_MAX_BYTES", "", 1024 * 1024, "1 MiB"),
        ("MAX_HEADER_BYTES", "", 16 * 1024, "16 KiB"),
        ("DEADLINE_S", "", 9.5, "9.5 s"),
        ("MAX_TOKEN_CHARS", "", 1_048_576, "1,048,576 characters"),
        ("MAX_RSA_BITS", "", 8192, "8,192 bits"),
        ("MAX_DEPTH", "levels", 64, "64 levels"),
        ("MAX_KEYS", "", 256, "256"),
    ],
)
def test_units(name, unit, number, shown):
    assert limits.shown(limit(name, unit=unit), number) == shown


def test_values_are_those_of_the_source():
    assert limits.value(limit("KEY_SET_MAX_BYTES")) == 1024 * 1024
    assert limits.value(limit("HOST_LIMITS.max_connections", "goplugin/process.py")) == 64


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("NO_SUCH_CONSTANT", "jwt_auth"),
        ("DEADLINE_S", "jwt_auth"),
        ("MAX_ROLES", "jwt_auth/no_such_folder"),
    ],
    ids=["no module", "several modules", "no folder"],
)
def test_a_constant_that_is_not_in_one_place(name, where):
    with pytest.raises(LookupError, match="correct scripts"):
        limits.value(limit(name, where))


def test_a_docstring_has_to_follow(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('MAX_A = 1\n"""Why."""\n\nMAX_B: int = 2\n"""Why."""\n\nMAX_C = 3\nx = 4\n')
    found = {name: limits.documented(path, name) for name in ("MAX_A", "MAX_B", "MAX_C")}
    assert found == {"MAX_A": True, "MAX_B": True, "MAX_C": False}
