"""Log lines as go-plugin hosts read them: hclog's JSON, one object per line, on stderr.

Mirrors hclog `intlogger.go` (`logJSON`) as read by go-plugin `log_entry.go` (`parseJSON`). A host
asserts without a check that `@level`, `@message` and `@timestamp` are strings: anything else panics
the whole server. So these are built here, and nothing that a caller passes can replace them.
"""

from __future__ import annotations

import json
import logging
import math
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vault_jwt_plugin.goplugin._redact import is_secret_name, redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vault_jwt_plugin.goplugin._stderr import LineSink

MAX_LINE_BYTES = 60_000
"""Below 64 KiB; a host splits a line of that length and logs the pieces at Debug."""

_MAX_FIELDS = 32
_MAX_ITEMS = 32
_MAX_DEPTH = 3
# Characters of a message, of a traceback and of any other text. JSON escapes can turn one character
# into twelve bytes; the second set of limits always fits.
_LIMITS = ((8_192, 16_384, 2_048), (1_024, 2_048, 64))
_MAX_SAFE_INTEGER = 2**53  # Hosts decode numbers as float64.


class Handler(logging.Handler):
    """Write each record as one JSON line; never blocks, never raises.

    Key/value pairs come from `extra={"fields": {...}}`. Values that look like a JWT or a PEM block
    are
    replaced, whoever logged them. That is a second line of defence, not a licence to log them.
    """

    def __init__(self, sink: LineSink, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            line = format_record(record)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - no fault of its caller
            # SystemExit is how PyInstaller's importer says that it cannot read the program's file:
            # that happens
            # when a traceback needs another module and there is no free descriptor.
            line = _own_line(
                "error",
                "a log record could not be formatted",
                {"error_type": type(error).__name__},
            )
        self._sink.write(line)


def format_record(record: logging.LogRecord) -> bytes:
    r"""Return one JSON object and `\n`, in ASCII, at most `MAX_LINE_BYTES` long."""
    line = b""
    for limits in _LIMITS:
        line = _encode(_entry(record, *limits))
        if len(line) <= MAX_LINE_BYTES:
            break
    return line


def dropped_line(count: int) -> bytes:
    """Return the line that stands for `count` lines that a slow host never got."""
    return _own_line("warn", "log lines were dropped: the host did not read them", {"lines": count})


def _own_line(level: str, message: str, fields: Mapping[str, str | int]) -> bytes:
    return _encode(
        {
            **fields,
            "@level": level,
            "@message": message,
            "@module": __name__,
            "@timestamp": _timestamp(None),
        }
    )


def _entry(
    record: logging.LogRecord, max_message: int, max_traceback: int, max_value: int
) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    fields = getattr(record, "fields", None)
    if isinstance(fields, dict):
        for name, value in list(fields.items())[:_MAX_FIELDS]:
            key = _key(name)
            entry[key] = "[redacted]" if is_secret_name(key) else _value(value, max_value)
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(record.exc_info[1], limit=-20))
        # The end of a traceback says what failed and where.
        entry["traceback"] = _cut_head(redact(text[-4 * max_traceback :]), max_traceback)
    # These come last, so that no field can replace them.
    entry["@level"] = _level(record.levelno)
    entry["@message"] = _text(_message(record), max_message)
    entry["@module"] = _text(record.name, 256)
    entry["@timestamp"] = _timestamp(record.created)
    return entry


def _encode(entry: Mapping[str, Any]) -> bytes:
    # ASCII, because a lone surrogate has no UTF-8 form, but it has an escape.
    return json.dumps(entry, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit the message, or whose __str__ fails
        return record.msg if isinstance(record.msg, str) else _printed(record.msg)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    if number >= logging.INFO:
        return "info"
    return "debug" if number >= logging.DEBUG else "trace"


def _timestamp(created: float | None) -> str:
    moment = datetime.now(UTC) if created is None else datetime.fromtimestamp(created, UTC)
    # Always six digits: isoformat() leaves them out if they are zero, and a line whose timestamp
    # does
    # not parse loses its level.
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _key(name: object) -> str:
    key = _text(name if isinstance(name, str) else _printed(name), 64)
    return f"_{key}" if key.startswith("@") or key in {"timestamp", "traceback"} else key


def _value(value: object, max_chars: int, depth: int = 0) -> Any:
    """Convert a value to JSON: keep decoded types, within bounds, and print the others."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _MAX_SAFE_INTEGER else _text(_printed(value), max_chars)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"  # Never show bytes as text: they may be a key.
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return {
            (key := _key(name)): "[redacted]"
            if is_secret_name(key)
            else _value(item, max_chars, depth + 1)
            for name, item in list(value.items())[:_MAX_ITEMS]
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return [_value(item, max_chars, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return _text(value if isinstance(value, str) else _printed(value), max_chars)


def _text(text: str, max_chars: int) -> str:
    # Cut roughly before the search, because a caller may pass a very long text, and exactly after
    # it.
    clean = redact(text[: 4 * max_chars])
    if len(clean) <= max_chars and len(text) <= 4 * max_chars:
        return clean
    return f"{clean[:max_chars]}... ({len(text)} characters)"


def _cut_head(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"...{text[-max_chars:]}"


def _printed(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - any object's __str__ may raise anything, as may a huge int's
        return f"[unprintable {type(value).__name__}]"
