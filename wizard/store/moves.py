"""Move everything from the local database of a data directory to a shared one, or back.

A store is active unless the row of its installation has a *move*. A move has three steps:

1. One transaction of the target gets every row, and marks the target as arriving.
2. One transaction of the source, which kept every writer out meanwhile, marks it as moved away.
   With this commit, the target counts.
3. The configuration names the target, whose mark is removed.

After a kill before the commit of step 2, the source is active, and the next move replaces what
arrived. After a later one, the next process that opens either store completes the move.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from secrets import token_hex
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    TableClause,
    column,
    delete,
    func,
    insert,
    select,
    table,
    update,
)

from wizard import files
from wizard.errors import WizardError, fail
from wizard.fastpath import token_file
from wizard.locks import ExclusiveLock
from wizard.model import Clock, Event, Failure
from wizard.paths import Paths
from wizard.store import Store, schema
from wizard.store.database import Database
from wizard.store.history import insert_event, write_when_quiet
from wizard.store.installation import ARRIVING, MOVED_AWAY, Place, machine_digest
from wizard.store.machines import OF_MACHINES, claim_rows, own_machine_id
from wizard.store.shared import open_prepared
from wizard.store.sqlite import SqliteDatabase
from wizard.vault import Vault

LOCAL = "local"
"""The target that is the file of the data directory."""

_INSTALLATION = schema.installation
_OF_MACHINES = {each.table.name for each in OF_MACHINES}
_BATCH_ROWS = 1000
COMPLETION_TIMEOUT_SECONDS = 10.0
"""How long to wait for another process that completes a move."""


@dataclass(frozen=True)
class StoreMove:
    """A move of everything, or what it would be."""

    source: str
    """The file, or the address of a database without the user and the options."""
    target: str
    """The same as `source` if everything is there already."""
    rows: Mapping[str, int]
    """By table."""


def plan_move(paths: Paths, store: Store, target: str) -> StoreMove:
    """What a move to `target` would copy. Changes nothing.

    `target` is `LOCAL` or the URL of a shared database. Raises ``database-url-given``,
    ``move-between-servers``, ``move-target-in-use``, and what opening the target raises.
    """
    source, shown = store.database, paths.database
    existing: Database | None = None
    if target != LOCAL:
        from wizard.fastpath.shared_store import Address

        shown = Address.parse(target).shown
        if not source.is_shared:
            existing = open_prepared(paths, target)
        elif shown != source.path:
            raise fail("move-between-servers", path=source.path)
    elif source.is_shared:
        if paths.given_database_url:
            raise fail("database-url-given")
        if os.path.lexists(paths.database):
            existing = SqliteDatabase.open(paths)
    with source.read() as c:
        rows = {each.name: _count(c, _moved_rows(each, source.machine_id)) for each in _tables()}
        key_check = _installation(c).key_check
    if existing is not None:
        with closing(existing), existing.read() as c:
            _require_free(c, shown, key_check)
    return StoreMove(source.path, shown, rows)


def move_store(
    paths: Paths,
    store: Store,
    vault: Vault,
    target: str,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> StoreMove:
    """Move everything to `target`, for which `plan_move` has a plan, and deactivate this store.

    Raises ``requests-under-way``, ``move-count-differs``, and as `plan_move`. Then this store is
    active and unchanged.
    """
    source, move_id = store.database, token_hex(16)
    with (
        closing(_open_target(paths, target)) as database,
        # A proxy that shares sessions is noticed now, not at the first refresh.
        database.shared_lock(
            ":use", lambda: fail("store-locked", path=database.path), 0, lambda: False
        ),
        write_when_quiet(source, clock, sleep) as c,
    ):
        here = _installation(c)
        arriving = {"id": move_id, "state": ARRIVING, "place": source.path}
        arriving["url"] = paths.database_url
        with database.write() as copied:
            _require_free(copied, database.path, here.key_check)
            rows = _copy(c, source.machine_id, copied, database)
            machine_id = own_machine_id(paths, machine_digest()) if database.is_shared else ""
            claim_rows(copied, vault, source.machine_id, machine_id)
            database.continue_ids(copied)
            place = None if database.is_shared else vars(Place.current(database.path))
            copied.execute(update(_INSTALLATION).values(move=arriving, place=place))
            details = {"source": source.path, "target": database.path}
            insert_event(copied, Event(clock(), "", "database-moved", details), machine_id)
        host = "" if database.is_shared else f" ({platform.node()})"
        away = {"id": move_id, "state": MOVED_AWAY, "place": f"{database.path}{host}"}
        away["url"] = target if database.is_shared else ""
        c.execute(update(_INSTALLATION).values(move=away))
        if source.is_shared:
            c.execute(delete(schema.access_tokens))
    source.checkpoint()  # a copy of the file without its WAL is deactivated, too
    Store.open(paths, vault, here.zoho_instance).close()  # which completes the move
    return StoreMove(source.path, database.path, rows)


def complete_move(paths: Paths) -> None:
    """Complete a move of this data directory whose source is deactivated, if there is one.

    One process at a time does it: another one that had read the states of an earlier move would
    activate a store that a later one deactivated. Raises ``store-locked``, and what opening the
    shared database raises, if the local one isn't the source.
    """
    if not os.path.exists(paths.database):
        return
    busy = Failure("store-locked", temporary=True, details={"path": paths.database})
    lock = paths.lock_file(":move")
    with (
        ExclusiveLock(lock, lambda: WizardError(busy), COMPLETION_TIMEOUT_SECONDS),
        closing(SqliteDatabase.open(paths)) as local,
    ):
        here = _move_of(local)
        url = paths.database_url or here.get("url", "")
        try:
            shared = open_prepared(paths, url) if url else None
        except WizardError:
            if here.get("state") == MOVED_AWAY:
                return
            raise
        if shared is None:
            return
        with closing(shared):
            there = _move_of(shared)
            if not here or here["id"] != there.get("id"):
                return
            token_file.remove_all(paths.token_dir)  # one engine's files aren't the other's copies
            if here["state"] == MOVED_AWAY:  # the other one is arriving
                files.replace(paths.database_url_file, f"{url}\n".encode())
                _activate(shared)
            else:
                for path in (paths.shared_store_marker, paths.database_url_file):
                    files.remove(path)
                    files.sync_directory(os.path.dirname(path))
                _activate(local)


def _open_target(paths: Paths, target: str) -> Database:
    if target == LOCAL:
        return SqliteDatabase.open(paths)
    from wizard.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase.open(paths.with_database_url(target), may_create=True)


@cache
def _tables() -> Sequence[TableClause]:
    """The tables that both engines have, in the order of their foreign keys, with values as they
    are stored."""
    return tuple(
        table(
            each.name,
            *(column(c.name, getattr(c.type, "impl_instance", c.type)) for c in each.columns),
        )
        for each in schema.metadata.sorted_tables
        if not each.info
    )


def _moved_rows(each: TableClause, machine_id: str) -> Select[Any]:
    """The rows of a table that are moved: what belongs to other machines isn't."""
    rows = select(each)
    return rows.where(each.c.machine == machine_id) if each.name in _OF_MACHINES else rows


