"""Repairs: which connections are being authorized anew together, and since when.

Nothing here says how far a connection is: that is told by its attempts, grants and destinations.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from wizard.store import schema
from wizard.store.shelf import Shelf, change

_T = schema.repairs
_LINES = schema.repair_lines


@dataclass(frozen=True)
class RepairLine:
    """One connection of a repair, as it was when it became part of it."""

    connection: str
    before: int
    """The generation that was current then; 0: none was."""
    begun_at: datetime
    scope: tuple[str, ...] = ()
    """Asked for beside what the connection has."""
    accept: str = ""
    """The e-mail address of the person who takes the connection over; empty: nobody does."""
    grace: timedelta = timedelta(0)
    """How long a superseded refresh token lives where nothing proves that it is out of use."""
    skipped: bool = False


@dataclass(frozen=True)
class StoredRepair:
    """A repair that has not ended."""

    id: int
    begun_at: datetime
    paused: bool
    lines: tuple[RepairLine, ...]


class Repairs(Shelf):
    """The repair under way, and the lines of those before: of repairs that go on there is one."""

    def repair(self) -> StoredRepair | None:
        """The repair under way."""
        with self.database.read() as c:
            row = c.execute(select(_T).where(_T.c.ended_at.is_(None))).first()
            if row is None:
                return None
            lines = select(_LINES).where(_LINES.c.repair == row.id).order_by(_LINES.c.connection)
            return StoredRepair(
                row.id, row.begun_at, row.paused, tuple(_line(each) for each in c.execute(lines))
            )

    def begin_repair(self, lines: Collection[RepairLine], at: datetime) -> None:
        """Begin a repair of ``lines`` at ``at``, or make them part of the one that is under way:
        a connection that is part of it already begins anew."""
        with self.database.write() as c:
            number = c.scalar(select(_T.c.id).where(_T.c.ended_at.is_(None)))
            if number is None:
                begun = insert(_T).values(begun_at=at, paused=False).returning(_T.c.id)
                number = c.execute(begun).scalar_one()
            for line in lines:
                _drop(c, number, line.connection)
                grace = round(line.grace.total_seconds())
                c.execute(insert(_LINES).values(**{**vars(line), "grace": grace}, repair=number))

    def pause_repair(self, number: int, *, paused: bool) -> None:
        """Pause a repair, or go on with it. Raises `Conflict` where it has ended."""
        self._change(number, paused=paused)

    def end_repair(self, number: int, at: datetime) -> None:
        """End a repair; its lines stay, for the tokens that still wait for their end. Raises
        `Conflict` where it has ended."""
        self._change(number, ended_at=at)

    def skip_line(self, number: int, name: str) -> None:
        """Leave connection ``name`` as it is. Raises `Conflict` where it is no part of it."""
        here = _LINES.c.repair == number, _LINES.c.connection == name
        with self.database.write() as c:
            change(c, update(_LINES).where(*here).values(skipped=True), f"the repair of {name}")

    def last_lines(self) -> dict[str, RepairLine]:
        """The newest line of every connection that was ever part of a repair, by connection."""
        query = select(_LINES).order_by(_LINES.c.repair)
        with self.database.read() as c:
            return {row.connection: _line(row) for row in c.execute(query)}

    def _change(self, number: int, **values: object) -> None:
        here = _T.c.id == number, _T.c.ended_at.is_(None)
        with self.database.write() as c:
            change(c, update(_T).where(*here).values(**values), "the repair")


def _drop(c: Connection, number: int, name: str) -> None:
    c.execute(delete(_LINES).where(_LINES.c.repair == number, _LINES.c.connection == name))


def _line(row: Row[Any]) -> RepairLine:
    values = {name: value for name, value in row._mapping.items() if name != "repair"}
    return RepairLine(**{**values, "grace": timedelta(seconds=row.grace)})
