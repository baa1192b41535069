"""Taking everything out of a home and into another, and remembering that it happened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection as Handle
from sqlalchemy import insert, select, update

from wizard.errors import fail
from wizard.home import Home
from wizard.model import Client, Connection, Grant
from wizard.store import schema
from wizard.store.clients import Clients
from wizard.store.connections import NAME, connections_in
from wizard.store.database import Database
from wizard.store.destinations import WISH, Destination, Destinations
from wizard.store.grants import Grants, grant_of, put_grant
from wizard.store.shelf import put
from wizard.store.twins import Twin, put_twin

_HOUSE = schema.house
_CONNECTIONS = schema.connections
_DESTINATIONS = schema.destinations


@dataclass(frozen=True)
class Belongings:
    """What a home keeps for its user; histories and ledgers stay where they were written."""

    clients: tuple[Client, ...] = ()
    connections: tuple[Connection, ...] = ()
    grants: tuple[Grant, ...] = ()
    destinations: tuple[Destination, ...] = ()


class Moves(Clients, Grants, Destinations):
    """The whole of a home at once."""

    def belongings(self) -> Belongings:
        """Everything, as it stands at one moment."""
        query = select(schema.grants).order_by(
            schema.grants.c.connection, schema.grants.c.generation
        )
        with self.database.read() as c:
            return Belongings(
                self._clients(c),
                connections_in(c),
                tuple(grant_of(self._vault, row) for row in c.execute(query)),
                _destinations_in(c),
            )

    def take_in(self, belongings: Belongings, twins: Sequence[Twin] = ()) -> None:
        """Store all of it in one transaction, or nothing; `twins` are those of its grants that
        another home may tend, too.

        A client that is here already keeps what it has, and gains secrets for data centres it has
        none for. Raises ``bad-name`` or ``connection-exists``.
        """
        with self.database.write() as c:
            here = {client.client_id: client for client in self._clients(c)}
            for client in belongings.clients:
                self._take_in_client(c, client, here)
            taken = {name.lower() for name in c.scalars(select(_CONNECTIONS.c.name))}
            newest: dict[str, int] = {}
            for grant in belongings.grants:
                newest[grant.connection] = max(grant.generation, newest.get(grant.connection, 0))
            for connection in belongings.connections:
                if not NAME.fullmatch(connection.name):
                    raise fail("bad-name", name=connection.name)
                if connection.name.lower() in taken:
                    raise fail("connection-exists", name=connection.name)
                last = max(connection.generation, newest.get(connection.name, 0))
                put(c, _CONNECTIONS, **vars(connection), last_generation=last)
            for grant in belongings.grants:
                put_grant(c, self._vault, grant)
            for twin in twins:
                put_twin(c, twin)
            for destination in belongings.destinations:
                # A wish: this home has delivered nothing there yet.
                fresh = Destination(**{each: getattr(destination, each) for each in WISH})
                values = {**vars(fresh), "before": None}
                del values["id"]
                c.execute(insert(_DESTINATIONS).values(**values))

    def _take_in_client(self, c: Handle, client: Client, here: dict[str, Client]) -> None:
        known = here.get(client.client_id)
        if known is None:
            names = {each.name for each in here.values()}
            name = client.name if client.name not in names else f"{client.name} {client.client_id}"
            columns = {column.name: getattr(client, column.name) for column in schema.clients.c}
            put(c, schema.clients, **{**columns, "name": name})
            here[client.client_id] = replace(client, name=name)
        for secret in client.secrets:
            if known is None or secret.location not in known.locations:
                self._put_secret(c, client.client_id, secret)

    # what a home remembers of its backups

    def backed_up_at(self) -> datetime | None:
        """When the last backup was written; None: never."""
        with self.database.read() as c:
            return c.scalar(select(_HOUSE.c.backed_up_at))

    def note_backup(self, at: datetime) -> None:
        """Write down that a backup was written and read back."""
        self._remember(backed_up_at=at)

    def retired_at(self) -> datetime | None:
        """When everything was moved to another home; None: it was not."""
        with self.database.read() as c:
            return c.scalar(select(_HOUSE.c.retired_at))

    def retire(self, at: datetime | None) -> None:
        """From ``at`` on ask Zoho nothing any more; None: this home works again."""
        self._remember(retired_at=at)

    def _remember(self, **values: datetime | None) -> None:
        with self.database.write() as c:
            c.execute(update(_HOUSE).values(**values))


def salvage(home: Home) -> Belongings:
    """What the database of ``home`` says without its key: everything but the secrets.

    Raises as `Database.open` does.
    """
    database = Database.open(home)
    try:
        with database.read() as c:
            rows = c.execute(select(schema.clients).order_by(schema.clients.c.name))
            return Belongings(
                tuple(Client(**row._mapping) for row in rows),
                tuple(replace(each, generation=0) for each in connections_in(c)),
                (),
                _destinations_in(c),
            )
    finally:
        database.close()


def _destinations_in(c: Handle) -> tuple[Destination, ...]:
    """Every destination, without the version before."""
    columns = [column for column in _DESTINATIONS.c if column.name != "before"]
    rows = c.execute(select(*columns).order_by(_DESTINATIONS.c.id))
    return tuple(Destination(**row._mapping) for row in rows)
