"""What the repositories need of a database, whichever engine it has.

`open_database` opens the one of a data directory: the file of `wizard.store.sqlite`, or a shared
one on PostgreSQL, whose module is imported only then.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar, cast

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Table,
    Update,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite

from wizard.errors import Conflict, WizardError, fail
from wizard.model import Clock, Failure
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.store import schema
from wizard.vault import Vault

Result = TypeVar("Result")

AWAY_TRIES = 30
"""Tries, a second apart, to store what exists nowhere else while a shared database is away: it may
be restarting."""


class Database(ABC):
    """One database. Threads may share it; it must not be used after a fork.

    A `snapshot` is one read transaction for one thread, and can't write: nothing is read twice, and
    what is read of one connection is read of all `names` in the same statement.
    """

    is_shared = False
    """Whether other machines may use it, too."""
    tables_version: ClassVar[str]
    """SQL for the version of the tables."""

    def __init__(self, path: str, engine: Engine) -> None:
        self.path = path
        """What messages call it."""
        self.engine = engine
        self.id = ""
        """The ID of a shared store; it stays the same when the database is moved."""
        self.names: set[str] = set()
        """The connections that a snapshot is about."""
        self.known_version = 0
        """The version of the tables that this process knows."""
        self.clock_offset = timedelta()
        """How much the clock of a shared database is ahead of this machine's."""
        self.machine_id = ""
        """Of this machine in a shared database. Empty in a local one, as in its rows."""
        self.check_active: Callable[[bytes, Mapping[str, str] | None], None] | None = None
        """Gets the key check and the move of the installation in each write transaction, before
        anything is sealed for it. Raises if everything was moved away, or if the values of this
        process would be sealed with a key that was replaced."""
        self.note_use: Callable[[Connection], None] | None = None
        """Gets each write transaction of a shared database, to record that this machine uses it."""
        installation = schema.installation.c
        self._activity = select(
            installation.key_check, installation.move, literal_column(self.tables_version, Integer)
        )
        self._snapshot: Connection | None = None
        self._known: dict[Hashable, Any] = {}

    def now(self) -> datetime:
        """The time by the clock that the machines share."""
        return datetime.now(UTC) + self.clock_offset

    def synchronized(self, clock: Clock) -> Clock:
        """`clock`, corrected by the clock that the machines share."""
        return (lambda: clock() + self.clock_offset) if self.is_shared else clock

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for messages about what it doesn't contain."""

    @abstractmethod
    def read_tables_version(self, connection: Connection) -> int:
        """The version of the tables, as this connection sees them now."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    def version(self) -> Hashable:
        """A value that changes when the database does, except perhaps by `write_rows`."""

    @abstractmethod
    def write_rows(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        """Run each statement, with ``?`` for values, for each of its rows, in one transaction and
        without SQLAlchemy: for what is written hundreds of times a second. Nothing sealed."""

    @abstractmethod
    def reserve_space(self) -> AbstractContextManager[None]:
        """Reserve disk space within the block for the commits after it, where that is possible.
        Raises ``disk-full``."""

    @abstractmethod
    def checkpoint(self) -> None:
        """Remove deleted data from the files, where that is possible."""

    @abstractmethod
    def defer_foreign_keys(self, connection: Connection) -> None:
        """Check foreign keys only at the end of this transaction."""

    @abstractmethod
    def remove_rows(self, connection: Connection, table: str) -> None:
        """Remove all rows of a table, even of one to which rows can only be added."""

    @abstractmethod
    def continue_ids(self, connection: Connection) -> None:
        """Number new rows after those that were inserted with their IDs."""

    @abstractmethod
    def record_use(self, paths: Paths) -> None:
        """Record in a data directory that it uses this shared database, and as which machine."""

    @abstractmethod
    def shared_lock(
        self,
        name: str,
        refusal: Callable[[], WizardError],
        timeout_seconds: float,
        stop_waiting_if: Callable[[], bool],
    ) -> AbstractContextManager[None]:
        """Hold a lock on all machines that use the database; the caller holds it on this one.

        Raises what `refusal` returns if another machine has it for longer than `timeout_seconds`,
        or `stop_waiting_if` becomes true.
        """

    @abstractmethod
    def _begin_read(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _begin_write(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _translate_errors(self) -> AbstractContextManager[None]: ...

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot to read from."""
        if self._snapshot is None:
            with self._begin_read() as connection:
                yield connection
        else:
            with self._translate_errors():
                yield self._snapshot

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction, durable when this returns, undone when it raises. The next one, of
        any process, begins after it."""
        if self._snapshot is not None:
            raise RuntimeError("a snapshot can't write")
        with self._begin_write() as connection:
            if self.check_active is not None:
                self.check_active(*self.read_activity(connection))
            if self.note_use is not None:
                self.note_use(connection)
            yield connection

    def read_activity(self, connection: Connection) -> tuple[bytes, Mapping[str, str] | None]:
        """The key check and the move of the installation. Raises ``store-newer-version`` if another
        process has changed the tables since this one opened them."""
        key_check, move, version = connection.execute(self._activity).one()
        self.require_known(version)
        return key_check, move

    def unreadable(self, error: schema.UnreadableValue) -> WizardError:
        """The failure for a value that can't be read."""
        details = {"path": self.path, "column": error.column, "value": error.value}
        return fail(
            "store-value-unreadable", **{name: each for name, each in details.items() if each}
        )

    def require_known(self, version: int) -> None:
        """Raise ``store-newer-version`` if this process doesn't know a version of the tables."""
        if version > self.known_version:
            raise fail("store-newer-version", path=self.path, version=str(version))

    @contextmanager
    def snapshot(self) -> Iterator["Database"]:
        """A read transaction for everything that a page or a command shows."""
        with self.read() as connection:
            self.require_known(self.read_tables_version(connection))
            view = copy(self)
            view.names, view._known, view._snapshot = set(), {}, connection
            yield view

    @property
    def is_snapshot(self) -> bool:
        """Whether this is one read transaction."""
        return self._snapshot is not None

    def once(self, key: Hashable, load: Callable[[], Result]) -> Result:
        """The result of `load`, which a snapshot calls once per key."""
        if self._snapshot is None:
            return load()
        if key not in self._known:
            self._known[key] = load()
        return cast(Result, self._known[key])

    def of_each(
        self, kind: str, load: Callable[[Collection[str]], Mapping[str, Result]], name: str
    ) -> Result | None:
        """The result of `load` for connection `name`; a snapshot loads all its names at once."""
        if self._snapshot is None:
            return load([name]).get(name)
        known = self._known.setdefault(kind, {})
        if name not in known:
            self.remember(kind, dict.fromkeys({name, *self.names} - known.keys()))
            self.remember(kind, load({each for each, found in known.items() if found is None}))
        return cast(Result | None, known[name])

    def known(self, kind: str) -> Mapping[str, Any]:
        """What a snapshot has read of a kind, by connection."""
        return cast(Mapping[str, Any], self._known.get(kind, {}))

    def remember(self, kind: str, found: Mapping[str, Any]) -> None:
        """Add what was read elsewhere to what `of_each` knows."""
        if self._snapshot is not None:
            self._known.setdefault(kind, {}).update(found)


