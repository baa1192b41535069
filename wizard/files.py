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


def create(
    path: str,
    content: bytes = b"",
    *,
    is_durable: bool = True,
    directory_fd: int | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Create a private file that belongs to ``owner`` (user and group ID; None: us).

    A failure can leave an incomplete file. Raises FileExistsError if the name exists, even as a
    link, and OSError if it can't be written. With ``directory_fd``, ``path`` is a name in that
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
    owner: tuple[int, int] | None = None,
    before_rename: "Callable[[], None] | None" = None,
) -> None:
    """Replace a file atomically by a new private one.

    ``temporary`` is the name under which the new file is written; by default it is random. What a
    killed process left under that name is removed, so only one process at a time may use it.
    ``before_rename`` may raise to cancel the replacement. Raises OSError.
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


def make_directory(path: str) -> None:
    """Make a directory and its missing parents, all private: ``os.makedirs`` creates parents by the
    umask. An existing directory stays as it is."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        make_directory(parent)
    os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)


def _temporary_name(path: str) -> str:
    return f"{path}.{os.urandom(6).hex()}"
