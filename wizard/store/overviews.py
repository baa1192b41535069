"""Overviews of connections, read in a constant number of statements."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, true, union
from sqlalchemy import Connection as DatabaseConnection

from wizard.model import (
    Attempt,
    Connection,
    Failure,
    Grant,
    GrantState,
    RequestKind,
    StepState,
    TokenRequest,
    VerificationReport,
)
from wizard.model.states import (
    ActivityKind,
    ConnectionStatus,
    LastCheck,
    connection_status,
    last_check_of,
)
from wizard.store import schema
from wizard.store.authorizations import NEWEST_ATTEMPTS, select_newest
from wizard.store.connections import connection_from_row, connection_not_found
from wizard.store.database import Repository
from wizard.store.grants import (
    CANDIDATE_STATES,
    IS_RECENT,
    RECENT_GRANTS,
    RecentGrants,
    grant_from_row,
    is_same_grant,
)
from wizard.store.history import last_refreshes_since_rotation, unanswered_requests
from wizard.store.schema import UtcDateTime
from wizard.store.verification_reports import RECENT_REPORTS, select_recent_reports

_CONNECTIONS = schema.connections.c
_GRANTS = schema.grants
_ATTEMPTS = schema.attempts
_REPORTS = schema.verification_reports.c
_STEPS = schema.verification_steps.c
_REQUESTS = schema.token_requests.c
_REJECTIONS = schema.rejections.c
_IS_OF_CURRENT = (
    _REJECTIONS.pending
    & (_REJECTIONS.connection == _CONNECTIONS.name)
    & (_REJECTIONS.generation == _CONNECTIONS.generation)
)
_ALL = (
    select(schema.connections, _GRANTS, _REJECTIONS.pending)
    .join_from(schema.connections, _GRANTS, IS_RECENT, isouter=True)
    .join(schema.rejections, _IS_OF_CURRENT, isouter=True)
    .order_by(_CONNECTIONS.name, _GRANTS.c.generation)
)

UNSETTLED_STATES = (*CANDIDATE_STATES, GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED)
"""States of a grant that may need attention."""

MAX_LISTED_NAMES = 1_000
"""Up to this many connections are listed by name in later statements, instead of searched again;
engines limit the values of a statement to some 32,000."""


@dataclass(frozen=True)
class ConnectionOverview:
    """What the list of connections shows of one."""

    connection: Connection
    grant: Grant | None
    """The current grant."""
    candidate: Grant | None
    """A newer grant that is not verified and was not discarded."""
    newest: Grant | None = None
    """The newest grant in any state."""
    attempt: Attempt | None = None
    """The newest authorization, unless a grant is newer."""
    last_check: LastCheck | None = None
    """Of the current grant, or of the candidate if there is no current grant."""
    unanswered_refresh: TokenRequest | None = None
    """The last refresh of that grant, if its refresh token rotates and no answer was stored."""
    is_access_token_rejected: bool = False
    """Whether the last access token of the current grant was rejected, and none issued since."""

    def status(self, now: datetime, running: ActivityKind | None = None) -> ConnectionStatus:
        """The state, activity and last check; `running` is what this process is doing with the
        connection."""
        return connection_status(
            current=self.grant,
            candidate=self.candidate,
            newest=self.newest,
            attempt=self.attempt,
            last_check=self.last_check,
            unanswered_refresh=self.unanswered_refresh,
            running=running,
            now=now,
        )


class OverviewRepository(Repository):
    """The overviews by connection."""

    def all(self, names: Collection[str] | None = None) -> list[ConnectionOverview]:
        """The overviews of the connections in `names`, or of all, by name."""
        known = self.database.known("overviews")
        if names is not None and known.keys() >= {*names}:
            return [known[name] for name in sorted({*names}) if known[name]]
        condition = true() if names is None else _CONNECTIONS.name.in_(names)
        return self._select_overviews(condition, names or ())

    def get(self, name: str) -> ConnectionOverview:
        """Raises ``unknown-connection``."""
        found = self.all([name])
        if not found:
            with self.database.read() as c:
                raise connection_not_found(c, name, self.database.place)
        return found[0]

    def unsettled(self, also: Collection[str] = ()) -> list[ConnectionOverview]:
        """The connections that may need attention and those in `also`, by name. Includes every
        connection that isn't verified; the cost doesn't grow with the others or with earlier
        generations."""
        unauthorized = select(_CONNECTIONS.name).where(_CONNECTIONS.generation == 0)
        recent = select(_GRANTS.c.connection).join(schema.connections, IS_RECENT)
        waiting = recent.where(_GRANTS.c.state.in_(UNSETTLED_STATES))
        failed = (
            recent.join(schema.verification_reports, is_same_grant(_REPORTS, _GRANTS.c))
            .join(schema.verification_steps, is_same_grant(_STEPS, _GRANTS.c))
            .where(_STEPS.state == StepState.FAILED, _REPORTS.finished_at.is_not(None))
        )
        every = last_refreshes_since_rotation(_GRANTS.c.state == GrantState.VERIFIED)
        unanswered = (
            every.with_only_columns(_REQUESTS.connection)
            .where(_REQUESTS.outcome != "ok")
            .order_by(None)
        )
        # One union, not OR: only the connections in it are then read.
        given = select(_CONNECTIONS.name).where(_CONNECTIONS.name.in_(also))
        wanted = union(unauthorized, waiting, failed, unanswered, given)
        return self._select_overviews(_CONNECTIONS.name.in_(wanted), also)

    def last_refreshes(self) -> dict[str, datetime]:
        """When a refresh last succeeded, by connection."""
        refreshed = select(_REQUESTS.connection, func.max(_REQUESTS.at, type_=UtcDateTime)).where(
            _REQUESTS.kind == RequestKind.REFRESH, _REQUESTS.outcome == "ok"
        )
        with self.database.read() as c:
            return {
                row.connection: row[1]
                for row in c.execute(refreshed.group_by(_REQUESTS.connection))
            }

    def _select_overviews(
        self, condition: ColumnElement[bool], names: Collection[str] = ()
    ) -> list[ConnectionOverview]:
        """The overviews of the connections that meet `condition`. A snapshot remembers them, and
        which of `names` don't exist."""
        with self.database.read() as c:
            connections, recent, rejected = self._select_connections(c, condition)
            if len(connections) <= MAX_LISTED_NAMES:
                condition = _CONNECTIONS.name.in_(connections)
            named = select(_CONNECTIONS.name).where(condition)
            refreshes = last_refreshes_since_rotation(_GRANTS.c.connection.in_(named))
            if self.database.is_snapshot:
                reports = select_recent_reports(c, condition)
                checks = _checks_of(reports)
                self.database.remember(RECENT_REPORTS, reports)
            else:
                checks = _last_checks(c.execute(_check_rows(condition)))
            attempts = select_newest(c, self._vault, _ATTEMPTS.c.connection.in_(named))
            unanswered = unanswered_requests(c.execute(refreshes))
        found = {
            name: replace(
                _overview_of(connection, recent[name], attempts.get(name), checks, unanswered),
                is_access_token_rejected=name in rejected,
            )
            for name, connection in connections.items()
        }
        missing = dict.fromkeys({*names} - found.keys())
        for kind, parts in (
            ("overviews", found),
            ("connections", connections),
            (RECENT_GRANTS, recent),
            (NEWEST_ATTEMPTS, {name: attempts.get(name) for name in found}),
        ):
            self.database.remember(kind, {**missing, **parts})
        return list(found.values())

    def _select_connections(
        self, c: DatabaseConnection, condition: ColumnElement[bool]
    ) -> tuple[dict[str, Connection], dict[str, RecentGrants], set[str]]:
        """The connections that meet `condition`, and their recent grants, by name; and the names of
        those whose current grant's access token was rejected."""
        connections: dict[str, Connection] = {}
        recent: dict[str, RecentGrants] = {}
        rejected = set()
        for row in c.execute(_ALL.where(condition)):
            name = row._mapping[_CONNECTIONS.name]
            if name not in connections:
                connections[name], recent[name] = connection_from_row(row), RecentGrants()
                if row._mapping[_REJECTIONS.pending]:
                    rejected.add(name)
            if row._mapping[_GRANTS.c.connection] is not None:
                grant = grant_from_row(self._vault, row)
                recent[name] = recent[name].with_newer(grant, connections[name].generation)
        return connections, recent, rejected


