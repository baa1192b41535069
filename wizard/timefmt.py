"""Times, ages and durations, as people read them and as JSON, files, logs and options have them.

Every time is an aware datetime. ``zone`` is the reader's time zone, by default this machine's.
"""

from datetime import UTC, datetime, timedelta, tzinfo

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_OPTION_UNITS = {"h": 3_600, "m": 60, "s": 1}


def format_time(
    at: datetime, now: datetime | None, zone: tzinfo | None = None, *, seconds: bool = False
) -> str:
    """``14:05``, with the day unless it is today, and with the year unless it is this year.

    Without ``now``, nothing is known about today: the day and the year are shown.
    """
    here, today = at.astimezone(zone), now and now.astimezone(zone)
    time = f"{here:%H:%M:%S}" if seconds else f"{here:%H:%M}"
    if today and here.date() == today.date():
        return time
    if today and here.year == today.year:
        return f"{here:%b} {here.day}, {time}"
    return f"{format_date(at, zone)}, {time}"


def format_date(at: datetime, zone: tzinfo | None = None) -> str:
    """``Nov 28, 2026``: the day in the reader's time zone."""
    here = at.astimezone(zone)
    return f"{here:%b} {here.day}, {here.year}"


def format_age(at: datetime, now: datetime) -> str:
    """How long ago: ``just now``, ``4 minutes ago``, ``1 hour ago``, ``3 days ago``."""
    minutes = max(now - at, timedelta()) // timedelta(minutes=1)
    if minutes < 1:
        return "just now"
    days, hours = minutes // 1_440, minutes // 60
    count, unit = (minutes, "minute") if minutes < 60 else (hours, "hour")
    count, unit = (days, "day") if hours >= 48 else (count, unit)
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def format_duration(span: timedelta) -> str:
    """The two largest units: ``2 h 5 min``, ``3 d``, ``45 s``; ``0 s`` for less than a second."""
    left, parts = max(0, int(span.total_seconds())), []
    for unit, unit_seconds in _UNITS:
        count, left = divmod(left, unit_seconds)
        parts.append(f"{count} {unit}" if count else "")
    first = next((index for index, part in enumerate(parts) if part), len(parts))
    return " ".join(part for part in parts[first : first + 2] if part) or "0 s"


def format_duration_option(span: timedelta) -> str:
    """A duration as `parse_duration` reads it: ``24h``, ``90m``, ``45s``."""
    seconds = int(span.total_seconds())
    unit = next(unit for unit, size in _OPTION_UNITS.items() if seconds % size == 0)
    return f"{seconds // _OPTION_UNITS[unit]}{unit}"


def parse_duration(text: str) -> timedelta:
    """``90``, ``90s``, ``15m`` or ``1h``, of at most five digits; raises ValueError for others."""
    unit = text[-1:] if text[-1:] in _OPTION_UNITS else ""
    count = text.removesuffix(unit)
    if not (count.isascii() and count.isdigit() and len(count) <= 5):
        raise ValueError("not a duration such as 90s, 15m or 1h")
    return timedelta(seconds=int(count) * _OPTION_UNITS[unit or "s"])


def format_iso(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds, so that texts sort like times.

    Raises ValueError for a time without a zone.
    """
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_iso(text: str) -> datetime:
    """An ISO 8601 time; raises ValueError for other text and for a time without a zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at


def is_storable(at: datetime) -> bool:
    """Whether the wizard may have stored this time in UTC. Near the end of the calendar, another
    time zone may have no such year."""
    return 1970 <= at.year < 9999
