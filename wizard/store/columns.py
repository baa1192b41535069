"""Column types for the values of the model.

Times are stored as ISO 8601 in UTC with microseconds, so that text order is time order.
"""

import json
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Dialect, Text, TypeDecorator

from wizard.model import Account, Failure, HttpExchange, Identifier, Organization
from wizard.timefmt import format_iso, parse_iso


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, as text of fixed width."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Raises ValueError for a naive datetime."""
        return None if value is None else format_iso(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else parse_iso(value)


class SpaceSeparated(TypeDecorator[tuple[str, ...]]):
    """Words without spaces, such as scopes, in order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        return " ".join(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        return tuple((value or "").split())


class EnumValue(TypeDecorator[StrEnum]):
    """One member of an enumeration, by its value."""

    impl = Text
    cache_ok = True

    def __init__(self, enum_type: type[StrEnum]) -> None:
        super().__init__()
        self.enum_type = enum_type

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enum_type(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum_type(value)


class Json(TypeDecorator[Any]):
    """A value as JSON; ``dump`` and ``load`` convert it to and from what JSON can hold."""

    impl = Text
    cache_ok = True

    def __init__(self, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> None:
        super().__init__()
        self.dump = dump
        self.load = load

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(self.dump(value), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self.load(json.loads(value))


def _failure_to_json(failure: Failure) -> dict[str, Any]:
    exchange = failure.exchange
    return {
        "code": failure.code,
        "zoho_error": failure.zoho_error,
        "temporary": failure.temporary,
        "sent": failure.sent,
        "details": dict(failure.details),
        "exchange": exchange
        and {
            **vars(exchange),
            "parameters": dict(exchange.parameters),
            "at": format_iso(exchange.at),
        },
        "retry_at": failure.retry_at and format_iso(failure.retry_at),
    }


def _failure_from_json(stored: dict[str, Any]) -> Failure:
    exchange, retry_at = stored["exchange"], stored["retry_at"]
    if exchange:
        exchange = HttpExchange(**{**exchange, "at": parse_iso(exchange["at"])})
    retry_at = retry_at and parse_iso(retry_at)
    return Failure(**{**stored, "exchange": exchange, "retry_at": retry_at})


FAILURE = Json(_failure_to_json, _failure_from_json)
ACCOUNT = Json(vars, lambda stored: Account(**stored))
ORGANIZATIONS = Json(
    lambda organizations: [vars(each) for each in organizations],
    lambda stored: tuple(
        Organization(**each) for each in stored if Identifier.of(each["id"]) is not None
    ),
)
"""Skips stored organizations whose ID isn't valid; the next check finds them again."""
EVIDENCE = Json(dict, dict)
