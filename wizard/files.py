"""Private files and directories: created with private permissions, replaced atomically, durable.

Imports ``os`` only: ``zoho-wizard token NAME`` uses modules that use this one.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_CREATE_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)
_UNNAMED_FLAGS = os.O_WRONLY | os.O_TMPFILE if hasattr(os, "O_TMPFILE") else 0
_OPEN_FILE = "/proc/self/fd/{}"

_MAX_LINKS = 40  # as Linux
MAX_ADDRESS_BYTES = 103
"""Bytes of a socket's address that work everywhere: the limit is 107 on Linux, 103 on macOS."""


def create(
    path: str,
    content: bytes = b"",
    *,
    is_durable: bool = True,
    directory_fd: int | None = None,
) -> None:
    """Create a private file.

    A failure can leave an incomplete file. Raises FileExistsError if the name exists, even as a
    link, and OSError if it can't be written. With ``directory_fd``, ``path`` is a name in that
    directory.
    """
    descriptor = os.open(path, _CREATE_FLAGS, FILE_MODE, dir_fd=directory_fd)
    try:
        _write(descriptor, content, is_durable)
    finally:
        os.close(descriptor)


def create_whole(path: str, content: bytes) -> None:
    """Create a private file atomically, without replacing an existing one. Raises FileExistsError
    or OSError, and then leaves nothing behind."""
    unfinished = _temporary_name(path)
    try:
        create(unfinished, content)
        os.link(unfinished, path)
    finally:
        remove(unfinished)
    sync_directory(os.path.dirname(path))


def replace(
    path: str,
    content: bytes,
    *,
    is_durable: bool = True,
    temporary: str = "",
    directory_fd: int | None = None,
    owner: tuple[int, int] = (-1, -1),
    mode: int = FILE_MODE,
    before_rename: "Callable[[], None] | None" = None,
) -> None:
    """Replace a file atomically by a new one, by default private.

    ``owner`` is its user and group ID (-1: unchanged). ``temporary`` is the name under which the
    new file is written; by default it is random. What a killed process left under that name is
    removed, so only one process at a time may use it. Where the file system can, the file gets that
    name only after it was written, for the moment of the replacement. ``before_rename`` may raise
    to cancel the replacement. Raises OSError.
    """
    unfinished = temporary or _temporary_name(path)
    descriptor = -1
    try:
        if temporary:
            remove(unfinished, directory_fd)
        descriptor, is_unnamed = _open_new(unfinished, directory_fd)
        if owner != (-1, -1):
            os.fchown(descriptor, *owner)
        if mode != FILE_MODE:
            os.fchmod(descriptor, mode)
        _write(descriptor, content, is_durable)
        if before_rename is not None:
            before_rename()
        if is_unnamed:
            source = _OPEN_FILE.format(descriptor)
            # With a descriptor, which an absolute path doesn't use, Python follows this link.
            os.link(source, unfinished, src_dir_fd=descriptor, dst_dir_fd=directory_fd)
        os.close(descriptor)  # Windows doesn't rename an open file
        descriptor = -1
        os.replace(unfinished, path, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        remove(unfinished, directory_fd)
        raise
    if is_durable:
        sync_directory(os.path.dirname(path) if directory_fd is None else directory_fd)


def _open_new(path: str, directory_fd: int | None) -> "tuple[int, bool]":
    """A descriptor of a new private file, and whether it has no name yet; otherwise it is at
    ``path``."""
    if _UNNAMED_FLAGS and os.path.isdir(os.path.dirname(_OPEN_FILE)):
        directory = (os.path.dirname(path) or ".") if directory_fd is None else "."
        try:
            return os.open(directory, _UNNAMED_FLAGS, FILE_MODE, dir_fd=directory_fd), True
        except OSError:  # some file systems can't; another reason repeats itself below
            pass
    return os.open(path, _CREATE_FLAGS, FILE_MODE, dir_fd=directory_fd), False


def _write(descriptor: int, content: bytes, is_durable: bool) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if is_durable:
        os.fsync(descriptor)


def open_to_append(path: str) -> int:
    """A descriptor to read a private file and to append to it; creates it. Raises OSError, also for
    a link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags | getattr(os, "O_BINARY", 0), FILE_MODE)


def remove(path: str, directory_fd: int | None = None) -> None:
    """Remove a file that may be missing."""
    try:  # noqa: SIM105 - contextlib is expensive to import
        os.unlink(path, dir_fd=directory_fd)
    except FileNotFoundError:
        pass


def sync_directory(directory: str | int) -> None:
    """Make changes of a directory (path or descriptor) survive a power failure."""
    if os.name != "posix":  # elsewhere a directory can't be opened, and its entries are journaled
        return
    if isinstance(directory, int):
        os.fsync(directory)
        return
    descriptor = os.open(directory or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def socket_address(path: str, directory_fd: int) -> str:
    """The address of the socket at ``path``, whose directory is open; through its descriptor if the
    path is too long."""
    is_short = len(os.fsencode(path)) <= MAX_ADDRESS_BYTES
    if is_short or not os.path.isdir(os.path.dirname(_OPEN_FILE)):
        return path
    return os.path.join(_OPEN_FILE.format(directory_fd), os.path.basename(path))


def make_directory(path: str) -> None:
    """Make a directory and its missing parents, all private: ``os.makedirs`` creates parents by the
    umask. An existing directory stays as it is."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        make_directory(parent)
    os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)


