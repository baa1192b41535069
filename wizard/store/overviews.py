"""Connections at a glance, in a number of queries that does not grow with them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, true, union

from wizard.model import (
    Attempt,
    Connection,
    Grant,
    GrantState,
    RequestKind,
    StepState,
    TokenRequest,
)
from wizard.store import schema
from wizard.store.attempts import OPEN_STATES, attempt_from_row
from wizard.store.columns import UtcDateTime
from wizard.store.connections import select_connections
from wizard.store.grant_history import last_refreshes_since_rotation, unanswered_requests
from wizard.store.grants import CANDIDATE_STATES, grant_from_row
from wizard.store.repository import Repository

_CONNECTIONS = schema.connections.c
_GRANTS = schema.grants
_ATTEMPTS = schema.attempts
_REPORTS = schema.verification_reports.c
_STEPS = schema.verification_steps.c
_REQUESTS = schema.token_requests.c

UNSETTLED_STATES = (*CANDIDATE_STATES, GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED)
"""States of a grant that somebody may have to do something about."""

_FAILED_STEPS = (
    select(_STEPS.connection, _STEPS.generation)
    .join_from(
        schema.verification_steps,
        schema.verification_reports,
        (_REPORTS.connection == _STEPS.connection) & (_REPORTS.generation == _STEPS.generation),
    )
    .where(_STEPS.state == StepState.FAILED, _REPORTS.finished_at.is_not(None))
)
"""The rungs that failed in climbs that came to their end."""


@dataclass(frozen=True)
class ConnectionOverview:
    """One line of the list of connections."""

    connection: Connection
    grant: Grant | None
    """The current grant."""
    candidate: Grant | None
    """A newer one that is neither proved nor given up."""
    has_failed_check: bool
    """The last climb of the current grant, or of the candidate where there is no current one, came
    to its end with a failed rung."""
    open_attempt: Attempt | None
    """The newest authorization that still goes on."""
    checked_at: datetime | None = None
    """When something was last asked with that grant to prove it or to check it."""
    unanswered_refresh: TokenRequest | None = None
    """The last refresh of that grant, if its refresh token rotates and no answer was stored."""


class OverviewRepository(Repository):
    """The list of connections."""

    def all(self, names: Collection[str] | None = None) -> list[ConnectionOverview]:
        """One `Overview` a connection, by name; of those in ``names``, or of all."""
        return self._select_overviews(true() if names is None else _CONNECTIONS.name.in_(names))

    def unsettled(self) -> list[ConnectionOverview]:
        """Those connections of which more may be said than that they are proved, by name: all that
        wait, failed or ended are among them. Its cost grows with these, not with the proved."""
        waiting = select(_CONNECTIONS.name).where(_CONNECTIONS.generation == 0)
        grants = select(_GRANTS.c.connection).where(_GRANTS.c.state.in_(UNSETTLED_STATES))
        failed = _FAILED_STEPS.with_only_columns(_STEPS.connection)
        every = last_refreshes_since_rotation(_GRANTS.c.state == GrantState.VERIFIED)
        unanswered = (
            every.with_only_columns(_REQUESTS.connection)
            .where(_REQUESTS.outcome != "ok")
            .order_by(None)
        )
        unsettled = union(waiting, grants, failed, unanswered)
        return self._select_overviews(_CONNECTIONS.name.in_(unsettled))

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

    def _select_overviews(self, condition: ColumnElement[bool]) -> list[ConnectionOverview]:
        near = select(_GRANTS).join(
            schema.connections,
            (_CONNECTIONS.name == _GRANTS.c.connection)
            & (_GRANTS.c.generation >= _CONNECTIONS.generation),
        )
        named = select(_CONNECTIONS.name).where(condition)
        failed = _FAILED_STEPS.where(_STEPS.connection.in_(named))
        checked = (
            select(_STEPS.connection, _STEPS.generation, func.max(_STEPS.at, type_=UtcDateTime))
            .where(_STEPS.connection.in_(named))
            .group_by(_STEPS.connection, _STEPS.generation)
        )
        going_on = select(_ATTEMPTS).where(
            _ATTEMPTS.c.state.in_(OPEN_STATES), _ATTEMPTS.c.connection.in_(named)
        )
        with self.database.read() as c:
            connections = select_connections(c, condition)
            grants = c.execute(near.where(condition)).all()
            failures = {(row.connection, row.generation) for row in c.execute(failed)}
            times = {(row.connection, row.generation): row[2] for row in c.execute(checked)}
            attempts = c.execute(going_on.order_by(_ATTEMPTS.c.created_at)).all()
            refreshes = last_refreshes_since_rotation(_GRANTS.c.connection.in_(named))
            unanswered = unanswered_requests(c.execute(refreshes))
        newest = {row.connection: attempt_from_row(self._vault, row) for row in attempts}
        known: dict[str, list[Grant]] = {}
        for row in grants:
            known.setdefault(row.connection, []).append(grant_from_row(self._vault, row))
        return [
            _overview_of(
                connection, known.get(connection.name, []), failures, times, newest, unanswered
            )
            for connection in connections
        ]


def _overview_of(
    connection: Connection,
    grants: list[Grant],
    failures: Collection[tuple[str, int]],
    times: Mapping[tuple[str, int], datetime],
    attempts: Mapping[str, Attempt],
    unanswered: Mapping[tuple[str, int], TokenRequest],
) -> ConnectionOverview:
    name = connection.name
    current = next((g for g in grants if g.generation == connection.generation), None)
    newer = (
        g for g in grants if g.generation > connection.generation and g.state in CANDIDATE_STATES
    )
    candidate = max(newer, key=lambda g: g.generation, default=None)
    shown = current or candidate
    at = (name, shown.generation if shown else 0)
    return ConnectionOverview(
        connection,
        current,
        candidate,
        at in failures,
        attempts.get(name),
        times.get(at),
        unanswered.get(at),
    )
