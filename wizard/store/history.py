"""What happened: the events of each connection, the log of every request to an accounts server, and
what that log says about each grant."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Function,
    Row,
    Select,
    Subquery,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    union,
    update,
)

from wizard.errors import WizardError, fail
from wizard.model import (
    Account,
    AttemptState,
    Clock,
    Event,
    Failure,
    Grant,
    GrantState,
    RequestKind,
    StepState,
    TokenRequest,
)
from wizard.model.failure import codes_with
from wizard.paths import current_user, host_name, user_name
from wizard.store import schema
from wizard.store.database import Database, Repository, update_one
from wizard.store.grants import RECENT_GRANTS, is_same_grant
from wizard.store.schema import UtcDateTime, json_value
from wizard.timefmt import format_date, format_iso

_EVENTS = schema.events
_GRANTS = schema.grants.c
_REQUESTS = schema.token_requests.c
_CONNECTIONS = schema.connections.c
_STEPS = schema.verification_steps.c

RETENTION = schema.RETENTION

_EVENT_COLUMNS = [_EVENTS.c[each.name] for each in fields(Event)]
_EVENT = ", ".join(f'events."{each.name}"' for each in _EVENT_COLUMNS)
_LAST_EVENTS = {
    engine: text(statement).columns(_CONNECTIONS.name, *_EVENT_COLUMNS)
    for engine, statement in {
        # Only constants are inserted.
        "sqlite": f"""
        SELECT connections.name, {_EVENT} FROM json_each(:names) AS asked
        JOIN connections ON connections.name = asked.value
        JOIN events ON events.id IN (
            SELECT id FROM (
                SELECT id FROM events
                WHERE connection_id = connections.id AND {schema.IS_NO_SERVING}
                ORDER BY id DESC LIMIT :most)
            UNION ALL SELECT id FROM (
                SELECT id FROM events
                WHERE connection_id = connections.id AND NOT {schema.IS_NO_SERVING}
                ORDER BY id DESC LIMIT :most_serving))
        ORDER BY events.id DESC""",  # noqa: S608
        "postgresql": f"""
        SELECT connections.name, {_EVENT}
        FROM json_array_elements_text(CAST(:names AS json)) AS asked(value)
        JOIN connections ON connections.name = asked.value,
        LATERAL (
            (SELECT * FROM events
                WHERE connection_id = connections.id AND {schema.IS_NO_SERVING}
                ORDER BY id DESC LIMIT :most)
            UNION ALL (SELECT * FROM events
                WHERE connection_id = connections.id AND NOT {schema.IS_NO_SERVING}
                ORDER BY id DESC LIMIT :most_serving)) AS events
        ORDER BY events.id DESC""",  # noqa: S608
    }.items()
}
"""The last events of each connection, found by indexes: there may be a million of one kind."""

DELETE_OLD_SERVING_EVENTS = f"""
    DELETE FROM events WHERE kind IN ({schema.SERVING_KINDS}) AND at < ?"""  # noqa: S608 - constants
_INSERT_EVENT = """
    INSERT INTO events
        (at, connection, kind, details, "user", process_id, machine, connection_id)
    VALUES (?, ?, ?, ?, ?, ?, {machine}, (SELECT id FROM connections WHERE name = ?))"""
_INSERT_LOCAL_EVENT = _INSERT_EVENT.format(machine="?")
_INSERT_SHARED_EVENT = _INSERT_EVENT.format(
    machine="coalesce((SELECT name FROM machines WHERE id = ?), ?)"
)
ROWS_AT_ONCE = 1000
"""Of an export, which may be longer than the memory allows."""


def key_details(fingerprint: str, comment: str) -> dict[str, str]:
    """Which SSH key asked for an access token, as details of an event."""
    return {"fingerprint": fingerprint, "key": comment}


def insert_event(c: Connection, event: Event, machine_id: str) -> None:
    """Add an event that this process causes to the history, within a larger transaction.
    ``machine_id`` is that of its database."""
    values = {each: getattr(event, each) for each in ("at", "connection", "kind", "details")}
    values |= _origin(event)
    same = select(_CONNECTIONS.id).where(_CONNECTIONS.name == event.connection)
    query = insert(_EVENTS).values(connection_id=same.scalar_subquery())
    if machine_id:
        machines = schema.machines.c
        name = select(machines.name).where(machines.id == machine_id).scalar_subquery()
        query = query.values(machine=func.coalesce(name, values.pop("machine")))
    c.execute(query, values)


def _origin(event: Event) -> dict[str, Any]:
    """What is recorded of who caused an event: this process, unless the event says who."""
    origin: dict[str, Any] = {"user": event.user, "process_id": event.process_id}
    if not event.user:
        user = user_name(os.getuid()) if hasattr(os, "getuid") else current_user()
        origin = {"user": user, "process_id": os.getpid()}
    return {**origin, "machine": host_name()}


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; what is empty or None excludes none."""

    connections: Collection[str] = ()
    """Names: the events that were recorded under them, and those of the connections that have them
    now."""
    since: datetime | None = None
    until: datetime | None = None
    users: Collection[str] = ()
    machines: Collection[str] = ()
    kinds: Collection[str] = ()

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """The conditions on `schema.events`."""
        columns = _EVENTS.c
        if self.connections:
            here = select(_CONNECTIONS.id).where(_CONNECTIONS.name.in_(self.connections))
            yield or_(columns.connection.in_(self.connections), columns.connection_id.in_(here))
        if self.since is not None:
            yield columns.at >= self.since
        if self.until is not None:
            yield columns.at < self.until
        wanted = (self.users, columns.user), (self.machines, columns.machine)
        for values, column in (*wanted, (self.kinds, columns.kind)):
            if values:
                yield column.in_(values)