def _count(c: Connection, rows: TableClause | Select[Any]) -> int:
    source = rows.subquery() if isinstance(rows, Select) else rows
    return int(c.scalar(select(func.count()).select_from(source)) or 0)


def _installation(c: Connection) -> Row[Any]:
    return c.execute(select(_INSTALLATION)).one()


def _move_of(database: Database) -> Mapping[str, str]:
    """The move of a database; empty if it has none."""
    with database.read() as c:
        return c.scalar(select(_INSTALLATION.c.move)) or {}


def _activate(database: Database) -> None:
    with database.write() as c:
        c.execute(update(_INSTALLATION).values(move=None))


def _require_free(c: Connection, shown: str, key_check: bytes) -> None:
    """Raise ``move-target-in-use`` unless everything was moved away from a database, or it is
    empty, or an earlier move from the store with `key_check` was interrupted."""
    row = c.execute(select(_INSTALLATION)).first()
    state = row.move["state"] if row and row.move else ""
    if state == MOVED_AWAY or (state == ARRIVING and row and row.key_check == key_check):
        return
    if any(_count(c, each) for each in _tables() if each.name != _INSTALLATION.name):
        raise fail("move-target-in-use", path=shown)


def _copy(
    source: Connection, machine_id: str, target: Connection, database: Database
) -> dict[str, int]:
    """Replace all rows of the target `database`; return how many each table has now."""
    rows = {}
    for each in reversed(_tables()):
        if _count(target, each):
            database.remove_rows(target, each.name)
    for each in _tables():
        moved = _moved_rows(each, machine_id)
        found = source.execute(moved, execution_options={"yield_per": _BATCH_ROWS})
        for batch in found.mappings().partitions():
            target.execute(insert(each), [dict(row) for row in batch])
        rows[each.name] = _count(source, moved)
        if _count(target, each) != rows[each.name]:
            raise fail("move-count-differs", table=each.name)
    return rows
