"""Twins: grants that came here in a backup while the home it was made in goes on with them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection as Handle
from sqlalchemy import delete, select

from wizard.store import schema
from wizard.store.shelf import Shelf, put

_T = schema.twins
_CONNECTIONS = schema.connections


@dataclass(frozen=True)
class Twin:
    """A grant that another home may tend, too."""

    connection: str
    generation: int
    made_on: str
    """The user and the machine of the other home, for people; empty: wherever the backup of this
    home was restored, before it came back here."""
    made_at: datetime
    """When the backup was made."""


class Twins(Shelf):
    """The current grants that another home may tend, by connection."""

    def twins(self, connection: str | None = None) -> tuple[Twin, ...]:
        """Those of a connection, or all. A grant that was made here since is ours alone."""
        same = (_T.c.connection == _CONNECTIONS.c.name) & (
            _T.c.generation == _CONNECTIONS.c.generation
        )
        query = select(_T).join(_CONNECTIONS, same).order_by(_T.c.made_at, _T.c.connection)
        if connection is not None:
            query = query.where(_T.c.connection == connection)
        with self.database.read() as c:
            return tuple(Twin(**row._mapping) for row in c.execute(query))

    def forget_twins(self, connections: Collection[str] | None = None) -> None:
        """The other homes of these connections, or of all, are gone or retired."""
        gone = delete(_T)
        if connections is not None:
            gone = gone.where(_T.c.connection.in_(connections))
        with self.database.write() as c:
            c.execute(gone)


def put_twin(c: Handle, twin: Twin) -> None:
    """Write down, within a transaction that does more, who may tend a grant, too."""
    c.execute(delete(_T).where(_T.c.connection == twin.connection))
    put(c, _T, **vars(twin))
