"""An HTTP response, unambiguous JSON, and ``Retry-After``. Pure."""

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
    """An HTTP response, read completely."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    exchange: HttpExchange
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secrets of the request, and others of the same connection."""

    @property
    def json(self) -> Any:
        """The body as JSON with all secrets masked; None if it isn't unambiguous JSON.

        A server may repeat a secret in what becomes a message, a name or a detail.
        """
        try:
            return mask_json(parse_json(self.body), self.secrets)
        except RecursionError:
            return None

    def issued(self, name: str) -> Any:
        """The member `name` of the JSON object, not masked. Only for parsing a token response."""
        body = parse_json(self.body)
        return body.get(name) if isinstance(body, dict) else None

    def issued_values(self, name: str) -> tuple[Any, ...]:
        """All values of `name` in the JSON object, not masked. Only for finding a refresh token,
        which counts even in an ambiguous response."""
        try:
            body = json.loads(self.body, object_pairs_hook=_Members)
        except (ValueError, RecursionError):
            return ()
        return tuple(value for key, value in body if key == name) if type(body) is _Members else ()

    @property
    def date(self) -> datetime | None:
        """The server's time, from its ``Date`` header."""
        return http_date(self.headers.get("date", ""))


def http_date(text: str) -> datetime | None:
    """Parse an HTTP date (RFC 9110, section 5.6.7), in UTC; None if it isn't one."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def parse_json(body: bytes) -> Any:
    """Parse JSON; None if it isn't valid. A repeated name or a NaN makes it invalid, because it
    is ambiguous.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique_names, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return None


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in order, repeated names included."""


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a repeated name")
    return found


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


MAX_RETRY_AFTER = timedelta(seconds=limits().max_retry_after_seconds)
MAX_DATE_OFFSET = timedelta(seconds=limits().max_date_offset_seconds)
_MAX_DIGITS = 9
"""A longer number of seconds means decades."""


def retry_at(answer: HttpResponse, at: datetime) -> datetime | None:
    """When the server allows the next request: its ``Retry-After``, in seconds or as a date (RFC
    9110, section 10.2.3), at most `MAX_RETRY_AFTER` after `at`. None if it names no future time.

    A date is compared with the server's own clock if that is plausible.
    """
    named = answer.headers.get("retry-after", "")
    if named.isascii() and named.isdigit():
        wait = timedelta(seconds=int(named)) if len(named) <= _MAX_DIGITS else MAX_RETRY_AFTER
    elif until := http_date(named):
        wait = until - (believable_date(answer, at) or at)
    else:
        return None
    return _within(wait, at)


def believable_date(answer: HttpResponse, at: datetime) -> datetime | None:
    """The server's time; None if it sends none, or one that differs from ours by more than
    `MAX_DATE_OFFSET`."""
    there = answer.date
    return there if there is not None and abs(there - at) <= MAX_DATE_OFFSET else None


def bounded(until: datetime | None, said_at: datetime) -> datetime | None:
    """A stored `until`, limited by the same rule: an older version may have stored it."""
    return None if until is None else _within(until - said_at, said_at)


def _within(wait: timedelta, at: datetime) -> datetime | None:
    return at + min(wait, MAX_RETRY_AFTER) if wait > timedelta(0) else None
