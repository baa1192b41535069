"""Connections: names for wishes to reach a Zoho account."""

import os
import re

from sqlalchemy import ColumnElement, delete, func, select, true, update
from sqlalchemy import Connection as Handle

from wizard.errors import WizardError, fail
from wizard.home import user
from wizard.model import Connection
from wizard.store import clients, schema
from wizard.store.shelf import Shelf, nearest, put

_T = schema.connections
_COLUMNS = [column for column in _T.c if column.name != "last_generation"]

NAME = re.compile(r"(?!new$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Fit for a file name, a URL, a shell and an option's value: it cannot begin with a dash, and is
not ``new``, which is the page where connections are made."""


class Connections(Shelf):
    """The connections by name."""

    def connections(self) -> tuple[Connection, ...]:
        """Every connection, by name."""
        with self.database.read() as c:
            return connections_in(c)

    def count_connections(self, part: str = "") -> int:
        """How many connections there are with ``part`` in their names, in whatever case."""
        with self.database.read() as c:
            return c.execute(select(func.count()).select_from(_T).where(_with(part))).scalar_one()

    def names(self, part: str = "", limit: int = 200) -> list[str]:
        """The first names with ``part`` in them, in whatever case."""
        query = select(_T.c.name).where(_with(part)).order_by(_T.c.name).limit(limit)
        with self.database.read() as c:
            return [*c.scalars(query)]

    def has_connection(self, name: str) -> bool:
        """Whether there is a connection of that name."""
        with self.database.read() as c:
            return c.scalar(select(_T.c.name).where(_T.c.name == name)) is not None

    def connection(self, name: str) -> Connection:
        """Raises ``unknown-connection`` with the nearest names, and whose home was looked in."""
        with self.database.read() as c:
            row = c.execute(select(*_COLUMNS).where(_T.c.name == name)).first()
            if row is None:
                raise self._unknown(c, name)
            return Connection(**row._mapping)

    def fits(self, name: str) -> bool:
        """Whether `name` has the form of a connection's name."""
        return NAME.fullmatch(name) is not None

    def add_connection(self, connection: Connection) -> None:
        """Raises ``bad-name``, ``connection-exists``, ``unknown-client``."""
        name, client_id = connection.name, connection.client_id
        if not NAME.fullmatch(name):
            raise fail("bad-name", name=name)
        with self.database.write() as c:
            taken = select(_T.c.name).where(func.lower(_T.c.name) == name.lower())
            if other := c.scalar(taken):
                raise fail("connection-exists", name=other)
            clients.must_exist(c, client_id)
            put(c, _T, **{**vars(connection), "generation": 0}, last_generation=0)

    def set_scope(self, name: str, scope: tuple[str, ...]) -> None:
        """Replace what the next consent will ask for. Raises ``unknown-connection``."""
        self._set(name, scope=scope)

    def set_location(self, name: str, location: str | None) -> None:
        """Replace the chosen data centre. Raises ``unknown-connection``."""
        self._set(name, location=location)

    def remove_connection(self, name: str) -> None:
        """Delete a connection with its grants, receipts and attempts; its history stays.

        Raises ``unknown-connection``.
        """
        with self.database.write() as c:
            if c.execute(delete(_T).where(_T.c.name == name)).rowcount == 0:
                raise self._unknown(c, name)
        self.database.fold()

    def _set(self, name: str, **values: object) -> None:
        with self.database.write() as c:
            if c.execute(update(_T).where(_T.c.name == name).values(**values)).rowcount == 0:
                raise self._unknown(c, name)

    def _unknown(self, c: Handle, name: str) -> WizardError:
        near = nearest(name, c.scalars(select(_T.c.name)))
        home = os.path.dirname(self.database.path)
        return fail("unknown-connection", name=name, nearest=near, home=home, user=user())


def connections_in(c: Handle, these: ColumnElement[bool] | None = None) -> tuple[Connection, ...]:
    """The connections that fulfil the condition, or all, by name."""
    query = select(*_COLUMNS).where(true() if these is None else these)
    return tuple(Connection(**row._mapping) for row in c.execute(query.order_by(_T.c.name)))


def _with(part: str) -> ColumnElement[bool]:
    return func.instr(func.lower(_T.c.name), part.lower()) > 0 if part else true()
