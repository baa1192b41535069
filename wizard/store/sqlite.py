"""The database in one SQLite file: created private, durable, migrated after a verified backup.

Every write transaction is ``BEGIN IMMEDIATE``, so that two processes queue at its start instead of
failing in its middle; a wait of more than `BUSY_TIMEOUT_SECONDS` is ``store-locked``. SQLite's
errors become failures by their error names, not their messages.
"""

import errno
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from tempfile import TemporaryDirectory, TemporaryFile
from typing import cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from wizard import files
from wizard.errors import WizardError, fail
from wizard.locks import ExclusiveLock
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.paths import CACHED_TOKEN_SUFFIX, Paths
from wizard.store import schema
from wizard.store.database import Database

Migration = Callable[[Connection], None]

BUSY_TIMEOUT_SECONDS = 10
"""No transaction includes a network call. But where hundreds of processes share two cores, one that
holds the lock may not run for seconds."""
MIN_FREE_BYTES = 64 * 1024  # SQLite's WAL index starts with half of that
RESERVED_BYTES = 256 * 1024  # a commit takes about ten pages of 4 KiB, with the WAL index
APPLICATION_ID = 0x5A574442  # "ZWDB": distinguishes our file from other SQLite databases
UNRELEASED_APPLICATION_ID = 0x5A4F4857  # "ZOHW": written before the first release

MIGRATIONS: tuple[Migration, ...] = ()
"""The first leads from schema version 1 to 2, and so on. Each is frozen SQL: it never uses
`schema`, which describes the newest version, and a released one is never edited."""

_PRAGMAS = (
    f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}",
    "journal_mode = WAL",
    "synchronous = FULL",  # a reported commit survives a power failure
    "fullfsync = ON",  # macOS: its plain fsync leaves the data in the drive's cache
    "checkpoint_fullfsync = ON",
    "foreign_keys = ON",
    "secure_delete = ON",
)

# A network file system may not support WAL, and a build of SQLite may change the default.
_REQUIRED_PRAGMAS = {"journal_mode": "wal", "synchronous": 2}

_TABLES_VERSION = "(SELECT user_version FROM pragma_user_version)"
_ACTIVITY = f"SELECT key_check, move IS NOT NULL, {_TABLES_VERSION} FROM installation"  # noqa: S608 - a constant

_FAILURE_CODES = {
    "SQLITE_BUSY": "store-locked",
    "SQLITE_LOCKED": "store-locked",
    "SQLITE_FULL": "disk-full",
    "SQLITE_CORRUPT": "store-damaged",
    "SQLITE_NOTADB": "store-damaged",
    "SQLITE_READONLY": "store-unwritable",
    "SQLITE_CANTOPEN": "store-unwritable",
    "SQLITE_IOERR": "store-unwritable",
    "SQLITE_PERM": "store-unwritable",
}


COPY_DIRECTORIES = (None, "/dev/shm", "/run/lock")  # noqa: S108 - a private one is made in it
"""Where a private copy may be: the usual place for temporary files, or in memory."""
COPY_LIFETIME_SECONDS = 5.0
"""After this time, a process that uses a copy tries the file again."""
_COPY_TRIES = 3


class _Copy:
    """A private copy of the database, with what was committed to its WAL.

    SQLite can't read a database where it can't write: on a full disk, or in a read-only file
    system.
    """

    def __init__(self, source: str, failure: Failure) -> None:
        """Raises OSError if there is no place for a copy."""
        self.failure = failure
        self.made_at = time.monotonic()
        errors: list[OSError] = []
        for place in COPY_DIRECTORIES:
            try:
                self._directory = TemporaryDirectory(prefix="zoho-wizard-", dir=place)
                try:
                    self.path = self._read(source)
                except BaseException:
                    self.remove()
                    raise
                return
            except OSError as error:
                errors.append(error)
        raise errors[0]

    def _read(self, source: str) -> str:
        path = os.path.join(self._directory.name, os.path.basename(source))
        for _ in range(_COPY_TRIES):
            before = _file_versions(source)
            for suffix in ("-wal", ""):
                with suppress(FileNotFoundError):
                    files.remove(path + suffix)
                    shutil.copyfile(source + suffix, path + suffix)
            if _file_versions(source) == before:  # no checkpoint in between
                break
        return path

    def remove(self) -> None:
        """Remove the copy."""
        with suppress(OSError):
            self._directory.cleanup()


