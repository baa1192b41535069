"""Read and atomically replace a file of another program.

The directory is opened once, so that no one can replace it meanwhile. The new version is a private
file that is renamed over the old one. Nothing is written through a link.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wizard import files
from wizard.delivery.formats import FormatError
from wizard.errors import Conflict, WizardError, fail
from wizard.model import Failure

MAX_FILE_BYTES = 1024 * 1024  # files with credentials are small
TEMPORARY_SUFFIX = ".zoho-wizard"
"""Suffix of the new version until it is renamed. Always the same, so that the next delivery removes
what a killed process left."""
_NO_FOLLOW_FLAG = getattr(os, "O_NOFOLLOW", 0)
_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class FileSnapshot:
    """A file as it was read; `text` is None if it doesn't exist."""

    text: str | None = field(default=None, repr=False)
    mode: int = files.FILE_MODE
    owner: tuple[int, int] | None = None
    version: tuple[int, ...] = ()
    """Changes whenever the file is written or replaced."""


@dataclass(frozen=True)
class _DirectoryEntry:
    """A name in an open directory; on systems without directory descriptors, a full path."""

    name: str
    directory_fd: int | None


def read_file(path: str) -> FileSnapshot:
    """Read the file at `path`.

    Raises ``destination-no-directory``, ``destination-directory``, ``destination-symlink``,
    ``destination-not-file``, ``destination-not-ours``, ``destination-open-directory``,
    ``destination-too-large``, ``destination-broken`` if it isn't UTF-8, and
    ``destination-unwritable`` for other errors of the system.
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


def replace_file(path: str, text: str, expected: FileSnapshot) -> FileSnapshot:
    """Replace the `expected` version by `text`; returns what is read back. Raises as `read_file`
    does, ``destination-full``, and `Conflict` if the file has changed meanwhile."""
    with _translate_errors(path), _open_directory(path) as entry:
        _require_unchanged(path, entry, expected)
        is_root = os.name == "posix" and os.geteuid() == 0
        files.replace(
            entry.name,
            text.encode(),
            temporary=entry.name + TEMPORARY_SUFFIX,
            directory_fd=entry.directory_fd,
            owner=expected.owner if is_root else None,
            before_rename=lambda: _require_unchanged(path, entry, expected),
        )
        return _read_entry(path, entry)


def restore_file(path: str, text: str | None, expected: FileSnapshot) -> FileSnapshot:
    """Replace the `expected` version by a previous one; None: remove the file. Raises as
    `replace_file` does."""
    if text is not None:
        return replace_file(path, text, expected)
    with _translate_errors(path), _open_directory(path) as entry:
        _require_unchanged(path, entry, expected)
        files.remove(entry.name, entry.directory_fd)
        if entry.directory_fd is not None:
            files.sync_directory(entry.directory_fd)
    return FileSnapshot()


def _require_unchanged(path: str, entry: _DirectoryEntry, expected: FileSnapshot) -> None:
    if _read_entry(path, entry).version != expected.version:
        raise Conflict(Failure("changed-meanwhile", temporary=True, details={"what": path}))


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = "destination-full" if error.errno in _DISK_FULL_ERRORS else "destination-unwritable"
        raise fail(code, target=path, reason=os.strerror(error.errno or 0)) from error


@contextmanager
def _open_directory(path: str) -> Iterator[_DirectoryEntry]:
    folder, name = os.path.split(path)
    if os.name != "posix":
        yield _DirectoryEntry(path, None)
        return
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise fail("destination-no-directory", target=path, directory=folder) from error
    try:
        found = os.fstat(directory)
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise fail("destination-open-directory", target=path, directory=folder)
        yield _DirectoryEntry(name, directory)
    finally:
        os.close(directory)


def _read_entry(path: str, entry: _DirectoryEntry) -> FileSnapshot:
    try:
        found = os.stat(entry.name, dir_fd=entry.directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return FileSnapshot()
    _require_own_file(path, found)
    flags = os.O_RDONLY | _NO_FOLLOW_FLAG | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(entry.name, flags, dir_fd=entry.directory_fd), "rb") as file:
        found = os.fstat(file.fileno())
        _require_own_file(path, found)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise fail("destination-too-large", target=path)
    mark = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    owner = (found.st_uid, found.st_gid)
    return FileSnapshot(_decode(path, content), stat.S_IMODE(found.st_mode), owner, mark)


def _require_own_file(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise fail("destination-directory", target=path)
    if stat.S_ISLNK(status.st_mode):
        raise fail("destination-symlink", target=path)
    if not stat.S_ISREG(status.st_mode):
        raise fail("destination-not-file", target=path)
    if os.name == "posix" and os.geteuid() not in (0, status.st_uid):
        raise fail("destination-not-ours", target=path, owner=str(status.st_uid))


def _decode(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - before.rfind(b"\n")
        broken = FormatError(before.count(b"\n") + 1, column, "not UTF-8 text")
        raise format_failure(path, broken) from None


def format_failure(path: str, error: FormatError) -> WizardError:
    """The failure with the place in `path` that isn't valid."""
    line, column = str(error.line), str(error.column)
    return fail("destination-broken", target=path, line=line, column=column, reason=error.reason)
