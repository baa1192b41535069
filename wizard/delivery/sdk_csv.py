"""The shape of the official SDKs' ``FileStore``: a heading, then one row a token.

The SDKs read the columns by position. Python's quotes what needs quoting, Node's splits at commas
and newlines alone, so that nothing is written that needs it.
"""

import csv
import io
import re

from wizard.delivery.formats import Entries, EntryPath, Fields, FormatError, Unwritable

_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?:,|$)')
MIN_COLUMNS = 9  # the SDKs before 6.0 had no `api_domain`


def read(text: str) -> Entries:
    """Every row, by its id."""
    heading, rows = _table(text)
    return {(row[0],): dict(zip(heading, row, strict=False)) for row in rows}


def write(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """The file with the row of that id changed, or added at the end. Raises `Unwritable`."""
    for name, value in fields.items():
        if not value.isprintable() or "," in value or '"' in value:
            raise Unwritable(name)
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
        raise FormatError(1, 1, "not the heading of an SDK's token store")
    for number, row in table[1:]:
        if not MIN_COLUMNS <= len(row) <= len(heading):
            reason = f"{len(row)} columns instead of {len(heading)}"
            raise FormatError(number, len(lines[number - 1]) + 1, reason)
    return heading, [row for _, row in table[1:]]


def _first_invalid_line(lines: list[str]) -> int:
    return next(
        (n for n, line in enumerate(lines, 1) if _invalid_column(line) <= len(line)), len(lines)
    )


def _invalid_column(line: str) -> int:
    """The column at which a line stops being cells; beyond its end where it never does."""
    end = 0
    while end < len(line) and (cell := _CELL.match(line, end)):
        end = cell.end()
    return end + 1
