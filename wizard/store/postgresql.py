"""The database on PostgreSQL, which several machines share.

A write transaction begins with one advisory lock for the whole store, so that writers queue and
each sees what the one before it wrote; nothing waits for Zoho meanwhile. Keys of locks contain the
store's ID, because other programs may lock in the same database.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from secrets import token_hex
from typing import Any, LiteralString

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from wizard import files, locks
from wizard.errors import WizardError, fail
from wizard.fastpath.shared_store import CLOCK_PRECISION_SECONDS, Address, clock_difference
from wizard.model import Event, Failure
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.store import schema
from wizard.store.database import Database
from wizard.store.history import insert_event
from wizard.store.installation import machine_digest
from wizard.store.machines import own_machine_id

# isort: split
import psycopg  # after `shared_store`, which raises ``postgresql-missing``
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown

Migration = Callable[[Connection], None]

MIGRATIONS: tuple[Migration, ...] = ()
"""As those of `wizard.store.sqlite`, for PostgreSQL."""

LOCK_TIMEOUT_SECONDS = 5
"""No transaction includes a network call, so a longer wait is an error."""
FREE_CONNECTION_TIMEOUT_SECONDS = 5
"""How long to wait for a connection, of the server or of this process: each is needed for
milliseconds."""
KEPT_CONNECTIONS, MORE_CONNECTIONS = 5, 10
"""How many connections a process keeps open, and how many more it opens while its threads need
them. Of `serve`, eight threads serve pages, and five check connections; those of its sockets rarely
need the database. Locks have connections of their own."""
IDLE_SECONDS = 1.0
"""After this time, an open connection is tried before it is used: the server may have restarted."""

_MAX_REASON_CHARACTERS = 200
_LIBPQ_QUESTION = re.compile(r" Is the server running [^?]*\?")
"""What libpq adds to an error, on a line of its own; our advice says the same."""

_FAILURE_CODES = {
    "25006": "database-unwritable",  # a read-only database
    "42501": "database-unwritable",  # the role has no right
    "53100": "disk-full",
    "55P03": "store-locked",
    "58030": "database-unwritable",
    "XX001": "store-damaged",
    "XX002": "store-damaged",
}
_NO_FREE_CONNECTION = re.compile(r"too many (clients|connections)|connection slots are reserved")
"""How a server refuses one connection more; libpq passes on the sentence only. In a different
language, it isn't waited for."""
_REPLICA = "server is in hot standby mode"
"""How libpq refuses a server that isn't the primary one."""
_UNREACHABLE_CLASSES = ("08", "28", "3D", "53", "57")
"""Connection lost, role refused, no such database, too many connections, shut down."""

_CLOCK: LiteralString = "extract(epoch FROM clock_timestamp())"
_SET_UP_SESSION = f"""
    SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_SECONDS}s', false),
        CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
            THEN set_config('synchronous_commit', 'on', false) END,
        current_setting('fsync'), {_CLOCK}
"""
_KEEP_SESSION = """
    SELECT set_config('idle_session_timeout', '0', false),
        set_config('tcp_keepalives_idle', '10', false),
        set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '3', false)
"""
"""The server ends the session of a machine that lost its power before others stop waiting."""
_PID = "SELECT pg_backend_pid()"
_HOLDS_LOCK = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND pid = pg_backend_pid() AND objsubid = 1
        AND (classid::bigint << 32 | objid::bigint) = %s)
"""
_TABLES = text("""
    SELECT relname FROM pg_catalog.pg_class
    WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
        AND relname = ANY(:names)
