"""What was stored, served and fetched during a run, and what logins it allows.

Every moment is a step of the scheduler. A stored value holds from the moment at
which storage took it, until the request that replaced it was answered: between the
two both values are right. The rules of a login are written anew here, for the few
parameters that the model uses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.cache import MAX_AGE_S
from vault_jwt_plugin.jwt_auth.login.flow import DEADLINE_S

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

KEY_CODES = frozenset({"key_unknown", "key_algorithm", "signature_invalid"})
COOLDOWN_S = 10.0
"""How long the failure of a fetch denies logins, in seconds."""


@dataclass(eq=False, kw_only=True)
class Operation:
    """One request of an actor, or what a host asks of the backend.

    Attributes:
        kind: "login", "write", "node", …
        began, ended: its first and last step.
        began_s, ended_s: by the clock.
        task: that it runs in.
        judged_after: step at which the last thread of this very request ended.
        succeeded: a write was answered, and not by an error.
        closes: stored values that are replaced once it is answered.
    """

    kind: str
    began: int
    began_s: float
    ended: float = inf
    ended_s: float = inf
    task: asyncio.Task[Any] | None = None
    judged_after: int = 0
    succeeded: bool = False
    closes: list[Version] = field(default_factory=list)


@dataclass(eq=False, kw_only=True)
class Version:
    """A value under a storage key, None = nothing; held from `start` to `end`.

    Attributes:
        replaced_s: by the clock, if another node has replaced it; None otherwise.
    """

    value: dict[str, Any] | None
    start: int
    end: float = inf
    replaced_s: float | None = None


@dataclass(eq=False, kw_only=True)
class Observation:
    """Keys as the mount has seen them at their issuer, or in its own copy.

    Attributes:
        kids: None: it could not be had.
        asked, answered, ended: steps; it has ended once the mount must know.
        ended_s: by the clock.
        failed: of what was fetched: whether it may not be in use; None until it has ended.
    """

    url: str
    asked: int
    by: Operation | None
    kids: frozenset[str] | None = None
    answered: float = inf
    ended: float = inf
    ended_s: float = inf
    failed: bool | None = None


@dataclass(eq=False, kw_only=True)
class Era:
    """The time of one configuration's keys: none that were fetched before it are in use.

    Attributes:
        start: first step at which its keys may have been asked for.
        known: from when on no others are in use.
        writer: who wrote the configuration, and had its keys fetched; None if nobody did.
    """

    start: int
    known: float
    writer: Operation | None

    def owns(self, seen: Observation) -> bool:
        """Whether keys were fetched for this era for sure: those of earlier ones go on a while."""
        if seen.by is None:
            return False
        return seen.by is self.writer or (seen.by.kind == "login" and seen.by.began > self.known)


@dataclass(eq=False, kw_only=True)
class Login:
    """A login and how it ended: `granted` as it shows, or the code of its denial."""

    operation: Operation
    path: str
    role: str
    kid: str
    claims: dict[str, Any]
    granted: dict[str, Any] | None = None
    code: str = ""

    def __str__(self) -> str:
        seen = {name: value for name, value in self.claims.items() if name != "x"}
        answer = self.granted or self.code
        steps = f"{self.operation.began}-{self.operation.ended}"
        return f"{self.path} role={self.role!r} kid={self.kid} {seen} in {steps}: {answer}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one state says of a login: what is granted, or possible codes."""

    granted: dict[str, Any] | None = None
    codes: frozenset[str] = frozenset()


