"""Export and import of the whole store, and the grants that other installations may use."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import delete, select

from wizard.errors import fail
from wizard.model import Client, Connection, Grant
from wizard.paths import Paths
from wizard.store import schema
from wizard.store.clients import ClientRepository
from wizard.store.connections import (
    NAME_PATTERN,
    select_connections,
    with_clean_annotations,
)
from wizard.store.database import Database, Repository, insert_row, open_database
from wizard.store.destinations import CONFIGURED_FIELDS, Destination, insert_destination
from wizard.store.grants import grant_from_row, insert_grant
from wizard.vault import Vault

_T = schema.shared_grants
_CONNECTIONS = schema.connections
_DESTINATIONS = schema.destinations
_LEFT_OUT = ("previous_content", "seal")


@dataclass(frozen=True)
class SharedGrant:
    """A grant that another installation may use, too."""

    connection: str
    generation: int
    backup_host: str
    """The user and the machine of the other installation, for people; empty: unknown, since the
    backup came from this one."""
    backup_created_at: datetime
    """When the backup was made."""


class SharedGrantRepository(Repository):
    """The shared grants by connection."""

    def all(self, connection: str | None = None) -> tuple[SharedGrant, ...]:
        """The shared current grants of a connection, or all. A newer grant of this installation
        isn't shared."""
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
        """Forget shared grants of these connections, or all: the other installations were
        deactivated."""
        gone = delete(_T)
        if connections is not None:
            gone = gone.where(_T.c.connection.in_(connections))
        with self.database.write() as c:
            c.execute(gone)


def insert_shared_grant(c: DatabaseConnection, shared_grant: SharedGrant) -> None:
    """Record a shared grant within a larger transaction."""
    c.execute(delete(_T).where(_T.c.connection == shared_grant.connection))
    insert_row(c, _T, **vars(shared_grant))


@dataclass(frozen=True)
class StoreContents:
    """Everything that a backup contains; histories and request logs aren't transferred, and of the
    destinations only those on this machine."""

    clients: tuple[Client, ...] = ()
    connections: tuple[Connection, ...] = ()
    grants: tuple[Grant, ...] = ()
    destinations: tuple[Destination, ...] = ()


class TransferRepository:
    """Export and import of `StoreContents`."""

    def __init__(self, database: Database, vault: Vault, clients: ClientRepository) -> None:
        self._database = database
        self._vault = vault
        self._clients = clients

    def export_contents(self) -> StoreContents:
        """Read everything in one transaction."""
        query = select(schema.grants).order_by(
            schema.grants.c.connection, schema.grants.c.generation
        )
        with self._database.read() as c:
            return StoreContents(
                self._clients.select_all(c),
                select_connections(c),
                tuple(grant_from_row(self._vault, row) for row in c.execute(query)),
                _select_destinations(c, self._database.machine_id),
            )

    def import_contents(
        self, contents: StoreContents, shared_grants: Sequence[SharedGrant] = ()
    ) -> None:
        """Store everything in one transaction, or nothing; `shared_grants` are those of its grants
        that another installation may use, too.

        An existing client keeps its data, and gains secrets for data centers without one. Raises
        ``bad-name`` or ``connection-exists``, and what `ConnectionRepository.edit` raises.
        """
        with self._database.write() as c:
            here = {client.client_id: client for client in self._clients.select_all(c)}
            for client in contents.clients:
                self._import_client(c, client, here)
            taken = {name.lower() for name in c.scalars(select(_CONNECTIONS.c.name))}
            newest: dict[str, int] = {}
            for grant in contents.grants:
                newest[grant.connection] = max(grant.generation, newest.get(grant.connection, 0))
            for connection in contents.connections:
                if not NAME_PATTERN.fullmatch(connection.name):
                    raise fail("bad-name", name=connection.name)
                if connection.name.lower() in taken:
                    raise fail("connection-exists", name=connection.name)
                connection = with_clean_annotations(connection)
                last = max(connection.generation, newest.get(connection.name, 0))
                insert_row(c, _CONNECTIONS, **vars(connection), last_generation=last)
            for grant in contents.grants:
                insert_grant(c, self._vault, grant)
            for shared_grant in shared_grants:
                insert_shared_grant(c, shared_grant)
            for destination in contents.destinations:
                # Only its configuration: this installation has delivered nothing there yet.
                fresh = Destination(
                    **{each: getattr(destination, each) for each in CONFIGURED_FIELDS},
                    machine=self._database.machine_id,
                )
                insert_destination(c, self._vault, fresh)

    def _import_client(
        self, c: DatabaseConnection, client: Client, existing: dict[str, Client]
    ) -> None:
        known = existing.get(client.client_id)
        if known is None:
            names = {each.name for each in existing.values()}
            name = client.name if client.name not in names else f"{client.name} {client.client_id}"
            columns = {column.name: getattr(client, column.name) for column in schema.clients.c}
            insert_row(c, schema.clients, **{**columns, "name": name})
            existing[client.client_id] = replace(client, name=name)
        for secret in client.secrets:
            if known is None or secret.location not in known.locations:
                self._clients.insert_secret(c, client.client_id, secret)


def export_without_secrets(paths: Paths) -> StoreContents:
    """What the database of `paths` contains without its key: everything but the secrets.

    Raises what `open_database` raises.
    """
    database = open_database(paths)
    try:
        with database.read() as c:
            rows = c.execute(select(schema.clients).order_by(schema.clients.c.name))
            return StoreContents(
                tuple(Client(**row._mapping) for row in rows),
                tuple(replace(each, generation=0) for each in select_connections(c)),
                (),
                _select_destinations(c, database.machine_id),
            )
    finally:
        database.close()


def _select_destinations(c: DatabaseConnection, machine: str) -> tuple[Destination, ...]:
    """Every destination of a machine, without its previous content."""
    columns = [column for column in _DESTINATIONS.c if column.name not in _LEFT_OUT]
    here = _DESTINATIONS.c.machine == machine
    rows = c.execute(select(*columns).where(here).order_by(_DESTINATIONS.c.id))
    return tuple(Destination(**row._mapping) for row in rows)
