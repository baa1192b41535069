"""The directory of the shared socket: its path, and whether it is safe.

Programs trust the socket in it and use the tokens it returns, so no other user may be able to
replace the directory or the socket.
"""

import hashlib
import os
import stat
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from wizard.errors import WizardError, fail
from wizard.locks import ExclusiveLock
from wizard.paths import Paths

ROOT_RUNTIME_DIRECTORY = Path("/run")
"""Every user can enter it, and only root can create entries."""


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
            raise _unsafe(path, "it is no directory")
        if status.st_uid != os.geteuid():
            raise _unsafe(path, "it is another user's")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _unsafe(path, "others may write in it")
        for parent in (*path.absolute().parents, *path.resolve().parents):
            if reason := _replacement_reason(parent.stat()):
                raise _unsafe(path, f"{reason} {parent}, and replace it")
        path.chmod(0o711)
    except OSError as error:
        raise _unsafe(path, os.strerror(error.errno or 0)) from error


def alone_in(path: Path) -> AbstractContextManager[None]:
    """Lock the directory, since two installations may use the same one. Raises
    ``shared-directory-in-use``."""
    return ExclusiveLock(
        str(path / "socket.lock"), lambda: fail("shared-directory-in-use", path=str(path))
    )


def _replacement_reason(parent_status: os.stat_result) -> str:
    """Why someone else can replace an entry of a directory; empty if nobody can. Its owner can, and
    so can anyone with write permission unless it is sticky. A group that is the user's own is
    allowed."""
    if parent_status.st_uid not in (0, os.geteuid()):
        return "another user owns"
    if parent_status.st_mode & stat.S_ISVTX:
        return ""
    if parent_status.st_mode & stat.S_IWOTH:
        return "everybody may write in"
    foreign = parent_status.st_gid not in (0, os.getegid())
    return "a group may write in" if foreign and parent_status.st_mode & stat.S_IWGRP else ""


def _unsafe(path: Path, reason: str) -> WizardError:
    return fail("shared-directory-unsafe", path=str(path), reason=reason)
