"""Dataclasses to plain JSON values and back."""

from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, numbers: dataclasses by field, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def one(kind: type[T], value: dict[str, Any]) -> T:
    """Return a dataclass of `kind` from what `plain` made of one."""
    hints = get_type_hints(kind)
    return kind(**{name: _read(hints[name], each) for name, each in value.items()})


def many(kind: type[T], values: list[dict[str, Any]]) -> list[T]:
    """Return dataclasses of `kind` from what `plain` made of a list of them."""
    return [one(kind, each) for each in values]


def _read(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(hint, UnionType):
        hint = next(each for each in get_args(hint) if each is not NoneType)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return one(hint, value)
    if get_origin(hint) is list:
        return [_read(get_args(hint)[0], each) for each in value]
    return value
