"""The shape of JSON files: an entry is an object, at any depth; order and indentation stay."""

import json
import re
from collections.abc import Iterator
from typing import Any

from wizard.delivery.shape import Broken, Entries, Fields, Spot

_INDENTED = re.compile(r"^\s*[{\[]\s*?\n(?P<blanks>[ \t]+)")


def read(text: str) -> Entries:
    """Every object in the file, by the keys that lead to it."""
    found: Entries = {}
    _gather(_parsed(text), (), found)
    return found


def write(text: str, spot: Spot, fields: Fields) -> str:
    """The file with the entry at `spot` changed, or made with the objects that lead to it."""
    document = _parsed(text)
    entry = _at(document, spot)
    for name, value in fields.items():
        *path, last = name.split(".")
        _at(entry, tuple(path))[last] = value
    indentation = _INDENTED.match(text)
    one_line = bool(text.strip()) and "\n" not in text.strip()
    indent = None if one_line else indentation["blanks"] if indentation else "  "
    end = "" if text.strip() and not text.endswith("\n") else "\n"
    return json.dumps(document, ensure_ascii=False, indent=indent) + end


def _parsed(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Broken(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise Broken(1, 1, "nested too deep") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise Broken(1, 1, "a number of thousands of digits") from None
    if not isinstance(document, dict):
        raise Broken(1, 1, "not an object")
    return document


def _at(node: dict[str, Any], spot: Spot) -> dict[str, Any]:
    for key in spot:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise Broken(1, 1, f"“{key}” is not an object")
    return node


def _gather(node: dict[str, Any], spot: Spot, found: Entries) -> None:
    found[spot] = dict(_leaves(node))
    for key, value in node.items():
        if isinstance(value, dict):
            _gather(value, (*spot, key), found)


def _leaves(node: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        elif isinstance(value, str | int | float):
            yield f"{before}{key}", str(value)
