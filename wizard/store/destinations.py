"""Destinations: files and commands that receive a connection's credentials."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import Row, delete, func, insert, or_, select, update

from wizard.errors import fail
from wizard.model import Failure
from wizard.store import schema
from wizard.store.database import Repository, update_one
from wizard.store.seals import RowSeal
from wizard.vault import Vault, labels

_T = schema.destinations

CONFIGURED_FIELDS = (
    "connection",
    "profile",
    "target",
    "entry",
    "field_names",
    "field_values",
    "reload_command",
    "file_mode",
    "file_group",
)
"""The fields that the user chose; the others are the delivery status."""

SEAL = RowSeal(_T, labels.DESTINATION, ("id", "machine", *CONFIGURED_FIELDS))
"""With the ID, so that a destination can't get the previous content of another one."""

_COLUMNS = [each for each in _T.c if each.name != "seal"]


@dataclass(frozen=True)
class Destination:
    """A file, or a command, that receives a connection's credentials."""

    connection: str
    profile: str
    """The format: ``dotenv``, ``rclone``, ``command``, …"""
    target: str
    """The absolute path of the file, or the command line."""
    entry: str = ""
    """The entry in the file: an INI section, a row of an SDK's file, an MCP server."""
    field_names: Mapping[str, str] = field(default_factory=dict)
    """Fields with different names there: the profile's name to the chosen one."""
    field_values: Mapping[str, str] = field(default_factory=dict)
    """Fields that the user set, with placeholders."""
    reload_command: str = ""
    """The command that makes the program read the new credentials; empty: none."""
    file_mode: str = ""
    """The mode that the file gets, in octal; empty: 0600."""
    file_group: str = ""
    """The name or number of the group that the file gets; empty: it keeps its own."""
    id: int = 0
    machine: str = ""
    """The ID of the machine that it's on; empty: that of the local store."""
    machine_name: str = ""
    machine_seen_at: datetime | None = None
    """When that machine last wrote to the store, if it is shared."""
    generation: int = 0
    """The grant that was last delivered and read back; 0: none."""
    delivered_at: datetime | None = None
    reloaded_at: datetime | None = None
    """When the reload command succeeded after that delivery; None: not known."""
    content_sha256: str = ""
    """SHA-256 of the file as read back, or of what the command got; shows later changes."""
    failure: Failure | None = None
    """Why the last delivery or reload failed."""
    previous_generation: int = 0
    previous_content: str | None = field(default=None, repr=False)
    """The content before the last delivery, for an undo; None: there was none."""
    token_digest: str | None = None
    """SHA-256 of the last delivered refresh token, known even after its rotation."""


