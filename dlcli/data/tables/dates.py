"""Dates and times written in the usual forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

_TIME = (
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?(Z|[+-]\d{2}(?::?\d{2})?)?)?"  # with the offset from UTC
)
_ISO = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED = re.compile(
    rf"(\d{{1,2}})([- ])({'|'.join(_MONTHS)})[a-z]*\2(\d{{4}}|\d{{2}}){_TIME}", re.ASCII | re.IGNORECASE
)
_COMMON = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}", re.ASCII)


def parse_dates(texts: Sequence[str]) -> list[datetime] | None:
    """Return the times of dates that all have the same form; None if a text is not a date or there are no texts.

    Forms: 2024-01-31, 2024/01/31 and the like; 31.1.2024, 31/1/2024, 1/31/2024, 31-Jan-2024, with a year of four or two
    digits. A time may follow, with its offset from UTC. Where both orders are possible, the day comes before the month.
    """
    if not texts:
        return None
    for pattern, order in ((_ISO, (0, 2, 3)), (_COMMON, (3, 2, 0)), (_COMMON, (3, 0, 2)), (_NAMED, (3, 2, 0))):
        times = _parse(texts, pattern, order)
        if times is not None:
            return times
    return None


def microseconds(time: datetime) -> int:
    """Return the microseconds since 1970, in UTC if the time has an offset."""
    since = time.replace(tzinfo=None) - datetime(1970, 1, 1) - (time.utcoffset() or timedelta())
    return since // timedelta(microseconds=1)


def is_unclear(texts: Sequence[str]) -> bool:
    """Return whether day and month of dates can be exchanged; in dates with points, the day always comes first."""
    if all("." in text[:3] for text in texts):
        return False
    return all(_parse(texts, _COMMON, order) is not None for order in ((3, 2, 0), (3, 0, 2)))


def _parse(texts: Sequence[str], pattern: re.Pattern[str], order: tuple[int, int, int]) -> list[datetime] | None:
    times = []
    for text in texts:
        match = pattern.fullmatch(text.strip())
        if match is None:
            return None
        parts = match.groups()
        year, month, day = (_number(parts[place]) for place in order)
        year += 0 if year > 99 else 2000 if year < 69 else 1900  # like POSIX strptime
        hour, minute, second = (int(part or 0) for part in parts[4:7])
        micros = int((parts[7] or "0").ljust(6, "0")[:6])
        try:
            times.append(datetime(year, month, day, hour, minute, second, micros, _zone(parts[8])))
        except ValueError:
            return None
    return times


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _MONTHS.index(text.lower()) + 1


def _zone(offset: str | None) -> timezone | None:
    """Return the time zone of an offset such as +0530, -03:00, +02 or Z.

    Raises:
        ValueError: If the offset is a day or more.
    """
    if offset is None:
        return None
    digits = offset[1:].replace(":", "").ljust(4, "0")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-distance if offset[0] == "-" else distance)
