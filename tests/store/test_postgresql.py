"""The shared database: what its sessions guarantee, what it refuses, what it survives."""

import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest
from support.claims import over_rows
from support.postgresql import UNPRIVILEGED_ID, USER, postgresql_server
from support.records import CLIENT_ID, add_connections, make_connection, raises_failure
from support.storage import execute, on_postgresql
from support.tokens import wait_for

from wizard import paths as wizard_paths
from wizard.errors import WizardError, fail
from wizard.fastpath.shared_store import Address
from wizard.model import Event
from wizard.paths import Paths
from wizard.store import Store
from wizard.store.history import RETENTION, EventFilter
from wizard.store.postgresql import PostgresqlDatabase
from wizard.vault import Vault

database_url = on_postgresql


def test_a_writer_waits_for_the_one_before_it_and_sees_what_that_wrote(
    paths: Paths, store: Store
) -> None:
    other, found = PostgresqlDatabase.open(paths), list[int]()

    def come_second() -> None:
        with other.write() as c:
            found.append(c.exec_driver_sql("SELECT count(*) FROM connections").scalar_one())

    add_connections(store)
    second = threading.Thread(target=come_second)
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with store.database.write() as c:
        second.start()
        with store.database.read() as reader:
            wait_for(lambda: reader.exec_driver_sql(waiting).first() is not None)
        c.exec_driver_sql("DELETE FROM connections")
    second.join()
    other.close()
    assert found == [0]


def test_text_with_a_nul_is_in_no_row(store: Store) -> None:
    add_connections(store)
    with raises_failure("unknown-connection"):
        store.connections.get("crm\0")
    assert not store.access_permissions.exists("\0", 1000)
    assert store.connections.find("\0").names == ()


def test_a_read_is_one_snapshot_and_cannot_write(store: Store) -> None:
    add_connections(store)
    with store.database.read() as c:
        count = "SELECT count(*) FROM connections"
        before = c.exec_driver_sql(count).scalar_one()
        store.connections.add(make_connection("desk"))
        assert c.exec_driver_sql(count).scalar_one() == before
    with raises_failure("database-unwritable"), store.database.read() as c:
        c.exec_driver_sql("DELETE FROM connections")


