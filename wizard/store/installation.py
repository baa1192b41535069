"""The row of this installation: backups, deactivation and monitoring."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Update, func, literal, select, update

from wizard.model import Failure
from wizard.store import schema
from wizard.store.database import Database, Repository
from wizard.store.schema import UtcDateTime
from wizard.timefmt import format_iso, parse_iso
from wizard.vault import labels

_INSTALLATION = schema.installation

KEY_CHECK_TEXT = "zoho-wizard"
"""What is sealed to recognize the key of a database."""

ARRIVING = "arriving"
"""The state of a move in the store that gets everything, until the other one is deactivated."""
MOVED_AWAY = "moved-away"
"""The state of a move in the store that was deactivated."""

_MACHINE_ID_FILE = Path("/etc/machine-id")
_MOUNTS_FILE = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Place:
    """Where a data directory is, to notice that it was copied."""

    files: str
    """The numbers of the directory and of the database in their file system; a copy has others. A
    container that is made again finds the same ones."""
    machine: str = ""
    """`machine_digest`: a container may get another ID each time."""

    @classmethod
    def current(cls, database_path: str) -> "Place":
        """The place of the database at `database_path`. Raises OSError."""
        numbers = (os.stat(each).st_ino for each in (os.path.dirname(database_path), database_path))
        return cls("-".join(map(str, numbers)), machine_digest())

    def is_copy_of(self, recorded: "Place") -> bool:
        """Judge whether this is a copy of the data directory in the `recorded` place."""
        machines = {self.machine, recorded.machine} - {""}
        return self.files != recorded.files or len(machines) > 1


def machine_digest() -> str:
    """A digest of the ID of the machine; empty if that isn't known, and in a container."""
    try:
        mounts = [line.split() for line in _MOUNTS_FILE.read_text("utf-8").splitlines()]
        roots = [each[each.index("-") + 1] for each in mounts if each[4] == "/"]
        machine_id = _MACHINE_ID_FILE.read_text("ascii").strip()
    except (OSError, ValueError, IndexError):
        return ""
    if roots[-1:] == ["overlay"]:  # of a container
        return ""
    # The ID itself must not leave the machine (machine-id(5)); a backup of the data may.
    return hashlib.sha256(f"zoho-wizard {machine_id}".encode()).hexdigest() if machine_id else ""