class DestinationRepository(Repository):
    """The destinations by connection. Unless it says so, a method is about those on this
    machine."""

    def all(self, connection: str | None = None) -> tuple[Destination, ...]:
        """The destinations of a connection, or of all, in the order they were added."""
        here = self.database.machine_id
        return tuple(each for each in self.everywhere(connection) if each.machine == here)

    def elsewhere(self, connection: str | None = None) -> tuple[Destination, ...]:
        """As `all`, on the other machines."""
        here = self.database.machine_id
        return tuple(each for each in self.everywhere(connection) if each.machine != here)

    def everywhere(self, connection: str | None = None) -> tuple[Destination, ...]:
        """As `all`, on all machines."""
        if self.database.is_snapshot:
            every = self.database.once("destinations", self._select)
            return tuple(each for each in every if connection in (None, each.connection))
        return self._select(connection)

    def programs(self) -> dict[str, list[str]]:
        """The targets on all machines by connection; on another machine, as ``web2:/srv/.env``."""
        found = defaultdict(list)
        for each in self.everywhere():
            is_here = each.machine == self.database.machine_id
            place = "" if is_here else f"{each.machine_name}:"
            found[each.connection].append(place + each.target)
        return found

    def _select(self, connection: str | None = None) -> tuple[Destination, ...]:
        query, machines = select(*_COLUMNS).order_by(_T.c.id), schema.machines.c
        if self.database.is_shared:
            name, seen_at = func.coalesce(machines.name, ""), machines.last_seen_at
            query = query.outerjoin(schema.machines, machines.id == _T.c.machine).add_columns(
                name.label("machine_name"), seen_at.label("machine_seen_at")
            )
        if connection is not None:
            query = query.where(_T.c.connection == connection)
        with self.database.read() as c:
            return tuple(_destination_from_row(self._vault, row) for row in c.execute(query))

    def get(self, destination_id: int) -> Destination:
        """Raises ``unknown-destination``."""
        with self.database.read() as c:
            row = c.execute(select(*_COLUMNS).where(_T.c.id == destination_id)).first()
        if row is None:
            raise fail("unknown-destination", target=str(destination_id))
        return _destination_from_row(self._vault, row)

    def overdue(self, connection: str | None = None) -> tuple[Destination, ...]:
        """Those of `all` that have an older grant, because another machine replaced it. One whose
        delivery failed or was undone is left to the user."""
        if not self.database.is_shared:
            return ()
        grants = schema.connections
        behind = (
            _T.c.machine == self.database.machine_id,
            _T.c.generation < grants.c.generation,
            or_(_T.c.generation > 0, _T.c.content_sha256 == ""),  # else the first was undone
            _T.c.previous_generation != grants.c.generation,  # else this one was
            _T.c.failure.is_(None),
        )
        query = select(*_COLUMNS).join(grants).where(*behind).order_by(_T.c.id)
        if connection is not None:
            query = query.where(_T.c.connection == connection)
        with self.database.read() as c:
            return tuple(_destination_from_row(self._vault, row) for row in c.execute(query))

    def await_delivery_elsewhere(self, connection: str, generation: int) -> None:
        """Make the other machines deliver grant `generation` again where an earlier delivery
        failed."""
        elsewhere = (
            _T.c.connection == connection,
            _T.c.machine != self.database.machine_id,
            _T.c.generation != generation,
            _T.c.failure.is_not(None),
        )
        with self.database.read() as c:
            if c.execute(select(_T.c.id).where(*elsewhere)).first() is None:
                return
        with self.database.write() as c:
            c.execute(update(_T).where(*elsewhere).values(failure=None))

    def require_unaltered(self, destination: Destination) -> None:
        """Raise ``destination-altered`` unless its configuration is one that somebody with the
        encryption key chose."""
        with self.database.read() as c:
            stored = c.scalar(select(_T.c.seal).where(_T.c.id == destination.id))
        if not SEAL.fits(self._vault, {**vars(destination), "seal": stored or b""}):
            name, target = destination.connection, destination.target
            raise fail("destination-altered", name=name, target=target)

    def add(self, destination: Destination) -> Destination:
        """Store a destination on this machine; returns it with its id.

        Raises ``destination-exists`` where the connection has the same one,
        ``unknown-connection``.
        """
        name, target, here = destination.connection, destination.target, self.database.machine_id
        with self.database.write() as c:
            known = schema.connections.c.name
            if c.scalar(select(known).where(known == name)) is None:
                raise fail("unknown-connection", name=name)
            same = _T.c.connection == name, _T.c.target == target, _T.c.entry == destination.entry
            if c.scalar(select(_T.c.id).where(_T.c.machine == here, *same)) is not None:
                raise fail("destination-exists", name=name, target=target)
            made = insert_destination(c, self._vault, replace(destination, machine=here))
        return self.get(made)

    def record_delivery(self, destination: Destination, expected: int) -> None:
        """Store what the destination has now, and what it had before.

        Raises `Conflict` if its stored generation isn't ``expected`` anymore.
        """
        values: dict[str, Any] = {
            "generation": destination.generation,
            "delivered_at": destination.delivered_at,
            "reloaded_at": destination.reloaded_at,
            "content_sha256": destination.content_sha256,
            "failure": destination.failure,
            "previous_generation": destination.previous_generation,
            "token_digest": destination.token_digest,
        }
        here = _T.c.id == destination.id, _T.c.generation == expected
        with self.database.write() as c:
            values["previous_content"] = _sealed_previous_content(self._vault, destination)
            update_one(
                c, update(_T).where(*here).values(**values), f"the file {destination.target}"
            )

    def remove(self, destination_id: int) -> None:
        """Remove a destination. Raises ``unknown-destination``."""
        with self.database.write() as c:
            if c.execute(delete(_T).where(_T.c.id == destination_id)).rowcount == 0:
                raise fail("unknown-destination", target=str(destination_id))
        self.database.checkpoint()


def insert_destination(c: DatabaseConnection, vault: Vault, destination: Destination) -> int:
    """Insert a destination without a previous content; returns its id."""
    row = {key: value for key, value in vars(destination).items() if key in _T.c and key != "id"}
    row |= {"previous_content": None, "seal": b""}
    row["id"] = int(c.execute(insert(_T).values(**row).returning(_T.c.id)).scalar_one())
    c.execute(update(_T).where(_T.c.id == row["id"]).values(seal=SEAL.make(vault, row)))
    return int(row["id"])


def _destination_from_row(vault: Vault, row: Row[Any]) -> Destination:
    before = row.previous_content
    if before is not None:
        before = vault.unseal(before, labels.DESTINATION, str(row.id), labels.PREVIOUS_CONTENT)
    return Destination(**{**row._mapping, "previous_content": before})


def _sealed_previous_content(vault: Vault, destination: Destination) -> bytes | None:
    if destination.previous_content is None:
        return None
    return vault.seal(
        destination.previous_content,
        labels.DESTINATION,
        str(destination.id),
        labels.PREVIOUS_CONTENT,
    )