class EventRepository(Repository):
    """The history of every connection and of the installation. Nothing in it is ever changed."""

    def record(self, event: Event) -> None:
        """Add an event that this process causes."""
        with self.database.write() as c:
            insert_event(c, event, self.database.machine_id)

    def record_token_serving(self, *events: Event) -> None:
        """Add, in one commit, that programs were given access tokens or were refused them; delete
        the old ones, which an index finds."""
        if not events:
            return
        is_shared, rows = self.database.is_shared, []
        for each in events:
            user, process_id, host = _origin(each).values()
            machine = (self.database.machine_id, host) if is_shared else (host,)
            details = json.dumps(each.details)
            what = format_iso(each.at), each.connection, each.kind, details
            rows.append((*what, user, process_id, *machine, each.connection))
        insertion = _INSERT_SHARED_EVENT if is_shared else _INSERT_LOCAL_EVENT
        self.database.write_rows(self._pruning(events), (insertion, rows))

    def _pruning(self, events: Collection[Event]) -> tuple[str, list[tuple[object, ...]]]:
        """The statement that deletes what is older than `RETENTION`, with its values. In a shared
        database, the server's clock counts."""
        if self.database.is_shared:
            return f"SELECT {schema.PRUNE_EVENTS}()", [()]
        end = format_iso(max(each.at for each in events) - RETENTION)
        return DELETE_OLD_SERVING_EVENTS, [(end,)]

    def of_connection(
        self, name: str, limit: int = 50, max_serving_events: int = 10
    ) -> list[Event]:
        """The last events of a connection, also under its earlier names, newest first; at most
        `max_serving_events` of them are `TOKEN_SERVING_EVENTS`, which would crowd out the others.
        """
        limits = limit, min(max_serving_events, limit)
        found = self.database.of_each(f"events {limits}", partial(self._load, limits), name) or []
        # Tokens that commands served are recorded later.
        return sorted(found, key=lambda each: each.at, reverse=True)[:limit]

    def _load(self, limits: tuple[int, int], names: Collection[str]) -> dict[str, list[Event]]:
        most, most_serving = limits
        values = {"names": json.dumps(list(names)), "most": most, "most_serving": most_serving}
        found = defaultdict(list)
        with self.database.read() as c:
            for name, *event in c.execute(_LAST_EVENTS[c.dialect.name], values):
                found[name].append(Event(*event))
        return found

    def search(self, wanted: EventFilter, limit: int | None = None) -> Iterator[Event]:
        """The last `limit` events that are wanted, or all, oldest first. They are read while the
        caller uses them."""
        by_time = _EVENTS.c.at, _EVENTS.c.id
        last = (
            select(_EVENTS)
            .where(*wanted.conditions())
            .order_by(*(each.desc() for each in by_time))
            .limit(limit)
            .subquery()
        )
        query = select(*(last.c[each.name] for each in _EVENT_COLUMNS))
        oldest_first = query.order_by(last.c.at, last.c.id)
        with self.database.read() as c:
            for row in c.execute(oldest_first.execution_options(yield_per=ROWS_AT_ONCE)):
                yield Event(*row)


REQUEST_TIMEOUT = timedelta(seconds=60)
"""A request to Zoho without an answer is under way for at most this time."""
QUIET_TIMEOUT_SECONDS = 10.0
QUIET_POLL_INTERVAL_SECONDS = 0.1