class InstallationRepository(Repository):
    """The backups and the deactivation of this installation."""

    def backed_up_at(self) -> datetime | None:
        """When the last backup was written; None: never."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.backed_up_at))

    def backed_up_on(self) -> str | None:
        """The ID of the machine that wrote the last backup."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.backed_up_on))

    def record_backup(self, at: datetime) -> None:
        """Record that this machine wrote a backup and read it back."""
        self._update_installation(backed_up_at=at, backed_up_on=self.database.machine_id)

    def deactivated_at(self) -> datetime | None:
        """When this installation was deactivated; None: it is active."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.deactivated_at))

    def set_deactivated(self, at: datetime | None) -> None:
        """Deactivate this installation, so that it sends nothing to Zoho; None: activate it."""
        self._update_installation(deactivated_at=at)

    def is_copied(self) -> bool:
        """Whether the data directory was copied here, or its machine was. False if it isn't known
        where it was."""
        if self.database.is_shared:
            return False
        recorded = _installation(self.database).place
        try:
            here = Place.current(self.database.path)
        except OSError:
            return False
        return recorded is not None and here.is_copy_of(Place(**recorded))

    def record_place(self) -> None:
        """Record that the data directory is here, and nowhere else."""
        if not self.database.is_shared:
            self._update_installation(place=vars(Place.current(self.database.path)))

    def _update_installation(self, **values: object) -> None:
        with self.database.write() as c:
            c.execute(update(_INSTALLATION).values(**values))


@dataclass(frozen=True)
class NotifyFailure:
    """Why the last notification failed, and when."""

    at: datetime
    failure: Failure


class MonitoringRepository(Repository):
    """What monitoring has checked and notified, so that a restart doesn't notify again."""

    def last_checked_at(self) -> datetime | None:
        """When all connections were last checked; None: never."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.last_checked_at))

    def last_check(self) -> tuple[datetime | None, str | None]:
        """When all connections were last checked, and the ID of the machine that did."""
        row = _installation(self.database)
        return row.last_checked_at, row.last_checked_on

    def notified(self) -> dict[str, datetime]:
        """The marks of current failures that a notification has reported, each with the time of the
        last notification."""
        with self.database.read() as c:
            known = _notified(c)
        return {mark: parse_iso(at) for mark, at in known.items()}

    def is_all_clear_due(self) -> bool:
        """Whether a failure was reported and no all-clear has arrived since."""
        with self.database.read() as c:
            return c.scalar(select(_INSTALLATION.c.all_clear_due_since)) is not None

    def record_check(
        self,
        at: datetime,
        still: Iterable[str],
        *,
        is_settled: bool,
        is_of_connections: bool = True,
    ) -> None:
        """Record a check of all connections, or only of the destinations here. Of the reported
        marks, keep those in `still`. `is_settled`: everything works and an all-clear, if due, has
        arrived."""
        values: dict[str, object] = {}
        if is_of_connections:
            values = {"last_checked_at": at, "last_checked_on": self.database.machine_id}
        if is_settled:
            values["all_clear_due_since"] = None
        with self.database.write() as c:
            kept = set(still)
            notified = {mark: when for mark, when in _notified(c).items() if mark in kept}
            c.execute(update(_INSTALLATION).values(notified=notified, **values))

    def record_notified(self, marks: Iterable[str], at: datetime) -> None:
        """Record that a notification with these marks has arrived. One without marks is an
        all-clear or a test."""
        new = dict.fromkeys(sorted(marks), format_iso(at))
        if not new:
            return
        since = func.coalesce(_INSTALLATION.c.all_clear_due_since, literal(at, UtcDateTime))
        with self.database.write() as c:
            notified = {**_notified(c), **new}
            c.execute(update(_INSTALLATION).values(notified=notified, all_clear_due_since=since))

    def notify_command(self) -> str:
        """The command line or URL for notifications; empty if there is none. It is sealed, so that
        writing to the file isn't enough to run a command."""
        with self.database.read() as c:
            sealed = c.scalar(select(_INSTALLATION.c.notify_command))
        return (
            self._vault.unseal(sealed, labels.INSTALLATION, "1", labels.NOTIFY_COMMAND)
            if sealed
            else ""
        )

    def set_notify_command(self, command: str) -> None:
        """Store a command or URL for notifications; an empty one also clears the last failure."""
        with self.database.write() as c:
            sealed = (
                self._vault.seal(command, labels.INSTALLATION, "1", labels.NOTIFY_COMMAND)
                if command
                else None
            )
            c.execute(update(_INSTALLATION).values(notify_command=sealed))
            if not command:
                c.execute(_failed(None))

    def notify_failure(self) -> NotifyFailure | None:
        """Why the last notification failed; None if it arrived or there was none."""
        row = _installation(self.database)
        return (
            NotifyFailure(row.notify_failed_at, row.notify_failure) if row.notify_failure else None
        )

    def note_notified(self, failed: NotifyFailure | None) -> None:
        """Record the result of the last notification; None: it arrived."""
        with self.database.write() as c:
            c.execute(_failed(failed))


def _installation(database: Database) -> Row[Any]:
    """The row of this installation, which a snapshot reads once."""

    def load() -> Row[Any]:
        with database.read() as c:
            return c.execute(select(_INSTALLATION)).one()

    return database.once("installation", load)


def _failed(failed: NotifyFailure | None) -> Update:
    at, failure = (failed.at, failed.failure) if failed else (None, None)
    return update(_INSTALLATION).values(notify_failed_at=at, notify_failure=failure)


def forget_connection(c: Connection, name: str) -> None:
    """Drop the marks of connection `name`, which is being removed: a new connection of that name
    starts with the same generations. An all-clear stays due."""
    _drop_marks(c, lambda mark: mark.split()[1:2] == [name])


def forget_machine(c: Connection, machine_id: str) -> None:
    """Drop the marks of destinations on a machine that is being removed."""
    _drop_marks(c, lambda mark: machine_of(mark) == machine_id)


def forget_machines(c: Connection) -> None:
    """Drop the marks of destinations on all machines."""
    _drop_marks(c, lambda mark: machine_of(mark) != "")


def machine_of(mark: str) -> str:
    """The ID of the machine whose destination a mark is about; empty for one of a connection, and
    in a local store."""
    return "".join(mark.split()[3:4])


def _drop_marks(c: Connection, is_dropped: Callable[[str], bool]) -> None:
    known = _notified(c)
    notified = {mark: when for mark, when in known.items() if not is_dropped(mark)}
    if len(notified) < len(known):
        c.execute(update(_INSTALLATION).values(notified=notified))


def rename_connection(c: Connection, name: str, new_name: str) -> None:
    """Keep the marks of connection `name` under its new name."""
    known = _notified(c)
    renamed = {_renamed_mark(mark, name, new_name): when for mark, when in known.items()}
    if renamed != known:
        c.execute(update(_INSTALLATION).values(notified=renamed))


def _renamed_mark(mark: str, name: str, new_name: str) -> str:
    words = mark.split(" ")
    return " ".join([words[0], new_name, *words[2:]]) if words[1:2] == [name] else mark


def _notified(c: Connection) -> Mapping[str, str]:
    return c.scalar(select(_INSTALLATION.c.notified)) or {}
