"""`path-help` texts in the layout of the hosts' framework.

Mirrors the templates of `sdk/framework/backend.go` and `path.go`.
"""

from __future__ import annotations

import logging
import textwrap
from typing import TYPE_CHECKING, Any, Protocol

from vault_jwt_plugin.sdk import openapi
from vault_jwt_plugin.sdk.request import Request, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.sdk.fields import Field, HostFamily
    from vault_jwt_plugin.sdk.path import Path

_PATHS_INTRO = """\
The following paths are supported by this backend. To view help for
any of the paths below, use the help command with any route matching
the path pattern. Note that depending on the policy of your auth token,
you may or may not be able to access certain paths."""

_logger = logging.getLogger(__name__)


class Documented(Protocol):
    """What the help pages show of a `Backend`."""

    help: str
    paths: tuple[Path, ...]
    unauthenticated: tuple[str, ...]
    root: tuple[str, ...]
    host_family: HostFamily | None


def root_help(backend: Documented, request: Request) -> Response:
    """Return help on the whole backend: its description and its paths."""
    entries = sorted((_anchored(path.pattern), path.help_synopsis) for path in backend.paths)
    listing = "\n\n".join(
        f"{_indent(4, pattern)}\n{_indent(8, synopsis.strip())}" for pattern, synopsis in entries
    )
    text = f"## DESCRIPTION\n\n{backend.help.strip()}\n\n## PATHS\n\n{_PATHS_INTRO}\n\n{listing}"
    return _response(text.strip(), backend, backend.paths, request)


def path_help(backend: Documented, path: Path, request: Request) -> Response:
    """Return help on one path: its parameters and its description."""
    parts = [
        f"Request:        {request.path}\nMatching Route: {_anchored(path.pattern)}",
        path.help_synopsis.strip() or "<no synopsis>",
    ]
    if path.fields:
        by_name = sorted(path.fields, key=lambda declared: declared.name)
        parts += ["## PARAMETERS", *(_parameter(declared) for declared in by_name)]
    parts += ["## DESCRIPTION", path.help_description.strip() or "<no description>"]
    return _response("\n\n".join(parts), backend, (path,), request)


def _parameter(declared: Field) -> str:
    description = declared.description.strip() or "<no description>"
    if declared.deprecated:
        description = f"(DEPRECATED) {description}"
    if len(declared.hosts) == 1:
        family = next(iter(declared.hosts)).value
        description += f" (From {family}'s own method; works on every host.)"
    wrapped = textwrap.fill(description, width=72)
    return f"    {declared.name} ({declared.info.help_name})\n\n{_indent(8, wrapped)}"


def _anchored(pattern: str) -> str:
    return "^" + pattern.removeprefix("^").removesuffix("$") + "$"


def _indent(count: int, text: str) -> str:
    return textwrap.indent(text, " " * count)


def _response(text: str, backend: Documented, paths: Sequence[Path], request: Request) -> Response:
    data: dict[str, Any] = {"help": text, "see_also": None}
    prefix = request.data.get("requestResponsePrefix")
    try:
        data["openapi"] = openapi.document(
            paths,
            prefix=prefix if isinstance(prefix, str) else "",
            unauthenticated=backend.unauthenticated,
            root=backend.root,
            family=backend.host_family,
        )
    except Exception:
        # A broken document would fail the host's OpenAPI for every mount.
        _logger.warning(
            "no OpenAPI document for this backend",
            exc_info=True,
            extra={"fields": {"event": "openapi_failed"}},
        )
    return Response(data=data)
