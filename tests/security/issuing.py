"""The paths of a mount that issue tokens, and attempts of an attacker on each of them.

Every rule is tried on every path: most vulnerabilities of this method came from a rule that was
enforced on one path and forgotten on another. To add a path, add one entry to `PATHS`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.jwt_auth import tokens
from tests.jwt_auth.mounted import Mounted as BareMounted
from vault_jwt_plugin.host.messages import AuthMessages
from vault_jwt_plugin.jwt_auth.backend import JWTBackend
from vault_jwt_plugin.sdk import LogicalError, Operation, PermissionDenied, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vault_jwt_plugin.sdk import Auth, Response

MARK = "mArKeD-sEcReT"
"""A mark in every hostile token's claims, which must appear nowhere else."""

CLAIMS: Mapping[str, Any] = {
    "iss": "https://issuer.example",
    "sub": "me",
    "aud": "vault",
    "iat": tokens.NOW,
    "exp": tokens.NOW + 60,
    "mark": MARK,
}

LONGEST_S = 5.0
"""The most seconds for one attempt on a busy machine; most take a millisecond."""

MOST_BYTES = 48 * 1024 * 1024
"""The peak of memory that one attempt may allocate, in bytes."""

LONGEST_MESSAGE_CHARS = 300


class Mounted(BareMounted):
    """A mount on which all paths can be used: CEL needs the host protocol's messages."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = JWTBackend(
            self.context,
            fetcher=self.fetcher,
            monotonic=lambda: self.now,
            messages=AuthMessages(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuingPath:
    """One path that issues tokens for JWTs.

    Attributes:
        name: used in test ids.
        login: the path of logins.
        role: the path of its role `demo`.
        parameters: those of a role that binds only what a test adds, and takes its alias from the
            claim `sub`.
        rules: what its roles can bind besides the audience.
        codes: other paths' codes -> this path's code for the same reason.
    """

    name: str
    login: str
    role: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rules: frozenset[str] = frozenset()
    codes: Mapping[str, str] = field(default_factory=dict)

    async def write_role(self, mounted: Mounted, **parameters: Any) -> None:
        """Write the role with these parameters in addition to the usual ones."""
        await mounted.write(self.role, {**self.parameters, **parameters})

    async def attempt(
        self, mounted: Mounted, jwt: Any, operation: Operation = Operation.UPDATE, **request: Any
    ) -> Response:
        """Try one login."""
        data = {"role": "demo", "jwt": jwt}
        answer: Response | None = await mounted.ask(operation, self.login, data, **request)
        assert answer is not None
        return answer


NATIVE = IssuingPath(
    name="login",
    login="login",
    role="role/demo",
    parameters={"role_type": "jwt", "user_claim": "sub", "token_policies": "p"},
    rules=frozenset({"subject", "claims", "groups", "cidrs", "type", "unbound audience"}),
)
CEL = IssuingPath(
    name="cel",
    login="cel/login",
    role="cel/role/demo",
    parameters={
        "cel_program": {
            "expression": "pb.Auth{display_name: claims.sub, policies: ['p'], "
            "alias: logical.Alias{name: claims.sub}}"
        }
    },
    codes={
        "user_claim_missing": "cel_evaluation",
        "user_claim_empty": "cel_auth",
    },
)

PATHS = (NATIVE, CEL)

on_every_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def on_paths_with(rule: str) -> pytest.MarkDecorator:
    """Select every path whose roles have this rule."""
    paths = [path for path in PATHS if rule in path.rules]
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.name)


STATIC_KEYS = [
    tokens.public_pem(tokens.key_for(alg)) for alg in ("RS256", "ES256", "ES384", "ES512", "EdDSA")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The result of a denied attempt."""

    code: str
    message: str
    is_forbidden: bool


async def login(
    path: IssuingPath,
    jwt: Any,
    *,
    config: Mapping[str, Any] | None = None,
    documents: Mapping[str, Any] | None = None,
    now: float | None = None,
    **parameters: Any,
) -> Auth | Denied:
    """Log in once on a new mount; a fault (HTTP 500) fails the test.

    Args:
        path: the path to use.
        jwt: the token to send.
        config: the mount's configuration; None means static keys of every kind.
        documents: URL -> the issuer's document.
        now: Unix seconds; None means a time at which CLAIMS are valid.
        parameters: those of the role.
    """
    async with Mounted() as mounted:
        if now is not None:
            mounted.now = now
        mounted.fetcher.documents.update(documents or {})
        await mounted.write("config", config or {"jwt_validation_pubkeys": STATIC_KEYS})
        await path.write_role(mounted, **parameters)
        return await attempt(path, mounted, jwt)


async def attempt(path: IssuingPath, mounted: Mounted, jwt: Any, **request: Any) -> Auth | Denied:
    """Log in once on an existing mount."""
    try:
        answer = await path.attempt(mounted, jwt, **request)
    except UserError as error:
        return Denied(code=error.code, message=error.message, is_forbidden=False)
    except PermissionDenied as error:
        return Denied(code=error.code, message="", is_forbidden=True)
    except LogicalError as error:
        pytest.fail(f"an attacker brought about a fault: {error!r}")
    # CVE-2026-46405: an error beside a grant hid the token, which was valid.
    assert answer.auth is not None
    assert not answer.data
    return answer.auth


WINDOW = 16


def fragments(jwt: Any) -> list[str]:
    """Return what would reveal a token wherever it is found: the mark, and pieces of its parts.

    Any 31 characters in a row from a part's beginning or end contain one of the pieces.
    """
    found = [MARK]
    for part in jwt.split(".") if isinstance(jwt, str) else ():
        for text in (part[:512], part[-64:]):
            starts = range(0, len(text) - WINDOW + 1, WINDOW)
            found += [text[start : start + WINDOW] for start in starts]
    return found


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        error = record.exc_info[1] if record.exc_info else None
        self.texts.append(f"{record.getMessage()} {fields!r} {error!r}")


@contextmanager
def nothing_logged(*secrets: str) -> Iterator[list[str]]:
    """Check that nothing in the block logs any of these texts, at any level, before redaction.

    Yields:
        The list of log lines, which grows.
    """
    records = _Records()
    root = logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    try:
        yield records.texts
    finally:
        root.removeHandler(records)
        root.setLevel(level)
    for text in records.texts:
        for secret in secrets:
            assert secret not in text, text


def check_denied(
    path: IssuingPath, jwt: Any, code: str, *, run: Any = None, **arguments: Any
) -> Denied:
    """Check that the token is denied with this code, in bounded time and memory, and not revealed.

    Args:
        path: the path to try.
        jwt: the hostile token.
        code: the stable code for this reason.
        run: makes the attempt instead of `login`.
        arguments: those of `login`.
    """
    secrets = fragments(jwt)
    attempting = run if run is not None else login
    tracemalloc.start()
    started_at = time.perf_counter()
    try:
        with nothing_logged(*secrets):
            outcome = asyncio.run(attempting(path, jwt, **arguments))
        took_s = time.perf_counter() - started_at
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(outcome, Denied), "a hostile token got in"
    assert outcome.code == path.codes.get(code, code), outcome
    assert len(outcome.message) <= LONGEST_MESSAGE_CHARS
    for secret in secrets:
        assert secret not in outcome.message
    assert took_s < LONGEST_S
    assert peak < MOST_BYTES
    return outcome


def check_granted(path: IssuingPath, jwt: Any, **arguments: Any) -> Auth:
    """Check that this token is accepted, so that a denial above has the intended reason."""
    outcome = asyncio.run(login(path, jwt, **arguments))
    assert not isinstance(outcome, Denied), outcome
    return outcome
