"""Looking claims up, by name and by JSON pointer."""

from __future__ import annotations

import pytest

from tests.jwt_auth.tokens import verified
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath

CLAIMS: dict[str, object] = {
    "sub": "me",
    "a.b": "dots",
    "https://x/y": "url",
    "/lit": "slash",
    "null": None,
    "zero": 0,
    "no": False,
    "nest": {"a/b": 1, "m~n": 2, "~1": 4, "": 3, "list": ["x", {"y": "z"}], "01": "key"},
    "list": [10, 11],
    "": "empty name",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub", "me"),
        ("a.b", "dots"),
        ("https://x/y", "url"),
        ("", "empty name"),
        ("SUB", None),
        ("null", None),
        ("zero", 0),
        ("no", False),
        ("/sub", "me"),
        ("/nest/a~1b", 1),
        ("/nest/m~0n", 2),
        ("/nest/~01", 4),
        ("/nest/", 3),
        ("/", "empty name"),
        ("/nest/list/0", "x"),
        ("/nest/list/1/y", "z"),
        ("/nest/01", "key"),
        ("/list/1", 11),
        ("/list/2", None),
        ("/list/01", None),
        ("/list/-1", None),
        ("/list/-", None),
        ("/list/+1", None),
        ("/list/ 1", None),
        ("/list/\u0661", None),
        ("/list/" + "9" * 100, None),
        ("/list/", None),
        ("/sub/0", None),
        ("/zero/x", None),
        ("/null/x", None),
        ("/missing/x", None),
        ("/lit", None),
        ("/~1lit", "slash"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_lookup(name, value):
    assert ClaimPath.of(name).find(verified(CLAIMS)) == value


def test_without_pointers_a_name_is_literal():
    assert ClaimPath.of("/lit", pointer=False).find(verified(CLAIMS)) == "slash"
    assert ClaimPath.of("/nest/list", pointer=False).find(verified(CLAIMS)) is None
