"""Files of other programs: their formats, and how to read and atomically replace one.

The formats are ``.env``, JSON, INI and the SDKs' CSV. A format reads and writes text and does no
I/O. A dot in a field's name leads into a nested object (``token.refresh_token``).

The directory of a file is opened once, so that no one can replace it meanwhile. The new version is
a file of its own that replaces the old one. Nothing is written through a link, except those of the
system, such as ``/var/run``.
"""

import csv
import errno
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dotenv.parser import Binding, parse_stream

from wizard import files
from wizard.errors import Conflict, WizardError, fail
from wizard.model import Failure

EntryPath = tuple[str, ...]
"""The path of an entry: ``()`` for the whole file, ``("crm",)`` for a section or a row,
``("mcpServers", "zoho", "env")`` for a nested object."""

Fields = Mapping[str, str]
Entries = dict[EntryPath, dict[str, str]]


class UnwritableValueError(Exception):
    """A value that the format can't represent the same way for all its readers."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the value of {name} cannot be written")
        self.name = name


class FormatError(Exception):
    """A text isn't in its format; line and column count from 1."""

    def __init__(self, line: int, column: int, reason: str, **details: str) -> None:
        """`reason` is a code of the message table, or a sentence of a parser."""
        super().__init__(reason)
        self.line = line
        self.column = column
        self.details = {**details, "reason": reason}


@dataclass(frozen=True)
class FileFormat:
    """One file format, as two pure functions."""

    read: Callable[[str], Entries]
    """Every entry in a text. Raises `FormatError`."""
    write: Callable[[str, EntryPath, Fields], str]
    """The text with one entry changed or added. Raises `FormatError`, `UnwritableValueError`."""


# --- .env files -----------------------------------------------------------------------------------
#
# Read with python-dotenv's own parser. People also source these files in a shell, so values are
# written so that both read the same. Other lines stay unchanged, byte for byte.

_BLANK = r"[^\S\r\n]"
MAX_CONSECUTIVE_BLANKS = 200
"""More than any aligned comment needs. The time of python-dotenv grows with its square."""
_TOO_MANY_BLANKS = re.compile(rf"(?<!{_BLANK}){_BLANK}{{{MAX_CONSECUTIVE_BLANKS + 1}}}")
_NAME = rf"{_BLANK}*(?:export{_BLANK}+)?(?:'[^']+'|[^=\#\s]+)?{_BLANK}*"
_BINDING = re.compile(
    rf"(?P<head>\s*{_NAME}={_BLANK}*)"
    r"""(?:'(?:\\'|[^'])*'|"(?:\\"|[^"])*"|[^\r\n]*?)"""
    rf"(?P<tail>{_BLANK}*(?:(?<=[\s'\"])\#[^\r\n]*)?(?:\r\n|\n|\r|\Z))"
)
_VALID_PREFIX = re.compile(rf"{_NAME}=?{_BLANK}*")
_QUOTABLE = re.compile(r"(?:(?!\$\{)[^'\\])*")
"""In single quotes, a shell takes everything literally, but python-dotenv reads escapes and expands
``${…}``."""
_UNQUOTED = re.compile(r"[A-Za-z0-9_./:@,+%=-]*")


def _read_dotenv(text: str) -> Entries:
    """The one entry of the file; the last value of a repeated name counts."""
    return {(): {each.key: each.value or "" for each in _bindings(text) if each.key}}


