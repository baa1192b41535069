"""The tables, and the column types for the values of the model.

A ``LargeBinary`` column is sealed by the vault; no other column is secret. Times are
stored as ISO 8601 in UTC with microseconds, so that text order is time order.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from secrets import token_hex
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_mock_engine,
    literal,
    text,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from wizard.model import (
    TOKEN_SERVING_EVENTS,
    Account,
    AttemptMode,
    AttemptState,
    Failure,
    GrantState,
    HttpExchange,
    Identifier,
    Organization,
    RequestKind,
    SecretState,
    StepEvidence,
    StepState,
)
from wizard.timefmt import format_iso, is_storable, parse_iso

Value = TypeVar("Value")

_MAX_QUOTED_CHARACTERS = 60


class UnreadableValue(Exception):
    """A value of a column that the wizard never writes there."""

    def __init__(self, column: str, value: object) -> None:
        super().__init__(column)
        self.column = column
        """With its table; empty if it's unknown."""
        self.value = str(value)[:_MAX_QUOTED_CHARACTERS]


class _TextValue(TypeDecorator[Value]):
    """A value that is stored as text. `read` may raise what its parsers raise."""

    impl = Text
    cache_ok = True
    column_name = ""

    def read(self, value: str) -> Value:
        """The value of a text."""
        raise NotImplementedError

    def process_result_value(self, value: str | None, dialect: Dialect) -> Value | None:
        """Raises `UnreadableValue`."""
        if value is None:
            return None
        try:
            return self.read(value)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UnreadableValue(self.column_name, value) from error


class UtcDateTime(_TextValue[datetime]):
    """An aware datetime in UTC, as text of fixed width."""

    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Raises ValueError for a naive datetime."""
        return None if value is None else format_iso(value)

    def read(self, value: str) -> datetime:
        at = parse_iso(value)
        if not is_storable(at):
            raise ValueError("not a time of the wizard")
        return at


class SpaceSeparated(_TextValue[tuple[str, ...]]):
    """Words without spaces, such as scopes, in order."""

    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        return " ".join(value or ())

    def read(self, value: str) -> tuple[str, ...]:
        return tuple(value.split())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        return super().process_result_value(value or "", dialect)


class EnumValue(_TextValue[StrEnum]):
    """One member of an enumeration, by its value."""

    cache_ok = True

    def __init__(self, enum_type: type[StrEnum]) -> None:
        super().__init__()
        self.enum_type = enum_type

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enum_type(value).value

    def read(self, value: str) -> StrEnum:
        return self.enum_type(value)


class Json(_TextValue[Any]):
    """A value as JSON; ``dump`` and ``load`` convert it to and from what JSON can hold."""

    cache_ok = True

    def __init__(self, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> None:
        super().__init__()
        self.dump = dump
        self.load = load

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(self.dump(value), ensure_ascii=False)

    def read(self, value: str) -> Any:
        return self.load(json.loads(value))


def _failure_to_json(failure: Failure) -> dict[str, Any]:
    exchange = failure.exchange
    return {
        "code": failure.code,
        "zoho_error": failure.zoho_error,
        "temporary": failure.temporary,
        "sent": failure.sent,
        "details": dict(failure.details),
        "exchange": exchange
        and {
            **vars(exchange),
            "parameters": dict(exchange.parameters),
            "at": format_iso(exchange.at),
        },
        "retry_at": failure.retry_at and format_iso(failure.retry_at),
    }


def _failure_from_json(stored: dict[str, Any]) -> Failure:
    exchange, retry_at = stored["exchange"], stored["retry_at"]
    if exchange:
        exchange = HttpExchange(**{**exchange, "at": parse_iso(exchange["at"])})
    retry_at = retry_at and parse_iso(retry_at)
    return Failure(**{**stored, "exchange": exchange, "retry_at": retry_at})


FAILURE = Json(_failure_to_json, _failure_from_json)
ACCOUNT = Json(vars, lambda stored: Account(**stored))
ORGANIZATIONS = Json(
    lambda organizations: [vars(each) for each in organizations],
    lambda stored: tuple(
        Organization(**each) for each in stored if Identifier.of(each["id"]) is not None
    ),
)
"""Skips stored organizations whose ID isn't valid; the next check finds them again."""
EVIDENCE = Json(
    lambda evidence: [{"code": each.code, "values": dict(each.values)} for each in evidence],
    lambda stored: tuple(StepEvidence(**each) for each in stored),
)


