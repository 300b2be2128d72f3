"""`status`: the state of this mount in this process, for operators and their monitoring.

The Go methods have nothing like it. It needs a token, as every path but the logins does, and shows
no secret: of the configuration only the keys' URLs, without credentials and query.

It reads the configuration from storage only if it is not cached, and fetches no keys, so it answers
while issuers do not.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.cache import MAX_ROLES
from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.jwt_auth.keys.kinds import selected_kind
from vault_jwt_plugin.sdk import (
    FieldData,
    LogicalError,
    Operation,
    OperationSpec,
    Path,
    Request,
    Response,
    jsonutil,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sized

    from vault_jwt_plugin.jwt_auth.counters import RoleCount
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySourceStatus
    from vault_jwt_plugin.jwt_auth.mount import Mount
    from vault_jwt_plugin.sdk import BackendContext, LoopLag

ROLES_AT_ONCE = 200
"""Roles that are listed at a stretch, about 1 ms of work; a longer list is sent as JSON text."""

_SYNOPSIS = "Shows how this mount is doing: keys, logins, denials by reason."
_DESCRIPTION = """
Counters since the mount was set up in this process of this node: logins by role,
denials by reason, requests by operation. For every source of keys: how old its
keys are, when they are fetched next, and what the last fetch failed for.

Of the whole process, which mounts share: how late its event loop was in the last
ten minutes, in milliseconds. That is what every login waits for at least.

Nothing is stored: a restart, a reload of the plugin or a seal begins at zero, and
every node counts for itself.
""".strip()


class StatusPath:
    """The handler of one mount.

    Args:
        mount: the mount's shared state.
        context: the result of Setup.
        roles, cel_roles: the cached roles.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        mount: Mount,
        context: BackendContext,
        *,
        roles: Sized,
        cel_roles: Sized,
        monotonic: Callable[[], float],
    ) -> None:
        self._mount = mount
        self._roles = roles
        self._cel_roles = cel_roles
        self._context = context
        self._monotonic = monotonic
        self._started_at = context.clock()
        self._started = monotonic()

    def path(self) -> Path:
        """Declare `status`."""
        return Path(
            pattern="status",
            operations={
                Operation.READ: OperationSpec(
                    handler=self.read,
                    summary=_SYNOPSIS,
                    description=_DESCRIPTION,
                    operation_id="jwt-read-status",
                )
            },
            help_synopsis=_SYNOPSIS,
            help_description=_DESCRIPTION,
        )

    async def read(self, _request: Request, _data: FieldData) -> Response:
        """Return the state, with lists of objects: monitoring tools can't use names as values."""
        mount = self._mount
        sources, error = await self._sources()
        roles = await _roles(mount.counters.roles)
        return Response(
            data={
                "version": self._context.version,
                "protocol_version": self._context.protocol_version,
                "started_at": _time(self._started_at),
                "uptime_seconds": int(self._monotonic() - self._started),
                "can_write": mount.writable,
                "event_loop_lag_ms": _lag(self._context.loop_lag()),
                **self._counted(),
                "roles": roles,
                "cached_roles": len(self._roles),
                "cached_cel_roles": len(self._cel_roles),
                "cached_roles_max": MAX_ROLES,
                "key_sources": sources,
                "config_error": error,
            }
        )

    def _counted(self) -> dict[str, Any]:
        counters = self._mount.counters
        other = counters.other_roles
        return {
            "logins": {
                "granted": counters.logins,
                "denied": sum(counters.denied.values()),
                "failed": sum(counters.failed.values()),
            },
            "denials": _listed(counters.denied, "reason"),
            "failures": _listed(counters.failed, "code"),
            # Counters at zero are shown too: one that appears late has lost its first step.
            "requests": _listed(counters.requests, "operation"),
            "other_roles": {"granted": other.logins, "denied": other.denied},
        }

    async def _sources(self) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        """Return the sources of keys, and the error if there is one."""
        try:
            config = await self._mount.configs.get(STORAGE_KEY)
            if config is None:
                return [], None
            status = self._mount.keys.of(config).status()
        except LogicalError as error:
            return [], {"code": error.code, "message": error.message}
        kind = selected_kind(config)
        return [
            self._source(part, "" if kind is None else kind.status_name(config))
            for part in status.parts or (status,)
        ], None

    def _source(self, status: KeySourceStatus, kind: str) -> dict[str, Any]:
        fetched_at = status.fetched_at
        error = status.last_error
        return {
            "kind": kind,
            "url": status.url.strip('"'),
            "keys": status.keys,
            "unusable_keys": len(status.unusable),
            "fetched_at": _time(fetched_at),
            "age_seconds": None
            if fetched_at is None
            else max(int(self._context.clock() - fetched_at), 0),
            "refresh_in_seconds": _seconds(status.refresh_in_s),
            "expires_in_seconds": _seconds(status.expires_in_s),
            "fetches": status.fetches,
            "failures": status.failures,
            "last_failure_at": _time(status.failed_at),
            # The error of the last fetch; None once a fetch succeeds.
            "last_error": None if error is None else {"code": error.code, "message": error.message},
        }


async def _roles(counts: Mapping[str, RoleCount]) -> list[dict[str, Any]] | jsonutil.Encoded:
    """Return the counts of each role, by name; 10,000 roles must not delay logins."""
    counted = sorted(counts.items())
    if len(counted) <= ROLES_AT_ONCE:
        return [_role(name, count) for name, count in counted]
    parts = []
    for at in range(0, len(counted), ROLES_AT_ONCE):
        some = [_role(name, count) for name, count in counted[at : at + ROLES_AT_ONCE]]
        parts.append(jsonutil.dumps(some)[1:-1])
        await asyncio.sleep(0)
    return jsonutil.Encoded(f"[{','.join(parts)}]")


def _role(name: str, count: RoleCount) -> dict[str, Any]:
    return {
        "role": name,
        "granted": count.logins,
        "denied": count.denied,
        "last_denied_at": _time(count.last_denied_at),
        "last_denied_reason": count.last_reason,
    }


def _listed(counts: Mapping[Any, int], name: str) -> list[dict[str, Any]]:
    """Return counts as objects, sorted by name."""
    return [{name: str(each), "count": count} for each, count in sorted(counts.items())]


def _lag(lag: LoopLag | None) -> dict[str, float | int] | None:
    """Return the lag in milliseconds; None before it is measured."""
    if lag is None:
        return None
    return {
        "p50": round(lag.p50_s * 1000, 1),
        "p99": round(lag.p99_s * 1000, 1),
        "max": round(lag.max_s * 1000, 1),
        "over_seconds": int(lag.over_s),
    }


def _time(at: float | None) -> str | None:
    """Format Unix seconds as RFC 3339, in whole seconds."""
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _seconds(duration_s: float | None) -> int | None:
    return None if duration_s is None else int(duration_s)