def replacement_risk(path: str) -> "tuple[str, str] | None":
    """The first directory or link on the way to ``path`` that lets another user replace an entry,
    and why: a key of the messages ``reasons``. None if nobody but root can.

    A directory's owner can, and so can anyone with write permission unless it is sticky. A group
    that is the user's own is allowed. The way leads through links, from each directory that one is
    in to its target; a link of another user could point elsewhere later. It ends where something
    is missing. Raises OSError.
    """
    if not hasattr(os, "geteuid"):
        return None
    place, links = os.sep, 0
    # The current directory may be gone, which doesn't matter to an absolute path.
    parts = _parts(path if os.path.isabs(path) else os.path.join(os.getcwd(), path))
    while parts:
        if reason := _risk(os.stat(place)):
            return place, reason
        part = parts.pop()
        entry = os.path.dirname(place) if part == os.pardir else os.path.join(place, part)
        if not os.path.islink(entry):
            if not os.path.isdir(entry):
                return None
            place = entry
            continue
        if _is_foreign(os.lstat(entry).st_uid):
            return entry, "different-owner"
        links += 1
        if links > _MAX_LINKS:
            import errno

            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(entry)
        parts += _parts(target)
        place = os.sep if os.path.isabs(target) else place
    return None


def _parts(path: str) -> list[str]:
    """The names in a path, the first one last. ``..`` is kept: after a link, only the system knows
    where it leads."""
    return [each for each in reversed(path.split(os.sep)) if each not in ("", os.curdir)]


def _risk(status: os.stat_result) -> str:
    if _is_foreign(status.st_uid):
        return "different-owner"
    if status.st_mode & 0o1000:
        return ""
    if status.st_mode & 0o002:
        return "writable-for-everyone"
    return "writable-for-group" if is_foreign_group_writable(status) else ""


def _is_foreign(uid: int) -> bool:
    """Whether an owner is neither the user nor root."""
    return uid not in (0, os.geteuid()) and not _is_system_owner(uid)


def is_foreign_group_writable(status: os.stat_result) -> bool:
    """Whether a group that isn't root's or the user's own can write to a directory."""
    foreign = status.st_gid not in (0, os.getegid())
    return bool(foreign and status.st_mode & 0o020 and not status.st_mode & 0o1000)


def _is_system_owner(uid: int) -> bool:
    """Whether the number stands for root, who has none in some containers: in a user namespace
    without root, everything that isn't the user's own belongs to the overflow user."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as mapping:
            first = {line.split()[0] for line in mapping}
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as overflow:
            return "0" not in first and int(overflow.read()) == uid
    except OSError:
        return False


def _temporary_name(path: str) -> str:
    return f"{path}.{os.urandom(6).hex()}"