@contextmanager
def write_when_quiet(
    database: Database, clock: Clock, sleep: Callable[[float], None]
) -> Iterator[Connection]:
    """A write transaction while no request to Zoho is under way. None begins before its end, so
    that nobody gets a token that can't be stored. Raises ``requests-under-way``."""
    end = time.monotonic() + QUIET_TIMEOUT_SECONDS
    while True:
        with database.write() as c:
            if not _has_requests_under_way(c, clock):
                yield c
                return
        if time.monotonic() >= end:
            raise WizardError(Failure("requests-under-way", temporary=True))
        sleep(QUIET_POLL_INTERVAL_SECONDS)


def _has_requests_under_way(c: Connection, clock: Clock) -> bool:
    attempts = schema.attempts.c
    storing = exists().where(
        attempts.connection == _REQUESTS.connection,
        attempts.state == AttemptState.EXCHANGE_INTENT,
    )
    recent = select(_REQUESTS.id).where(
        _REQUESTS.at > clock() - REQUEST_TIMEOUT, or_(_REQUESTS.outcome == "pending", storing)
    )
    return c.execute(recent.limit(1)).first() is not None


class RequestLogRepository(Repository):
    """The token requests with their outcomes."""

    def add(
        self,
        request: TokenRequest,
        check: Callable[[Sequence[TokenRequest]], None] | None = None,
        since: datetime | None = None,
    ) -> int:
        """Record a request before it is sent; return its ID for `finish`.

        `check` gets the requests of the same client and data center from ``since`` on, newest
        first, and prevents this one by raising. Of concurrent processes, each sees the earlier
        ones.

        Every request passes here, so a deactivated installation is stopped here: raises
        ``installation-deactivated``.
        """
        with self.database.write() as c:
            if deactivation_time := c.scalar(select(schema.installation.c.deactivated_at)):
                raise fail("installation-deactivated", since=format_date(deactivation_time))
            if check is not None:
                of_client = {"client_id": request.client_id, "location": request.location}
                check(_select_requests(c, since or request.at - RETENTION, of_client))
            c.execute(delete(schema.token_requests).where(_REQUESTS.at < request.at - RETENTION))
            written = insert(schema.token_requests).values(**vars(request)).returning(_REQUESTS.id)
            return int(c.execute(written).scalar_one())

    def finish(self, request_id: int, outcome: str, retry_at: datetime | None = None) -> None:
        """Record the outcome of a request: ``ok`` or a failure code, and when it may be repeated if
        Zoho said so."""
        ended = (
            update(schema.token_requests)
            .where(_REQUESTS.id == request_id)
            .values(outcome=outcome, retry_at=retry_at)
        )
        with self.database.write() as c:
            update_one(c, ended, "the request log")

    def requests(
        self,
        *,
        since: datetime,
        client_id: str | None = None,
        connection: str | None = None,
        location: str | None = None,
    ) -> list[TokenRequest]:
        """The requests from `since` on, newest first, filtered by the other arguments."""
        if self.database.is_snapshot and client_id is not None and connection is None:
            return [
                each
                for each in self._of_client(client_id, since)
                if each.at >= since and location in (None, each.location)
            ]
        given = {"client_id": client_id, "connection": connection, "location": location}
        with self.database.read() as c:
            return _select_requests(
                c, since, {name: value for name, value in given.items() if value is not None}
            )

    def _of_client(self, client_id: str, since: datetime) -> Sequence[TokenRequest]:
        """In a snapshot, read once for all clients of its connections."""
        read = self.database.once("requests", _RequestsRead)
        if client_id not in read.by_client or (read.since and since < read.since):
            client_ids = {client_id, *read.by_client, *self._known_clients()}
            read.since = min(since, read.since or since)
            read.by_client = {each: [] for each in client_ids}
            with self.database.read() as c:
                condition = _REQUESTS.client_id.in_(client_ids)
                for request in _select_requests(c, read.since, {}, condition):
                    read.by_client[request.client_id].append(request)
        return read.by_client[client_id]

    def _known_clients(self) -> set[str]:
        """The clients of the connections and the recent grants that a snapshot has read."""
        found = [*self.database.known("connections").values()]
        for recent in self.database.known(RECENT_GRANTS).values():
            found += recent or ()
        return {each.client_id for each in found if each}


@dataclass
class _RequestsRead:
    """The requests that a snapshot has read."""

    since: datetime | None = None
    by_client: dict[str, list[TokenRequest]] = field(default_factory=dict)


_NEWEST_REQUESTS = select(*(column for column in _REQUESTS if column.name != "id")).order_by(
    _REQUESTS.at.desc(), _REQUESTS.id.desc()
)


