"""JSON Schemas of Python types, and the check of a value against one, in words.

The types are those of the controls, of the configuration and of the state. `Annotated[T, {...}]`
adds keywords to the schema of `T`: a description, the choices, a limit.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from wizard.simulator.errors import InvalidValueError

Schema = dict[str, Any]

_SIMPLE_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}
_TYPE_TEXTS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (NoneType,),
    "array": (list, tuple),
    "object": (Mapping,),
}
SHOWN_LENGTH = 60


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type's values, as `world.encode` writes them."""
    if get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        return schema_of(kind) | {key: value for note in notes for key, value in note.items()}
    if kind is Any:
        return {}
    if kind is datetime:
        return {"type": "string", "format": "date-time"}
    if is_dataclass(kind):
        return record(kind)
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return {"type": "string", "enum": list(arguments)}
    if isinstance(kind, UnionType):
        (one,) = (schema_of(each) for each in arguments if each is not NoneType)
        return one | {"type": [one["type"], "null"]}
    if get_origin(kind) in (list, tuple):
        return {"type": "array", "items": schema_of(arguments[0])}
    if get_origin(kind) in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    return {"type": _SIMPLE_TYPES[kind]}


def record(kind: Any, *, without: Sequence[str] = (), **added: Any) -> Schema:
    """Return the schema of a dataclass `without` some of its fields, and with `added` ones."""
    hints = get_type_hints(kind, include_extras=True)
    types = {each.name: hints[each.name] for each in fields(kind) if each.name not in without}
    with_default = {
        each.name
        for each in fields(kind)
        if each.default is not MISSING or each.default_factory is not MISSING
    }
    schema = _object({**types, **added}, set(types) - with_default | set(added), kind.__name__)
    for each in fields(kind):
        if each.name in types and each.default not in (MISSING, None):
            schema["properties"][each.name]["default"] = each.default
    return schema


def answer_schema(kind: Any) -> Schema:
    """Return the schema of what the simulator itself returns: every key is there."""
    return _require_all(schema_of(kind))


def _require_all(schema: Schema) -> Schema:
    required = {"required": list(schema["properties"])} if "properties" in schema else {}
    nested = {
        key: {name: _require_all(each) for name, each in value.items()}
        if key == "properties"
        else _require_all(value)
        for key, value in schema.items()
        if key in ("properties", "items", "additionalProperties") and isinstance(value, dict)
    }
    return schema | required | nested


def arguments_schema(function: Callable[..., Any]) -> Schema:
    """Return the schema of a function's arguments by name.

    The annotation of `**name` is the schema of an object whose properties are arguments.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    named = {each.name: each for each in parameters if each.kind is not each.VAR_KEYWORD}
    named.pop("self", None)
    schema = _object(
        {name: hints[name] for name in named},
        {name for name, each in named.items() if each.default is each.empty},
    )
    for name, each in named.items():
        if each.default not in (each.empty, None):
            schema["properties"][name]["default"] = each.default
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:
            schema["properties"] |= schema_of(hints[each.name])["properties"]
    return schema


def _object(types: Mapping[str, Any], required: set[str], title: str = "") -> Schema:
    return {
        "type": "object",
        **({"title": title} if title else {}),
        "properties": {name: schema_of(kind) for name, kind in types.items()},
        "required": [name for name in types if name in required],
        "additionalProperties": False,
    }


def check(schema: Schema, value: Any, path: str = "") -> None:
    """Raise InvalidValueError with the first thing that is wrong with `value`.

    The error names its place, from `path` on, and what is expected there. It checks the keywords
    that this module writes.
    """
    allowed = schema.get("type", [])
    types = [allowed] if isinstance(allowed, str) else allowed
    if types and not any(_has_type(value, each) for each in types):
        texts = " or ".join(_TYPE_TEXTS[each] for each in types)
        raise InvalidValueError(f"{_name(path)} must be {texts}, not {shown(value)}.")
    if "enum" in schema and value not in schema["enum"]:
        raise InvalidValueError(
            f"{_name(path)} must be {_either(schema['enum'])}, not {shown(value)}."
        )
    if "minimum" in schema and value is not None and value < schema["minimum"]:
        raise InvalidValueError(
            f"{_name(path)} must be at least {schema['minimum']}, not {shown(value)}."
        )
    if "maximum" in schema and value is not None and value > schema["maximum"]:
        raise InvalidValueError(
            f"{_name(path)} must be at most {schema['maximum']}, not {shown(value)}."
        )
    if isinstance(value, Mapping):
        _check_object(schema, value, path)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            check(schema.get("items", {}), each, f"{path}[{index}]")


def _check_object(schema: Schema, value: Mapping[str, Any], path: str) -> None:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    prefix = f"{path}." if path else ""
    for name in value:
        if name not in properties and others is False:
            raise InvalidValueError(unknown(prefix, str(name), properties))
    for name in schema.get("required", ()):
        if name not in value:
            raise InvalidValueError(f"{_name(prefix + name)} is missing.")
    for name, each in value.items():
        check(properties.get(name, others or {}), each, f"{prefix}{name}")


def unknown(prefix: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Say that `name` is unknown, and which known one is meant."""
    closest = get_close_matches(name, known, n=1)
    if closest:
        return f"“{prefix}{name}” is unknown. Did you mean “{prefix}{closest[0]}”?"
    expected = f"Expected {_either(known)}." if known else "Nothing is expected here."
    return f"“{prefix}{name}” is unknown. {expected}"


def shown(value: Any) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def _has_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, float) and not isfinite(value):
        return False
    return isinstance(value, _PYTHON_TYPES[name])


def _name(path: str) -> str:
    return f"“{path}”" if path else "The value"


def _either(choices: Sequence[Any] | Mapping[str, Any]) -> str:
    *first, last = (f"“{each}”" if isinstance(each, str) else shown(each) for each in choices)
    return f"{', '.join(first)} or {last}" if first else last
