"""What asks and writes at the nodes of a cluster while a test does something to them.

Threads of the test's own process: it only waits meanwhile, and what they measure takes seconds.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.faults.world import role, wait_until
from tests.hosts.tokens import b64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.hosts.client import Client, Reply
    from tests.hosts.server import DevServer

REQUEST_TIMEOUT_S = 10.0
SERVED_S = 60.0
"""In which a client is served again."""

RETRY_S = 0.01
"""Pause of a client that was refused."""

WATCH_S = 0.004
"""Pause of a watcher: many of them must leave the nodes something of the machine."""

WRITERS = 2
"""At each node."""

WRITE_S = 0.02
RETRY_WRITE_S = 0.1
"""Pauses of a writer, after a role and after a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What clients ask for over and over, without a token."""

    method: str
    path: str
    data: object = None
    headers: dict[str, str] | None = None

    def of(self, client: Client) -> Reply:
        """Ask a node once.

        Raises:
            OSError: It cannot be reached, or does not answer in time.
            http.client.HTTPException: It went away while it answered.
        """
        return client.request(
            self.method,
            self.path,
            self.data,
            headers=self.headers,
            timeout_s=REQUEST_TIMEOUT_S,
        )

    def status(self, node: DevServer) -> int:
        """The status that a node answers with; 0 = it does not."""
        try:
            return self.of(node.client.with_token(None)).status
        except (OSError, http.client.HTTPException):
            return 0


def login_at(path: str, jwt: str, role: str = "demo") -> Ask:
    """A login at a mount."""
    return Ask(method="POST", path=f"auth/{path}/login", data={"jwt": jwt, "role": role})


def inline_at(path: str, jwt: str, wanted: str, role: str = "demo") -> Ask:
    """Read the path `wanted`, and log in at a mount for that alone: OpenBao's inline auth.

    Each parameter is a header: JSON with its name and value, base64url (OpenBao:
    sdk/helper/consts/consts.go, InlineAuthParameterHeaderPrefix).
    """
    headers = {"X-Vault-Inline-Auth-Path": f"auth/{path}/login"}
    for key, value in {"jwt": jwt, "role": role}.items():
        parameter = json.dumps({"key": key, "value": value}).encode()
        headers[f"X-Vault-Inline-Auth-Parameter-{key}"] = b64(parameter)
    return Ask(method="GET", path=wanted, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One request of a client to one node.

    Attributes:
        node: its port.
        began, ended: by `time.monotonic`.
        status: of the answer; 0 = no answer.
        text: what an answer other than 200 said.
    """

    node: int
    began: float
    ended: float
    status: int
    text: str = ""


class _Threads:
    """Threads that run for the length of a `with` block, until `ending` is set."""

    def __init__(self, runs: Iterable[Callable[[], None]]) -> None:
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=run) for run in runs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self._threads:
            thread.join()


class Clients(_Threads):
    """Clients that ask without a pause.

    Each has nodes of its own and stays with one of them until that refuses; then it goes to the
    next.

    Attributes:
        tries: of each client, in their order.
    """

    def __init__(self, ask: Ask, nodes: Sequence[Sequence[DevServer]]) -> None:
        """Prepare.

        Args:
            ask: what they ask for.
            nodes: of each client.
        """
        self.tries: list[list[Try]] = [[] for _ in nodes]
        self._ask = ask
        each = zip(nodes, self.tries, strict=True)
        super().__init__(functools.partial(self._run, mine, tries) for mine, tries in each)

    def __enter__(self) -> Self:
        began = time.monotonic()
        super().__enter__()
        try:
            self.wait_served(began)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _run(self, nodes: Sequence[DevServer], tries: list[Try]) -> None:
        clients = [node.client.with_token(None) for node in nodes]
        at = 0
        while not self.ending.is_set():
            done = self._one(clients[at])
            tries.append(done)
            if done.status != 200:
                at = (at + 1) % len(clients)
                self.ending.wait(RETRY_S)

    def _one(self, client: Client) -> Try:
        began = time.monotonic()
        try:
            reply = self._ask.of(client)
            status, text = reply.status, "" if reply.status == 200 else repr(reply.raw[:300])
        except (OSError, http.client.HTTPException) as error:
            status, text = 0, repr(error)
        return Try(node=client.port, began=began, ended=time.monotonic(), status=status, text=text)

    def wait_served(self, since: float) -> None:
        """Wait until every client got what it asked for after a moment."""
        wait_until(
            lambda: all(
                any(one.status == 200 and one.began > since for one in reversed(tries[-50:]))
                for tries in self.tries
            ),
            SERVED_S,
            f"all clients served: {[tries[-1:] for tries in self.tries]}",
        )

    def without_s(self, moment: float) -> float:
        """How long a client was not served at most, from a moment on."""
        return max(_without_s(tries, moment) for tries in self.tries)