@dataclass(eq=False)
class History:
    """Of one run.

    Attributes:
        programs: of CEL roles, by expression: team that may log in, user claim, policies.
        pems: key ids of public keys.
        standby: spans in which this node may not know what others have written.
        failed_reads: steps at which a read of storage was answered with a failure.
    """

    programs: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    pems: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[Version]] = field(default_factory=dict)
    dropped: list[tuple[str, int]] = field(default_factory=list)
    eras: list[Era] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    standby: list[list[float]] = field(default_factory=list)
    failed_reads: list[int] = field(default_factory=list)

    def stored(
        self, key: str, raw: bytes | None, step: int, *, by: Operation | None, now: float
    ) -> None:
        """Note a value; `by` None: another node has stored it."""
        earlier = self.versions.setdefault(key, [Version(value=None, start=0)])
        if by is None:
            earlier[-1].end, earlier[-1].replaced_s = step, now
        else:
            by.closes.append(earlier[-1])
        earlier.append(Version(value=None if raw is None else json.loads(raw), start=step))

    def held(self, key: str, login: Login) -> Iterator[Version]:
        """Values that a login may have been decided by."""
        began = login.operation.began
        since = max(began, login.operation.judged_after)
        for each in self.versions.get(key, [Version(value=None, start=0)]):
            if each.start > login.operation.ended:
                continue
            if each.end >= since or self._unseen(key, each, login):
                yield each

    def _unseen(self, key: str, version: Version, login: Login) -> bool:
        """Whether this node may not have seen yet that another one has replaced a value."""
        if version.replaced_s is None or login.operation.began_s > version.replaced_s + MAX_AGE_S:
            return False
        return not any(
            which in {key, "config"} and version.end < step < login.operation.began
            for which, step in self.dropped
        )

    def is_relaxed(self, login: Login) -> bool:
        """Whether this node may have read config and role at different times."""
        operation = login.operation
        return any(
            start <= operation.ended and operation.began <= end for start, end in self.standby
        )

    def known_keys(self, url: str, login: Login) -> Iterator[Observation]:
        """Key sets that may have been in use; those that could not be had among them."""
        operation = login.operation
        before = [era for era in self.eras if era.known < operation.began]
        era = max(before, key=lambda era: era.start, default=Era(start=0, known=0, writer=None))
        newest = max(
            (
                each.asked
                for each in self.observations
                if each.url == url
                and each.failed is False
                and each.asked > era.start
                and each.ended < operation.began
                and era.owns(each)
            ),
            default=0,
        )
        for each in self.observations:
            if (
                each.url == url
                and each.asked >= era.start
                and (newest < each.answered <= operation.ended)
            ):
                yield each

    def outcomes(self, login: Login) -> Iterator[Outcome]:
        """What the states say that held while a login went on."""
        operation = login.operation
        since = max(operation.began, operation.judged_after)
        relaxed = self.is_relaxed(login)
        for config in self.held("config", login):
            name = login.role or (config.value or {}).get("default_role", "")
            if config.value is None or not name:
                code = "config_missing" if config.value is None else "role_missing"
                yield Outcome(codes=frozenset({code}))
                continue
            prefix = "cel/role/" if login.path == "cel/login" else "role/"
            for role in self.held(prefix + name, login):
                first = max(config.start, role.start, since)
                last = min(config.end, role.end, operation.ended)
                if first <= last or relaxed:
                    last = operation.ended if relaxed else last
                    yield from self._of_state(login, config.value, role.value, name, last)

    def _of_state(
        self,
        login: Login,
        config: dict[str, Any],
        role: dict[str, Any] | None,
        name: str,
        last: float,
    ) -> Iterator[Outcome]:
        if role is None:
            yield Outcome(codes=frozenset({"role_unknown"}))
            return
        decided = self._decide(login, config, role, name)
        url = config["jwks_url"]
        if not url:
            trusted = login.kid in {self.pems[pem] for pem in config["jwt_validation_pubkeys"]}
            yield decided if trusted else Outcome(codes=KEY_CODES)
            return
        for seen in self.known_keys(url, login):
            if seen.failed and seen.ended_s >= login.operation.began_s - COOLDOWN_S:
                yield Outcome(codes=frozenset({"keys_unavailable"}))
            if seen.kids is not None and seen.answered <= last:
                yield decided if login.kid in seen.kids else Outcome(codes=KEY_CODES)

    def _decide(
        self, login: Login, config: dict[str, Any], role: dict[str, Any], name: str
    ) -> Outcome:
        """Decide by config and role alone, in the order of the method's checks."""
        claims = login.claims

        def denied(code: str) -> Outcome:
            return Outcome(codes=frozenset({code}))

        if config["bound_issuer"] and claims["iss"] != config["bound_issuer"]:
            return denied("issuer_mismatch")
        if claims["aud"] not in role["bound_audiences"]:
            return denied("audience_mismatch")
        if login.path == "cel/login":
            team, user_claim, policies = self.programs[role["cel_program"]["expression"]]
            if claims["team"] != team:
                return denied("cel_denied_text")
            granted = {"policies": policies, "alias": claims[user_claim], "role": name}
            return Outcome(granted=granted | {"ttl_ns": 0})
        for claim, bound in (role["bound_claims"] or {}).items():
            # As JSON: to Python 1 equals true.
            if json.dumps(claims[claim]) != json.dumps(bound):
                return denied("bound_claim_mismatch")
        return Outcome(
            granted={
                "policies": role["token_policies"],
                "alias": claims[role["user_claim"]],
                "role": name,
                "ttl_ns": role["token_ttl"],
            }
        )

    def problem(self, login: Login) -> str | None:
        """Say what is wrong with how a login ended; None if nothing is."""
        outcomes = list(self.outcomes(login))
        if login.granted is not None:
            if any(each.granted == login.granted for each in outcomes):
                return None
            return f"granted, though no state allowed it: {login}"
        if any(login.code in each.codes for each in outcomes):
            return None
        if self._gives_up(login):
            return None
        return f"denied, though no state said so: {login}"

    def _gives_up(self, login: Login) -> bool:
        """Whether there is a reason for a denial that no state gives."""
        operation = login.operation
        span = range(operation.began, int(operation.ended) + 1)
        changes = sum(
            each.start in span for versions in self.versions.values() for each in versions
        )
        changes += sum(step in span for _, step in self.dropped)
        changes += sum(edge in span for spans in self.standby for edge in spans)
        match login.code:
            case "changed_meanwhile":
                return changes >= 2
            case "cel_timeout":
                return operation.ended_s - operation.began_s >= 5
            case "login_timeout":
                return operation.ended_s - operation.began_s >= DEADLINE_S
            case "keys_unavailable":
                # The keys that were waited for were replaced.
                return any(era.known in span or era.start in span for era in self.eras)
            case "storage_error":
                # A login may join a read that has failed in the step before it began.
                return any(step in span or step == span.start - 1 for step in self.failed_reads)
        return False
