"""The log of the access tokens that commands served, until they are in the history.

A cached token is printed in the time that opening the database would take, so each is one line
here: when (seconds since 1970), the user's number, the process that asked, the authorization, the
connection, and, if it was asked over SSH, the key's fingerprint and comment.
"""

import os
import time

from wizard import files, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 16 * 1024 * 1024
"""Of the log. Some 300,000 lines, if no other command runs for years."""


SYNC_INTERVAL_SECONDS = 1
"""Of what was served, a power failure loses at most what this time covers."""


class ServedToken:
    """One line of the log."""

    __slots__ = ("at", "comment", "fingerprint", "generation", "name", "process_id", "user_id")

    def __init__(
        self,
        at: float,
        user_id: int,
        process_id: int,
        generation: int,
        name: str,
        fingerprint: str = "",
        comment: str = "",
    ) -> None:
        self.at = at
        self.user_id = user_id
        self.process_id = process_id
        self.generation = generation
        self.name = name
        self.fingerprint = fingerprint
        """Of the SSH key; empty: it was asked on this machine."""
        self.comment = comment


def note(log: str, name: str, generation: int, process_id: int, key: str = "") -> None:
    """Add that ``process_id`` got a token of connection ``name``. ``key`` is the fingerprint and
    the comment of an SSH key, separated by a space. A log that can't be written doesn't stop the
    program that needs the token."""
    user_id, now = os.getuid() if hasattr(os, "getuid") else -1, time.time()
    line = f"{now:.6f} {user_id} {process_id} {generation} {name} {key}".rstrip() + "\n"
    try:
        descriptor = files.open_to_append(log)
        try:
            locks.lock_open_file(descriptor)
            found = os.fstat(descriptor)
            if found.st_size < MAX_BYTES:
                os.write(descriptor, line.encode())
                # A program may ask many times a second: the access time says when the last one
                # waited for the disk.
                if not 0 <= now - found.st_atime < SYNC_INTERVAL_SECONDS:
                    os.fsync(descriptor)
                    os.utime(log, (now, now))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def take(log: str, record: "Callable[[list[ServedToken]], None]") -> None:
    """Give all lines to ``record`` and remove them. If it raises, they stay."""
    descriptor = files.open_to_append(log)
    try:
        locks.lock_open_file(descriptor)
        size = os.fstat(descriptor).st_size
        if size:
            os.lseek(descriptor, 0, os.SEEK_SET)
            record(list(filter(None, map(_parse, os.read(descriptor, size).splitlines()))))
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _parse(line: bytes) -> ServedToken | None:
    """A line; None if it isn't whole, as after a full disk."""
    try:
        at, user_id, process_id, generation, name, *key = line.decode().split(" ", 6)
        return ServedToken(float(at), int(user_id), int(process_id), int(generation), name, *key)
    except ValueError:
        return None
