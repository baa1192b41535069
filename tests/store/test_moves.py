"""Moves between the local database and a shared one: everything, once, and one store in use."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import update
from support.killed_move import KilledMove, active_stores, fill, rows_of
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    make_connection,
    raises_failure,
)
from support.tokens import wait_for

from wizard import paths as wizard_paths
from wizard.errors import WizardError, fail
from wizard.locks import ExclusiveLock
from wizard.model import Event, RequestKind, TokenRequest
from wizard.paths import Paths
from wizard.store import AccessPermission, Destination, Store, history, moves, schema
from wizard.store.moves import LOCAL, StoreMove, move_store, plan_move
from wizard.vault import Vault


def move(paths: Paths, store: Store, vault: Vault, target: str) -> StoreMove:
    plan_move(paths, store, target)
    return move_store(paths, store, vault, target, lambda: NOW)


@pytest.fixture
def other_machine(paths: Paths, vault: Vault, tmp_path: Path) -> Paths:
    """Another machine with the same key."""
    other = wizard_paths.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "other")})
    other.prepare()
    shutil.copy(paths.key_file, other.key_file)
    return other


@pytest.fixture
def moved(paths: Paths, store: Store, vault: Vault, postgresql_url: str) -> Iterator[Store]:
    """The shared store that everything was moved to."""
    fill(store)
    move(paths, store, vault, postgresql_url)
    shared = Store.open(paths, vault, "live")
    yield shared
    shared.close()


@pytest.mark.slow
def test_every_row_is_moved_to_the_shared_store_and_back(
    paths: Paths, store: Store, vault: Vault, postgresql_url: str
) -> None:
    fill(store)
    before = rows_of(store.database)
    assert all(before.values()), "each table has a row"
    there = move(paths, store, vault, postgresql_url)
    assert there.rows == {table: len(rows) for table, rows in before.items()}
    shared = Store.open(paths, vault, "live")
    assert shared.database.is_shared
    assert rows_of(shared.database) == before
    assert shared.clients.get(CLIENT_ID).secrets[0].value == "s3cret"

    with raises_failure("database-unwritable"), shared.database.write() as c:
        c.exec_driver_sql("DELETE FROM events")
    shared.events.record(Event(NOW, "crm", "edited", {}))
    shared.connections.add(make_connection("desk"))
    before = rows_of(shared.database)
    assert move(paths, shared, vault, LOCAL).target == paths.database
    assert not paths.uses_shared_store
    local = Store.open(paths, vault, "live")
    assert rows_of(local.database) == before
    assert not local.installation.is_copied()
    assert active_stores(paths, postgresql_url) == [False]
    move(paths, local, vault, postgresql_url)
    assert rows_of(shared.database) == before
    assert active_stores(paths, postgresql_url) == [True]
    local.close()
    shared.close()


@pytest.mark.slow
def test_a_move_takes_the_destinations_and_users_of_its_machine_along(
    paths: Paths, store: Store, vault: Vault, postgresql_url: str, other_machine: Paths
) -> None:
    def require_rows(here: Store) -> None:
        (destination,) = here.destinations.all()
        here.destinations.require_unaltered(destination)
        assert here.access_permissions.exists("crm", 1000)

    add_connections(store)
    store.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
    store.access_permissions.add(AccessPermission("crm", 1000, "anna", NOW))
    move(paths, store, vault, postgresql_url)
    other = Store.open(other_machine.with_database_url(postgresql_url), vault, "live")
    other.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
    other.monitoring.record_notified([f"code crm 2 {other.database.machine_id}"], NOW)
    other.close()
    with closing(Store.open(paths, vault, "live")) as shared:
        require_rows(shared)
        assert len(shared.destinations.everywhere()) == 2
        assert plan_move(paths, shared, LOCAL).rows["destinations"] == 1
        assert move(paths, shared, vault, LOCAL).rows["destinations"] == 1
    with closing(Store.open(paths, vault, "live")) as local:
        require_rows(local)
        assert len(local.destinations.everywhere()) == 1
        assert local.monitoring.notified() == {}


def test_a_deactivated_store_is_refused_and_not_written_to(
    paths: Paths, store: Store, moved: Store, vault: Vault, other_machine: Paths
) -> None:
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.connections.add(make_connection("desk")),
        lambda: store.events.record_token_serving(Event(NOW, "crm", "token-served", {})),
        store.require_active,
    )
    for write in uses:
        with raises_failure("store-moved"):
            write()
    shutil.copy(paths.database, other_machine.database)
    with raises_failure("store-moved"):
        Store.open(other_machine, vault, "live")
    assert not other_machine.uses_shared_store


def test_the_other_machines_are_refused_after_a_move_to_a_local_store(
    paths: Paths, moved: Store, vault: Vault, postgresql_url: str, other_machine: Paths
) -> None:
    there = other_machine.with_database_url(postgresql_url)
    running = Store.open(there, vault, "live")
    running.access_tokens.put("crm", lambda: b"sealed")
    move(paths, moved, vault, LOCAL)
    for write in (
        lambda: running.connections.add(make_connection("desk")),
        lambda: running.events.record_token_serving(Event(NOW, "crm", "token-served", {})),
        lambda: Store.open(there, vault, "live"),
    ):
        with raises_failure("store-moved"):
            write()
    assert running.access_tokens.get("crm") is None
    running.close()


@pytest.mark.slow
def test_what_is_written_during_moves_is_in_the_last_store_once(
    paths: Paths, store: Store, vault: Vault, postgresql_url: str
) -> None:
    add_connections(store)
    written, is_over = list[str](), threading.Event()

    def write(writer: int) -> None:
        used = Store.open(paths, vault, "live")
        for number in count():
            text = f"{writer} {number}"
            try:
                used.events.record(Event(NOW, "crm", "edited", {"text": text}))
                written.append(text)
            except WizardError as error:
                if error.failure.code != "store-moved":
                    raise
                used.close()
                used = Store.open(paths, vault, "live")
            if is_over.is_set():
                break
        used.close()

    def has_written(least: int) -> bool:
        return len(written) > least

    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write, each) for each in range(3)]
        for number, target in enumerate((postgresql_url, LOCAL, postgresql_url), 1):
            wait_for(partial(has_written, 20 * number))
            with closing(Store.open(paths, vault, "live")) as source:
                move(paths, source, vault, target)
        is_over.set()
        for each in writers:
            each.result()
    with closing(Store.open(paths, vault, "live")) as last:
        found = list(last.events.search(history.EventFilter(kinds=["edited"])))
    assert last.database.is_shared
    assert sorted(each.details["text"] for each in found) == sorted(written)


def test_tokens_that_the_other_engine_cached_are_not_served(
    paths: Paths, store: Store, vault: Vault, postgresql_url: str
) -> None:
    add_connections(store)
    cached = Path(paths.token_file("crm"))
    for source, target in ((store, postgresql_url), (None, LOCAL)):
        cached.write_bytes(b"of the source")
        used = source or Store.open(paths, vault, "live")
        move(paths, used, vault, target)
        assert not cached.exists()
        used.close()


def test_a_target_that_is_in_use_is_refused_and_keeps_its_rows(
    paths: Paths,
    store: Store,
    vault: Vault,
    postgresql_url: str,
    other_machine: Paths,
) -> None:
    add_connections(store)
    with_url = other_machine.with_database_url(postgresql_url)
    other = Store.open(with_url, Vault.open(other_machine, use_keyring=False), "live")
    plan_move(paths, store, postgresql_url)  # prepared, but without rows
    add_connections(other, "theirs")
    before = rows_of(other.database)
    with raises_failure("move-target-in-use"):
        plan_move(paths, store, postgresql_url)
    with raises_failure("move-target-in-use"):
        move_store(paths, store, vault, postgresql_url, lambda: NOW)
    assert rows_of(other.database) == before
    store.connections.add(make_connection("desk"))
    other.close()


def test_a_target_that_drops_rows_is_noticed(
    paths: Paths, store: Store, vault: Vault, postgresql_url: str
) -> None:
    fill(store)
    before = rows_of(store.database)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE RULE dropped AS ON INSERT TO events DO INSTEAD NOTHING")
    with raises_failure("move-count-differs"):
        move(paths, store, vault, postgresql_url)
    assert rows_of(store.database) == before
    store.require_active()
    assert not paths.uses_shared_store


def test_nothing_is_moved_while_zoho_has_not_answered(
    paths: Paths,
    store: Store,
    vault: Vault,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "QUIET_TIMEOUT_SECONDS", 0)
    add_connections(store)
    request = store.request_log.add(
        TokenRequest(RequestKind.REFRESH, NOW, "eu", CLIENT_ID, "crm", 1)
    )
    with raises_failure("requests-under-way"):
        move(paths, store, vault, postgresql_url)
    store.request_log.finish(request, "ok")
    move(paths, store, vault, postgresql_url)


def test_a_store_that_is_arriving_is_used_by_nobody_and_taken_by_no_other_store(
    paths: Paths, store: Store, vault: Vault, moved: Store, other_machine: Paths
) -> None:
    arriving = {"id": "of another move", "state": "arriving", "place": "there", "url": ""}
    with moved.database.write() as c:
        c.execute(update(schema.installation).values(move=arriving))
    url = paths.database_url
    for each in (paths, other_machine.with_database_url(url)):
        with raises_failure("store-incomplete"):
            Store.open(each, vault, "live")
    stranger = Store.open(other_machine, vault, "live")
    with raises_failure("move-target-in-use"):
        plan_move(other_machine, stranger, url)
    stranger.close()


def test_one_process_at_a_time_completes_a_move(
    paths: Paths, vault: Vault, moved: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "COMPLETION_TIMEOUT_SECONDS", 0)
    arriving = {"id": "of another move", "state": "arriving", "place": "there", "url": ""}
    with moved.database.write() as c:
        c.execute(update(schema.installation).values(move=arriving))
    busy = ExclusiveLock(paths.lock_file(":move"), lambda: fail("store-locked"))
    with busy, raises_failure("store-locked"):
        Store.open(paths, vault, "live")


def test_a_process_that_opened_a_shared_store_before_a_move_leaves_no_mark_of_it(
    paths: Paths, vault: Vault, moved: Store
) -> None:
    move(paths, moved, vault, LOCAL)
    with raises_failure("store-moved"):
        moved.database.record_use(paths)
    assert not paths.uses_shared_store


def test_what_a_variable_selects_is_not_moved_away(
    paths: Paths, vault: Vault, postgresql_url: str
) -> None:
    given = paths.with_database_url(postgresql_url)
    store = Store.open(given, vault, "live")
    with raises_failure("database-url-given"):
        plan_move(given, store, LOCAL)
    assert plan_move(given, store, postgresql_url).target == store.database.path
    with raises_failure("move-between-servers"):
        plan_move(given, store, postgresql_url.replace("/test_", "/another_"))
    store.close()


def run_killed_moves(home: Path, url: str, *steps: int) -> list[KilledMove]:
    """Both directions, killed at each of the steps, by default at all of them; checked."""
    script = Path(__file__).parent.parent / "support" / "killed_move.py"
    command = [sys.executable, str(script), str(home), url, *map(str, steps)]
    env = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    results = [KilledMove(*each) for each in json.loads(done.stdout)]
    for each in results:
        assert each == KilledMove(each.was_killed, None, 1, True, None, True)
    return results


@pytest.mark.slow
def test_a_move_that_is_killed_loses_nothing_and_leaves_one_store_active(
    tmp_path: Path, postgresql_url: str
) -> None:
    # Before and after the target has everything, and while the configuration is changed
    results = run_killed_moves(tmp_path, postgresql_url, 11, 13, 26, 30)
    assert [each.was_killed for each in results] == [True] * 8


@pytest.mark.slow
def test_a_move_that_is_killed_at_any_step_loses_nothing(
    tmp_path: Path, postgresql_url: str, pytestconfig: pytest.Config
) -> None:
    *killed, there, back = run_killed_moves(tmp_path / "first", postgresql_url)
    assert [there.was_killed, back.was_killed] == [False, False]
    assert len(killed) >= 60, "before and after each file and each commit"
    kills, steps = len(killed), range(1, len(killed) // 2 + 1)
    while kills < pytestconfig.getoption("kills"):
        again = run_killed_moves(tmp_path / f"after-{kills}", postgresql_url, *steps)
        kills += sum(each.was_killed for each in again)
