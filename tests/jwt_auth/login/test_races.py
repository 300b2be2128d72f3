"""Logins while everything around them changes: each ends as some state says that held meanwhile.

The theory. A login reads a configuration, a role and keys, and waits between: for
storage, for an issuer, for a thread. Meanwhile administrators write, an issuer
withdraws keys, other nodes change what is stored, and the host tells of it late.
A login that is granted must be allowed by one STATE (configuration, role and key set)
that held, all of it at once, at some moment between the login's start and its answer,
and grants exactly what the role of that state says. A denial must be one that such a
state gives, or one that gives up for a reason that was there. What belongs to no
moment, as the old configuration with the new role, is nobody's decision.

More exactly:

- A write takes effect between the moment at which storage takes it and its answer.
- A login that waited is judged by what is there when it ends: keys that were fetched
  for it count only together with a configuration and a role that held since then,
  and so does what a program came to in a thread.
- Keys that were fetched count until others were fetched in their place, though the issuer
  has withdrawn them; but none that was fetched before a configuration was written whose
  write was answered before the login began.
- Where the node can't write, an entry that another node replaced up to
  `cache.MAX_AGE_S` ago counts, unless the host has invalidated it. Configuration and role may
  then be of different moments.

Every wait is a point at which a seeded scheduler decides who goes on (see
`race_scheduler`); `race_history` holds the rules above and `race_model` the actors. A run
is a function of its seed: to repeat one that failed, `race_model.play(SEED).problems()`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.jwt_auth.cel.mounted import CELMounted
from tests.jwt_auth.login import race_model

SEEDS = 400
"""Of the short form: the same each time. A commit should pass today if it passed yesterday."""

NEW_SEEDS = 10_000
"""Of the long form (--full-faults): others each time."""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module", autouse=True)
def _library():
    """Load CEL before: the first run would be another one than the others."""

    async def load():
        async with CELMounted() as mount:
            await mount.configure()

    asyncio.run(load())


@pytest.fixture
def new_seeds(request):
    if not request.config.getoption("--full-faults"):
        pytest.skip("other seeds each time: --full-faults plays them")
    first = random.SystemRandom().randrange(10**6, 10**9)
    return range(first, first + NEW_SEEDS)


def found_in(seeds):
    """Play runs until one goes wrong; return its seed and what it was, and how logins ended."""
    ended: Counter[str] = Counter()
    for seed in seeds:
        try:
            world = race_model.play(seed)
        except Exception as error:
            error.add_note(f"in the run of seed {seed}")
            raise
        if problems := world.problems():
            return [f"seed {seed}: {each}" for each in problems], ended
        ended.update(f"{each.path} {each.code or 'granted'}" for each in world.logins)
    return [], ended


def test_every_login_ends_as_a_state_says_that_held():
    problems, ended = found_in(range(SEEDS))
    assert problems == []
    # Runs in which nothing happens would show nothing.
    for path in ("login", "cel/login"):
        assert ended[f"{path} granted"] > SEEDS / 2
        for code in ("role_unknown", "key_unknown", "signature_invalid", "audience_mismatch"):
            assert ended[f"{path} {code}"] > SEEDS / 20


def test_so_it_is_in_runs_that_were_never_played(new_seeds):
    problems, _ = found_in(new_seeds)
    assert problems == []


def test_a_run_is_a_function_of_its_seed():
    first, second = (race_model.play(7) for _ in range(2))
    assert [str(login) for login in first.logins] == [str(login) for login in second.logins]
    assert first.scheduler.step == second.scheduler.step