""")
_OWNERSHIP = """
    SELECT current_schema() AS namespace, pg_has_role(owner, 'USAGE') AS is_owner,
        (SELECT pg_has_role(oid, owner, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = %s)
            AS may_own
    FROM (SELECT relowner AS owner FROM pg_catalog.pg_class WHERE oid = 'events'::regclass) AS found
"""
"""Whether this session may do what the owner of the tables may, and whether a role may; null if
there is no such role."""
_IDENTITY = Table("zoho_wizard_store", MetaData(), Column("version", Integer), Column("id", Text))
"""One row: the version of the schema, and the ID of the store."""


_RETENTION_END = f"""to_char((now() AT TIME ZONE 'UTC') - interval '{schema.RETENTION.days} days',
    'YYYY-MM-DD"T"HH24:MI:SS')"""
_KEEP_EVENTS = (
    """CREATE FUNCTION zoho_wizard_has_only_texts(text) RETURNS boolean LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(bool_and(json_typeof(value) = 'string'), true) FROM json_each($1::json)
    $$""",
    # A row that can't be read would hide all others, and nobody may remove it. A time zone may turn
    # the end of the year 9999 into a time that Python doesn't have.
    """ALTER TABLE events ADD CHECK (
        to_char(at::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') = at
        AND at BETWEEN '1970' AND '9999' AND zoho_wizard_has_only_texts(details)
    )""",
    f"""CREATE FUNCTION zoho_wizard_keep_events() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.kind IN ({schema.SERVING_KINDS}) AND OLD.at < {_RETENTION_END} THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'events are only added' USING ERRCODE = 'insufficient_privilege';
    END $$""",
    """CREATE TRIGGER zoho_wizard_keep_events BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION zoho_wizard_keep_events()""",
    """CREATE TRIGGER zoho_wizard_keep_all_events BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION zoho_wizard_keep_events()""",
    # With the rights of the owner: the role that machines use may have none to delete.
    f"""DO $do$
    BEGIN
        EXECUTE format($f$CREATE FUNCTION {schema.PRUNE_EVENTS}() RETURNS void LANGUAGE sql
            SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS $body$
                DELETE FROM %I.events
                WHERE kind IN ({schema.SERVING_KINDS}) AND at < {_RETENTION_END}
            $body$$f$, current_schema());
    END $do$""",  # noqa: S608 - only constants are inserted
)
"""What makes the server refuse to change an event, to remove one before its time, and to add one
that can't be read."""


class PostgresqlDatabase(Database):
    """A store in the current schema of one database."""

    is_shared = True
    tables_version = "(SELECT version FROM zoho_wizard_store)"

    def __init__(self, address: Address) -> None:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: _connect(address),
            pool_size=KEPT_CONNECTIONS,
            max_overflow=MORE_CONNECTIONS,
            pool_timeout=FREE_CONNECTION_TIMEOUT_SECONDS,
            hide_parameters=True,
            use_native_hstore=False,
        )
        super().__init__(address.shown, engine)
        self.address = address
        self._reader = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writer = engine.execution_options(isolation_level="READ COMMITTED")
        self._write_lock = threading.Lock()  # a waiting thread needs no connection
        _prepare_connections(self)

    @classmethod
    def open(
        cls,
        paths: Paths,
        migrations: Sequence[Migration] = MIGRATIONS,
        *,
        may_create: bool = False,
    ) -> "PostgresqlDatabase":
        """Open the database that `paths` names. Its tables are created only with `may_create`.

        Raises ``database-unreachable``, ``database-replica``, ``database-not-prepared``,
        ``database-replaced``, ``database-unsafe``, ``store-newer-version``, and as `Address.parse`.
        """
        database = cls(Address.parse(paths.database_url))
        database.machine_id = paths.machine.partition(" ")[0]
        try:
            database._open(migrations, may_create=may_create)
            if paths.shared_store_id not in ("", database.id):
                marker = paths.shared_store_marker
                raise fail("database-replaced", path=database.path, marker=marker)
        except BaseException:
            database.close()
            raise
        return database

    @property
    def place(self) -> str:
        return self.path

    def close(self) -> None:
        self.engine.dispose()

    def compare_clocks(self, asked_at: float, server_time: float) -> None:
        """Compare this machine's clock, when it asked and now, with the server's answer, all in
        seconds since 1970. A small difference is ignored, and so is a slow answer. Raises
        ``store-damaged`` if it is so large that times could have no year."""
        most = CLOCK_PRECISION_SECONDS
        try:
            ahead = clock_difference(asked_at, time.time(), server_time)
        except ValueError as error:
            raise fail("store-damaged", path=self.path, reason=str(error)) from None
        if ahead is not None and abs(ahead - self.clock_offset.total_seconds()) > most:
            self.clock_offset = timedelta(seconds=ahead if abs(ahead) > most else 0)

    def version(self) -> Hashable:
        with self.read() as connection:
            return str(connection.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar())

    def write_rows(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        with self.write() as connection:
            cursor = connection.connection.cursor()
            for statement, rows in statements:
                cursor.executemany(statement.replace("?", "%s"), rows)

    def reserve_space(self) -> AbstractContextManager[None]:
        return nullcontext()  # of another machine

    def checkpoint(self) -> None:
        """Does nothing: deleted rows stay in the server's files until it reuses their space."""

    def remove_rows(self, connection: Connection, table: str) -> None:
        # Only the owner of the table may do that.
        connection.exec_driver_sql(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
        connection.exec_driver_sql(f'DELETE FROM "{table}"')  # noqa: S608 - a name of the schema
        connection.exec_driver_sql(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')

    def continue_ids(self, connection: Connection) -> None:
        for table in schema.metadata.sorted_tables:
            if (column := table.autoincrement_column) is not None:
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                last = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
                connection.execute(select(func.setval(sequence, last, False)))

    def defer_foreign_keys(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")

    @contextmanager
    def shared_lock(
        self,
        name: str,
        refusal: Callable[[], WizardError],
        timeout_seconds: float,
        stop_waiting_if: Callable[[], bool],
    ) -> Iterator[None]:
        begun = time.monotonic()
        with self._translate_errors():
            own = _connect(self.address, autocommit=True)
        try:
            with self._translate_errors():
                self._require_session(own)
                while not _scalar(own, "SELECT pg_try_advisory_lock(%s)", self.lock_key(name)):
                    if time.monotonic() >= begun + timeout_seconds or stop_waiting_if():
                        raise refusal()
                    locks.pause(begun)
                if not _scalar(own, _HOLDS_LOCK, self.lock_key(name)):
                    raise fail("database-pooled", path=self.path)
            yield
        finally:
            own.close()  # releases the lock, as the end of the process does

    def _require_session(self, own: "psycopg.Connection[Any]") -> None:
        """Set up a connection that holds a lock. Raises ``database-pooled`` if it doesn't have a
        session of its own, because a proxy gives it one for each transaction."""
        own.execute(_KEEP_SESSION)
        before = _scalar(own, _PID)
        with self.read() as other:  # gets the server's session that `own` used last, if it can
            theirs = other.exec_driver_sql(_PID).scalar_one()
            after = _scalar(own, _PID)
        if before != after or before == theirs:
            raise fail("database-pooled", path=self.path)

    def lock_key(self, name: str) -> int:
        """The key of an advisory lock of this store."""
        digest = hashlib.sha256(f"zoho-wizard\0{self.id}\0{name}".encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    def record_use(self, paths: Paths) -> None:
        try:
            if paths.shared_store_id != self.id:
                with self.write():  # refused if everything was moved away meanwhile
                    files.replace(paths.shared_store_marker, f"{self.id}\n".encode())
            self.machine_id = own_machine_id(paths, machine_digest())
        except OSError as error:
            details = {"path": str(error.filename), "reason": error.strerror or ""}
            raise fail("store-unwritable", **details) from error

    def grant(self, role: str) -> None:
        """Let a role use the store without owning it: it can't change the tables or the history.

        Raises ``database-not-owner``, ``database-role-unknown``, ``database-role-owner``.
        """
        with self.write() as connection:
            found = connection.exec_driver_sql(_OWNERSHIP, (role,)).one()
            if not found.is_owner:
                raise fail("database-not-owner", path=self.path)
            if found.may_own is None:
                raise fail("database-role-unknown", role=role, path=self.path)
            if found.may_own:
                raise fail("database-role-owner", role=role)
            quote = connection.dialect.identifier_preparer.quote_identifier
            name = quote(role)
            for statement in (
                f"GRANT USAGE ON SCHEMA {quote(found.namespace)} TO {name}",
                f"GRANT SELECT ON {_IDENTITY.name} TO {name}",
                *_grant_statements(name),
            ):
                connection.exec_driver_sql(statement.replace("%", "%%"))
            granted = Event(self.now(), "", "role-granted", {"role": role})
            insert_event(connection, granted, self.machine_id)

    @contextmanager
    def _begin_read(self) -> Iterator[Connection]:
        with self._translate_errors(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _begin_write(self) -> Iterator[Connection]:
        with self._translate_errors(), self._write_lock, self._writer.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pg_advisory_xact_lock(%s)", (self.lock_key("write"),)
            )
            yield connection

    def _open(self, migrations: Sequence[Migration], *, may_create: bool) -> None:
        newest = self.known_version = 1 + len(migrations)
        with self.read() as connection:
            version = self._version(connection)
        if version < newest:
            if version == 0 and not may_create:
                raise fail("database-not-prepared", path=self.path)
            with self.write() as connection:
                version = self._version(connection)
                if version == 0:
                    self._create(connection, newest)
                else:
                    for migrate in migrations[version - 1 :]:
                        migrate(connection)
                    connection.execute(update(_IDENTITY).values(version=newest))
                version = self._version(connection)
        self.require_known(version)

    def read_tables_version(self, connection: Connection) -> int:
        return int(connection.execute(select(_IDENTITY.c.version)).scalar_one())

    def _version(self, connection: Connection) -> int:
        """The schema version, 0 if there is no store; remembers its ID."""
        names = {"names": [_IDENTITY.name, *schema.metadata.tables]}
        found = set(connection.execute(_TABLES, names).scalars())
        if not found:
            return 0
        if _IDENTITY.name not in found:
            raise fail("store-damaged", path=self.path, reason="not a database of the wizard")
        version, self.id = connection.execute(select(_IDENTITY)).one()
        return int(version)

    def _create(self, connection: Connection, newest: int) -> None:
        for statement in (*schema.creation_statements("postgresql"), *_KEEP_EVENTS):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        _IDENTITY.create(connection)
        connection.execute(insert(_IDENTITY).values(version=newest, id=token_hex(16)))

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except schema.UnreadableValue as error:
            raise self.unreadable(error) from error
        except TimeoutError as error:
            failure = fail("store-locked", path=self.path).failure
            raise WizardError(replace(failure, temporary=True)) from error
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            state = getattr(cause, "sqlstate", None) or ""
            is_lost = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
            code = _FAILURE_CODES.get(state)
            if code is None and is_lost and state[:2] in ("", *_UNREACHABLE_CLASSES):
                code = "database-replica" if _REPLICA in str(cause) else "database-unreachable"
            if code is None:
                raise
            said = _LIBPQ_QUESTION.sub("", " ".join(str(cause).split()))
            reason = said[:_MAX_REASON_CHARACTERS].rstrip(" .")
            details = {"path": self.path, "reason": reason}
            is_temporary = code in codes_with("database_away")
            raise WizardError(Failure(code, temporary=is_temporary, details=details)) from error


def _grant_statements(role: str) -> Iterator[str]:
    """The SQL that lets a role, whose name is quoted, use the tables that another role owns. It may
    add events, and the server says which role added them."""
    for table in schema.metadata.sorted_tables:
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if table is schema.events:
            added = (each for each in table.columns if not each.server_default)
            names = ", ".join(f'"{each.name}"' for each in added if not each.primary_key)
            rights = f"SELECT, INSERT ({names})"
        yield f'REVOKE ALL ON "{table.name}" FROM {role}'
        yield f'GRANT {rights} ON "{table.name}" TO {role}'
        if table.autoincrement_column is not None:
            yield f'GRANT USAGE ON SEQUENCE "{table.name}_id_seq" TO {role}'


def _connect(address: Address, *, autocommit: bool = False) -> "psycopg.Connection[Any]":
    """Connect, once the server has a free connection."""
    begun = time.monotonic()
    while True:
        try:
            return psycopg.connect(**address.parameters, autocommit=autocommit)
        except psycopg.OperationalError as error:
            is_late = time.monotonic() >= begun + FREE_CONNECTION_TIMEOUT_SECONDS
            if is_late or not _NO_FREE_CONNECTION.search(str(error)):
                raise
        locks.pause(begun)


def _scalar(connection: "psycopg.Connection[Any]", statement: LiteralString, *values: Any) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


class _TextDumper(StrDumperUnknown):
    """Sends text without NUL, which PostgreSQL can't store and psycopg refuses. No value that the
    wizard accepts contains one, so what has one is not found."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd"))


def _prepare_connections(database: PostgresqlDatabase) -> None:
    """Set up each new connection, and try one that wasn't used for a while."""

    @event.listens_for(database.engine, "connect")
    def set_up(driver: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
        driver.adapters.register_dumper(str, _TextDumper)
        driver.autocommit = True  # settings of a transaction that is undone are undone, too
        asked_at = time.time()
        *_, fsync, now = driver.execute(_SET_UP_SESSION).fetchone() or ("off", asked_at)
        database.compare_clocks(asked_at, float(now))
        driver.autocommit = False
        if fsync == "off":
            raise fail("database-unsafe", path=database.path)

    @event.listens_for(database.engine, "checkin")
    def note_use(driver: "psycopg.Connection[Any] | None", record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()
        if driver is not None and not driver.closed:
            # After a read, SQLAlchemy would begin with READ WRITE, whatever the server's default.
            driver.read_only = None

    @event.listens_for(database.engine, "checkout")
    def try_connection(
        driver: "psycopg.Connection[Any]",
        record: ConnectionPoolEntry,
        proxy: PoolProxiedConnection,
    ) -> None:
        used_at = record.info.get("used_at")
        if used_at is not None and time.monotonic() - used_at > IDLE_SECONDS:
            try:
                asked_at = time.time()
                database.compare_clocks(asked_at, float(_scalar(driver, f"SELECT {_CLOCK}")))
                driver.rollback()
            except psycopg.Error as error:
                raise DisconnectionError from error
