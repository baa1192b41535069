"""Access permissions: which users of this machine may request a connection's access tokens."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from wizard.errors import fail
from wizard.store import schema
from wizard.store.repository import Repository

_T = schema.access_permissions


@dataclass(frozen=True)
class AccessPermission:
    """One user's right to request the access tokens of one connection."""

    connection: str
    uid: int
    """The numeric user ID, which the kernel reports."""
    user: str
    """The user's name when access was granted, for people."""
    created_at: datetime


class AccessPermissionRepository(Repository):
    """The access permissions by connection."""

    def all(self, connection: str | None = None) -> tuple[AccessPermission, ...]:
        """The permissions of a connection, or all."""
        query = select(_T).order_by(_T.c.connection, _T.c.user)
        if connection is not None:
            query = query.where(_T.c.connection == connection)
        with self.database.read() as c:
            return tuple(AccessPermission(**row._mapping) for row in c.execute(query))

    def exists(self, connection: str, uid: int) -> bool:
        """Whether the user ``uid`` may request access tokens of ``connection``."""
        query = select(_T.c.uid).where(_T.c.connection == connection, _T.c.uid == uid)
        with self.database.read() as c:
            return c.execute(query).first() is not None

    def add(self, permission: AccessPermission) -> None:
        """Store a permission, if it isn't stored yet. Raises ``unknown-connection``."""
        known = schema.connections.c.name
        with self.database.write() as c:
            if c.scalar(select(known).where(known == permission.connection)) is None:
                raise fail("unknown-connection", name=permission.connection)
            c.execute(insert(_T).values(**vars(permission)).on_conflict_do_nothing())

    def remove(self, connection: str, uid: int) -> bool:
        """Remove a permission; returns whether there was one."""
        here = delete(_T).where(_T.c.connection == connection, _T.c.uid == uid)
        with self.database.write() as c:
            return c.execute(here).rowcount > 0
