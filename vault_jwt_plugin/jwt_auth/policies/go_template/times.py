"""Go's time layouts, for the function `timestamp` (time/format.go).

A layout is the reference time, Mon Jan 2 15:04:05 MST 2006, written the way that is wanted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from vault_jwt_plugin.jwt_auth.policies.go_template.limits import EvaluationError
from vault_jwt_plugin.sdk import NS_PER_S

_CODES = {
    "2006": "%Y",
    "06": "%y",
    "01": "%m",
    "02": "%d",
    "002": "%j",
    "15": "%H",
    "04": "%M",
    "05": "%S",
    "MST": "%Z",
    "-0700": "%z",
}
"""The parts of a layout that are supported, and their codes in `strftime`.

Differs from OpenBao: the others are refused. They are names of months and days, numbers without
zeros in front, fractions of a second and other spellings of the time zone.
"""

_UNSUPPORTED = f"not supported; supported are {', '.join(_CODES)}"
# Everything that Go replaces, in its order: what is tried first wins. Letters after Jan and Mon
# make them literal.
_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST"
    r"|002|0[1-6]|15|1|_2(?!006)|2006|2|3|4|5|PM|pm"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]0700|[-Z]07:00|[-Z]07|__2"
    r"|[.,](?:0++|9++)(?![0-9])"
)


def check_layout(layout: str) -> None:
    """Check that every part of a layout is supported.

    Raises:
        EvaluationError: one is not.
    """
    for chunk in _CHUNK.findall(layout):
        if chunk not in _CODES:
            raise EvaluationError(f'"{chunk}" in a layout is {_UNSUPPORTED}')


def format_time(unix_ns: int, layout: str, *, zone: tzinfo | None) -> str:
    """Return a time in a Go layout.

    Args:
        unix_ns: nanoseconds since 1970.
        layout: the reference time, written the way that is wanted.
        zone: None is the process's own, which is what Go uses.

    Raises:
        EvaluationError: a part of the layout is not supported.
    """
    moment = datetime.fromtimestamp(unix_ns // NS_PER_S, tz=UTC).astimezone(zone)
    try:
        return _CHUNK.sub(lambda match: moment.strftime(_CODES[match.group()]), layout)
    except KeyError:  # not named here: a claim may hold the layout
        raise EvaluationError(f"a part of the layout is {_UNSUPPORTED}") from None
