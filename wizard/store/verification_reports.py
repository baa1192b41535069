"""Verification reports, whose steps are committed one by one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, tuple_, update

from wizard.model import VerificationReport, VerificationStep
from wizard.store import schema
from wizard.store.database import Repository, insert_row, update_one
from wizard.store.grants import CANDIDATE_STATES, IS_RECENT, is_same_grant

_T = schema.verification_reports
_STEPS = schema.verification_steps
_GRANTS = schema.grants.c
_CONNECTIONS = schema.connections.c


_STEP_FIELDS = ("name", "state", "evidence", "at", "failure")
RECENT_REPORTS = "recent reports"
RecentReports = dict[str, dict[int, VerificationReport | None]]
"""Of recent grants, by connection and generation; None for a grant without a report."""


class VerificationReportRepository(Repository):
    """The reports by connection and generation."""

    def begin(self, name: str, generation: int, at: datetime) -> None:
        """Begin the verification of a grant; an earlier report is deleted."""
        with self.database.write() as c:
            c.execute(delete(_T).where(_T.c.connection == name, _T.c.generation == generation))
            insert_row(c, _T, connection=name, generation=generation, started_at=at)

    def add_step(self, name: str, generation: int, step: VerificationStep) -> None:
        """Commit one step of the current verification."""
        with self.database.write() as c:
            insert_row(c, _STEPS, connection=name, generation=generation, **vars(step))

    def replace_steps(self, name: str, generation: int, steps: Iterable[VerificationStep]) -> None:
        """Replace the steps of the same names. Raises `Conflict` if the report was deleted."""
        here = _STEPS.c.connection == name, _STEPS.c.generation == generation
        with self.database.write() as c:
            for verification_step in steps:
                renewed = update(_STEPS).where(*here, _STEPS.c.name == verification_step.name)
                update_one(
                    c, renewed.values(**vars(verification_step)), f"the verification of {name}"
                )

    def finish(self, name: str, generation: int, at: datetime) -> None:
        """End the current verification, passed or not. Raises `Conflict` if none is running."""
        here = _T.c.connection == name, _T.c.generation == generation, _T.c.finished_at.is_(None)
        with self.database.write() as c:
            update_one(
                c, update(_T).where(*here).values(finished_at=at), f"the verification of {name}"
            )

    def get(self, name: str, generation: int | None = None) -> VerificationReport | None:
        """The report of a grant, by default of the connection's current one."""
        if self.database.is_snapshot and generation is not None:
            recent = self.database.of_each(RECENT_REPORTS, self._load_recent, name) or {}
            if generation in recent:
                return recent[generation]
        condition = _T.c.connection == name
        if generation is None:
            current = select(_CONNECTIONS.generation).where(_CONNECTIONS.name == name)
            condition &= _T.c.generation == current.scalar_subquery()
        else:
            condition &= _T.c.generation == generation
        with self.database.read() as c:
            return next(iter(select_reports(c, condition).values()), None)

    def of_candidates(self, names: Collection[str]) -> dict[tuple[str, int], VerificationReport]:
        """The reports of grants that are neither verified nor discarded, of connections `names`, by
        connection and generation."""
        if self.database.is_snapshot:  # read with the overviews
            recent = {
                name: self.database.of_each(RECENT_REPORTS, self._load_recent, name) or {}
                for name in names
            }
            return {
                (name, generation): report
                for name, reports in recent.items()
                for generation, report in reports.items()
                if report is not None
            }
        candidates = (
            select(_GRANTS.connection, _GRANTS.generation)
            .join(schema.connections, _CONNECTIONS.name == _GRANTS.connection)
            .where(
                _GRANTS.connection.in_(names),
                _GRANTS.state.in_(CANDIDATE_STATES),
                _GRANTS.generation > _CONNECTIONS.generation,
            )
        )
        with self.database.read() as c:
            return select_reports(c, tuple_(_T.c.connection, _T.c.generation).in_(candidates))

    def _load_recent(self, names: Collection[str]) -> RecentReports:
        with self.database.read() as c:
            return select_recent_reports(c, _CONNECTIONS.name.in_(names))


def select_recent_reports(c: Connection, condition: ColumnElement[bool]) -> RecentReports:
    """The reports of the recent grants of the connections that meet `condition`, by connection and
    generation; None for a grant without one."""
    recent = (
        select(_GRANTS.connection, _GRANTS.generation, _T, _STEPS)
        .join_from(schema.grants, schema.connections, IS_RECENT)
        .join(_T, is_same_grant(_T.c, _GRANTS), isouter=True)
        .join(_STEPS, is_same_grant(_STEPS.c, _T.c), isouter=True)
        .where(condition)
        .order_by(_STEPS.c.id)
    )
    rows = c.execute(recent).all()
    reports = _reports_from_rows(row for row in rows if row._mapping[_T.c.started_at])
    found: RecentReports = defaultdict(dict)
    for row in rows:
        key = row._mapping[_GRANTS.connection], row._mapping[_GRANTS.generation]
        found[key[0]][key[1]] = reports.get(key)
    return found


def select_reports(
    c: Connection, condition: ColumnElement[bool]
) -> dict[tuple[str, int], VerificationReport]:
    """The reports that meet `condition`, by connection and generation, each with its steps."""
    query = select(_T, _STEPS).join_from(_T, _STEPS, is_same_grant(_STEPS.c, _T.c), isouter=True)
    return _reports_from_rows(c.execute(query.where(condition).order_by(_STEPS.c.id)))


def _reports_from_rows(rows: Iterable[Row[Any]]) -> dict[tuple[str, int], VerificationReport]:
    """Reports from rows of reports and steps, a row for each step."""
    heads: dict[tuple[str, int], Mapping[Any, Any]] = {}
    steps = defaultdict(list)
    for row in rows:
        values = row._mapping
        key = values[_T.c.connection], values[_T.c.generation]
        heads[key] = values
        if values[_STEPS.c.id] is not None:
            of_step = (
                _STEPS.c.name,
                _STEPS.c.state,
                _STEPS.c.evidence,
                _STEPS.c.at,
                _STEPS.c.failure,
            )
            steps[key].append(VerificationStep(*(values[each] for each in of_step)))
    return {
        key: VerificationReport(
            *key, tuple(steps[key]), values[_T.c.started_at], values[_T.c.finished_at]
        )
        for key, values in heads.items()
    }
