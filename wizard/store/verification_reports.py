"""Receipts: the rungs of a climb, committed one by one."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Select, delete, literal, select, tuple_, update

from wizard.model import VerificationReport, VerificationStep
from wizard.store import schema
from wizard.store.repository import Repository, insert_row, update_one

_T = schema.verification_reports
_STEPS = schema.verification_steps


class VerificationReportRepository(Repository):
    """The proof of each grant."""

    def begin(self, name: str, generation: int, at: datetime) -> None:
        """Begin the climb of a grant; the receipt of an earlier climb gives way."""
        with self.database.write() as c:
            c.execute(delete(_T).where(_T.c.connection == name, _T.c.generation == generation))
            insert_row(c, _T, connection=name, generation=generation, started_at=at)

    def add_step(self, name: str, generation: int, step: VerificationStep) -> None:
        """Commit one rung of the climb that was begun."""
        with self.database.write() as c:
            insert_row(c, _STEPS, connection=name, generation=generation, **vars(step))

    def replace_steps(self, name: str, generation: int, steps: Iterable[VerificationStep]) -> None:
        """Put rungs that were climbed again into the place of those of the same names. Raises
        `Conflict` where the receipt is gone."""
        here = _STEPS.c.connection == name, _STEPS.c.generation == generation
        with self.database.write() as c:
            for verification_step in steps:
                renewed = update(_STEPS).where(*here, _STEPS.c.name == verification_step.name)
                update_one(
                    c, renewed.values(**vars(verification_step)), f"the verification of {name}"
                )

    def finish(self, name: str, generation: int, at: datetime) -> None:
        """The climb came to its end, good or bad. Raises `Conflict` where none is under way."""
        here = _T.c.connection == name, _T.c.generation == generation, _T.c.finished_at.is_(None)
        with self.database.write() as c:
            update_one(
                c, update(_T).where(*here).values(finished_at=at), f"the verification of {name}"
            )

    def get(self, name: str, generation: int | None = None) -> VerificationReport | None:
        """The receipt of a grant, by default of the connection's current one."""
        of = schema.connections.c
        wanted = select(of.name, of.generation if generation is None else literal(generation))
        with self.database.read() as c:
            found = reports_of(c, wanted.where(of.name == name))
        return next(iter(found.values()), None)


def reports_of(
    c: Connection, grants: Select[tuple[str, int]]
) -> dict[tuple[str, int], VerificationReport]:
    """The receipts of ``grants`` (connection and generation) with their rungs, in two queries."""
    climbed = defaultdict(list)
    of_these = tuple_(_STEPS.c.connection, _STEPS.c.generation).in_(grants)
    for row in c.execute(select(_STEPS).where(of_these).order_by(_STEPS.c.id)):
        verification_step = VerificationStep(row.name, row.state, row.evidence, row.at, row.failure)
        climbed[row.connection, row.generation].append(verification_step)
    these = tuple_(_T.c.connection, _T.c.generation).in_(grants)
    return {
        (row.connection, row.generation): VerificationReport(
            **row._mapping, steps=tuple(climbed[row.connection, row.generation])
        )
        for row in c.execute(select(_T).where(these))
    }
