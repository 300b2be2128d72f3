"""The events of the log: found in the source, each with a line that says what it means.

Standard library only. `scripts/gen-docs` makes the table in docs/troubleshooting.md of it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parent.parent / "vault_jwt_plugin"
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "error",
}
"""Level as the server's log shows it, by the logger's method."""

MEANINGS = {
    "accept_failed": "The plugin can't accept connections of the server, most likely because the "
    "process has no file descriptors left. It tries again after a second.",
    "broker_announcement_ignored": "The server announced more connections than it dialled. The "
    "announcement is ignored.",
    "broker_message_ignored": "The server sent something on the broker's stream that is not a "
    "connection. It is ignored.",
    "call_fault": "A fault of the plugin in a call of the server. Report it with the line.",
    "cleanup_failed": "A fault of the plugin while a mount ended. The mount ends all the same. "
    "Report it with the line.",
    "close_failed": "Something failed while the process ended. It ends all the same.",
    "connections_full": "More connections are open than a server of the plugin holds. Further ones "
    "are refused. Some process reaches the socket that should not.",
    "gsuite_schemas_unused": "`user_custom_schemas` is set without `fetch_user_info=true`, and so "
    "does nothing.",
    "host_connection_lost": "The connection to the server broke. The process ends, and the server "
    "starts it anew when it is needed.",
    "http2_fault": "A fault of the plugin closed a connection. Report it with the line.",
    "http2_refused": "The peer of a connection did not keep to HTTP/2 or to a limit. The "
    "connection is closed.",
    "http2_stalled": "The server reads nothing of an answer. That one call is reset.",
    "initialize_failed": "A fault of the plugin while a mount began. Report it with the line.",
    "invalidation_failed": "A fault of the plugin when the server said that a stored entry "
    "changed. Report it with the line.",
    "key_source_close_failed": "A key source that is no longer in use did not close cleanly. "
    "Logins are not affected.",
    "keys_fault": "A fault of the plugin while it fetched or stored keys. Known keys stay in use. "
    "Report it with the line.",
    "keys_fetch_failed": "Keys can't be fetched; `reason` and `error` say why. Known keys stay in "
    "use for `jwks_trust_for`. See [Messages about fetching keys](#messages-about-fetching-keys).",
    "keys_fetch_recovered": "Keys can be fetched again.",
    "keys_store_failed": "The copy of fetched keys can't be written to storage. After a restart "
    "logins wait for the issuer.",
    "keys_stored": "A copy of fetched keys was written to storage.",
    "keys_too_large_to_store": "The copy of fetched keys is too large to store. After a restart "
    "logins wait for the issuer.",
    "login_denied": "A login was denied; `role`, `reason` and `request_id` say which one and why.",
    "logins_denied": "More logins were denied for this `reason`; they are only counted.",
    "memory_not_locked": "The limit of the process forbids mlock. The plugin goes on; raise "
    "`LimitMEMLOCK`.",
    "openapi_failed": "A fault of the plugin: the server has no OpenAPI document for the mount. "
    "Report it with the line.",
    "process_unused": "The set-up of the only mount failed, so the process ends.",
    "replication_state_unknown": "The server did not say whether this node can write. Until it "
    "does, the plugin writes no copies of keys, and reads config and roles anew after a second.",
    "request_failed": "A request failed, and not by its caller's mistake: storage failed, or what "
    "is stored can't be used. `path`, `code` and `error` say which request and why.",
    "request_fault": "A fault of the plugin in a request, which answers 500. Report it with the "
    "line.",
    "requests_failed": "More requests failed with this `code`; they are only counted.",
    "role_without_audiences": "A role was written without `bound_audiences`. Tokens that carry an "
    "`aud` claim will be refused.",
    "setup_failed": "A mount could not be set up; the line says why. Enabling it answers "
    "`setup failed: …`.",
    "socket_elsewhere": "The plugin's socket lies in another folder than the server asked for; "
    "the line says why.",
    "start_failed": "The plugin can't start; the line says why. See "
    "[Running the binary](install.md#running-the-binary).",
    "start_fault": "The plugin could not start because of a fault of its own, or because no file "
    "descriptors are left. If descriptors are not the cause, report it with the line.",
    "storage_reconnected": "The connection to the server's storage was lost, and there is a new "
    "one. Requests that were under way failed.",
    "stored_config_replaced": "A stored `config` that could not be read was replaced by a write.",
    "stored_keys_ignored": "A stored copy of keys can't be used; `error` says why. Logins wait for "
    "the issuer.",
    "stored_keys_in_use": "The issuer did not answer after a start. Logins use the stored copy of "
    "its keys until it does.",
    "stored_keys_unreadable": "Storage did not give the stored copy of keys. Logins wait for the "
    "issuer.",
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Line:
    """A call that logs.

    Attributes:
        event: None when the call names none.
        level: As the server's log shows it.
        message: With `…` for what differs; empty when the message is no literal.
        number: The line in its file.
    """

    event: str | None
    level: str
    message: str
    number: int


def lines(tree: ast.AST) -> list[Line]:
    """Return the calls of loggers in a module."""
    return [
        Line(
            event=_event(call),
            level=LEVELS[method],
            message=_message(call),
            number=call.lineno,
        )
        for method, call in _calls(tree)
    ]


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = ast.unparse(node.func.value)
            if node.func.attr in LEVELS and receiver.endswith(("logger", "_log")):
                yield node.func.attr, node


def _event(call: ast.Call) -> str | None:
    extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
    if extra is None:
        return None
    found = re.search(r"""'event': '([a-z0-9_]+)'|\bevent\('([a-z0-9_]+)'""", ast.unparse(extra))
    return (found[1] or found[2]) if found else None


def _message(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return re.sub(r"%[a-z]", "…", first.value)
    return ""


def events() -> dict[str, list[Line]]:
    """Return the lines of every event in the source, by its name in alphabetical order."""
    found: dict[str, list[Line]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for line in lines(ast.parse(path.read_text())):
            if line.event is not None:
                found.setdefault(line.event, []).append(line)
    return dict(sorted(found.items()))


def table() -> str:
    """Return the events as a Markdown table.

    Raises:
        ValueError: An event has no meaning, or a meaning has no event.
    """
    found = events()
    if unequal := sorted(found.keys() ^ MEANINGS.keys()):
        raise ValueError(f"events and their meanings in scripts/_log_events.py differ: {unequal}")
    rows = ["| event | level | message | what it means |", "|---|---|---|---|"]
    for event, calls in found.items():
        levels = ", ".join(sorted({line.level for line in calls}))
        messages = "<br>".join(sorted({f"`{line.message}`" for line in calls if line.message}))
        rows.append(f"| `{event}` | {levels} | {messages or 'differs'} | {MEANINGS[event]} |")
    return "\n".join(rows)