def _texts(*keys: str) -> Callable[[Any], dict[str, str]]:
    """What reads a mapping from text to text, with exactly these keys if any are given."""

    def load(stored: Any) -> dict[str, str]:
        if keys and stored.keys() != {*keys}:
            raise ValueError("other keys")
        if not all(isinstance(each, str) for each in stored.values()):
            raise TypeError("not text")
        return dict(stored)

    return load


def _times(stored: Any) -> dict[str, str]:
    for each in stored.values():
        parse_iso(each)
    return dict(stored)


MAPPING = Json(dict, _texts())
TIMES = Json(dict, _times)
PLACE = Json(dict, _texts("files", "machine"))
MOVE = Json(dict, _texts("id", "state", "place", "url"))


metadata = MetaData()

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("zoho_instance", Text, nullable=False),
    Column("key_check", LargeBinary, nullable=False),
    Column("backed_up_at", UtcDateTime),
    # Moved to another installation: two that refresh one grant would exceed its rate limit.
    Column("deactivated_at", UtcDateTime),
    Column("last_checked_at", UtcDateTime),
    Column("notified", TIMES),
    # Someone was notified of a failure, and no all-clear has arrived since.
    Column("all_clear_due_since", UtcDateTime),
    Column("notify_command", LargeBinary),
    Column("notify_failed_at", UtcDateTime),
    Column("notify_failure", FAILURE),
    Column("place", PLACE),
    # Why the store isn't active: everything is being moved here, or was moved away.
    Column("move", MOVE),
    # The machines that wrote the last backup and checked all connections last.
    Column("backed_up_on", Text),
    Column("last_checked_on", Text),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("location", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("has_common_secret", Boolean, nullable=False),
    Column("registered_by", Text, nullable=False),
    Column("created_at", UtcDateTime),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    Column("client_id", ForeignKey(clients.c.client_id, ondelete="CASCADE"), primary_key=True),
    Column("location", Text, primary_key=True),
    Column("state", EnumValue(SecretState), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    # Its history keeps the names that it had: this is what stays the same when it's renamed.
    Column("id", Text, nullable=False, unique=True, default=lambda: token_hex(8)),
    Column("client_id", ForeignKey(clients.c.client_id), nullable=False, index=True),
    Column("scope", SpaceSeparated, nullable=False),
    Column("location", Text),
    Column("generation", Integer, nullable=False, index=True),
    # Generations aren't reused: a cached access token is bound to one.
    Column("last_generation", Integer, nullable=False),
    Column("presets", SpaceSeparated, nullable=False),
    Column("created_at", UtcDateTime),
    Column("owner", Text, nullable=False),
    Column("tags", SpaceSeparated, nullable=False),
    Column("note", Text, nullable=False),
    Column("expected_email", Text, nullable=False),
    Column("expected_organization", Text, nullable=False),
    Column("expected_environment", Text, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "connection", ForeignKey(connections.c.name, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("client_id", Text, nullable=False),
    Column("mode", EnumValue(AttemptMode), nullable=False),
    Column("state", EnumValue(AttemptState), nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("authorization_endpoint", Text, nullable=False),
    Column("token_endpoint", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", SpaceSeparated, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("oauth_state", LargeBinary, nullable=False),
    Column("oauth_state_hash", Text, nullable=False, unique=True),
    Column("code_verifier", LargeBinary, nullable=False),
    Column("binding", Text, nullable=False),
    Column("failed_tries", Integer, nullable=False),
    Column("generation", Integer),
    Column("widened_generation", Integer),
    Column("failure", FAILURE),
)

grants = Table(
    "grants",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("client_id", Text, nullable=False, index=True),
    Column("refresh_token", LargeBinary, nullable=False),
    Column("scope", SpaceSeparated, nullable=False),
    Column("location", Text, nullable=False),
    Column("state", EnumValue(GrantState), nullable=False, index=True),
    Column("granted_at", UtcDateTime, nullable=False),
    Column("account", ACCOUNT),
    Column("organizations", ORGANIZATIONS, nullable=False),
    Column("failure", FAILURE),
    Column("rotated_at", UtcDateTime),
)

verification_reports = Table(
    "verification_reports",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    ForeignKeyConstraint(
        ["connection", "generation"], [grants.c.connection, grants.c.generation], ondelete="CASCADE"
    ),
)

verification_steps = Table(
    "verification_steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connection", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", EnumValue(StepState), nullable=False, index=True),
    Column("evidence", EVIDENCE, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("failure", FAILURE),
    UniqueConstraint("connection", "generation", "name"),
    ForeignKeyConstraint(
        ["connection", "generation"],
        [verification_reports.c.connection, verification_reports.c.generation],
        ondelete="CASCADE",
    ),
)

# The request log and the history are kept after a connection is removed: no foreign keys.
token_requests = Table(
    "token_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", EnumValue(RequestKind), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("zuid", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("retry_at", UtcDateTime),
    Index("ix_token_requests_client_at", "client_id", "at"),
    Index("ix_token_requests_connection_at", "connection", "at"),
)

RETENTION = timedelta(days=30)
"""How long requests are kept, and events of `TOKEN_SERVING_EVENTS`: Zoho's rate limits need ten
minutes, people a month."""
SERVING_KINDS = ", ".join(f"'{each}'" for each in TOKEN_SERVING_EVENTS)
"""`TOKEN_SERVING_EVENTS` in SQL."""
IS_NO_SERVING = f"(kind NOT IN ({SERVING_KINDS}))"
"""A condition on events. SQLite uses the index with it only for the same text."""
PRUNE_EVENTS = "zoho_wizard_prune_events"
"""The function of a shared database that removes events older than `RETENTION`."""


class session_role(FunctionElement[str]):
    """The role that this session signed in to a shared database with; empty in a local one."""

    type = Text()
    inherit_cache = True


@compiles(session_role)
def _session_role(element: session_role, compiler: SQLCompiler, **options: Any) -> str:
    return "''"


@compiles(session_role, "postgresql")
def _session_role_of_postgresql(
    element: session_role, compiler: SQLCompiler, **options: Any
) -> str:
    return "session_user"


# Rows are only added, and those of served tokens are removed after `RETENTION`.
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("connection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("details", MAPPING, nullable=False),
    Column("user", Text, nullable=False),
    Column("process_id", Integer),
    Column("machine", Text, nullable=False),
    Column("database_role", Text, nullable=False, server_default=session_role()),
    Column("connection_id", Text, index=True),
    Index("ix_events_kind_at", "kind", "at"),
    Index(
        "ix_events_changes",
        "connection_id",
        sqlite_where=text(IS_NO_SERVING),
    ),
)

rejected_refresh_tokens = Table(
    "rejected_refresh_tokens",
    metadata,
    Column("fingerprint", Text, primary_key=True),
)

destinations = Table(
    "destinations",
    metadata,
    Column("id", Integer, primary_key=True),
    # The one whose files and programs it names; empty in a local store.
    Column("machine", Text, nullable=False),
    Column(
        "connection", ForeignKey(connections.c.name, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("profile", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("field_names", MAPPING, nullable=False),
    Column("field_values", MAPPING, nullable=False),
    Column("reload_command", Text, nullable=False),
    Column("file_mode", Text, nullable=False),
    Column("file_group", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("delivered_at", UtcDateTime),
    Column("reloaded_at", UtcDateTime),
    Column("content_sha256", Text, nullable=False),
    Column("failure", FAILURE),
    Column("previous_generation", Integer, nullable=False),
    Column("previous_content", LargeBinary),
    Column("token_digest", Text),
    Column("seal", LargeBinary, nullable=False),
    UniqueConstraint("machine", "connection", "target", "entry"),
)

access_permissions = Table(
    "access_permissions",
    metadata,
    # User IDs mean different users on other machines. Empty in a local store.
    Column("machine", Text, primary_key=True),
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("uid", Integer, primary_key=True),
    Column("user", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

key_permissions = Table(
    "key_permissions",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("comment", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

# Kept after a new access token: a rejected one is never cached again.
rejections = Table(
    "rejections",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("forced_at", UtcDateTime),
)

# Only in a shared store: what its machines copy into their files of cached access tokens.
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("name", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    info={"is_shared": True},
)

# Only in a shared store: the data directories that use it.
machines = Table(
    "machines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("last_seen_at", UtcDateTime, nullable=False),
    info={"is_shared": True},
)

shared_grants = Table(
    "shared_grants",
    metadata,
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("backup_host", Text, nullable=False),
    Column("backup_created_at", UtcDateTime, nullable=False),
)

reauthorizations = Table(
    "reauthorizations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("paused", Boolean, nullable=False),
)

reauthorization_items = Table(
    "reauthorization_items",
    metadata,
    Column(
        "reauthorization_id",
        ForeignKey(reauthorizations.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("connection", ForeignKey(connections.c.name, ondelete="CASCADE"), primary_key=True),
    Column("previous_generation", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("additional_scope", SpaceSeparated, nullable=False),
    Column("new_account_email", Text, nullable=False),
    Column("grace_period_seconds", Integer, nullable=False),
    Column("skipped", Boolean, nullable=False),
)


for _table in metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, _TextValue):
            _column.type = _column.type.copy()
            _column.type.column_name = f"{_table.name}.{_column.name}"


@cache
def creation_statements(engine: str = "sqlite") -> tuple[str, ...]:
    """The SQL that creates all tables and indexes, compiled once for all stores of a process.

    ``engine`` is ``sqlite`` or ``postgresql``.
    """
    statements: list[str] = []
    mock = create_mock_engine(f"{engine}://", lambda ddl, *_: statements.append(compiled(ddl)))

    def compiled(ddl: ExecutableDDLElement) -> str:
        return str(ddl.compile(dialect=mock.dialect))

    tables = metadata if engine == "sqlite" else _tables_of_postgresql()
    wanted = [each for each in tables.sorted_tables if engine != "sqlite" or not each.info]
    tables.create_all(mock, wanted, checkfirst=False)
    return (*_FUNCTIONS, *statements) if engine == "postgresql" else tuple(statements)


_FUNCTIONS = (
    """CREATE FUNCTION zoho_wizard_fold_case(text) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT lower($1)'""",
    """DO $$
    DECLARE chosen text;
    BEGIN
        SELECT quote_ident(collname) INTO chosen FROM pg_catalog.pg_collation
        WHERE collname IN ('und-x-icu', 'pg_c_utf8')
            AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
        ORDER BY collname DESC LIMIT 1;
        IF chosen IS NOT NULL THEN
            EXECUTE format('CREATE OR REPLACE FUNCTION zoho_wizard_fold_case(text) RETURNS text
                LANGUAGE sql IMMUTABLE AS %L', 'SELECT lower($1 COLLATE ' || chosen || ')');
        END IF;
    END $$""",
)
"""`lower` of a database whose locale is C leaves all but ASCII as it is."""


def _tables_of_postgresql() -> MetaData:
    """The same tables with text in the order of its bytes, as in SQLite, with integers of 64 bits,
    the same partial indexes, and foreign keys that a transaction can defer."""
    tables = MetaData()
    for each in metadata.sorted_tables:
        table = each.to_metadata(tables)
        for column in table.columns:
            of_column = getattr(column.type, "impl_instance", column.type)
            if isinstance(of_column, Text):
                column.type = Text(collation="C")
            elif isinstance(of_column, Integer):
                column.type = BigInteger()
        for constraint in table.foreign_key_constraints:
            constraint.deferrable = True
        for index in table.indexes:
            # As an option of the index itself, it would load the dialect in every process.
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return tables


class json_value(FunctionElement[str]):
    """The text in a JSON column under a key; NULL if there is none."""

    type = Text()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], key: str) -> None:
        super().__init__(type_coerce(column, Text), literal(key, Text))


@compiles(json_value)
def _json_value(element: json_value, compiler: SQLCompiler, **options: Any) -> str:
    column, key = (compiler.process(each, **options) for each in element.clauses)
    return f"json_extract({column}, '$.' || {key})"


@compiles(json_value, "postgresql")
def _json_value_of_postgresql(element: json_value, compiler: SQLCompiler, **options: Any) -> str:
    column, key = (compiler.process(each, **options) for each in element.clauses)
    return f"(CAST({column} AS json) ->> {key})"


class json_list(FunctionElement[str]):
    """The distinct values of a column as a JSON array; ``[null]`` may be one of them."""

    type = Text()
    inherit_cache = True


@compiles(json_list)
def _json_list(element: json_list, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array(DISTINCT {compiler.process(element.clauses, **options)})"


@compiles(json_list, "postgresql")
def _json_list_of_postgresql(element: json_list, compiler: SQLCompiler, **options: Any) -> str:
    values = compiler.process(element.clauses, **options)
    return f"CAST(coalesce(jsonb_agg(DISTINCT {values}), '[]') AS text)"


class contains_folded(FunctionElement[bool]):
    """Whether a text contains another one, which is in lower case."""

    type = Boolean()
    inherit_cache = True


@compiles(contains_folded)
def _contains_folded(element: contains_folded, compiler: SQLCompiler, **options: Any) -> str:
    column, part = (compiler.process(each, **options) for each in element.clauses)
    return f"instr(casefold({column}), {part}) > 0"


@compiles(contains_folded, "postgresql")
def _contains_folded_of_postgresql(
    element: contains_folded, compiler: SQLCompiler, **options: Any
) -> str:
    column, part = (compiler.process(each, **options) for each in element.clauses)
    return f"strpos(zoho_wizard_fold_case({column}), {part}) > 0"
