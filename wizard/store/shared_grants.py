"""Twins: grants that came here in a backup while the home it was made in goes on with them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import delete, select

from wizard.store import schema
from wizard.store.repository import Repository, insert_row

_T = schema.shared_grants
_CONNECTIONS = schema.connections


@dataclass(frozen=True)
class SharedGrant:
    """A grant that another home may tend, too."""

    connection: str
    generation: int
    backup_host: str
    """The user and the machine of the other home, for people; empty: wherever the backup of this
    home was restored, before it came back here."""
    backup_created_at: datetime
    """When the backup was made."""


class SharedGrantRepository(Repository):
    """The current grants that another home may tend, by connection."""

    def all(self, connection: str | None = None) -> tuple[SharedGrant, ...]:
        """Those of a connection, or all. A grant that was made here since is ours alone."""
        same = (_T.c.connection == _CONNECTIONS.c.name) & (
            _T.c.generation == _CONNECTIONS.c.generation
        )
        query = (
            select(_T).join(_CONNECTIONS, same).order_by(_T.c.backup_created_at, _T.c.connection)
        )
        if connection is not None:
            query = query.where(_T.c.connection == connection)
        with self.database.read() as c:
            return tuple(SharedGrant(**row._mapping) for row in c.execute(query))

    def forget(self, connections: Collection[str] | None = None) -> None:
        """The other homes of these connections, or of all, are gone or retired."""
        gone = delete(_T)
        if connections is not None:
            gone = gone.where(_T.c.connection.in_(connections))
        with self.database.write() as c:
            c.execute(gone)


def insert_shared_grant(c: DatabaseConnection, shared_grant: SharedGrant) -> None:
    """Write down, within a transaction that does more, who may tend a grant, too."""
    c.execute(delete(_T).where(_T.c.connection == shared_grant.connection))
    insert_row(c, _T, **vars(shared_grant))