def _select_requests(
    c: Connection,
    since: datetime,
    filters: Mapping[str, str],
    condition: ColumnElement[bool] | None = None,
) -> list[TokenRequest]:
    """The requests from ``since`` on whose columns have these values, newest first."""
    query = _NEWEST_REQUESTS.where(_REQUESTS.at >= since)
    if condition is not None:
        query = query.where(condition)
    for name, value in filters.items():
        query = query.where(_REQUESTS[name] == value)
    return [TokenRequest(**row._mapping) for row in c.execute(query)]


OFFLINE_STEPS = ("scope", "clock")
"""Steps that send no request."""

UNANSWERED = ("pending", *codes_with("outcome_unknown"))
"""Outcomes of a refresh that may have been carried out without its answer being stored here."""

MAX_GRANTS = 200
"""Grants to consider; more of one client or account add no evidence."""


@dataclass(frozen=True)
class GrantRecord:
    """The history of one grant, without its tokens."""

    connection: str
    generation: int
    is_current: bool
    """It is the current grant of its connection, or newer."""
    client_id: str
    location: str
    account: Account | None
    state: GrantState
    granted_at: datetime
    last_refreshed_at: datetime | None = None
    """When a refresh last succeeded; None: never."""
    rejected_at: datetime | None = None
    """When Zoho first rejected the refresh token."""
    last_accepted_at: datetime | None = None
    """When an access token of it was last accepted, by its report."""
    rotated_at: datetime | None = None
    """When the server last replaced the refresh token."""
    unanswered_at: datetime | None = None
    """When the last refresh without a stored answer was sent."""

    @property
    def last_worked_at(self) -> datetime:
        """The last time it is known to have worked, which is at least that of its consent."""
        signs = (self.granted_at, self.last_refreshed_at, self.last_accepted_at)
        return max(each for each in signs if each)

    @property
    def unknown_since(self) -> datetime | None:
        """When the refresh was sent whose outcome is unknown; None if a refresh has succeeded, or a
        refresh token was issued, since then."""
        sent, known = self.unanswered_at, (self.last_refreshed_at, self.rotated_at)
        return sent if sent and all(sent > each for each in known if each) else None


class GrantHistoryRepository(Repository):
    """The histories of the grants of one client, and of one account."""

    def records(self, client_id: str, zuid: str) -> tuple[GrantRecord, ...]:
        """The grants of a client or of an account (empty: not known), newest first."""
        if not self.database.is_snapshot:
            return self._select({(client_id, zuid)})
        owners = self._owners() | {(client_id, zuid)}
        records = self.database.once("grant records", partial(self._select, owners))
        found = [
            each
            for each in records
            if each.client_id == client_id or (zuid and each.account and each.account.zuid == zuid)
        ]
        return tuple(found[:MAX_GRANTS])

    def _owners(self) -> set[tuple[str, str]]:
        """The clients and accounts of the recent grants that a snapshot has read."""
        recent = [each for each in self.database.known(RECENT_GRANTS).values() if each]
        return {
            (each.client_id, each.account.zuid if each.account else "")
            for grants in recent
            for each in filter(None, grants)
        }

    def _select(self, owners: Collection[tuple[str, str]]) -> tuple[GrantRecord, ...]:
        """The newest grants of each of these clients and accounts, newest first."""
        client_ids, zuids = ({*part} - {""} for part in zip(*owners, strict=True))
        of_clients, of_accounts = _GRANTS.client_id.in_(client_ids), _zuid().in_(zuids)
        grants = (
            select(_GRANTS.connection, _GRANTS.generation)
            .where(or_(of_clients, of_accounts))
            .order_by(_GRANTS.granted_at.desc())
            .limit(MAX_GRANTS)
            .cte("chosen")
            if len(owners) == 1
            else union(
                _newest_of_each(_GRANTS.client_id, of_clients),
                _newest_of_each(_zuid(), of_accounts),
            ).cte("chosen")
        )
        refreshes, accepted = _refreshes_of(grants), _acceptances_of(grants)
        wanted = (
            select(
                _GRANTS.connection,
                _GRANTS.generation,
                (_GRANTS.generation >= _CONNECTIONS.generation).label("is_current"),
                *(
                    _GRANTS.client_id,
                    _GRANTS.location,
                    _GRANTS.account,
                    _GRANTS.state,
                    _GRANTS.granted_at,
                ),
                refreshes.c.last_refreshed_at,
                refreshes.c.rejected_at,
                accepted.c.last_accepted_at,
                _GRANTS.rotated_at,
                refreshes.c.unanswered_at,
            )
            .join_from(grants, schema.grants, is_same_grant(_GRANTS, grants.c))
            .join(schema.connections, _CONNECTIONS.name == _GRANTS.connection)
            .join(refreshes, is_same_grant(refreshes.c, grants.c), isouter=True)
            .join(accepted, is_same_grant(accepted.c, grants.c), isouter=True)
            .order_by(_GRANTS.granted_at.desc())
        )
        with self.database.read() as c:
            return tuple(GrantRecord(**row._mapping) for row in c.execute(wanted))

    def unanswered_refresh(self, grant: Grant) -> TokenRequest | None:
        """The refresh of `grant` that was sent after its refresh token was last replaced and has no
        stored answer. Always None if the server has never replaced one."""
        if grant.rotated_at is None:
            return None
        at = grant.connection, grant.generation
        this = (_GRANTS.connection == at[0]) & (_GRANTS.generation == at[1])
        with self.database.read() as c:
            return unanswered_requests(c.execute(last_refreshes_since_rotation(this))).get(at)


