"""An HTTP response, JSON without ambiguity, and how long a server asks to wait. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from wizard.model import HttpExchange
from wizard.transport.redaction import mask_json
from wizard.zoho import limits


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    exchange: HttpExchange
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Those that the request carried, and others that are known of the same connection."""

    @property
    def json(self) -> Any:
        """The body as JSON, without any secret; None where it is no well-formed, unambiguous JSON.

        What is judged becomes words, names and details: a secret that the server repeats in them
        is masked before.
        """
        try:
            return mask_json(parse_json(self.body), self.secrets)
        except RecursionError:
            return None

    def issued(self, name: str) -> Any:
        """The member `name` of the JSON object as it came: for the judge of tokens alone."""
        body = parse_json(self.body)
        return body.get(name) if isinstance(body, dict) else None

    def issued_values(self, name: str) -> tuple[Any, ...]:
        """Every value that the JSON object gives under `name`, as it came: for the judge of a new
        refresh token alone, which counts even in an answer that can be read in two ways."""
        try:
            body = json.loads(self.body, object_pairs_hook=_Members)
        except (ValueError, RecursionError):
            return ()
        return tuple(value for key, value in body if key == name) if type(body) is _Members else ()

    @property
    def date(self) -> datetime | None:
        """What the server takes the time for, by its ``Date`` header."""
        return http_date(self.headers.get("date", ""))


def http_date(text: str) -> datetime | None:
    """A date as HTTP writes it (RFC 9110, section 5.6.7), in UTC; None where it is none."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def parse_json(body: bytes) -> Any:
    """``body`` as JSON, or None. A name given twice or a NaN makes it none: such answers can be
    read in two ways.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique_names, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return None


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order, a name given twice included."""


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name was given twice")
    return found


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


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
