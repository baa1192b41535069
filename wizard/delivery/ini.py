"""The shape of INI files such as rclone's: sections of ``key = value`` lines.

Python's configparser would lose the comments and the case of the keys, so lines are edited in
place. A field with a dot leads into a value that is JSON, as rclone keeps its token.
"""

import json

from wizard.delivery.formats import Entries, EntryPath, Fields, FormatError, Unwritable

_ENCRYPTED_PREFIX = "RCLONE_ENCRYPT"


def read(text: str) -> Entries:
    """Every section, by its name; a value that is JSON by its members alone."""
    found: Entries = {}
    for section, values in _sections(text).items():
        entry = found.setdefault((section,), {})
        for key, value in values.items():
            inner = _json_members(value)
            entry.update({f"{key}.{name}": str(each) for name, each in inner.items()})
            if not inner:
                entry[key] = value
    return found


def write(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """The file with its section changed in place, or added at the end. Raises `Unwritable`."""
    for each, value in fields.items():
        if not value.isprintable() or value != value.strip("\"`' "):
            raise Unwritable(each)
    name = entry_path[0]
    wanted = _merge_nested(_sections(text).get(name, {}), fields)
    lines, last = [], -1
    for section, key, _, line in _parsed_lines(text):
        changed = section == name and key in wanted
        lines.append(f"{key} = {wanted.pop(key)}\n" if changed else line)
        if section == name and line.strip():
            last = len(lines) - 1
    if last < 0:
        lines += ["\n"] * bool(text.strip()) + [f"[{name}]\n"]
        last = len(lines) - 1
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    lines[last + 1 : last + 1] = [f"{key} = {value}\n" for key, value in wanted.items()]
    return "".join(lines)


def _sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for section, key, value, _ in _parsed_lines(text):
        if section:
            values = found.setdefault(section, {})
            values.update({key: value} if key else {})
    return found


def _merge_nested(current: Fields, fields: Fields) -> dict[str, str]:
    """`fields` with those that lead into one value put together in it."""
    wanted: dict[str, str] = {}
    for name, value in fields.items():
        key, dot, inner = name.partition(".")
        if dot:
            whole = _json_members(wanted.get(key) or current.get(key, ""))
            value = json.dumps({**whole, inner: value}, separators=(",", ":"))
        wanted[key] = value
    return wanted


def _json_members(value: str) -> dict[str, object]:
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parsed_lines(text: str) -> list[tuple[str, str, str, str]]:
    """Each line with the section it stands in, and its key and value where it has them."""
    found, section = [], ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        key = value = ""
        if line.startswith(_ENCRYPTED_PREFIX):
            raise FormatError(number, 1, "encrypted")
        stripped = line.strip()
        if heading := _section_name(stripped):
            section = heading
        elif stripped and stripped[0] not in "#;":
            key, value = _key_and_value(stripped)
            if not key or not section:
                column = len(line) - len(line.lstrip()) + 1
                raise FormatError(number, column, "neither [section] nor key = value within one")
        found.append((section, key, value, line))
    return found


def _section_name(line: str) -> str:
    name = line[1:-1]
    return name if line == f"[{name}]" and "]" not in name else ""


def _key_and_value(line: str) -> tuple[str, str]:
    """Key and value, parted by the first ``=`` or ``:``; no key where there is neither."""
    ends = [place for sign in "=:" if (place := line.find(sign)) >= 0]
    return (line[: min(ends)].rstrip(), line[min(ends) + 1 :].lstrip()) if ends else ("", "")
