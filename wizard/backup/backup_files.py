"""A backup's file: private from birth, put in place whole, and only over another backup."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from wizard.errors import WizardError, fail
from wizard.vault.keys import sync_directory
from wizard.vault.passphrase import is_encrypted_backup

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Bytes; ten thousand connections make some twenty million."""


def read(path: Path) -> bytes:
    """The file's content; raises ``backup-unreadable``."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise fail("backup-not-one")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _file_error("backup-unreadable", path, error) from error
    if len(content) > MAX_FILE_BYTES:
        raise fail("backup-not-one")
    return content


def write(path: Path, content: bytes) -> None:
    """Replace the file at `path`, durably, or leave what is there as it is.

    Raises ``backup-file-taken`` for a link, a directory, or a file that is no backup, and
    ``backup-unwritable`` where the system refuses.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    try:
        _require_replaceable(path)
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
        sync_directory(str(path.parent))
    except OSError as error:
        raise _file_error("backup-unwritable", path, error) from error


def _require_replaceable(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise fail("backup-file-taken", path=str(path))
    if path.exists():
        with path.open("rb") as file:
            if not is_encrypted_backup(file.read(64)):
                raise fail("backup-file-taken", path=str(path))


def _file_error(code: str, path: Path, error: OSError) -> WizardError:
    return fail(code, path=str(path), reason=os.strerror(error.errno or 0))