def _zuid() -> ColumnElement[str]:
    """The account ID of a grant."""
    return json_value(_GRANTS.account, "zuid")


def _newest_of_each(
    owner: ColumnElement[Any], condition: ColumnElement[bool]
) -> Select[tuple[str, int]]:
    """The connection and generation of the newest grants of each owner."""
    rank = func.row_number().over(partition_by=owner, order_by=_GRANTS.granted_at.desc())
    ranked = (
        select(_GRANTS.connection, _GRANTS.generation, rank.label("rank"))
        .where(condition)
        .subquery()
    )
    query = select(ranked.c.connection, ranked.c.generation)
    return query.where(ranked.c.rank <= MAX_GRANTS)


def last_refreshes_since_rotation(condition: ColumnElement[bool]) -> Select[Any]:
    """The refreshes since the last replacement of the refresh token, oldest first, of the grants
    that meet `condition`; none for a grant whose refresh token was never replaced."""
    columns = [each for each in schema.token_requests.columns if each.name != "id"]
    return (
        select(*columns)
        .join(
            schema.grants,
            (_REQUESTS.connection == _GRANTS.connection)
            & (_REQUESTS.generation == _GRANTS.generation),
        )
        .where(
            condition,
            _REQUESTS.at >= _GRANTS.rotated_at,
            _REQUESTS.kind == RequestKind.REFRESH,
            _REQUESTS.outcome.in_((*UNANSWERED, "ok")),
        )
        .order_by(_REQUESTS.at, _REQUESTS.id)
    )


def unanswered_requests(rows: Iterable[Row[Any]]) -> dict[tuple[str, int], TokenRequest]:
    """By connection and generation: the last of these refreshes, if it has no stored answer."""
    last = {(row.connection, row.generation): row for row in rows}
    return {key: TokenRequest(**row._mapping) for key, row in last.items() if row.outcome != "ok"}


def _refreshes_of(grants: CTE) -> Subquery:
    """When each grant last worked, was first rejected, and last got no answer. Requests before its
    consent belong to a removed connection of the same name."""

    def time(aggregate: Callable[..., Function[Any]], *outcomes: str) -> Function[Any]:
        return aggregate(case((_REQUESTS.outcome.in_(outcomes), _REQUESTS.at)), type_=UtcDateTime)

    return (
        select(
            grants.c.connection,
            grants.c.generation,
            time(func.max, "ok").label("last_refreshed_at"),
            time(func.min, "invalid-code").label("rejected_at"),
            time(func.max, *UNANSWERED).label("unanswered_at"),
        )
        .join_from(grants, schema.grants, is_same_grant(_GRANTS, grants.c))
        .join(
            schema.token_requests,
            is_same_grant(_REQUESTS, grants.c) & (_REQUESTS.at >= _GRANTS.granted_at),
        )
        .where(_REQUESTS.kind == RequestKind.REFRESH)
        .group_by(grants.c.connection, grants.c.generation)
        .subquery()
    )


def _acceptances_of(grants: CTE) -> Subquery:
    """When an access token of each of the grants was last accepted, by its report."""
    return (
        select(
            grants.c.connection,
            grants.c.generation,
            func.max(_STEPS.at, type_=UtcDateTime).label("last_accepted_at"),
        )
        .join_from(grants, schema.grants, is_same_grant(_GRANTS, grants.c))
        .join(
            schema.verification_steps,
            is_same_grant(_STEPS, grants.c) & (_STEPS.at >= _GRANTS.granted_at),
        )
        .where(_STEPS.state == StepState.PASSED, _STEPS.name.not_in(OFFLINE_STEPS))
        .group_by(grants.c.connection, grants.c.generation)
        .subquery()
    )
