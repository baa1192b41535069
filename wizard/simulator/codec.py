"""Dataclasses to plain JSON values and back."""

from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, numbers: dataclasses by field, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [encode(each) for each in value]
    if isinstance(value, dict):
        return {str(key): encode(each) for key, each in value.items()}
    return value


def decode(kind: type[T], value: dict[str, Any]) -> T:
    """Return a dataclass of `kind` from what `plain` made of one."""
    hints = get_type_hints(kind)
    return kind(**{name: _decode_value(hints[name], each) for name, each in value.items()})


def decode_list(kind: type[T], values: list[dict[str, Any]]) -> list[T]:
    """Return dataclasses of `kind` from what `plain` made of a list of them."""
    return [decode(kind, each) for each in values]


def _decode_value(type_hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(type_hint, UnionType):
        type_hint = next(each for each in get_args(type_hint) if each is not NoneType)
    if type_hint is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(type_hint) and isinstance(type_hint, type):
        return decode(type_hint, value)
    if get_origin(type_hint) is list:
        return [_decode_value(get_args(type_hint)[0], each) for each in value]
    return value
