"""Connections at a glance, in a number of queries that does not grow with them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, true, union

from wizard.model import AskKind, Attempt, Connection, Grant, GrantState, RungState
from wizard.store import schema
from wizard.store.attempts import OPEN, attempt_of
from wizard.store.columns import Moment
from wizard.store.connections import connections_in
from wizard.store.grants import CANDIDATE, grant_of
from wizard.store.shelf import Shelf

_CONNECTIONS = schema.connections.c
_GRANTS = schema.grants
_ATTEMPTS = schema.attempts
_RECEIPTS = schema.receipts.c
_RUNGS = schema.rungs.c
_ASKS = schema.asks.c

UNSETTLED = (*CANDIDATE, GrantState.DEAD, GrantState.REVOKED)
"""States of a grant that somebody may have to do something about."""

_FAILED_CHECKS = (
    select(_RUNGS.connection, _RUNGS.generation)
    .join_from(
        schema.rungs,
        schema.receipts,
        (_RECEIPTS.connection == _RUNGS.connection) & (_RECEIPTS.generation == _RUNGS.generation),
    )
    .where(_RUNGS.state == RungState.FAILED, _RECEIPTS.finished_at.is_not(None))
)
"""The rungs that failed in climbs that came to their end."""


@dataclass(frozen=True)
class Overview:
    """One line of the list of connections."""

    connection: Connection
    grant: Grant | None
    """The current grant."""
    candidate: Grant | None
    """A newer one that is neither proved nor given up."""
    check_failed: bool
    """The last climb of the current grant, or of the candidate where there is no current one, came
    to its end with a failed rung."""
    open_attempt: Attempt | None
    """The newest authorization that still goes on."""
    checked_at: datetime | None = None
    """When something was last asked with that grant to prove it or to check it."""


class Overviews(Shelf):
    """The list of connections."""

    def overview(self, names: Collection[str] | None = None) -> list[Overview]:
        """One `Overview` a connection, by name; of those in ``names``, or of all."""
        return self._lines(true() if names is None else _CONNECTIONS.name.in_(names))

    def unsettled(self) -> list[Overview]:
        """Those connections of which more may be said than that they are proved, by name: all that
        wait, failed or ended are among them. Its cost grows with these, not with the proved."""
        waiting = select(_CONNECTIONS.name).where(_CONNECTIONS.generation == 0)
        grants = select(_GRANTS.c.connection).where(_GRANTS.c.state.in_(UNSETTLED))
        failed = _FAILED_CHECKS.with_only_columns(_RUNGS.connection)
        return self._lines(_CONNECTIONS.name.in_(union(waiting, grants, failed)))

    def last_refreshes(self) -> dict[str, datetime]:
        """When a refresh last succeeded, by connection."""
        refreshed = select(_ASKS.connection, func.max(_ASKS.at, type_=Moment)).where(
            _ASKS.kind == AskKind.REFRESH, _ASKS.outcome == "ok"
        )
        with self.database.read() as c:
            return {
                row.connection: row[1] for row in c.execute(refreshed.group_by(_ASKS.connection))
            }

    def _lines(self, these: ColumnElement[bool]) -> list[Overview]:
        near = select(_GRANTS).join(
            schema.connections,
            (_CONNECTIONS.name == _GRANTS.c.connection)
            & (_GRANTS.c.generation >= _CONNECTIONS.generation),
        )
        named = select(_CONNECTIONS.name).where(these)
        failed = _FAILED_CHECKS.where(_RUNGS.connection.in_(named))
        checked = (
            select(_RUNGS.connection, _RUNGS.generation, func.max(_RUNGS.at, type_=Moment))
            .where(_RUNGS.connection.in_(named))
            .group_by(_RUNGS.connection, _RUNGS.generation)
        )
        going_on = select(_ATTEMPTS).where(
            _ATTEMPTS.c.state.in_(OPEN), _ATTEMPTS.c.connection.in_(named)
        )
        with self.database.read() as c:
            connections = connections_in(c, these)
            grants = c.execute(near.where(these)).all()
            failures = {(row.connection, row.generation) for row in c.execute(failed)}
            times = {(row.connection, row.generation): row[2] for row in c.execute(checked)}
            attempts = c.execute(going_on.order_by(_ATTEMPTS.c.created_at)).all()
        newest = {row.connection: attempt_of(self._vault, row) for row in attempts}
        known: dict[str, list[Grant]] = {}
        for row in grants:
            known.setdefault(row.connection, []).append(grant_of(self._vault, row))
        return [
            _line(connection, known.get(connection.name, []), failures, times, newest)
            for connection in connections
        ]


def _line(
    connection: Connection,
    grants: list[Grant],
    failures: Collection[tuple[str, int]],
    times: Mapping[tuple[str, int], datetime],
    attempts: Mapping[str, Attempt],
) -> Overview:
    name = connection.name
    current = next((g for g in grants if g.generation == connection.generation), None)
    newer = (g for g in grants if g.generation > connection.generation and g.state in CANDIDATE)
    candidate = max(newer, key=lambda g: g.generation, default=None)
    shown = current or candidate
    at = (name, shown.generation if shown else 0)
    return Overview(
        connection, current, candidate, at in failures, attempts.get(name), times.get(at)
    )
