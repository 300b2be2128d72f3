"""Counters of one mount, since it was set up in this process.

They are kept in memory only: they begin at zero with every start of the process, and every node of
a cluster has its own. Callers who are not logged in cannot make them grow: operations and reasons
are the program's own words, and a role is counted by name only if it exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cache import MAX_ROLES
from vault_jwt_plugin.sdk import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REASONS = 100
"""Most codes that are counted one by one, of denials and of faults each; the program has fewer."""

OTHER = "other"
"""The name under which codes above `MAX_REASONS` are counted."""


@dataclass(slots=True)
class RoleCount:
    """Logins with one role.

    Attributes:
        logins: number of granted logins.
        denied: number of denied logins.
        last_reason: code of the last denial; "" before the first.
        last_denied_at: its time in Unix seconds; None before the first.
    """

    logins: int = 0
    denied: int = 0
    last_reason: str = ""
    last_denied_at: float | None = None


class Counters:
    """The counters of one mount; only its methods change them, but for `requests`.

    Args:
        clock: Unix seconds.
        max_roles: most roles that are counted by name; the others are counted together.

    Attributes:
        requests: by operation. Each login makes at least two: the host also asks for its role.
        logins: number of granted logins.
        denied: number of logins that a check refused, by reason code.
        failed: number of logins that failed without being refused (storage, for one), by code.
        roles: by name; a deleted role is forgotten.
        other_roles: roles above `max_roles`.
    """

    def __init__(self, *, clock: Callable[[], float], max_roles: int = MAX_ROLES) -> None:
        self.requests: dict[Operation, int] = dict.fromkeys(Operation, 0)
        self.logins = 0
        self.denied: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.roles: dict[str, RoleCount] = {}
        self.other_roles = RoleCount()
        self._clock = clock
        self._max_roles = max_roles

    def login_granted(self, role: str) -> None:
        """Count a login, with as little work as possible."""
        self.logins += 1
        try:
            self.roles[role].logins += 1
        except KeyError:
            self._role(role).logins += 1

    def login_denied(self, reason: str, *, role: str | None) -> None:
        """Count a denial by its code; `role` is None if the caller named none that exists."""
        _add(self.denied, reason)
        if role is not None:
            count = self._role(role)
            count.denied += 1
            count.last_reason = reason
            count.last_denied_at = self._clock()

    def login_failed(self, code: str) -> None:
        """Count a login that ended in a fault."""
        _add(self.failed, code)

    def forget_role(self, role: str) -> None:
        """Forget a deleted role's own counts; the sums keep them."""
        self.roles.pop(role, None)

    def _role(self, name: str) -> RoleCount:
        count = self.roles.get(name)
        if count is None:
            if len(self.roles) >= self._max_roles:
                return self.other_roles
            count = self.roles[name] = RoleCount()
        return count


def _add(counts: dict[str, int], code: str) -> None:
    if code not in counts and len(counts) >= MAX_REASONS:
        code = OTHER
    counts[code] = counts.get(code, 0) + 1
