"""The directory of the shared socket: where it stands, and whether it is safe.

Programs take whatever answers there for the wizard, and use the token that they are given. So
nobody else may be able to put a directory or a socket of theirs in its place.
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
"""Every user of the machine can enter it, and only root makes anything there."""


def default_shared_directory(paths: Paths) -> Path:
    """Where the shared socket of `home` stands unless its owner names another directory.

    Root's stands where everybody reaches it. Another user has no such place that is theirs alone
    (in ``/tmp`` a name belongs to whoever comes first), so that their socket stands in their own
    home: a container reaches it by a mount, and for other users they name a directory.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return Path(paths.data_dir) / "shared"
    suffix = hashlib.sha256(os.fsencode(paths.data_dir)).hexdigest()[:8]
    return ROOT_RUNTIME_DIRECTORY / f"zoho-wizard-{suffix}"


def first_inaccessible_directory(directory: Path) -> Path | None:
    """The first directory on the way to `directory` that other users cannot enter; None: they
    can enter all of them, as far as the modes tell."""
    for each in reversed(directory.parents):
        if each.exists() and not each.stat().st_mode & stat.S_IXOTH:
            return each
    return None


def prepare_shared_directory(path: Path) -> None:
    """Make the directory, or see that it is ours alone to write and that nobody can put another
    in its place. Raises ``shared-directory-unsafe``."""
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
    """Be the only wizard that answers in the directory, for two homes may name the same one.
    Raises ``shared-directory-in-use``."""
    return ExclusiveLock(
        str(path / "socket.lock"), lambda: fail("shared-directory-in-use", path=str(path))
    )


def _replacement_reason(parent_status: os.stat_result) -> str:
    """Who else can put another in the place of what stands in a directory, empty where nobody can:
    its own user, and, unless it is sticky, whoever may write in it. A group of one's own is what
    many systems give to each user."""
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
