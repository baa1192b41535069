"""Receipts: the rungs of a climb, committed one by one."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Select, delete, literal, select, tuple_, update

from wizard.model import Receipt, Rung
from wizard.store import schema
from wizard.store.shelf import Shelf, change, put

_T = schema.receipts
_RUNGS = schema.rungs


class Receipts(Shelf):
    """The proof of each grant."""

    def begin_receipt(self, name: str, generation: int, at: datetime) -> None:
        """Begin the climb of a grant; the receipt of an earlier climb gives way."""
        with self.database.write() as c:
            c.execute(delete(_T).where(_T.c.connection == name, _T.c.generation == generation))
            put(c, _T, connection=name, generation=generation, started_at=at)

    def add_rung(self, name: str, generation: int, rung: Rung) -> None:
        """Commit one rung of the climb that was begun."""
        with self.database.write() as c:
            put(c, _RUNGS, connection=name, generation=generation, **vars(rung))

    def renew_rungs(self, name: str, generation: int, rungs: Iterable[Rung]) -> None:
        """Put rungs that were climbed again into the place of those of the same names. Raises
        `Conflict` where the receipt is gone."""
        here = _RUNGS.c.connection == name, _RUNGS.c.generation == generation
        with self.database.write() as c:
            for rung in rungs:
                renewed = update(_RUNGS).where(*here, _RUNGS.c.name == rung.name)
                change(c, renewed.values(**vars(rung)), f"the proof of {name}")

    def finish_receipt(self, name: str, generation: int, at: datetime) -> None:
        """The climb came to its end, good or bad. Raises `Conflict` where none is under way."""
        here = _T.c.connection == name, _T.c.generation == generation, _T.c.finished_at.is_(None)
        with self.database.write() as c:
            change(c, update(_T).where(*here).values(finished_at=at), f"the proof of {name}")

    def receipt(self, name: str, generation: int | None = None) -> Receipt | None:
        """The receipt of a grant, by default of the connection's current one."""
        of = schema.connections.c
        wanted = select(of.name, of.generation if generation is None else literal(generation))
        with self.database.read() as c:
            found = receipts_of(c, wanted.where(of.name == name))
        return next(iter(found.values()), None)


def receipts_of(c: Connection, grants: Select[tuple[str, int]]) -> dict[tuple[str, int], Receipt]:
    """The receipts of ``grants`` (connection and generation) with their rungs, in two queries."""
    climbed = defaultdict(list)
    of_these = tuple_(_RUNGS.c.connection, _RUNGS.c.generation).in_(grants)
    for row in c.execute(select(_RUNGS).where(of_these).order_by(_RUNGS.c.id)):
        rung = Rung(row.name, row.state, row.evidence, row.at, row.failure)
        climbed[row.connection, row.generation].append(rung)
    these = tuple_(_T.c.connection, _T.c.generation).in_(grants)
    return {
        (row.connection, row.generation): Receipt(
            **row._mapping, rungs=tuple(climbed[row.connection, row.generation])
        )
        for row in c.execute(select(_T).where(these))
    }
