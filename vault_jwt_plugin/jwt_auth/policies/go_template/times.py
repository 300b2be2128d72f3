"""Go's time layouts, for the function `timestamp` (time/format.go).

A layout is the reference time, Mon Jan 2 15:04:05 MST 2006, written the way that is wanted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from vault_jwt_plugin.sdk import NS_PER_S

# The order is Go's: what is tried first wins. Letters after Jan and Mon make them literal.
_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST"
    r"|002|0[1-6]|15|1|_(?=2006)|_2|__2|2006|2|3|4|5|PM|pm"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]0700|[-Z]07:00|[-Z]07"
    r"|[.,](?:0++|9++)(?![0-9])"
)
# English whatever the process's locale is, which strftime would follow.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def format_time(unix_ns: int, layout: str, *, zone: tzinfo | None) -> str:
    """Write a time in a Go layout.

    Args:
        unix_ns: nanoseconds since 1970.
        layout: text in which the parts of the reference time stand for those of the time.
        zone: the time zone; None is the process's own, which is what Go uses.
    """
    seconds, nanoseconds = divmod(unix_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, tz=UTC).astimezone(zone)
    parts = _calendar(moment)

    def replace(match: re.Match[str]) -> str:
        chunk = match.group()
        if chunk[0] in "-Z":
            return _offset(chunk, moment)
        if chunk[0] in ".,":
            return _fraction(chunk, nanoseconds)
        return parts[chunk]

    return _CHUNK.sub(replace, layout)


def _calendar(moment: datetime) -> dict[str, str]:
    """The parts of the reference time that have a fixed spelling."""
    hour = moment.hour % 12 or 12
    half = "PM" if moment.hour >= 12 else "AM"
    day_of_year = moment.timetuple().tm_yday
    return {
        "January": _MONTHS[moment.month - 1],
        "Jan": _MONTHS[moment.month - 1][:3],
        "Monday": _DAYS[moment.weekday()],
        "Mon": _DAYS[moment.weekday()][:3],
        "MST": moment.tzname() or "UTC",
        "2006": f"{moment.year:04d}",
        "06": f"{moment.year % 100:02d}",
        "01": f"{moment.month:02d}",
        "1": str(moment.month),
        "02": f"{moment.day:02d}",
        "_2": f"{moment.day:2d}",
        "2": str(moment.day),
        "002": f"{day_of_year:03d}",
        "__2": f"{day_of_year:3d}",
        "15": f"{moment.hour:02d}",
        "03": f"{hour:02d}",
        "3": str(hour),
        "04": f"{moment.minute:02d}",
        "4": str(moment.minute),
        "05": f"{moment.second:02d}",
        "5": str(moment.second),
        "PM": half,
        "pm": half.lower(),
        "_": "_",
    }


def _fraction(chunk: str, nanoseconds: int) -> str:
    """`.000` cuts the fraction of the second there; `.999` also drops zeros at its end."""
    digits = f"{nanoseconds:09d}"[: len(chunk) - 1]
    if chunk[1] == "9":
        digits = digits.rstrip("0")
    return chunk[0] + digits if digits else ""


def _offset(chunk: str, moment: datetime) -> str:
    """`-0700` and its kin; those that begin with Z are `Z` in UTC."""
    offset = moment.utcoffset() or timedelta()
    if chunk[0] == "Z" and not offset:
        return "Z"
    sign = "-" if offset < timedelta() else "+"
    hours, rest = divmod(abs(offset) // timedelta(seconds=1), 3600)
    fields = [f"{field:02d}" for field in (hours, rest // 60, rest % 60)]
    colon = ":" if ":" in chunk else ""
    return sign + colon.join(fields[: len(chunk.replace(":", "")) // 2])
