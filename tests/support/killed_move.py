"""Moves of a store that are killed: ``python killed_move.py HOME DATABASE_URL [STEP…]``.

A step is an external effect: a file renamed, linked or removed, a transaction about to be
committed, or one that has just ended. For each given step, or all, and in both directions, one
process moves everything and kills itself there with SIGKILL. Others then read and write, move
again, and read. Prints a JSON list of `KilledMove`.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Text, insert, select

from support.killed_rotation import in_child, kill_at_step, open_store
from support.records import NOW, add_connections, add_grant, make_attempt
from wizard import paths as wizard_paths
from wizard.model import Event
from wizard.paths import Paths
from wizard.store import Destination, Store, moves, schema
from wizard.store.database import Database
from wizard.store.postgresql import PostgresqlDatabase
from wizard.store.sqlite import SqliteDatabase

EACH_STORE_HAS_ITS_OWN = ("place", "move", "machine", "seal")


class KilledMove(NamedTuple):
    """What a kill left behind."""

    was_killed: bool
    error: str | None
    """Of the process that should have been killed."""
    active_stores: int
    """Of the two, after the next process."""
    has_everything: bool
    """What that process read is what the source had."""
    move_error: str | None
    """Of the next move."""
    is_moved: bool
    """Only the target is active then. It has everything, and what was written meanwhile."""


def fill(store: Store) -> None:
    """Put a row into every table that both engines have; the most important ones by their
    repositories."""
    add_connections(store, "crm", "books")
    add_grant(store)
    store.attempts.add(make_attempt("open"))
    store.monitoring.set_notify_command("notify --key s3cret")
    store.destinations.add(Destination("crm", "dotenv", "/srv/.env", field_names={"a": "b"}))
    for kind in ("created", "authorized"):
        store.events.record(Event(NOW, "crm", kind, {"text": "Zoë “Büro” 🚀"}))
    with store.database.write() as c:
        for table in (each for each in schema.metadata.sorted_tables if not each.info):
            if c.execute(select(table)).first() is None:
                raw = {each.name: each for each in moves._tables()}[table.name]
                row = {each.name: _value_of(c, each) for each in table.columns}
                c.execute(insert(raw).values(**row))


def _value_of(c: Any, column: Any) -> Any:
    for key in column.foreign_keys:
        return c.execute(select(key.column)).scalars().first()
    kind = getattr(column.type, "impl_instance", column.type)
    if column.name == "machine":
        return ""
    if isinstance(kind, Text):
        return '{"a": "ü"}'
    return b"\x00\xff" if kind.python_type is bytes else kind.python_type(1)


def rows_of(database: Database) -> dict[str, list[str]]:
    """Every row of every table that both engines have, as it is stored, without what moves add to
    the history."""
    found = {}
    with database.read() as c:
        for table in moves._tables():
            columns = [each for each in table.columns if each.name not in EACH_STORE_HAS_ITS_OWN]
            query = select(*columns)
            if table.name == schema.events.name:
                query = query.where(table.c.kind != "database-moved")
            rows = c.execute(query).all()
            found[table.name] = sorted(repr(tuple(row)) for row in rows)
    return found


def _digest(database: Database) -> str:
    return hashlib.sha256(json.dumps(rows_of(database)).encode()).hexdigest()


def databases(paths: Paths, url: str) -> Iterator[Database]:
    """Both databases, also a deactivated one."""
    if os.path.exists(paths.database):
        yield SqliteDatabase.open(paths)
    yield PostgresqlDatabase.open(paths.with_database_url(url))


def move(paths: Paths, target: str, killed_at: int = 0) -> None:
    """Move everything; at a step, kill this process."""
    store, vault = open_store(paths)
    kill_at_step(killed_at)
    planned = moves.plan_move(paths, store, target)
    if planned.target != planned.source:
        moves.move_store(paths, store, vault, target, lambda: NOW)


def read(paths: Paths, url: str, *, writes: bool) -> tuple[str, list[bool], str]:
    """What the store has that a process uses now; of each active store, whether it is shared; and
    what the store has after the process wrote to it."""
    with closing(open_store(paths)[0]) as store:
        before = _digest(store.database)
        active = active_stores(paths, url)
        if writes:
            store.events.record(Event(NOW, "crm", "edited", {}))
        return before, active, _digest(store.database)


def active_stores(paths: Paths, url: str) -> list[bool]:
    """Of each active store, whether it is shared."""
    found = []
    for database in databases(paths, url):
        with closing(database), database.read() as c:
            row = c.execute(select(schema.installation.c.move)).first()
            if row is not None and row.move is None:
                found.append(database.is_shared)
    return found


def killed_move(paths: Paths, url: str, target: str, step: int, before: str) -> KilledMove:
    """Kill a move at a step, and see what is left of `before`."""
    status, error = in_child(partial(move, paths, target, step))
    _, (after, active, written) = in_child(partial(read, paths, url, writes=True))
    _, move_error = in_child(partial(move, paths, target))
    _, (moved, now_active, _) = in_child(partial(read, paths, url, writes=False))
    is_moved = moved == written and now_active == [target == url]
    return KilledMove(
        os.WIFSIGNALED(status), error, len(active), after == before, move_error, is_moved
    )


def main() -> None:
    home, url, *steps = sys.argv[1:]
    paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": home})
    paths.prepare()
    in_child(lambda: fill(open_store(paths)[0]))
    results = []
    for step in map(int, steps) if steps else count(1):
        for target in (url, moves.LOCAL):
            if target == moves.LOCAL and step % 2 and not steps:
                for file in Path(paths.data_dir).glob("wizard.db*"):
                    file.unlink()  # deactivated; it is created again
            _, (before, _, _) = in_child(partial(read, paths, url, writes=False))
            results.append(killed_move(paths, url, target, step, before))
        if not any(each.was_killed for each in results[-2:]):
            break
    print(json.dumps(results))  # noqa: T201


if __name__ == "__main__":
    main()
