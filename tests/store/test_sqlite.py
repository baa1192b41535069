"""The SQLite file: who may read it, what it survives, what it refuses."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    add_grant,
    make_attempt,
    make_client,
    make_connection,
    raises_failure,
)

from wizard import paths as wizard_paths
from wizard.fastpath import cipher
from wizard.model import Event
from wizard.paths import Paths
from wizard.store import Store
from wizard.store.database import Database
from wizard.store.sqlite import MIGRATIONS, SqliteDatabase
from wizard.vault import KeyStorage, Vault


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_every_file_is_private_whatever_the_umask(paths: Paths, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store.open(paths, Vault.open(paths, use_keyring=False), "live")
        add_connections(store)
        add_grant(store)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for top in (paths.data_dir, paths.config_dir)
            for path in Path(top).rglob("*")
        }
        store.close()
    finally:
        os.umask(before)
    assert {"wizard.db", "wizard.db-wal", "wizard.db-shm", "key"} <= modes.keys()
    assert {name: mode for name, mode in modes.items() if mode not in (0o600, 0o700)} == {}


def test_a_database_accessible_to_others_is_refused_without_reading_it(
    paths: Paths, vault: Vault
) -> None:
    Path(paths.database).touch()
    os.chmod(paths.database, 0o644)
    with raises_failure("store-unsafe"):
        Store.open(paths, vault, "live")
    assert Path(paths.database).read_bytes() == b""


def test_a_link_in_place_of_the_database_is_refused(
    paths: Paths, vault: Vault, tmp_path: Path
) -> None:
    os.symlink(tmp_path / "elsewhere", paths.database)
    with raises_failure("store-unsafe"):
        Store.open(paths, vault, "live")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_in_place_of_the_database_is_refused(paths: Paths, vault: Vault) -> None:
    os.mkdir(paths.database, 0o700)
    with raises_failure("store-unsafe"):
        Store.open(paths, vault, "live")


def test_every_connection_is_durable(paths: Paths) -> None:
    database = SqliteDatabase.open(paths)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    with database.read() as first, database.read() as second:
        for handle in (first, second):
            found = {n: handle.exec_driver_sql(f"PRAGMA {n}").scalar_one() for n in wanted}
            assert found == wanted
    database.close()


def test_a_hundred_threads_have_a_connection_each(store: Store) -> None:
    """As many as the clients of the sockets that may wait for a token together."""
    with ExitStack() as stack:
        readers = [stack.enter_context(store.database.read()) for _ in range(100)]
        assert all(each.exec_driver_sql("SELECT 1").scalar_one() == 1 for each in readers)


def test_a_data_directory_may_have_any_name(tmp_path: Path) -> None:
    paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "a?b=c %20 d#é")})
    paths.prepare()
    SqliteDatabase.open(paths).close()
    assert os.path.exists(paths.database)


def execute_raw(paths: Paths, *statements: str) -> None:
    handle = sqlite3.connect(paths.database)
    for statement in statements:
        handle.execute(statement)
    handle.commit()
    handle.close()


def test_a_newer_database_is_refused(paths: Paths, vault: Vault, store: Store) -> None:
    store.close()
    execute_raw(paths, "PRAGMA user_version = 99")
    with raises_failure("store-newer-version"):
        Store.open(paths, vault, "live")


@pytest.mark.parametrize("version", [0, 1, 99])
def test_a_database_of_another_program_is_refused(paths: Paths, vault: Vault, version: int) -> None:
    Path(paths.database).touch(0o600)
    execute_raw(paths, "CREATE TABLE theirs (id)", f"PRAGMA user_version = {version}")
    with raises_failure("store-damaged"):
        Store.open(paths, vault, "live")
    execute_raw(paths, "SELECT * FROM theirs")


def test_a_file_that_is_not_a_database_is_refused_and_left_unchanged(
    paths: Paths, vault: Vault
) -> None:
    Path(paths.database).touch(0o600)
    Path(paths.database).write_bytes(b"not a database" * 400)
    with raises_failure("store-damaged"):
        Store.open(paths, vault, "live")
    assert Path(paths.database).read_bytes() == b"not a database" * 400


@pytest.mark.parametrize("gone", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_missing_database_is_not_recreated_while_cached_tokens_exist(
    paths: Paths, vault: Vault, store: Store, gone: Callable[[Path], object]
) -> None:
    store.close()
    cached = Path(paths.token_file("crm"))
    cached.write_bytes(b"sealed")
    gone(Path(paths.database))
    for _ in range(2):
        with raises_failure("store-lost"):
            Store.open(paths, vault, "live")
    cached.unlink()
    Store.open(paths, vault, "live").close()


def test_a_damaged_page_is_reported_and_nothing_is_recreated(
    paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    add_grant(store)
    store.close()
    content = Path(paths.database).read_bytes()
    spoilt = content[:100] + b"\xff" * (len(content) - 100)
    Path(paths.database).write_bytes(spoilt)
    with raises_failure("store-damaged"):
        Store.open(paths, vault, "live").connections.all()
    assert Path(paths.database).read_bytes() == spoilt


def test_a_database_of_the_simulator_is_refused_by_the_live_wizard(
    paths: Paths, vault: Vault, store: Store
) -> None:
    with raises_failure("store-foreign-zoho"):
        Store.open(paths, vault, "http://127.0.0.1:8730")


def test_a_different_key_is_refused_and_changes_nothing(
    paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    add_grant(store)
    with raises_failure("key-wrong"):
        Store.open(paths, Vault(cipher.new_key(), KeyStorage("key-file", "weak", "there")), "live")
    grant = store.grants.candidate("crm")
    assert grant is not None
    assert grant.refresh_token == "1000.refresh"


NEWEST = 1 + len(MIGRATIONS)


def add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE clients ADD COLUMN color TEXT")


def add_column_and_fail(connection: Connection) -> None:
    add_column(connection)
    connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")


def test_a_migration_keeps_everything_and_leaves_a_private_valid_copy(
    paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    store.close()
    SqliteDatabase.open(paths, migrations=(*MIGRATIONS, add_column)).close()
    copy = f"{paths.database}.version-{NEWEST}"
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    for path, version, columns in ((paths.database, NEWEST + 1, 8), (copy, NEWEST, 7)):
        handle = sqlite3.connect(path)
        assert handle.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert handle.execute("PRAGMA user_version").fetchone() == (version,)
        [row] = handle.execute("SELECT * FROM clients").fetchall()
        assert (row[0], len(row)) == (CLIENT_ID, columns)
        handle.close()


def test_a_migration_whose_copy_fails_its_integrity_check_stops(
    paths: Paths, vault: Vault, store: Store
) -> None:
    store.close()
    with closing(sqlite3.connect(paths.database)) as handle, handle:
        handle.execute("CREATE TABLE spare (value)")
        handle.execute("INSERT INTO spare VALUES (NULL)")
        handle.execute("PRAGMA writable_schema = ON")
        other = "CREATE TABLE spare (value NOT NULL)"
        handle.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'spare'", (other,))
    with raises_failure("store-damaged"):
        SqliteDatabase.open(paths, migrations=(*MIGRATIONS, add_column))
    with closing(sqlite3.connect(paths.database)) as handle:
        assert handle.execute("PRAGMA user_version").fetchone() == (NEWEST,)


def test_a_migration_that_fails_leaves_everything_as_it_was(
    paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    store.close()
    with pytest.raises(DBAPIError, match="nowhere"):
        SqliteDatabase.open(paths, migrations=(*MIGRATIONS, add_column_and_fail))
    again = Store.open(paths, vault, "live")
    assert [each.client_id for each in again.clients.all()] == [CLIENT_ID]
    again.close()


def test_a_full_disk_loses_nothing_and_writing_resumes(
    paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    add_grant(store)
    with store.database.write() as handle:
        handle.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite: not below what is in use
    with raises_failure("disk-full"):
        for _ in range(1000):
            store.events.record(Event(NOW, "crm", "noted", {"text": "x" * 1000}))
    grant = store.grants.candidate("crm")
    assert grant is not None
    assert grant.refresh_token == "1000.refresh"
    with store.database.write() as handle:
        handle.exec_driver_sql("PRAGMA max_page_count = 1000000")
    add_grant(store, "1000.next")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


UNDER_A_LIMIT = """
import resource, sys
from wizard import paths as wizard_paths
from wizard.errors import WizardError
from wizard.model import Event
from wizard.store import Store
from wizard.vault import Vault
sys.path.insert(0, sys.argv[2])
from support.records import NOW, add_grant
paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
store = Store.open(paths, Vault.open(paths, use_keyring=False), "live")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    for number in range(1000):
        store.events.record(Event(NOW, "crm", "noted", {"text": "x" * 1000}))
