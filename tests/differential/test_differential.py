"""The same writes and logins on the builtin method and on ours, compared field by field."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.differential import (
    cases_cel,
    cases_config,
    cases_hostile,
    cases_login,
    cases_numbers,
    cases_oidc,
    cases_role,
)
from tests.differential.differences import (
    DIFFERENCES,
    EVERY_RENEWAL,
    allowed_extras,
    expected,
)
from tests.differential.steps import Call, Case, Login, Renew, Step
from tests.differential.world import Actor, between, token_of

if TYPE_CHECKING:
    from tests.differential.conftest import Arena
    from tests.hosts.discover import Host

PARTS = (
    cases_config,
    cases_role,
    cases_login,
    cases_numbers,
    cases_hostile,
    cases_cel,
    cases_oidc,
)
CASES = {case.name: case for part in PARTS for case in part.CASES}


def test_every_case_has_its_own_name():
    names = [case.name for part in PARTS for case in part.CASES]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_difference_names_a_step_of_a_case():
    for difference in DIFFERENCES:
        case = CASES[difference.case]
        assert difference.step < len(case.steps)
        assert set(difference.families) <= set(case.families)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_ours_answers_as_the_builtin_method_does(case: Case, host: Host, arena: Arena):
    if host.family not in case.families:
        pytest.skip(f"the builtin method of {host.family} does not know this")
    compare(case, host.family, arena)


def compare(case: Case, family: str, arena: Arena) -> None:
    """Tell the case to a mount of each method.

    Raises:
        AssertionError: They answer otherwise than is declared.
    """
    with arena.pair(case) as (builtin, ours):
        for number, step in enumerate(case.steps):
            jwt = token_of(step) if isinstance(step, Login) else None
            answers = builtin.act(step, jwt), ours.act(step, jwt)
            found = between(step, *answers)
            if not arena.is_self_test:
                is_renewed = answers[0]["status"] == 200
                found = unexplained(found, case, number, family, is_renewed=is_renewed)
            assert not found, explain(case, number, step, found, answers)
            check_refusal(ours, jwt)


def check_refusal(actor: Actor, jwt: Any) -> None:
    """A refusal says one thing, and never the token."""
    reply = actor.reply
    if reply is None or reply.status != 400:
        return
    assert len(reply.errors) == 1, reply.raw
    assert reply.errors[0].strip(), reply.raw
    if isinstance(jwt, str) and "." in jwt:
        for part in filter(None, jwt.split(".")):
            assert part not in reply.errors[0], reply.raw


def unexplained(
    found: dict[str, tuple[Any, Any]], case: Case, number: int, family: str, *, is_renewed: bool
) -> dict[str, tuple[Any, Any]]:
    """The differences that are not deliberate, and the deliberate ones that are not there."""
    step = case.steps[number]
    extras = allowed_extras(step.path, family) if isinstance(step, Call) else {}
    found = {
        path: values
        for path, values in found.items()
        if values != (..., extras.get(path.removeprefix("data."), ...))
    }
    wanted = expected(case.name, number, family)
    if isinstance(step, Renew) and is_renewed:
        wanted |= EVERY_RENEWAL
    if "status" in wanted:
        found = {path: values for path, values in found.items() if path in wanted}
    missing = {
        f"{path} (declared in differences.py)": values
        for path, values in wanted.items()
        if found.get(path) != values
    }
    return {path: values for path, values in found.items() if path not in wanted} | missing


def explain(
    case: Case,
    number: int,
    step: Step,
    found: dict[str, tuple[Any, Any]],
    answers: tuple[dict[str, Any], dict[str, Any]],
) -> str:
    """The failure's text: what was asked, what differs, and both answers whole."""
    lines = [f"{case.name}, step {number}: {step}"]
    lines += [f"  {path}: builtin {pair[0]!r}, ours {pair[1]!r}" for path, pair in found.items()]
    lines += [json.dumps(answer, sort_keys=True) for answer in answers]
    return "\n".join(lines)
