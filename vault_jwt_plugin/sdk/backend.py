"""The router and the hooks of a backend (SDK `framework.Backend`)."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.sdk.errors import (
    ReadOnlyError,
    UnsupportedOperation,
    UnsupportedPath,
    UserError,
)
from vault_jwt_plugin.sdk.fields import Field, FieldData, HostFamily, by_name
from vault_jwt_plugin.sdk.request import MaybeAwaitable, Operation, Request, Response
from vault_jwt_plugin.sdk.storage import ReplicationState, Storage, SystemView
from vault_jwt_plugin.sdk.text import MAX_QUOTED_CHARS, READ_ONLY_PHRASES, holds_host_phrase

if TYPE_CHECKING:
    import logging
    from typing import Any

    from vault_jwt_plugin.sdk.path import OperationSpec, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLag:
    """By how much the process's event loop has recently delayed its timers.

    Attributes:
        p50_s, p99_s, max_s: median, 99th percentile and maximum, in seconds.
        over_s: the length of the period that was measured, in seconds.
    """

    p50_s: float
    p99_s: float
    max_s: float
    over_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendContext:
    """What a mount's backend gets once, at Setup (SDK `logical.BackendConfig`).

    Attributes:
        storage, system: the host's; neither works in a registration probe, and storage cannot be
            written before `Backend.initialize`.
        logger: this mount's logger.
        config: mount options and `plugin_name`, `plugin_type`, `plugin_version`; empty in a probe.
        backend_uuid: the mount's lasting identity; empty in a probe.
        version: the plugin's version as hosts see it (`v0.1.0`); empty without a host.
        host_family: the family of the server, for documentation alone; None without a host.
        protocol_version: the version of the plugin protocol in use; 0 without a host.
        clock: returns the time in Unix seconds.
        loop_lag: returns the lag of the process, which mounts share; None if nobody measures it.
    """

    storage: Storage
    system: SystemView
    logger: logging.Logger
    config: Mapping[str, str] = field(default_factory=dict)
    backend_uuid: str = ""
    version: str = ""
    host_family: HostFamily | None = None
    protocol_version: int = 0
    clock: Callable[[], float] = time.time
    loop_lag: Callable[[], LoopLag | None] = lambda: None


@dataclass(frozen=True, slots=True)
class _Route:
    """A prepared path: its compiled pattern, and its operations as specs."""

    path: Path
    regex: re.Pattern[str]
    fields: Mapping[str, Field]
    operations: Mapping[Operation, OperationSpec]

    @classmethod
    def of(cls, path: Path) -> _Route:
        if not path.pattern:
            raise ValueError("a path's pattern is empty")
        if Operation.CREATE in path.operations and path.existence_check is None:
            raise ValueError(f"{path.pattern}: create without an existence check")
        regex = re.compile(path.pattern.removeprefix("^").removesuffix("$"), re.ASCII)
        fields = by_name(path.fields)
        if undeclared := regex.groupindex.keys() - fields.keys():
            raise ValueError(f"{path.pattern}: undeclared {', '.join(sorted(undeclared))}")
        specs = {operation: path.spec(operation) for operation in path.operations}
        return cls(path, regex, fields, {op: spec for op, spec in specs.items() if spec})


_Match = tuple[_Route, "dict[str, str]"]
_PLAIN = re.compile(r"[\w/-]+", re.ASCII)


class Backend:
    """A mount's backend: construct it with paths, or subclass it and override the hooks.

    A handler that need not wait returns its answer. One that must wait returns an awaitable, and
    then
    `handle_request` returns that. Whatever a backend raises on purpose is a `LogicalError`.

    Attributes:
        context: what the backend got at Setup.
        paths: the first match wins.
        help: a description of the backend, for `path-help`.
        unauthenticated: paths that need no token for any operation.
        root: paths that need `sudo`.
        host_family: the context's; the form of documentation follows it.
        seal_wrap_storage, local_storage: storage prefixes.
    """

    def __init__(
        self,
        context: BackendContext,
        *,
        paths: Sequence[Path],
        help_text: str = "",
        unauthenticated: Sequence[str] = (),
        root: Sequence[str] = (),
        seal_wrap_storage: Sequence[str] = (),
        local_storage: Sequence[str] = (),
    ) -> None:
        """Compile the paths; use neither storage nor system view.

        Raises:
            ValueError: a declaration cannot work; the Go framework panics for it.
        """
        for entry in (*unauthenticated, *root):
            _check_special(entry, plus=entry in unauthenticated)
        self.context = context
        self.paths = tuple(paths)
        self.help = help_text
        self.unauthenticated = tuple(unauthenticated)
        self.root = tuple(root)
        self.host_family = context.host_family
        self.seal_wrap_storage = tuple(seal_wrap_storage)
        self.local_storage = tuple(local_storage)
        self._routes = tuple(_Route.of(path) for path in self.paths)
        # A path without operators, such as `login`, is found in a dict; still the first match wins.
        self._literals: dict[str, _Match] = {}
        for path in self.paths:
            if _PLAIN.fullmatch(path.pattern):
                match = self._search(path.pattern)
                if match is not None:
                    self._literals[path.pattern] = match

    def _search(self, path: str) -> _Match | None:
        for route in self._routes:
            match = route.regex.fullmatch(path)
            if match is not None:
                # A group that took no part in the match is the empty string, as in Go.
                return route, match.groupdict("")
        return None

    def route(self, path: str) -> Path | None:
        """Return the path that answers `path`, or None."""
        match = self._search(path)
        return match[0].path if match is not None else None

    def handle_existence_check(self, request: Request) -> MaybeAwaitable[bool | None]:
        """Return whether the object that a write names exists.

        Returns:
            None if the path has no check: then every write is an update.

        Raises:
            UnsupportedPath: there is no such path.
            FieldError: a parameter does not have its type.
        """
        path = request.path
        match = self._literals.get(path) or self._search(path)
        if match is None:
            raise UnsupportedPath
        route, captures = match
        check = route.path.existence_check
        if check is None:
            return None
        raw = {**request.data, **captures}
        return check(request, FieldData(route.fields, raw))

    def handle_request(self, request: Request) -> MaybeAwaitable[Response | None]:
        """Answer one request.

        Returns:
            The answer, or an awaitable of it; None is an empty answer.

        Raises:
            LogicalError: the backend refused or failed on purpose; see `errors`.
        """
        operation = request.operation
        path = request.path
        match = self._literals.get(path)
        if operation in _HOOKS:
            # This comes before the paths: a renewal carries the path of its login.
            return self._hook(operation, request)
        if match is None:
            match = self._search(path)
            if match is None:
                if operation is Operation.HELP and not path:
                    return self._root_help(request)
                raise UnsupportedPath
        route, captures = match
        spec = route.operations.get(operation)
        if spec is None:
            if operation is Operation.HELP:
                return self._path_help(route.path, request)
            raise UnsupportedOperation
        if spec.forward_standby or spec.forward_secondary:
            return self._forwarding(request, route, captures, spec)
        return self._answer(request, route, captures, spec)

    def _answer(
        self, request: Request, route: _Route, captures: dict[str, str], spec: OperationSpec
    ) -> MaybeAwaitable[Response | None]:
        sent = request.data
        raw = {**sent, **captures} if captures else sent
        fields = route.fields
        result = spec.handler(request, FieldData(fields, raw))
        if sent.keys() <= fields.keys() and (not captures or sent.keys().isdisjoint(captures)):
            return result
        if result is None or isinstance(result, Response):
            return _with_warnings(result, request, fields, captures)
        return _with_warnings_later(result, request, fields, captures)

    async def _forwarding(
        self, request: Request, route: _Route, captures: dict[str, str], spec: OperationSpec
    ) -> Response | None:
        system = self.context.system
        state = await system.replication_state()
        blocked = spec.forward_standby and state & ReplicationState.PERFORMANCE_STANDBY
        if (
            not blocked
            and spec.forward_secondary
            and state & ReplicationState.PERFORMANCE_SECONDARY
        ):
            blocked = not await system.local_mount()
        if blocked:
            raise ReadOnlyError(READ_ONLY_PHRASES[0])
        result = self._answer(request, route, captures, spec)
        return await result if inspect.isawaitable(result) else result

    def _root_help(self, request: Request) -> Response:
        from vault_jwt_plugin.sdk import help as help_pages

        return help_pages.root_help(self, request)

    def _path_help(self, path: Path, request: Request) -> Response:
        from vault_jwt_plugin.sdk import help as help_pages

        return help_pages.path_help(self, path, request)

    def _hook(self, operation: Operation, request: Request) -> MaybeAwaitable[Response | None]:
        if operation is Operation.RENEW:
            return self.renew(request)
        if operation is not Operation.ROLLBACK:
            raise UnsupportedOperation
        if type(self).periodic is Backend.periodic:
            return None
        return self._tick()

    async def _tick(self) -> None:
        await self.periodic()

    # Hooks

    def renew(self, request: Request) -> MaybeAwaitable[Response | None]:
        """Renew the token in `request.auth`; the answer's `auth` replaces what the host stores.

        If this returns None, the token is not renewed and the caller gets no error.

        Raises:
            UserError: always, in this class: renewal is not supported.
        """
        del request
        raise UserError("this auth type doesn't support renew", code="renew_unsupported")

    async def initialize(self) -> None:
        """Prepare the mount, once storage can be used; on a standby it is read-only."""

    async def cleanup(self) -> None:
        """Release everything at the end of the mount's instance; idempotent."""

    def invalidate_key(self, key: str) -> None:
        """Drop what was derived from `key`: another node has changed it in storage."""

    async def periodic(self) -> None:
        """Do periodic work within 90 seconds; called about every minute, on standbys too."""


