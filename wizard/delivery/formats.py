"""What the shapes of files share: where in a file an entry stands, and what a broken file is.

A shape reads and writes text; it knows neither files nor Zoho. Each is a module of two functions::

    read(text) -> {spot: {field: value}}     every entry that is there
    write(text, spot, fields) -> text        one entry changed or added, all else as it was;
                                             raises `Unwritable`

A field's name with a dot leads into a value that is an object of its own
(``token.refresh_token``).
"""

from collections.abc import Mapping

EntryPath = tuple[str, ...]
"""Where an entry stands: ``()`` for the whole file, ``("crm",)`` for a section or a row,
``("mcpServers", "zoho", "env")`` for an object within objects."""

Fields = Mapping[str, str]
Entries = dict[EntryPath, dict[str, str]]


class Unwritable(Exception):
    """A value that a file of this shape cannot hold so that all its readers read the same."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the value of {name} cannot be written")
        self.name = name


class FormatError(Exception):
    """A text that is not of its shape; line and column count from 1."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column
        self.reason = reason
