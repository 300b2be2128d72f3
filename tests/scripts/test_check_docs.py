"""The check of the documents finds what is wrong with them."""

from __future__ import annotations

import pytest

from tests.scripts.loading import REPO, load

check_docs = load("scripts/check-docs")


def test_nothing_is_wrong_with_the_documents():
    assert check_docs.problems() == []
    assert {"README.md", "docs/parameters.md"} <= {
        str(path.relative_to(REPO)) for path in check_docs.documents()
    }


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("# A login's way", "a-logins-way"),
        ("## `role/NAME`", "rolename"),
        ("### What an attacker gains, and what stops them", "what-an-attacker-gains-and-what-"),
    ],
    ids=["apostrophe", "code", "comma"],
)
def test_anchors(heading, anchor):
    [found] = check_docs.anchors(heading + "\n")
    assert found.startswith(anchor)


def test_headings_of_one_name_have_numbers():
    assert check_docs.anchors("# A\n\n```sh\n# no heading\n```\n\n# A\n") == {"a", "a-1"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[x](docs/nowhere.md)", ["link to docs/nowhere.md: there is no such file"]),
        ("[x](docs/roles.md#nowhere)", ["link to docs/roles.md#nowhere: there is no such heading"]),
        ("[x](#here)", ["link to #here: there is no such heading"]),
        ("# Here\n\n[x](#here) [y](https://example.com/#z) [z](docs/roles.md#cel-roles)", []),
        ("```\n[x](nowhere)\n```\n", []),
    ],
    ids=["no file", "no heading", "no heading here", "fine", "in a block"],
)
def test_links(text, wrong):
    assert check_docs.broken_links(REPO / "README.md", text) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`scripts/nothing --now`", ["`scripts/nothing --now`: there is no such path"]),
        ("`scripts/test --hosts all`, `build/out/x`, `docs`, `auth/jwt/login`", []),
    ],
    ids=["no such path", "fine"],
)
def test_paths(text, wrong):
    assert check_docs.missing_paths(text) == wrong


def test_width():
    text = f"{'x' * 100}\n{'x' * 101}\n| {'x' * 101} |\n"
    assert check_docs.wide_lines(text) == ["line 2: 101 characters"]
