"""Unix sockets: addresses, the process at the other end, and the directory of the shared socket.

Programs trust the socket in that directory and use the tokens it returns, so no other user may be
able to replace the directory or the socket.
"""

import hashlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from wizard import files
from wizard.errors import WizardError, fail
from wizard.locks import ExclusiveLock
from wizard.paths import Paths, has_peer_credentials, user_name

ROOT_RUNTIME_DIRECTORY = Path("/run")
"""Every user can enter it, and only root can create entries."""

LOCK_NAME = "socket.lock"

HAS_PEER_CREDENTIALS = has_peer_credentials()
"""Elsewhere only the owner is served."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def has_unix_sockets() -> bool:
    """Whether this system has Unix sockets that Python can use."""
    return hasattr(socket, "AF_UNIX")


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket, while its directory is open."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield files.socket_address(str(path), directory)
    finally:
        os.close(directory)


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a connection."""

    uid: int
    pid: int

    @property
    def user(self) -> str:
        """The user's name, or their number if it has no name here, as in containers."""
        return user_name(self.uid)


def get_peer(connection: socket.socket) -> Peer | None:
    """The process at the other end of ``connection``; None if the kernel doesn't report it."""
    if not HAS_PEER_CREDENTIALS:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return Peer(uid, pid)


def default_shared_directory(paths: Paths) -> Path:
    """The directory of the shared socket unless the owner chooses another.

    For root it is where every user can reach it. Other users have no such place of their own
    (anyone can take a name in ``/tmp``), so theirs is in the data directory: a container reaches it
    by a mount, and for other users they choose a directory.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return Path(paths.data_dir) / "shared"
    suffix = hashlib.sha256(os.fsencode(paths.data_dir)).hexdigest()[:8]
    return ROOT_RUNTIME_DIRECTORY / f"zoho-wizard-{suffix}"


def first_inaccessible_directory(directory: Path) -> Path | None:
    """The first parent of `directory` that other users can't enter, by its mode; None if there is
    none."""
    for each in reversed(directory.parents):
        if each.exists() and not each.stat().st_mode & stat.S_IXOTH:
            return each
    return None


def prepare_shared_directory(path: Path) -> None:
    """Create the directory, or check that only we can write to it and nobody else can replace it.
    Raises ``shared-directory-unsafe``."""
    try:
        with suppress(FileExistsError):
            path.mkdir(0o711)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise _unsafe(path, "it isn’t a directory")
        if status.st_uid != os.geteuid():
            raise _unsafe(path, "it belongs to a different user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _unsafe(path, "other users can write to it")
        if risk := files.replacement_risk(str(path)):
            parent, reason = risk
            raise _unsafe(path, reason, parent=parent)
        path.chmod(0o711)
    except OSError as error:
        raise _unsafe(path, os.strerror(error.errno or 0)) from error


def alone_in(path: Path) -> AbstractContextManager[None]:
    """Lock the directory, since two installations may use the same one. Raises
    ``shared-directory-in-use``, or ``shared-directory-unsafe`` if another user made the lock's
    file, since they could keep it locked."""
    lock = path / LOCK_NAME
    with suppress(FileNotFoundError):
        found = lock.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise _unsafe(lock, "it isn’t a regular file")
        if found.st_uid != os.geteuid():
            raise _unsafe(lock, "it belongs to a different user")
    return ExclusiveLock(str(lock), lambda: fail("shared-directory-in-use", path=str(path)))


def remove_lock_file(path: Path) -> None:
    """Remove the file of the lock from the directory. Call it while the lock is held."""
    (path / LOCK_NAME).unlink(missing_ok=True)


def _unsafe(path: Path, reason: str, **details: str) -> WizardError:
    return fail("shared-directory-unsafe", path=str(path), reason=reason, **details)