_HOOKS = frozenset((Operation.RENEW, Operation.ROLLBACK, Operation.REVOKE, Operation.ROTATE))
"""Operations that belong to the backend, not to a path."""

BackendFactory = Callable[[BackendContext], Backend]
"""Makes a backend during Setup, without storage and system view, which a probe lacks."""


def _check_special(entry: str, *, plus: bool) -> None:
    """Refuse a special path that would fail the mount or never match."""
    if entry.startswith("/"):
        raise ValueError(f"special path {entry}: a leading slash never matches")
    if "*" in entry[:-1] or entry.endswith("+*"):
        raise ValueError(f"special path {entry}: `*` stands only at the end, and not after `+`")
    if "+" in entry and not (
        plus and all(part == "+" or "+" not in part for part in entry.split("/"))
    ):
        raise ValueError(f"special path {entry}: `+` is a whole segment of an open path")


def _input_warnings(
    sent: Mapping[str, Any], fields: Mapping[str, Field], captures: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the framework's warnings, without names that hosts would act on (see `text`)."""
    warnings = _unrecognized(sent, fields)
    if replaced := [name for name in captures if sent.get(name) is not None]:
        text = (
            "Endpoint replaced the value of these parameters with the values captured from "
            f"the endpoint's path: [{_names(replaced)}]"
        )
        return (*warnings, text)
    return warnings


def _unrecognized(sent: Mapping[str, Any], fields: Mapping[str, Field]) -> tuple[str, ...]:
    if ignored := sorted(name for name in sent if name not in fields):
        return (f"Endpoint ignored these unrecognized parameters: [{_names(ignored)}]",)
    return ()


def _names(names: Sequence[str]) -> str:
    shown = (name[:MAX_QUOTED_CHARS] for name in names)
    return " ".join(name for name in shown if not holds_host_phrase(name))


_WRITES = frozenset((Operation.CREATE, Operation.UPDATE, Operation.PATCH))


def _with_warnings(
    response: Response | None,
    request: Request,
    fields: Mapping[str, Field],
    captures: Mapping[str, str],
) -> Response | None:
    sent = request.data
    if response is None:
        # Differs from Vault, Differs from OpenBao: there a write with an empty answer does not say
        # what it
        # ignored, and a misspelt `bound_claims` binds nothing.
        if request.operation in _WRITES and (warnings := _unrecognized(sent, fields)):
            return Response(warnings=warnings)
        return None
    if response.raw is not None:
        return response
    warnings = _input_warnings(sent, fields, captures)
    return replace(response, warnings=response.warnings + warnings) if warnings else response


async def _with_warnings_later(
    pending: Awaitable[Response | None],
    request: Request,
    fields: Mapping[str, Field],
    captures: Mapping[str, str],
) -> Response | None:
    # Only now: a caller who is denied must not cost the time that warnings take for many names.
    return _with_warnings(await pending, request, fields, captures)