def _checks_of(
    reports: Mapping[str, Mapping[int, VerificationReport | None]],
) -> dict[tuple[str, int], LastCheck]:
    checks = {
        (name, generation): last_check_of(report)
        for name, of_connection in reports.items()
        for generation, report in of_connection.items()
    }
    return {key: check for key, check in checks.items() if check}


def _check_rows(condition: ColumnElement[bool]) -> Select[Any]:
    """For each finished report of a recent grant, a row per failed step, in order, or one row if
    none failed; each with the time of the report's last step."""
    failed = schema.verification_steps.alias()
    last = (
        select(
            _STEPS.connection, _STEPS.generation, func.max(_STEPS.at, type_=UtcDateTime).label("at")
        )
        .join(schema.verification_reports, is_same_grant(_STEPS, _REPORTS))
        .join(schema.connections, _CONNECTIONS.name == _STEPS.connection)
        .where(
            condition,
            _STEPS.generation >= _CONNECTIONS.generation,
            _REPORTS.finished_at.is_not(None),
        )
        .group_by(_STEPS.connection, _STEPS.generation)
        .subquery()
    )
    return (
        select(last, failed.c.id.is_not(None).label("has_failed"), failed.c.failure)
        .join_from(
            last,
            failed,
            is_same_grant(failed.c, last.c) & (failed.c.state == StepState.FAILED),
            isouter=True,
        )
        .order_by(failed.c.id)
    )


def _last_checks(rows: Iterable[Row[Any]]) -> dict[tuple[str, int], LastCheck]:
    """The last check of each grant, by connection and generation."""
    times: dict[tuple[str, int], datetime] = {}
    failures = defaultdict(list)
    for row in rows:
        times[row.connection, row.generation] = row.at
        if row.has_failed:
            failures[row.connection, row.generation].append(row.failure or Failure("unknown"))
    return {key: LastCheck(at, tuple(failures[key])) for key, at in times.items()}


def _overview_of(
    connection: Connection,
    grants: RecentGrants,
    attempt: Attempt | None,
    checks: Mapping[tuple[str, int], LastCheck],
    unanswered: Mapping[tuple[str, int], TokenRequest],
) -> ConnectionOverview:
    newest, shown = grants.newest, grants.current or grants.candidate
    is_older = attempt is not None and newest is not None and newest.granted_at > attempt.created_at
    key = (connection.name, shown.generation if shown else 0)
    return ConnectionOverview(
        connection,
        grants.current,
        grants.candidate,
        newest,
        None if is_older else attempt,
        checks.get(key),
        unanswered.get(key),
    )
