"""The shape of JSON files: an entry is an object, at any depth; order and indentation stay."""

import json
import re
from collections.abc import Iterator
from typing import Any

from wizard.delivery.formats import Entries, EntryPath, Fields, FormatError

_INDENTED = re.compile(r"^\s*[{\[]\s*?\n(?P<blanks>[ \t]+)")


def read(text: str) -> Entries:
    """Every object in the file, by the keys that lead to it."""
    found: Entries = {}
    _collect_entries(_parse(text), (), found)
    return found


def write(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """The file with the entry at `spot` changed, or made with the objects that lead to it."""
    document = _parse(text)
    entry = _object_at(document, entry_path)
    for name, value in fields.items():
        *path, last = name.split(".")
        _object_at(entry, tuple(path))[last] = value
    indentation = _INDENTED.match(text)
    one_line = bool(text.strip()) and "\n" not in text.strip()
    indent = None if one_line else indentation["blanks"] if indentation else "  "
    end = "" if text.strip() and not text.endswith("\n") else "\n"
    return json.dumps(document, ensure_ascii=False, indent=indent) + end


def _parse(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise FormatError(1, 1, "nested too deep") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise FormatError(1, 1, "a number of thousands of digits") from None
    if not isinstance(document, dict):
        raise FormatError(1, 1, "not an object")
    return document


def _object_at(node: dict[str, Any], entry_path: EntryPath) -> dict[str, Any]:
    for key in entry_path:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise FormatError(1, 1, f"“{key}” is not an object")
    return node


def _collect_entries(node: dict[str, Any], entry_path: EntryPath, entries: Entries) -> None:
    entries[entry_path] = dict(_leaves(node))
    for key, value in node.items():
        if isinstance(value, dict):
            _collect_entries(value, (*entry_path, key), entries)


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{key}", str(value)
