"""What happened on one mount, in numbers, since it was set up in this process.

Numbers only, in memory only: they begin at zero with every start of the process, and
every node of a cluster has its own. All are bounded, whatever callers who are not
logged in send: operations and reasons are the program's own words, and a role is
counted by name only if it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.cache import MAX_ROLES
from vault_jwt_plugin.sdk import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_REASONS = 100
"""Codes counted one by one, of denials and of faults each. The program has fewer."""

OTHER = "other"
"""Where codes above `MAX_REASONS` are counted."""


class RoleCount:
    """Logins with one role.

    Attributes:
        logins: that were granted.
        denied: that were denied.
        last_reason: code of the last denial; "" before the first.
        last_denied_at: its time in Unix seconds; None before the first.
    """

    __slots__ = ("denied", "last_denied_at", "last_reason", "logins")

    def __init__(self) -> None:
        self.logins = 0
        self.denied = 0
        self.last_reason = ""
        self.last_denied_at: float | None = None


class Counters:
    """The numbers of one mount.

    Args:
        clock: Unix seconds.
        max_roles: counted by name; the others together.

    Attributes:
        requests: by operation. Each login is two at least: the host asks for its role too.
        logins: that were granted.
        denied: logins that a check refused, by reason code.
        failed: logins that no check refused and that failed all the same (storage, for
            one), by code.
        roles: by name; a role that was deleted is forgotten.
        other_roles: those above `max_roles`.
    """

    def __init__(self, *, clock: Callable[[], float], max_roles: int = MAX_ROLES) -> None:
        self.requests: dict[Operation, int] = dict.fromkeys(Operation, 0)
        self.logins = 0
        self._denied: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._roles: dict[str, RoleCount] = {}
        self.other_roles = RoleCount()
        self._clock = clock
        self._max_roles = max_roles

    @property
    def denied(self) -> Mapping[str, int]:
        """See the class."""
        return self._denied

    @property
    def failed(self) -> Mapping[str, int]:
        """See the class."""
        return self._failed

    @property
    def roles(self) -> Mapping[str, RoleCount]:
        """See the class."""
        return self._roles

    def login_granted(self, role: str) -> None:
        """Count a login; on the login path, so as little as can be."""
        self.logins += 1
        try:
            self._roles[role].logins += 1
        except KeyError:
            self._role(role).logins += 1

    def login_denied(self, reason: str, *, role: str | None) -> None:
        """Count a denial.

        Args:
            reason: code of the error.
            role: None if the caller named none that exists.
        """
        _add(self._denied, reason)
        if role is not None:
            count = self._role(role)
            count.denied += 1
            count.last_reason = reason
            count.last_denied_at = self._clock()

    def login_failed(self, code: str) -> None:
        """Count a login that ended in a fault."""
        _add(self._failed, code)

    def forget_role(self, role: str) -> None:
        """The role is no more; what was counted of it in the sums above stays there."""
        self._roles.pop(role, None)

    def _role(self, name: str) -> RoleCount:
        count = self._roles.get(name)
        if count is None:
            if len(self._roles) >= self._max_roles:
                return self.other_roles
            count = self._roles[name] = RoleCount()
        return count


def _add(counts: dict[str, int], code: str) -> None:
    if code not in counts and len(counts) >= MAX_REASONS:
        code = OTHER
    counts[code] = counts.get(code, 0) + 1
