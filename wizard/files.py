"""Private files and directories: closed to other users from birth, written whole, durable.

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


def create(
    path: str,
    content: bytes = b"",
    *,
    is_durable: bool = True,
    directory_fd: int | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Create a private file that belongs to ``owner`` (user and group ID; None: us).

    A failure can leave a part of it. Raises FileExistsError where the name is taken, also by a
    link, and OSError where it can't be written. With ``directory_fd``, ``path`` is a name in that
    directory.
    """
    descriptor = os.open(path, _CREATE_FLAGS, FILE_MODE, dir_fd=directory_fd)
    try:
        if owner is not None:
            os.fchown(descriptor, *owner)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if is_durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_whole(path: str, content: bytes) -> None:
    """Create a private file that is never seen half written, and never replaces another.

    Raises FileExistsError or OSError; nothing is left then.
    """
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
    owner: tuple[int, int] | None = None,
    before_rename: "Callable[[], None] | None" = None,
) -> None:
    """Replace a file by a new private one, whole, or leave what is there as it is.

    ``temporary`` is the name under which the new file is written. What a killed process left there
    is removed, so only one process at a time may use it; by default the name is random.
    ``before_rename`` may raise to stop the replacement at the last moment. Raises OSError.
    """
    unfinished = temporary or _temporary_name(path)
    try:
        if temporary:
            remove(unfinished, directory_fd)
        create(unfinished, content, is_durable=is_durable, directory_fd=directory_fd, owner=owner)
        if before_rename is not None:
            before_rename()
        os.replace(unfinished, path, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        remove(unfinished, directory_fd)
        raise
    if is_durable:
        sync_directory(os.path.dirname(path) if directory_fd is None else directory_fd)


def remove(path: str, directory_fd: int | None = None) -> None:
    """Remove a file that may be missing."""
    try:  # noqa: SIM105 - contextlib is expensive to import
        os.unlink(path, dir_fd=directory_fd)
    except FileNotFoundError:
        pass


def sync_directory(directory: str | int) -> None:
    """Make what was created, renamed or removed in a directory (path or descriptor) survive a
    power cut."""
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


def make_directory(path: str) -> None:
    """Make a directory and the missing ones above it, all private: ``os.makedirs`` would leave
    those above to the umask. A directory that exists stays as it is."""
    above = os.path.dirname(path)
    if above and not os.path.isdir(above):
        make_directory(above)
    os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)


def _temporary_name(path: str) -> str:
    return f"{path}.{os.urandom(6).hex()}"