def _without_s(tries: Sequence[Try], moment: float) -> float:
    later = [one for one in tries if one.ended > moment]
    refused = max((one.ended - moment for one in later if one.status != 200), default=0.0)
    served = [moment, *(one.ended for one in later if one.status == 200)]
    # Who is not refused may yet be kept waiting.
    waited = max(after - before for before, after in itertools.pairwise(served))
    return max(refused, waited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a watcher was told: whether what it asked for was granted, None = neither.

    Attributes:
        began: by `time.monotonic`.
        text: what an answer said that was neither a grant nor a denial.
    """

    began: float
    granted: bool | None
    text: str = ""


class Watcher(_Threads):
    """Asks a node again and again, and notes what it grants.

    Attributes:
        seen: all answers, in order.
    """

    def __init__(self, node: DevServer, ask: Ask, policy: str) -> None:
        """Prepare; a login counts as granted if its token has the policy."""
        super().__init__([self._run])
        self.seen: list[Seen] = []
        self._client = node.client.with_token(None)
        self._ask = ask
        self._policy = policy

    def _run(self) -> None:
        while not self.ending.wait(WATCH_S):
            self.seen.append(self._one())

    def _one(self) -> Seen:
        began = time.monotonic()
        try:
            reply = self._ask.of(self._client)
        except (OSError, http.client.HTTPException) as error:
            return Seen(began=began, granted=None, text=repr(error))
        if reply.status == 200:
            granted = reply.auth is None or self._policy in reply.auth["policies"]
            return Seen(began=began, granted=granted)
        if reply.status in {400, 403}:
            return Seen(began=began, granted=False)
        return Seen(began=began, granted=None, text=f"{reply.status} {reply.raw!r}")

    def _since(self, moment: float) -> Iterable[Seen]:
        """What was asked for after a moment, the latest first."""
        return itertools.takewhile(lambda one: one.began > moment, reversed(self.seen))

    def obeys(self, since: float, *, granted: bool) -> bool:
        """Whether it was told the new after a moment."""
        return any(one.granted is granted for one in self._since(since))

    def stale_s(self, since: float, *, granted: bool) -> float:
        """How long after a moment it was last told something else; 0 = never."""
        late = (one.began - since for one in self._since(since) if one.granted is not granted)
        return max(late, default=0.0)


class Writers(_Threads):
    """Write roles on all nodes, each in two steps.

    A role is made with a number as its TTL, then given a policy with that number: the second
    write has to find what the first one stored.

    Attributes:
        made, given: name -> whether the write of that step was acknowledged.
        counted: acknowledged writes by node.
    """

    def __init__(self, nodes: Sequence[DevServer], mount: str) -> None:
        """Prepare, for roles of a mount."""
        self.made: dict[str, bool] = {}
        self.given: dict[str, bool] = {}
        self.counted: Counter[int] = Counter()
        self._mount = mount
        super().__init__(
            functools.partial(self._run, node.client, f"{at}-{each}")
            for at, node in enumerate(nodes)
            for each in range(WRITERS)
        )

    def _run(self, client: Client, prefix: str) -> None:
        for number in itertools.count(1):
            name = f"written-{prefix}-{number}"
            self.made[name] = self._write(client, name, role(token_ttl=number))
            if self.made[name]:
                self.given[name] = self._write(client, name, {"token_policies": f"p{number}"})
            pause = WRITE_S if self.given.get(name) else RETRY_WRITE_S
            if self.ending.wait(pause):
                return

    def _write(self, client: Client, name: str, data: dict[str, object]) -> bool:
        ask = Ask(method="POST", path=f"auth/{self._mount}/role/{name}", data=data)
        try:
            status = ask.of(client).status
        except (OSError, http.client.HTTPException):
            return False
        self.counted[client.port] += status == 204
        return status == 204

    def wait(self, count: int) -> None:
        """Wait until so many writes were acknowledged."""
        wait_until(lambda: self.counted.total() >= count, SERVED_S, f"{count} writes")

    def allowed(self, whole: dict[str, object]) -> dict[str, list[dict[str, object] | None]]:
        """What each role may be read as afterwards, None = it is not there."""
        found: dict[str, list[dict[str, object] | None]] = {}
        for name, made in self.made.items():
            number = int(name.rpartition("-")[2])
            first = whole | {"token_ttl": number}
            second = first | {"token_policies": [f"p{number}"]}
            if not made:
                found[name] = [None, first]
            elif not self.given.get(name):
                found[name] = [first, second]
            else:
                found[name] = [second]
        return found
