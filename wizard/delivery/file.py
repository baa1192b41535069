"""A file of another program: looked at, and replaced whole or not at all.

Everything happens within its directory, opened once, so that nobody can put another in its place
meanwhile. The new version is written beside the old one, private from birth, and renamed over it:
whoever reads sees one version or the other. Nothing is written through a link.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from wizard.delivery.shape import Broken
from wizard.errors import Conflict, WizardError, fail
from wizard.model import Failure

LARGEST = 1024 * 1024  # bytes; credentials stand in small files, so this is something else
PRIVATE = 0o600
UNFINISHED = ".zoho-wizard"
"""Ends the name of a version that is being written. Always the same, so that what a killed process
left behind goes with the next delivery."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Seen:
    """A file as it was found; `text` is None where there is none yet."""

    text: str | None = field(default=None, repr=False)
    mode: int = PRIVATE
    owner: tuple[int, int] | None = None
    mark: tuple[int, ...] = ()
    """Changes whenever somebody writes or replaces the file."""


@dataclass(frozen=True)
class _Place:
    """A name within a directory that is held open; without directory handles, a whole path."""

    name: str
    directory: int | None


def look(path: str) -> Seen:
    """The file at `path`.

    Raises ``destination-no-directory``, ``destination-directory``, ``destination-symlink``,
    ``destination-not-file``, ``destination-not-ours``, ``destination-open-directory``,
    ``destination-too-large``, ``destination-broken`` for what is no text, and
    ``destination-unwritable`` where the system does not let us.
    """
    with _complaints(path), _place(path) as place:
        return _look(path, place)


def stranger(seen: Seen) -> str:
    """Who owns a file that belongs to somebody else than us; empty where it is ours."""
    if seen.owner is None or os.name != "posix" or seen.owner[0] == os.geteuid():
        return ""
    import pwd  # not on every system

    try:
        return pwd.getpwuid(seen.owner[0]).pw_name
    except KeyError:
        return str(seen.owner[0])


def replace(path: str, text: str, expected: Seen) -> Seen:
    """Put `text` in the place of what was `expected` there; returns what is read back.

    Raises as `look` does, ``destination-full``, and `Conflict` where the file is another by now.
    """
    with _complaints(path), _place(path) as place:
        _must_be(path, place, expected)
        beside = _Place(place.name + UNFINISHED, place.directory)
        try:
            _remove(beside)
            _write(beside, text, expected.owner)
            _must_be(path, place, expected)
            os.replace(
                beside.name, place.name, src_dir_fd=place.directory, dst_dir_fd=place.directory
            )
        finally:
            _remove(beside)
        _settle(place)
        return _look(path, place)


def put_back(path: str, text: str | None, expected: Seen) -> Seen:
    """Put an earlier version back in the place of what is `expected` there; None: there was no
    file, and there is none afterwards. Raises as `replace` does."""
    if text is not None:
        return replace(path, text, expected)
    with _complaints(path), _place(path) as place:
        _must_be(path, place, expected)
        _remove(place)
        _settle(place)
    return Seen()


def _must_be(path: str, place: _Place, expected: Seen) -> None:
    if _look(path, place).mark != expected.mark:
        raise Conflict(Failure("changed-meanwhile", temporary=True, details={"what": path}))


@contextmanager
def _complaints(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = "destination-full" if error.errno in _FULL else "destination-unwritable"
        raise fail(code, target=path, reason=os.strerror(error.errno or 0)) from error


@contextmanager
def _place(path: str) -> Iterator[_Place]:
    folder, name = os.path.split(path)
    if os.name != "posix":
        yield _Place(path, None)
        return
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise fail("destination-no-directory", target=path, directory=folder) from error
    try:
        found = os.fstat(directory)
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise fail("destination-open-directory", target=path, directory=folder)
        yield _Place(name, directory)
    finally:
        os.close(directory)


def _look(path: str, place: _Place) -> Seen:
    try:
        found = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return Seen()
    _must_be_a_file_of_ours(path, found)
    flags = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(place.name, flags, dir_fd=place.directory), "rb") as file:
        found = os.fstat(file.fileno())
        _must_be_a_file_of_ours(path, found)
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise fail("destination-too-large", target=path)
    mark = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    owner = (found.st_uid, found.st_gid)
    return Seen(_text(path, content), stat.S_IMODE(found.st_mode), owner, mark)


def _must_be_a_file_of_ours(path: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise fail("destination-directory", target=path)
    if stat.S_ISLNK(found.st_mode):
        raise fail("destination-symlink", target=path)
    if not stat.S_ISREG(found.st_mode):
        raise fail("destination-not-file", target=path)
    if os.name == "posix" and os.geteuid() not in (0, found.st_uid):
        raise fail("destination-not-ours", target=path, owner=str(found.st_uid))


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - before.rfind(b"\n")
        broken = Broken(before.count(b"\n") + 1, column, "not UTF-8 text")
        raise complaint(path, broken) from None


def complaint(path: str, broken: Broken) -> WizardError:
    """The failure that tells where in `path` the text is broken."""
    line, column = str(broken.line), str(broken.column)
    return fail("destination-broken", target=path, line=line, column=column, reason=broken.reason)


def _write(place: _Place, text: str, owner: tuple[int, int] | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
    with os.fdopen(os.open(place.name, flags, PRIVATE, dir_fd=place.directory), "wb") as file:
        if owner is not None and os.name == "posix" and os.geteuid() == 0:
            os.fchown(file.fileno(), *owner)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _remove(place: _Place) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place.name, dir_fd=place.directory)


def _settle(place: _Place) -> None:
    """A rename survives a power cut only once its directory was written."""
    if place.directory is not None:
        os.fsync(place.directory)
