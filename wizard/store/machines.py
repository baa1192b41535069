"""The machines that use a shared store, each with a data directory of its own.

Destinations, and the users with access, belong to one of them: paths, commands and user IDs mean
something else on another.
"""

import platform
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, count
from math import inf
from secrets import token_hex

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import delete, func, select, update

from wizard import files
from wizard.errors import WizardError, fail
from wizard.locks import ExclusiveLock
from wizard.model import Event, Failure
from wizard.paths import Paths
from wizard.store import schema
from wizard.store.connections import ROW_SEALS
from wizard.store.database import Database, Repository, insert_row
from wizard.store.history import insert_event
from wizard.store.installation import forget_machine, forget_machines
from wizard.vault import Vault

_T = schema.machines
OF_MACHINES = [each for each in ROW_SEALS if "machine" in each.table.c]
"""The seals of the tables whose rows belong to one machine each."""

SEEN_INTERVAL = timedelta(minutes=1)
"""How often it is recorded that a machine uses the store, at most."""
UNUSED_AFTER = timedelta(days=30)
"""A machine that nothing belongs to is forgotten after this time, as containers come and go."""
_LOCK_TIMEOUT_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NOT_IN_NAMES = re.compile(r"^[._-]+|[^A-Za-z0-9._-]+")
_MAX_HOST_NAME_CHARACTERS = 55


@dataclass(frozen=True)
class Machine:
    """One machine."""

    id: str
    name: str
    """Its host name, unless the user chose another; no other machine of the store has it."""
    last_seen_at: datetime
    """When it last wrote to the store, by the database's clock."""
    is_here: bool
    """It is this one."""
    destinations: int
    outdated_destinations: int
    """How many of them don't have the current grant of their connection."""


class MachineRepository(Repository):
    """The machines of a shared store; a local store has none."""

    def __init__(self, database: Database, vault: Vault) -> None:
        super().__init__(database, vault)
        self._noted_at = -inf

    def all(self) -> tuple[Machine, ...]:
        """Every machine, by name."""
        return self.database.once("machines", self._select) if self.database.is_shared else ()

    def _select(self) -> tuple[Machine, ...]:
        destinations, connections = schema.destinations.c, schema.connections.c
        is_outdated = destinations.generation != connections.generation
        query = (
            select(
                _T,
                (_T.c.id == self.database.machine_id).label("is_here"),
                func.count(destinations.id).label("destinations"),
                func.count(destinations.id).filter(is_outdated).label("outdated_destinations"),
            )
            .outerjoin(schema.destinations, destinations.machine == _T.c.id)
            .outerjoin(schema.connections, connections.name == destinations.connection)
            .group_by(_T.c.id)
            .order_by(_T.c.name)
        )
        with self.database.read() as c:
            return tuple(Machine(**row._mapping) for row in c.execute(query))

    def others(self) -> dict[str, str]:
        """The names of the other machines by ID."""
        return {each.id: each.name for each in self.all() if not each.is_here}

    def rename_this(self, name: str) -> None:
        """Name this machine. Raises ``bad-machine-name``, ``machine-name-taken``."""
        if not _NAME.fullmatch(name):
            raise fail("bad-machine-name", name=name[:80])
        with self.database.write() as c:
            here = _T.c.id == self.database.machine_id
            if c.scalar(select(_T.c.id).where(_T.c.name == name, ~here)) is not None:
                raise fail("machine-name-taken", name=name)
            previous = c.scalar(select(_T.c.name).where(here))
            c.execute(update(_T).where(here).values(name=name))
            if previous is not None and previous != name:
                details = {"previous_name": previous, "name": name}
                event = Event(self.database.now(), "", "machine-renamed", details)
                insert_event(c, event, self.database.machine_id)

    def removable(self, name: str) -> Machine:
        """The machine that `remove` would remove. Raises as it."""
        machines = {each.name: each for each in self.all()}
        if name not in machines:
            raise fail("unknown-machine", name=name, known=", ".join(machines))
        if machines[name].is_here:
            raise fail("machine-is-this-one", name=name)
        return machines[name]

    def remove(self, name: str, at: datetime) -> None:
        """Remove a machine with its destinations and its users' access. It is added again, without
        them, if it writes to the store. Raises ``unknown-machine``, ``machine-is-this-one``."""
        machine_id = self.removable(name).id
        with self.database.write() as c:
            for each in OF_MACHINES:
                c.execute(delete(each.table).where(each.table.c.machine == machine_id))
            forget_machine(c, machine_id)
            c.execute(delete(_T).where(_T.c.id == machine_id))
            event = Event(at, "", "machine-removed", {"name": name})
            insert_event(c, event, self.database.machine_id)

    def note_use(self, c: DatabaseConnection) -> None:
        """Record within a write transaction that this machine uses the store."""
        if time.monotonic() - self._noted_at < SEEN_INTERVAL.total_seconds():
            return
        here, now = _T.c.id == self.database.machine_id, self.database.now()
        seen_at = c.scalar(select(_T.c.last_seen_at).where(here))
        if seen_at is None:
            self._register(c, now)
            return  # not noted, because the transaction may be undone
        if now - seen_at >= SEEN_INTERVAL:
            c.execute(update(_T).where(here).values(last_seen_at=now))
        self._noted_at = time.monotonic()

    def _register(self, c: DatabaseConnection, now: datetime) -> None:
        owners = (select(each.table.c.machine) for each in OF_MACHINES)
        unused = [_T.c.id.not_in(each) for each in owners]
        c.execute(delete(_T).where(_T.c.last_seen_at < now - UNUSED_AFTER, *unused))
        name = _free_name(_host_name(), c.scalars(select(_T.c.name)).all())
        insert_row(c, _T, id=self.database.machine_id, name=name, last_seen_at=now)


def claim_rows(c: DatabaseConnection, vault: Vault, machine_id: str, new_id: str) -> None:
    """Make the rows of a machine those of another: they were moved between a local store, where the
    ID is empty, and a shared one."""
    for each in OF_MACHINES:
        each.renew(c, vault, "machine", machine_id, new_id)
        c.execute(update(each.table).values(machine=new_id))
    forget_machines(c)


def _host_name() -> str:
    return _NOT_IN_NAMES.sub("", platform.node())[:_MAX_HOST_NAME_CHARACTERS] or "machine"


def _free_name(wanted: str, taken: Collection[str]) -> str:
    numbered = (f"{wanted}-{number}" for number in count(2))
    return next(each for each in chain([wanted], numbered) if each not in taken)


def own_machine_id(paths: Paths, here: str) -> str:
    """The ID of this machine, whose `machine_digest` is `here`; a new one if the data directory has
    none, or if it was copied from a different machine. Raises OSError, ``store-locked``."""
    if known := _known_id(paths, here):
        return known
    busy = Failure("store-locked", temporary=True, details={"path": paths.machine_file})
    lock = paths.lock_file(":machine")
    with ExclusiveLock(lock, lambda: WizardError(busy), _LOCK_TIMEOUT_SECONDS):
        machine_id = _known_id(paths, here)
        if not machine_id:
            machine_id = token_hex(8)
            files.replace(paths.machine_file, f"{machine_id} {here}\n".encode())
    return machine_id


def _known_id(paths: Paths, here: str) -> str:
    """The stored ID, unless it was made on a different machine than `here`, where that is known."""
    machine_id, _, there = paths.machine.partition(" ")
    return machine_id if not (here and there) or here == there else ""
