"""Until when a server wants to be left alone, within what we believe of it. Pure."""

from datetime import datetime, timedelta

from wizard.transport.response import HttpResponse, http_date
from wizard.zoho import limits

LONGEST = timedelta(seconds=limits().retry_after_most)
STRANGE = timedelta(seconds=limits().date_off_most)
_DIGITS = 9
"""A number of more digits is decades, and not worth being computed."""


def retry_at(answer: HttpResponse, at: datetime) -> datetime | None:
    """Until when the server wants to be left alone: its ``Retry-After``, in seconds or as a date
    (RFC 9110, section 10.2.3), at most `LONGEST` after `at`. None where it names no time to come.

    A date is read by the server's own clock, unless that differs from ours by more than `STRANGE`.
    """
    named = answer.headers.get("retry-after", "")
    if named.isascii() and named.isdigit():
        wait = timedelta(seconds=int(named)) if len(named) <= _DIGITS else LONGEST
    elif until := http_date(named):
        wait = until - (believable_date(answer, at) or at)
    else:
        return None
    return _within(wait, at)


def believable_date(answer: HttpResponse, at: datetime) -> datetime | None:
    """What the server takes the time for; None where it names none, or one that differs from ours
    by more than `STRANGE`, which no server's clock does."""
    there = answer.date
    return there if there is not None and abs(there - at) <= STRANGE else None


def bounded(until: datetime | None, said_at: datetime) -> datetime | None:
    """A stored `until` by the same rule: what was stored before it was made may be far away."""
    return None if until is None else _within(until - said_at, said_at)


def _within(wait: timedelta, at: datetime) -> datetime | None:
    return at + min(wait, LONGEST) if wait > timedelta(0) else None