def _write_dotenv(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """Replace values in place, and append missing fields. Raises `UnwritableValueError`."""
    for name, value in fields.items():
        if not _QUOTABLE.fullmatch(value) or not value.isprintable():
            raise UnwritableValueError(name)
    lines, missing = [], dict(fields)
    for each in _bindings(text):
        if each.key is not None and each.key in fields:
            missing.pop(each.key, None)
            lines.append(_replace_value(each, fields[each.key]))
        else:
            lines.append(each.original.string)
    kept = "".join(lines)
    end = "" if kept.endswith("\n") or not kept else "\n"
    return kept + end + "".join(f"{name}={_quote(value)}\n" for name, value in missing.items())


def _bindings(text: str) -> Iterator[Binding]:
    if gap := _TOO_MANY_BLANKS.search(text):
        start = gap.start()
        line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
        raise FormatError(line, column, "too-many-blanks", most=str(MAX_CONSECUTIVE_BLANKS))
    for each in parse_stream(io.StringIO(text)):
        if each.error:
            raise _format_error(each)
        yield each


def _format_error(binding: Binding) -> FormatError:
    """The place of a parser error; the column is after the valid part of the line."""
    text = binding.original.string
    start = len(text) - len(text.lstrip("\r\n \t"))
    line = binding.original.line + text.count("\n", 0, start)
    start = text.rfind("\n", 0, start) + 1
    understood = _VALID_PREFIX.match(text, start)
    column = understood.end() - start if understood else 0
    return FormatError(line, column + 1, "not-an-assignment")


def _replace_value(binding: Binding, value: str) -> str:
    found = _BINDING.fullmatch(binding.original.string)
    if found is None:  # a name without a value
        return f"{binding.key}={_quote(value)}\n"
    return f"{found['head']}{_quote(value)}{found['tail']}"


def _quote(value: str) -> str:
    return value if _UNQUOTED.fullmatch(value) else f"'{value}'"


# --- JSON files: an entry is an object at any depth; order and indentation are kept ---------------

MAX_NESTING = 100
"""Levels of objects and lists. The time for field paths grows with the cube of their depth, and
Python can't write more than about 300 levels."""
_INDENTED = re.compile(r"^\s*[{\[]\s*?\n(?P<blanks>[ \t]+)")


def _read_json(text: str) -> Entries:
    """Every object in the file, by its path of keys."""
    found: Entries = {}
    _collect_entries(_parse(text), (), found)
    return found


def _write_json(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """Change the entry at `entry_path`, or create it with its parents."""
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
        raise FormatError(1, 1, "nested-too-deep") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise FormatError(1, 1, "number-too-long") from None
    if not isinstance(document, dict):
        raise FormatError(1, 1, "not-an-object")
    if _is_too_deep(document):
        raise FormatError(1, 1, "nested-too-deep")
    return document


def _is_too_deep(document: dict[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(MAX_NESTING):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for values in inner for each in values if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def _object_at(node: dict[str, Any], entry_path: EntryPath) -> dict[str, Any]:
    for key in entry_path:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise FormatError(1, 1, "entry-not-an-object", key=key)
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


# --- INI files such as rclone's: sections of `key = value` lines ----------------------------------
#
# configparser would lose comments and the case of keys, so lines are edited in place. A dot in a
# field's name leads into a value that is JSON, as rclone's token.

_ENCRYPTED_PREFIX = "RCLONE_ENCRYPT"


def _read_ini(text: str) -> Entries:
    """Every section by its name; a JSON value is represented only by its members."""
    found: Entries = {}
    for section, values in _sections(text).items():
        entry = found.setdefault((section,), {})
        for key, value in values.items():
            inner = _json_members(value)
            entry.update({f"{key}.{name}": str(each) for name, each in inner.items()})
            if not inner:
                entry[key] = value
    return found


def _write_ini(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """Change the section in place, or append it. Raises `UnwritableValueError`."""
    for each, value in fields.items():
        if not value.isprintable() or value != value.strip("\"`' "):
            raise UnwritableValueError(each)
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
    """`fields` with those of one JSON value merged into it."""
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
    except (RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) and not _is_too_deep(found) else {}


def _parsed_lines(text: str) -> list[tuple[str, str, str, str]]:
    """For each line: its section, key, value (empty if none) and text."""
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
                raise FormatError(number, column, "not-in-a-section")
        found.append((section, key, value, line))
    return found


def _section_name(line: str) -> str:
    name = line[1:-1]
    return name if line == f"[{name}]" and "]" not in name else ""


def _key_and_value(line: str) -> tuple[str, str]:
    """Key and value, split at the first ``=`` or ``:``; both empty if there is none."""
    ends = [place for sign in "=:" if (place := line.find(sign)) >= 0]
    return (line[: min(ends)].rstrip(), line[min(ends) + 1 :].lstrip()) if ends else ("", "")


# --- The `FileStore` of Zoho's SDKs: a header row, then one row for each token --------------------
#
# The SDKs read columns by position. Python's SDK supports quotes, Node's doesn't, so a value that
# needs quotes isn't written.

_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?:,|$)')
MIN_COLUMNS = 9  # the SDKs before 6.0 had no `api_domain`


def _read_csv(text: str) -> Entries:
    """Every row by its ID."""
    heading, rows = _table(text)
    return {(row[0],): dict(zip(heading, row, strict=False)) for row in rows}


def _write_csv(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """Change the row with that ID, or append it. Raises `UnwritableValueError`."""
    for name, value in fields.items():
        if not value.isprintable() or "," in value or '"' in value:
            raise UnwritableValueError(name)
    heading, rows = _table(text)
    heading += [name for name in fields if name not in heading]
    row = next((row for row in rows if row[0] == entry_path[0]), None)
    if row is None:
        rows.append(row := [])
    row += [""] * (len(heading) - len(row))
    for name, value in fields.items():
        row[heading.index(name)] = value
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([heading, *rows])
    return written.getvalue()


def _table(text: str) -> tuple[list[str], list[list[str]]]:
    lines = text.splitlines()
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        table = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        number = _first_invalid_line(lines)
        raise FormatError(number, _invalid_column(lines[number - 1]), str(error)) from None
    heading = table[0][1] if table else []
    if heading[:1] != ["id"] or "refresh_token" not in heading:
        raise FormatError(1, 1, "not-a-token-store")
    for number, row in table[1:]:
        if not MIN_COLUMNS <= len(row) <= len(heading):
            counts = {"count": str(len(row)), "most": str(len(heading))}
            raise FormatError(number, len(lines[number - 1]) + 1, "wrong-column-count", **counts)
    return heading, [row for _, row in table[1:]]


def _first_invalid_line(lines: list[str]) -> int:
    return next(
        (n for n, line in enumerate(lines, 1) if _invalid_column(line) <= len(line)), len(lines)
    )


def _invalid_column(line: str) -> int:
    """The column of the first invalid cell; after the end of the line if there is none."""
    end = 0
    while end < len(line) and (cell := _CELL.match(line, end)):
        end = cell.end()
    return end + 1


DOTENV = FileFormat(_read_dotenv, _write_dotenv)
JSON = FileFormat(_read_json, _write_json)
INI = FileFormat(_read_ini, _write_ini)
SDK_CSV = FileFormat(_read_csv, _write_csv)
FILE_FORMATS = {"dotenv": DOTENV, "json": JSON, "ini": INI, "sdk_csv": SDK_CSV}


# --- Files ----------------------------------------------------------------------------------------

MAX_FILE_BYTES = 1024 * 1024  # files with credentials are small
TEMPORARY_SUFFIX = ".zoho-wizard"
"""Suffix of the new version until it is renamed. Always the same, so that the next delivery removes
what a killed process left."""
_NO_FOLLOW_FLAG = getattr(os, "O_NOFOLLOW", 0)
_WALK_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW_FLAG
"""For a directory on the way: its entries can be opened, perhaps not listed."""
_DIRECTORIES_WITH_SYSTEM_LINKS = ("/", "/var")
"""Links of root in these are followed: ``/var/run``, and ``/home`` or ``/tmp`` on some systems."""
_MAX_LINKS = 40
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class FileSnapshot:
    """A file as it was read; `text` is None if it doesn't exist."""

    text: str | None = field(default=None, repr=False)
    mode: int = files.FILE_MODE
    owner: tuple[int, int] | None = None
    version: tuple[int, ...] = ()
    """Changes whenever the file is written or replaced."""
    group_writable: tuple[str, ...] = ()
    """The directories on the way in which a group can replace entries."""


@dataclass(frozen=True)
class FileAccess:
    """Who can read a delivered file besides its owner."""

    mode: int = files.FILE_MODE
    group: int = -1
    """The group's number; -1: that of the file, or of a new one, our own."""


PRIVATE = FileAccess()


@dataclass(frozen=True)
class _DirectoryEntry:
    """A name in an open directory; on systems without directory descriptors, a full path."""

    name: str
    directory_fd: int | None
    group_writable: tuple[str, ...] = ()
    is_sticky: bool = False
    """Others can create entries of the directory, and replace only their own."""


def read_file(path: str) -> FileSnapshot:
    """Read the file at `path`.

    Raises ``destination-no-directory``, ``destination-directory``, ``destination-symlink``,
    ``destination-linked-directory``, ``destination-not-file``, ``destination-not-ours``,
    ``destination-open-directory``, ``destination-too-large``, ``destination-broken`` if it isn't
    UTF-8, and ``destination-unwritable`` for other errors of the system.
    """
    with _translate_errors(path), _open_directory(path) as entry:
        return _read_entry(path, entry)


def other_owner(snapshot: FileSnapshot) -> str:
    """The owner of a file of a different user; empty if it is our own."""
    if snapshot.owner is None or os.name != "posix" or snapshot.owner[0] == os.geteuid():
        return ""
    import pwd  # not on every system

    try:
        return pwd.getpwuid(snapshot.owner[0]).pw_name
    except KeyError:
        return str(snapshot.owner[0])


def replace_file(
    path: str, text: str, expected: FileSnapshot, access: FileAccess = PRIVATE
) -> FileSnapshot:
    """Replace the `expected` version by `text`; returns what is read back. Raises as `read_file`
    does, ``destination-full``, and `Conflict` if the file has changed meanwhile."""
    with _translate_errors(path), _open_directory(path) as entry:
        _require_unchanged(path, entry, expected)
        is_root = os.name == "posix" and os.geteuid() == 0
        user, group = expected.owner if is_root and expected.owner else (-1, -1)
        files.replace(
            entry.name,
            text.encode(),
            temporary=entry.name + TEMPORARY_SUFFIX,
            directory_fd=entry.directory_fd,
            owner=(user, group if access.group < 0 else access.group),
            mode=access.mode,
            before_rename=lambda: _require_unchanged(path, entry, expected),
        )
        return _read_entry(path, entry)


def restore_file(
    path: str, text: str | None, expected: FileSnapshot, access: FileAccess = PRIVATE
) -> FileSnapshot:
    """Replace the `expected` version by a previous one; None: remove the file. Raises as
    `replace_file` does."""
    if text is not None:
        return replace_file(path, text, expected, access)
    with _translate_errors(path), _open_directory(path) as entry:
        _require_unchanged(path, entry, expected)
        files.remove(entry.name, entry.directory_fd)
        if entry.directory_fd is not None:
            files.sync_directory(entry.directory_fd)
    return FileSnapshot()


def remove_unfinished(path: str) -> None:
    """Remove what a killed process left beside the file at `path`. Raises as `read_file` does."""
    with _translate_errors(path), _open_directory(path) as entry:
        files.remove(entry.name + TEMPORARY_SUFFIX, entry.directory_fd)


def _require_unchanged(path: str, entry: _DirectoryEntry, expected: FileSnapshot) -> None:
    if _read_entry(path, entry).version != expected.version:
        raise Conflict(Failure("changed-meanwhile", temporary=True, details={"subject": path}))


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = "destination-full" if error.errno in DISK_FULL_ERRORS else "destination-unwritable"
        raise fail(code, target=path, reason=os.strerror(error.errno or 0)) from error


@contextmanager
def _open_directory(path: str) -> Iterator[_DirectoryEntry]:
    folder, name = os.path.split(path)
    if os.name != "posix":
        yield _DirectoryEntry(path, None)
        return
    try:
        directory, group_writable = _walk(path, folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise fail("destination-no-directory", target=path, directory=folder) from error
    try:
        mode = os.fstat(directory).st_mode
        is_sticky = bool(mode & stat.S_ISVTX and mode & (stat.S_IWGRP | stat.S_IWOTH))
        yield _DirectoryEntry(name, directory, group_writable, is_sticky)
    finally:
        os.close(directory)


def _walk(path: str, folder: str) -> tuple[int, tuple[str, ...]]:
    """A descriptor of `folder`, and the directories on the way that a group can write to. Raises
    ``destination-linked-directory`` and ``destination-open-directory``, about the file `path`."""
    waiting = folder.split(os.sep)[::-1]
    place, directory, links = os.sep, os.open(os.sep, _WALK_FLAGS), 0
    group_writable: dict[str, None] = {}
    try:
        while True:
            found = os.fstat(directory)
            if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
                raise fail("destination-open-directory", target=path, directory=place)
            if files.is_foreign_group_writable(found):
                group_writable[place] = None
            if not waiting:
                return os.open(".", os.O_RDONLY, dir_fd=directory), tuple(group_writable)
            part = waiting.pop()
            next_place = os.path.normpath(os.path.join(place, part))
            entry = os.stat(part or ".", dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(entry.st_mode):
                links += 1
                is_of_system = place in _DIRECTORIES_WITH_SYSTEM_LINKS and not entry.st_uid
                if not is_of_system or links > _MAX_LINKS:
                    raise fail("destination-linked-directory", target=path, link=next_place)
                target = os.readlink(part, dir_fd=directory)
                waiting += target.split(os.sep)[::-1]
                if not os.path.isabs(target):
                    continue
                part, next_place = os.sep, os.sep
            following = os.open(part or ".", _WALK_FLAGS, dir_fd=directory)
            os.close(directory)
            place, directory = next_place, following
    finally:
        os.close(directory)


def _read_entry(path: str, entry: _DirectoryEntry) -> FileSnapshot:
    try:
        found = os.stat(entry.name, dir_fd=entry.directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return FileSnapshot(group_writable=entry.group_writable)
    _require_own_file(path, found, entry.is_sticky)
    flags = os.O_RDONLY | _NO_FOLLOW_FLAG | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(entry.name, flags, dir_fd=entry.directory_fd), "rb") as file:
        found = os.fstat(file.fileno())
        _require_own_file(path, found, entry.is_sticky)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise fail("destination-too-large", target=path)
    mark = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    owner = (found.st_uid, found.st_gid)
    mode = stat.S_IMODE(found.st_mode)
    return FileSnapshot(_decode(path, content), mode, owner, mark, entry.group_writable)


def _require_own_file(path: str, status: os.stat_result, is_sticky: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise fail("destination-directory", target=path)
    if stat.S_ISLNK(status.st_mode):
        raise fail("destination-symlink", target=path)
    if not stat.S_ISREG(status.st_mode):
        raise fail("destination-not-file", target=path)
    # Root may write to others' files, but not to one that its owner put where everyone can.
    allowed = (status.st_uid,) if is_sticky else (0, status.st_uid)
    if os.name == "posix" and os.geteuid() not in allowed:
        raise fail("destination-not-ours", target=path, owner=str(status.st_uid))


def _decode(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - before.rfind(b"\n")
        broken = FormatError(before.count(b"\n") + 1, column, "not-utf-8")
        raise format_failure(path, broken) from None


def format_failure(path: str, error: FormatError) -> WizardError:
    """The failure with the place in `path` that isn't valid."""
    line, column = str(error.line), str(error.column)
    return fail("destination-broken", target=path, line=line, column=column, **error.details)