def _file_versions(path: str) -> list[tuple[int, int]]:
    found = [os.stat(each) for each in (path, f"{path}-wal") if os.path.exists(each)]
    return [(each.st_size, each.st_mtime_ns) for each in found]


class SqliteDatabase(Database):
    """One SQLite file."""

    tables_version = _TABLES_VERSION

    def __init__(self, path: str, engine: Engine) -> None:
        super().__init__(path, engine)
        # SQLite makes waiting threads poll, and some would wait very long.
        self._write_lock = threading.Lock()
        self._own_connection: PoolProxiedConnection | None = None
        self._copy: _Copy | None = None

    @classmethod
    def open(cls, paths: Paths, migrations: Sequence[Migration] = MIGRATIONS) -> "SqliteDatabase":
        """Open the database of a data directory, creating or migrating it.

        Where SQLite can't write, a copy is read, and every write raises why. Raises `WizardError`:
        ``store-newer-version``, ``store-damaged``, ``store-unsafe``, ``store-unwritable``,
        ``store-locked``, ``disk-full``.
        """
        path = paths.database
        database = cls(path, _create_engine(path))
        database.known_version = 1 + len(migrations)
        try:
            with database._translate_errors():
                # The lock is taken only to create or migrate the file, so that a hundred programs
                # that start together don't queue to read its version.
                if not database._is_ready():
                    with ExclusiveLock(
                        paths.lock_file(":database"), lambda: _locked(path), BUSY_TIMEOUT_SECONDS
                    ):
                        _create_private_file(path)
                        database._migrate(paths, migrations)
        except WizardError as error:
            database.close()
            if error.failure.code not in codes_with("unwritable") or not os.path.exists(path):
                raise
            return cls._of_copy(path, error, database.known_version)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def _of_copy(cls, path: str, error: WizardError, newest: int) -> "SqliteDatabase":
        """A database that reads a private copy; raises `error` if there can be none, or if it would
        have to be migrated."""
        try:
            copy = _Copy(path, error.failure)
        except OSError:
            raise error from None
        database = cls(path, _create_engine(copy.path))
        database.known_version, database._copy = newest, copy
        try:
            with database.read() as connection:
                version = database._version(connection)
        except BaseException:
            database.close()
            raise
        if version != newest:
            database.close()
            raise error
        return database

    def _leave_copy(self) -> None:
        """After a while, use the file again if SQLite can; otherwise read a newer copy."""
        copy = self._copy
        if copy is None or time.monotonic() - copy.made_at < COPY_LIFETIME_SECONDS:
            return
        with self._write_lock:
            if self._copy is not copy:
                return
            engine = _create_engine(self.path)
            try:
                with engine.begin() as connection:
                    _begin(connection, "DEFERRED")
                    self._copy = None
            except (DBAPIError, sqlite3.Error, WizardError):
                engine.dispose()
                try:
                    self._copy = _Copy(self.path, copy.failure)
                except OSError:
                    copy.made_at = time.monotonic()
                    return
                engine = _create_engine(self._copy.path)
            self.engine, previous = engine, self.engine
            if self._own_connection is not None:
                self._own_connection.close()
                self._own_connection = None
            previous.dispose()
            copy.remove()

    def _require_writable(self) -> None:
        self._leave_copy()
        if self._copy is not None:
            raise WizardError(self._copy.failure)

    def close(self) -> None:
        """Close all connections; SQLite checkpoints the WAL with the last one."""
        if self._own_connection is not None:
            self._own_connection.close()
        self.engine.dispose()
        if self._copy is not None:
            self._copy.remove()

    @property
    def place(self) -> str:
        return os.path.dirname(self.path)

    @contextmanager
    def _begin_read(self) -> Iterator[Connection]:
        self._leave_copy()
        with self._translate_errors(), self.engine.begin() as connection:
            _begin(connection, "DEFERRED")
            yield connection

    @contextmanager
    def _begin_write(self) -> Iterator[Connection]:
        self._require_writable()
        with self._translate_errors(), self._write_lock, self.engine.begin() as connection:
            _begin(connection, "IMMEDIATE")
            yield connection

    def read_activity(self, connection: Connection) -> tuple[bytes, Mapping[str, str] | None]:
        key_check, is_moved = self._read_activity(_driver_connection(connection))
        return super().read_activity(connection) if is_moved else (key_check, None)

    def _read_activity(self, driver: sqlite3.Connection) -> tuple[bytes, bool]:
        """The key check, and whether there is a move. Before every write, so without SQLAlchemy,
        which takes several times as long."""
        key_check, is_moved, version = driver.execute(_ACTIVITY).fetchone()
        self.require_known(version)
        return key_check, bool(is_moved)

    def version(self) -> int:
        with self._own() as own:
            return int(own.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def write_own(self) -> Iterator[sqlite3.Connection]:
        """As `write`, on the connection that `version` asks, without SQLAlchemy."""
        self._require_writable()
        with self._own() as own:
            own.execute("BEGIN IMMEDIATE").close()
            try:
                if self.check_active is not None and self._read_activity(own)[1]:
                    raise fail("store-moved", path=self.path)
                yield own
                own.execute("COMMIT").close()
            except BaseException:
                if own.in_transaction:
                    own.execute("ROLLBACK").close()
                raise

    def write_rows(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        with self.write_own() as own:
            for statement, rows in statements:
                own.executemany(statement, rows).close()

    def remove_rows(self, connection: Connection, table: str) -> None:
        connection.exec_driver_sql(f'DELETE FROM "{table}"')  # noqa: S608 - a name of the schema

    def continue_ids(self, connection: Connection) -> None:
        """Does nothing: SQLite continues after the greatest ID."""

    def record_use(self, paths: Paths) -> None:
        """Does nothing: the file is in the data directory."""

    def shared_lock(
        self,
        name: str,
        refusal: Callable[[], WizardError],
        timeout_seconds: float,
        stop_waiting_if: Callable[[], bool],
    ) -> AbstractContextManager[None]:
        return nullcontext()  # no other machine uses it

    def defer_foreign_keys(self, connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # ends with the transaction

    @contextmanager
    def _own(self) -> Iterator[sqlite3.Connection]:
        with self._translate_errors(), self._write_lock:
            if self._own_connection is None:
                self._own_connection = self.engine.raw_connection()
            yield cast(sqlite3.Connection, self._own_connection.driver_connection)

    @contextmanager
    def reserve_space(self) -> Iterator[None]:
        with TemporaryFile(dir=os.path.dirname(self.path)) as file:
            try:
                file.write(os.urandom(RESERVED_BYTES))  # zeros may take no space
                file.flush()
            except OSError as error:
                details = {"path": self.path, "reason": os.strerror(error.errno or 0)}
                raise WizardError(Failure("disk-full", sent=False, details=details)) from error
            yield

    def checkpoint(self) -> None:
        """Write the WAL into the file and truncate it, so that deleted data is gone from both."""
        self._require_writable()
        with self._translate_errors(), self.engine.connect() as connection:
            _driver_connection(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _is_ready(self) -> bool:
        """Whether the file exists, is private, and has the newest version."""
        if not os.path.lexists(self.path):
            return False
        _require_private_file(self.path)
        with self.read() as connection:
            return self._version(connection) == self.known_version

    def _migrate(self, paths: Paths, migrations: Sequence[Migration]) -> None:
        if self._is_ready():
            return
        with self.write() as connection:
            version = self._version(connection)
            if version == 0:
                self._require_no_cached_tokens(paths)
                for statement in schema.creation_statements():
                    connection.exec_driver_sql(statement)
            else:
                self._back_up(version)
                for migrate in migrations[version - 1 :]:
                    migrate(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {self.known_version}")

    def _require_no_cached_tokens(self, paths: Paths) -> None:
        """Cached tokens without a database mean that the database was lost, unless a shared one has
        them."""
        is_lost = any(name.endswith(CACHED_TOKEN_SUFFIX) for name in os.listdir(paths.token_dir))
        if is_lost and not paths.uses_shared_store:
            raise fail("store-lost", path=self.path, cache=paths.token_dir)

    def read_tables_version(self, connection: Connection) -> int:
        return _read_pragma(connection, "user_version")

    def _version(self, connection: Connection) -> int:
        """The schema version of the file, 0 if it is new. Raises ``store-older-version``,
        ``store-damaged``, ``store-newer-version``."""
        version, owner = (_read_pragma(connection, n) for n in ("user_version", "application_id"))
        if owner == UNRELEASED_APPLICATION_ID:
            raise fail("store-older-version", path=self.path)
        ours = owner == APPLICATION_ID if version else not inspect(connection).get_table_names()
        if not ours:
            raise fail("store-damaged", path=self.path, reason="not a database of the wizard")
        self.require_known(version)
        return version

    def _back_up(self, version: int) -> None:
        """Copy the committed database beside the file, after an integrity check of the copy."""
        path = f"{self.path}.version-{version}"
        unfinished = path + ".unfinished"
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        _create_private_file(unfinished)
        with (
            closing(sqlite3.connect(self.path)) as source,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").close()
            if copy.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise fail("store-damaged", path=self.path, reason="integrity check")
        os.replace(unfinished, path)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert errors of SQLite and the file system to failures.

        Programming errors, such as a violated constraint, are raised unchanged.
        """
        try:
            yield
        except schema.UnreadableValue as error:
            raise self.unreadable(error) from error
        except (DBAPIError, sqlite3.Error, OSError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            code, reason = _classify_error(cause)
            if code is None:
                raise
            if code == "store-unwritable" and _is_full(self.path):
                code = "disk-full"
            details = {"path": self.path, "reason": reason}
            failure = Failure(code, temporary=code == "store-locked", details=details)
            raise WizardError(failure) from error


def _locked(path: str) -> WizardError:
    details = {"path": path, "reason": "another process is opening it"}
    return WizardError(Failure("store-locked", temporary=True, details=details))


def _create_private_file(path: str) -> None:
    """Create ``path`` empty and private; SQLite would apply the umask.

    The files beside it (``-wal``, ``-shm``) get its mode. An existing file must be private, too.
    """
    try:
        files.create(path)
    except FileExistsError:
        _require_private_file(path)


def _require_private_file(path: str) -> None:
    found = os.lstat(path)
    private = os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)
    if not (stat.S_ISREG(found.st_mode) and private):
        raise fail("store-unsafe", path=path)


def _create_engine(path: str) -> Engine:
    # As many connections as there are threads: a limited pool isn't fair, and a thread that waits
    # for a token could find no connection for so long that it fails.
    engine = create_engine(
        URL.create("sqlite", database=path),
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=0,
    )

    @event.listens_for(engine, "connect")
    def apply_pragmas(driver: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        driver.isolation_level = None  # transactions begin explicitly
        # SQLite's own functions ignore the case of ASCII letters only.
        driver.create_function("casefold", 1, str.casefold, deterministic=True)
        for pragma in _PRAGMAS:
            driver.execute(f"PRAGMA {pragma}").close()
        kept = [driver.execute(f"PRAGMA {name}").fetchone()[0] for name in _REQUIRED_PRAGMAS]
        if kept != list(_REQUIRED_PRAGMAS.values()):
            raise fail("store-unwritable", path=path, reason=f"journal {kept[0]}")

    return engine


def _begin(connection: Connection, mode: str) -> None:
    """Begin a transaction; the driver begins none. SQLAlchemy ends it."""
    _driver_connection(connection).execute(f"BEGIN {mode}").close()


def _driver_connection(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _read_pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _is_full(path: str) -> bool:
    """Whether the disk lacks space for SQLite's smallest file, reported as an I/O error."""
    return shutil.disk_usage(os.path.dirname(path)).free < MIN_FREE_BYTES


def _classify_error(error: BaseException | None) -> tuple[str | None, str]:
    """The failure code of an error (None: a programming error), and its reason."""
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return "disk-full" if full else "store-unwritable", os.strerror(error.errno or 0)
    name = getattr(error, "sqlite_errorname", "")
    return _FAILURE_CODES.get("_".join(name.split("_")[:2])), name