except WizardError as error:
    print(error.failure.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
add_grant(store, "1000.after")
store.close()
"""


@pytest.mark.slow
def test_a_quota_loses_nothing_and_writing_resumes(
    tmp_path: Path, paths: Paths, vault: Vault, store: Store
) -> None:
    add_connections(store)
    add_grant(store)
    store.close()
    done = run(UNDER_A_LIMIT, str(tmp_path / "home"), os.path.dirname(os.path.dirname(__file__)))
    assert (done.stdout, done.stderr) == ("store-unwritable\n", "")
    again = Store.open(paths, vault, "live")
    assert [g.refresh_token for g in again.grants.of_connection("crm")] == [
        "1000.after",
        "1000.refresh",
    ]
    again.close()


IN_A_READ_ONLY_DIRECTORY = """
import os, sys
from wizard import paths as wizard_paths
from wizard.errors import WizardError
from wizard.store import Store
from wizard.store import sqlite  # nobody may be unable to read the modules
from wizard.vault import Vault
paths = wizard_paths.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
paths.prepare()
vault = Vault.open(paths, use_keyring=False)
if os.geteuid() == 0:  # root may write everything: run as nobody, in nobody's directory
    for top, _, files in os.walk(sys.argv[1]):
        for name in ("", *files):
            os.chown(os.path.join(top, name), 65534, 65534)
    os.seteuid(65534)
os.chmod(paths.data_dir, 0o500)
try:
    Store.open(paths, vault, "live")
except WizardError as error:
    print(error.failure.code)
os.chmod(paths.data_dir, 0o700)
"""


def test_a_read_only_directory_is_reported() -> None:
    # Not below pytest's directory, which only its owner may enter.
    with tempfile.TemporaryDirectory() as top:
        done = run(IN_A_READ_ONLY_DIRECTORY, top)
    assert (done.stdout, done.stderr) == ("store-unwritable\n", "")


def test_no_secret_is_in_the_file_in_any_encoding(paths: Paths, store: Store) -> None:
    secrets = ("client-secret-canary", "1000.refresh-canary", "verifier-canary", "state-canary")
    store.clients.add(make_client(secret=secrets[0]))
    store.connections.add(make_connection())
    add_grant(store, secrets[1])
    store.attempts.add(make_attempt("another", oauth_state=secrets[3]))
    everything = b"".join(p.read_bytes() for p in Path(paths.data_dir).rglob("*") if p.is_file())
    for secret in (each.encode() for each in secrets):
        writings = (secret, secret[::-1], secret.hex().encode(), b64encode(secret)[:-4])
        assert not any(writing in everything for writing in writings)


def test_removed_data_is_gone_from_file_and_wal(paths: Paths, store: Store) -> None:
    add_connections(store)
    add_grant(store)
    handle = sqlite3.connect(paths.database)
    [(sealed,)] = handle.execute("SELECT refresh_token FROM grants").fetchall()
    handle.close()
    store.connections.remove("crm")
    left = [p for p in Path(paths.data_dir).glob("wizard.db*") if sealed in p.read_bytes()]
    assert left == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE grants SET refresh_token = (SELECT value FROM client_secrets)",
        "UPDATE grants SET refresh_token = (SELECT code_verifier FROM attempts)",
        "UPDATE grants SET location = 'us'",
        "UPDATE grants SET client_id = '1000.OTHER'",
        "UPDATE grants SET generation = generation + 1",
        "UPDATE grants SET refresh_token = zeroblob(60)",
    ],
)
def test_a_record_altered_in_the_file_is_detected(
    paths: Paths, store: Store, tampering: str
) -> None:
    add_connections(store)
    add_grant(store)
    execute_raw(paths, tampering)
    with raises_failure("sealed-record-damaged"):
        store.grants.of_connection("crm")


def test_a_secret_moved_to_another_data_center_is_detected(paths: Paths, store: Store) -> None:
    add_connections(store)
    execute_raw(paths, "UPDATE client_secrets SET location = 'us'")
    with raises_failure("sealed-record-damaged"):
        store.clients.get(CLIENT_ID)


@pytest.mark.parametrize("write", [SqliteDatabase.write, SqliteDatabase.write_own])
def test_writers_queue_at_the_start_of_their_transactions(
    paths: Paths, store: Store, write: Any
) -> None:
    """The first one has only read when the second comes: it never hears that the store is
    locked."""
    with store.database.write() as c:
        c.exec_driver_sql("CREATE TABLE counter (value INTEGER)")
        c.exec_driver_sql("INSERT INTO counter VALUES (0)")

    def increase(database: Database, meanwhile: Callable[[], object] = lambda: None) -> None:
        with write(database) as c:
            run = getattr(c, "exec_driver_sql", None) or c.execute
            (count,) = run("SELECT value FROM counter").fetchone()
            meanwhile()
            run("UPDATE counter SET value = ?", (count + 1,))

    def come_second() -> None:
        second.start()
        second.join(0.5)

    other = SqliteDatabase.open(paths)
    second = threading.Thread(target=increase, args=(other,))
    increase(store.database, come_second)
    second.join()
    other.close()
    with store.database.read() as c:
        assert c.exec_driver_sql("SELECT value FROM counter").scalar_one() == 2


@pytest.mark.slow
def test_a_database_locked_for_too_long_is_reported(paths: Paths, store: Store) -> None:
    holder = sqlite3.connect(paths.database)
    holder.execute("BEGIN IMMEDIATE")
    with raises_failure("store-locked"):
        add_connections(store)
    holder.rollback()
    holder.close()
    add_connections(store)


def check_killed_writers(tmp_path: Path, rounds: int) -> None:
    script = Path(__file__).parent.parent / "support" / "kill_writers.py"
    command = [sys.executable, str(script), str(tmp_path / "home"), str(rounds)]
    env = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    stored, lost = map(int, done.stdout.split())
    assert stored > rounds
    assert lost == 0


@pytest.mark.slow
def test_no_stored_grant_is_lost_when_its_writer_is_killed(tmp_path: Path) -> None:
    check_killed_writers(tmp_path, rounds=20)


@pytest.mark.slow
def test_no_stored_grant_is_lost_in_five_hundred_kills(tmp_path: Path) -> None:
    check_killed_writers(tmp_path, rounds=500)
