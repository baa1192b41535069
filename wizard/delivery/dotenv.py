"""The shape of ``.env`` files: ``NAME=value`` lines, read by python-dotenv's own parser.

Programs read these files with python-dotenv and its like, and people source them into a shell. A
value is written so that both read the same, and refused where no way of writing it does that.

Comments, blank lines, ``export``, order and every line that is not ours stay as they are, byte
for byte; a comment behind a value of ours stays behind the new one.
"""

import io
import re
from collections.abc import Iterator

from dotenv.parser import Binding, parse_stream

from wizard.delivery.formats import Entries, EntryPath, Fields, FormatError, Unwritable

_BLANK = r"[^\S\r\n]"
MAX_CONSECUTIVE_BLANKS = 200
"""In a row, wider than anybody aligns comments: python-dotenv takes the square of it in time, and
the file belongs to somebody else."""
_TOO_MANY_BLANKS = re.compile(rf"(?<!{_BLANK}){_BLANK}{{{MAX_CONSECUTIVE_BLANKS + 1}}}")
_NAME = rf"{_BLANK}*(?:export{_BLANK}+)?(?:'[^']+'|[^=\#\s]+)?{_BLANK}*"
_BINDING = re.compile(
    rf"(?P<head>\s*{_NAME}={_BLANK}*)"
    r"""(?:'(?:\\'|[^'])*'|"(?:\\"|[^"])*"|[^\r\n]*?)"""
    rf"(?P<tail>{_BLANK}*(?:(?<=[\s'\"])\#[^\r\n]*)?(?:\r\n|\n|\r|\Z))"
)
_VALID_PREFIX = re.compile(rf"{_NAME}=?{_BLANK}*")
_QUOTABLE = re.compile(r"(?:(?!\$\{)[^'\\])*")
"""Between single quotes a shell takes everything as it is; python-dotenv reads escapes there, and
puts variables in the place of ``${…}``."""
_UNQUOTED = re.compile(r"[A-Za-z0-9_./:@,+%=-]*")


def read(text: str) -> Entries:
    """The one entry of the file; of a name given twice the last value counts, as for readers."""
    return {(): {each.key: each.value or "" for each in _bindings(text) if each.key}}


def write(text: str, entry_path: EntryPath, fields: Fields) -> str:
    """Values in place where their names stand already, the others at the end. Raises
    `Unwritable`."""
    for name, value in fields.items():
        if not _QUOTABLE.fullmatch(value) or not value.isprintable():
            raise Unwritable(name)
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
        raise FormatError(line, column, f"more than {MAX_CONSECUTIVE_BLANKS} blanks in a row")
    for each in parse_stream(io.StringIO(text)):
        if each.error:
            raise _format_error(each)
        yield each


def _format_error(binding: Binding) -> FormatError:
    """Where the parser gave up: it tells the line, the column is where sense ends in it."""
    text = binding.original.string
    start = len(text) - len(text.lstrip("\r\n \t"))
    line = binding.original.line + text.count("\n", 0, start)
    start = text.rfind("\n", 0, start) + 1
    understood = _VALID_PREFIX.match(text, start)
    column = understood.end() - start if understood else 0
    return FormatError(line, column + 1, "neither NAME=value nor a comment")


def _replace_value(binding: Binding, value: str) -> str:
    found = _BINDING.fullmatch(binding.original.string)
    if found is None:  # a name without a value
        return f"{binding.key}={_quote(value)}\n"
    return f"{found['head']}{_quote(value)}{found['tail']}"


def _quote(value: str) -> str:
    return value if _UNQUOTED.fullmatch(value) else f"'{value}'"