def store_surely(store: Callable[[], Result], sleep: Callable[[float], None]) -> Result:
    """Return what `store` returns, which stores what exists nowhere else: a new refresh token.

    While a shared database is away, it is called again. A connection that ended may have committed,
    so `store` must accept that it was done.
    """
    for _ in range(AWAY_TRIES - 1):
        try:
            return store()
        except WizardError as error:
            if error.failure.code not in codes_with("database_unreachable"):
                raise
        sleep(1)
    return store()


def open_database(paths: Paths) -> Database:
    """Open the database of a prepared data directory; create or migrate a file.

    Raises ``store-newer-version``, ``store-damaged``, ``store-unsafe``, ``store-unwritable``,
    ``store-locked``, ``disk-full``; and for a shared database ``database-url-missing`` and what
    `PostgresqlDatabase.open` raises.
    """
    try:
        url, shared_store_id = paths.database_url, paths.shared_store_id
    except OSError as error:
        details = {"path": str(error.filename), "reason": error.strerror or ""}
        raise fail("store-unwritable", **details) from error
    if url:
        from wizard.store.postgresql import PostgresqlDatabase

        return PostgresqlDatabase.open(paths)
    if shared_store_id:
        raise fail("database-url-missing", path=paths.shared_store_marker)
    from wizard.store.sqlite import SqliteDatabase

    return SqliteDatabase.open(paths)


class Repository:
    """The reads and writes of one kind of record."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self._vault = vault


def insert_row(c: Connection, table: Table, /, **values: Any) -> None:
    """Insert one row. No value may be an SQL expression."""
    c.execute(insert(table), values)


def insert_if_absent(c: Connection, table: Table, /, **values: Any) -> None:
    """Insert one row, unless there is one with the same key."""
    c.execute(_insert(c, table).values(**values).on_conflict_do_nothing())


def insert_or_update(c: Connection, table: Table, first: Mapping[str, Any], **values: Any) -> None:
    """Insert one row with `first` and `values`; if there is one with the same key, set `values`."""
    row = _insert(c, table).values(**{**first, **values})
    c.execute(row.on_conflict_do_update(index_elements=[*table.primary_key], set_=values))


def _insert(c: Connection, table: Table) -> Any:
    """An `INSERT` of the engine, with its clauses about conflicts."""
    if c.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def update_one(connection: Connection, update: Update, subject: str) -> None:
    """Run a conditional update of one row; raises `Conflict` if its condition isn't met."""
    if connection.execute(update).rowcount != 1:
        raise Conflict(
            Failure(code="changed-meanwhile", temporary=True, details={"subject": subject})
        )


def suggest_names(name: str, known: Iterable[str]) -> str:
    """The known names most similar to ``name`` regardless of case, separated by commas."""
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3)
    return ", ".join(by_folded[each] for each in near)