def test_a_commit_is_durable_whatever_the_server_says(
    paths: Paths, store: Store, database_url: str
) -> None:
    name = database_url.partition("@/")[2].partition("?")[0]
    execute(database_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    again = PostgresqlDatabase.open(paths)
    with again.read() as c:
        assert c.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    again.close()


def test_a_server_that_may_lose_a_commit_is_refused(
    paths: Paths, vault: Vault, database_url: str
) -> None:
    def set_fsync(value: str) -> None:
        execute(database_url, f"ALTER SYSTEM SET fsync = {value}", "SELECT pg_reload_conf()")
        wait_for(lambda: read_fsync() == value)

    def read_fsync() -> object:
        with psycopg.connect(database_url) as connection:
            return (connection.execute("SHOW fsync").fetchone() or [""])[0]

    set_fsync("off")
    try:
        with raises_failure("database-unsafe"):
            Store.open(paths, vault, "live")
    finally:
        set_fsync("on")


def test_text_is_ordered_by_its_bytes_whatever_the_locale(store: Store) -> None:
    with store.database.read() as c:
        found = c.exec_driver_sql(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
        )
        assert set(found.scalars()) == {"zoho_wizard_store"}


def test_only_served_tokens_that_are_too_old_leave_the_history(
    store: Store, database_url: str
) -> None:
    now = datetime.now(UTC)
    old, recent = now - RETENTION - timedelta(hours=1), now - RETENTION + timedelta(hours=1)
    store.events.record(Event(old, "crm", "edited"))
    served = [Event(at, "crm", "token-served") for at in (old, recent, now)]
    store.events.record_token_serving(*served)
    for statement in ("UPDATE events SET kind = ''", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only added"):
            execute(database_url, statement)
    store.events.record_token_serving(served[-1])
    kept = [(each.at, each.kind) for each in store.events.search(EventFilter())]
    assert kept == [
        (old, "edited"),
        *((at, "token-served") for at in (recent, now, now)),
    ]


def test_tables_are_created_only_on_request(paths: Paths, vault: Vault, database_url: str) -> None:
    execute(database_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    with raises_failure("database-not-prepared"):
        Store.open(paths, vault, "live")
    execute(database_url, "CREATE TABLE clients (theirs INTEGER)")
    with raises_failure("store-damaged"):
        PostgresqlDatabase.open(paths, may_create=True)
    execute(database_url, "DROP TABLE clients")
    PostgresqlDatabase.open(paths, may_create=True).close()


def test_a_newer_database_is_refused(paths: Paths, vault: Vault, database_url: str) -> None:
    execute(database_url, "UPDATE zoho_wizard_store SET version = 99")
    with raises_failure("store-newer-version"):
        Store.open(paths, vault, "live")


def test_a_forgotten_url_opens_no_local_database(
    paths: Paths, vault: Vault, store: Store, tmp_path: Path
) -> None:
    forgotten = wizard_paths.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")})
    with raises_failure("database-url-missing"):
        Store.open(forgotten, vault, "live")
    assert not Path(forgotten.database).exists()


def test_another_shared_database_is_refused(
    paths: Paths, vault: Vault, store: Store, database_url: str
) -> None:
    execute(database_url, "UPDATE zoho_wizard_store SET id = 'another'")
    with raises_failure("database-replaced"):
        Store.open(paths, vault, "live")


def test_no_key_is_made_for_a_shared_database_that_has_one(paths: Paths) -> None:
    with raises_failure("key-of-store-missing"):
        Vault.open(paths, use_keyring=False)
    assert not Path(paths.key_file).exists()


def test_cut_connections_are_reported_once_and_replaced(store: Store, database_url: str) -> None:
    add_connections(store)
    execute(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    with raises_failure("database-unreachable"):
        store.connections.all()
    assert [each.name for each in store.connections.all()] == ["crm"]


def test_a_connection_that_was_idle_is_tried_before_it_is_used(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wizard.store.postgresql.IDLE_SECONDS", 0)
    add_connections(store)
    execute(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert [each.client_id for each in store.clients.all()] == [CLIENT_ID]


def test_a_connection_is_renamed_even_if_its_token_is_cached(store: Store) -> None:
    add_connections(store)
    store.access_tokens.put("crm", lambda: b"sealed")
    store.connections.rename("crm", "sales")
    assert [store.access_tokens.get(name) for name in ("crm", "sales")] == [None, None]


def test_a_server_that_does_not_answer_is_reported_with_the_reason(tmp_path: Path) -> None:
    environment = {
        "ZOHO_WIZARD_HOME": str(tmp_path),
        "ZOHO_WIZARD_DATABASE_URL": f"postgresql:///wizard?host={tmp_path}",
    }
    with pytest.raises(WizardError) as caught:
        PostgresqlDatabase.open(wizard_paths.locate(environment))
    failure = caught.value.failure
    assert (failure.code, failure.temporary) == ("database-unreachable", True)
    assert str(tmp_path) in failure.details["reason"]
    assert failure.details["reason"].endswith("No such file or directory")


@pytest.fixture(params=["transaction", "session"])
def proxy_url(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    """The URL of the database through PgBouncer in one of its modes."""
    server, name = postgresql_server().directory, database_url.partition("@/")[2].partition("?")[0]
    directory = Path(mkdtemp(prefix="zw-", dir=server.parent))
    (directory / "users").write_text(f'"{USER}" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"""
        [databases]
        {name} = host={server}
        [pgbouncer]
        listen_addr =
        unix_socket_dir = {directory}
        auth_type = trust
        auth_file = {directory}/users
        pool_mode = {request.param}
        ignore_startup_parameters = extra_float_digits
        """
    )
    options: dict[str, Any] = {}
    if os.geteuid() == 0:
        options = {"user": UNPRIVILEGED_ID, "group": UNPRIVILEGED_ID}
        shutil.chown(directory, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    proxy = subprocess.Popen(
        ["pgbouncer", "-q", directory / "pgbouncer.ini"], stderr=subprocess.DEVNULL, **options
    )
    wait_for(lambda: any(directory.glob(".s.PGSQL.*")))
    yield database_url.replace(str(server), str(directory)) + "&port=6432"
    proxy.kill()
    proxy.wait()
    shutil.rmtree(directory)


@pytest.mark.needs("pgbouncer")
def test_a_proxy_that_shares_sessions_is_refused(
    paths: Paths, proxy_url: str, request: pytest.FixtureRequest
) -> None:
    paths.given_database_url = proxy_url
    database = PostgresqlDatabase.open(paths)

    def hold() -> AbstractContextManager[None]:
        return database.shared_lock("crm", lambda: fail("refresh-under-way"), 0, lambda: False)

    if "transaction" in request.node.name:
        with raises_failure("database-pooled"), hold():
            pass
    else:
        with hold(), raises_failure("refresh-under-way"), hold():
            pass
    database.close()


@over_rows("server_time", [math.nan, math.inf, -math.inf, 1e18, 2.5e11, -1e11])
def test_a_clock_that_is_wrong_by_years_is_refused(server_time: float) -> None:
    database = PostgresqlDatabase(Address.parse("postgresql:///wizard"))
    with raises_failure("store-damaged"):
        database.compare_clocks(time.time(), server_time)
    database.close()
