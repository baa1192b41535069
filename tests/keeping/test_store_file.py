"""The database file: who may read it, what it survives, what it refuses."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from made import CLIENT_ID, NOW, attempt, client, connection, consent, known, refused
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from wizard import home as homes
from wizard.home import Home
from wizard.model import Event
from wizard.store import Store
from wizard.store.database import MIGRATIONS, Database
from wizard.vault import KeyPlace, Vault, cipher


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_every_file_is_private_whatever_the_umask(home: Home, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store.open(home, Vault.open(home, keyring=False), "live")
        known(store)
        consent(store)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for top in (home.data_dir, home.config_dir)
            for path in Path(top).rglob("*")
        }
        store.close()
    finally:
        os.umask(before)
    assert {"wizard.db", "wizard.db-wal", "wizard.db-shm", "key"} <= modes.keys()
    assert {name: mode for name, mode in modes.items() if mode not in (0o600, 0o700)} == {}


def test_a_database_open_to_others_is_refused_unread(home: Home, vault: Vault) -> None:
    Path(home.database).touch()
    os.chmod(home.database, 0o644)
    with refused("store-unsafe"):
        Store.open(home, vault, "live")
    assert Path(home.database).read_bytes() == b""


def test_a_link_in_place_of_the_database_is_refused(
    home: Home, vault: Vault, tmp_path: Path
) -> None:
    os.symlink(tmp_path / "elsewhere", home.database)
    with refused("store-unsafe"):
        Store.open(home, vault, "live")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_in_place_of_the_database_is_refused(home: Home, vault: Vault) -> None:
    os.mkdir(home.database, 0o700)
    with refused("store-unsafe"):
        Store.open(home, vault, "live")


def test_every_connection_is_durable(home: Home) -> None:
    database = Database.open(home)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    with database.read() as first, database.read() as second:
        for handle in (first, second):
            found = {n: handle.exec_driver_sql(f"PRAGMA {n}").scalar_one() for n in wanted}
            assert found == wanted
    database.close()


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    home = homes.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "a?b=c %20 d#é")})
    home.prepare()
    Database.open(home).close()
    assert os.path.exists(home.database)


def raw(home: Home, *statements: str) -> None:
    handle = sqlite3.connect(home.database)
    for statement in statements:
        handle.execute(statement)
    handle.commit()
    handle.close()


def test_a_newer_database_is_refused(home: Home, vault: Vault, store: Store) -> None:
    store.close()
    raw(home, "PRAGMA user_version = 99")
    with refused("store-newer-version"):
        Store.open(home, vault, "live")


@pytest.mark.parametrize("version", [0, 1, 99])
def test_a_database_of_another_program_is_refused(home: Home, vault: Vault, version: int) -> None:
    Path(home.database).touch(0o600)
    raw(home, "CREATE TABLE theirs (id)", f"PRAGMA user_version = {version}")
    with refused("store-damaged"):
        Store.open(home, vault, "live")
    raw(home, "SELECT * FROM theirs")


def test_a_file_that_is_no_database_is_refused_and_left_alone(home: Home, vault: Vault) -> None:
    Path(home.database).touch(0o600)
    Path(home.database).write_bytes(b"not a database" * 400)
    with refused("store-damaged"):
        Store.open(home, vault, "live")
    assert Path(home.database).read_bytes() == b"not a database" * 400


@pytest.mark.parametrize("gone", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_database_that_is_gone_is_not_made_anew_beside_the_tokens_of_its_connections(
    home: Home, vault: Vault, store: Store, gone: Callable[[Path], object]
) -> None:
    store.close()
    cached = Path(home.cache_file("crm"))
    cached.write_bytes(b"sealed")
    gone(Path(home.database))
    for _ in range(2):
        with refused("store-lost"):
            Store.open(home, vault, "live")
    cached.unlink()
    Store.open(home, vault, "live").close()


def test_a_damaged_page_is_said_and_nothing_is_made_anew(
    home: Home, vault: Vault, store: Store
) -> None:
    known(store)
    consent(store)
    store.close()
    content = Path(home.database).read_bytes()
    spoilt = content[:100] + b"\xff" * (len(content) - 100)
    Path(home.database).write_bytes(spoilt)
    with refused("store-damaged"):
        Store.open(home, vault, "live").connections()
    assert Path(home.database).read_bytes() == spoilt


def test_a_database_of_the_sandbox_is_refused_by_the_live_wizard(
    home: Home, vault: Vault, store: Store
) -> None:
    with refused("store-foreign-zoho"):
        Store.open(home, vault, "http://127.0.0.1:8730")


def test_another_key_is_refused_and_changes_nothing(home: Home, vault: Vault, store: Store) -> None:
    known(store)
    consent(store)
    with refused("key-wrong"):
        Store.open(home, Vault(cipher.new_key(), KeyPlace("key-file", "weak", "there")), "live")
    grant = store.candidate("crm")
    assert grant is not None
    assert grant.refresh_token == "1000.refresh"


NEWEST = 1 + len(MIGRATIONS)


def add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE clients ADD COLUMN colour TEXT")


def add_column_and_fail(connection: Connection) -> None:
    add_column(connection)
    connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")


def test_a_migration_keeps_everything_and_leaves_a_private_sound_copy(
    home: Home, vault: Vault, store: Store
) -> None:
    known(store)
    store.close()
    Database.open(home, migrations=(*MIGRATIONS, add_column)).close()
    copy = f"{home.database}.version-{NEWEST}"
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    for path, version, columns in ((home.database, NEWEST + 1, 8), (copy, NEWEST, 7)):
        handle = sqlite3.connect(path)
        assert handle.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert handle.execute("PRAGMA user_version").fetchone() == (version,)
        [row] = handle.execute("SELECT * FROM clients").fetchall()
        assert (row[0], len(row)) == (CLIENT_ID, columns)
        handle.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(
    home: Home, vault: Vault, store: Store
) -> None:
    known(store)
    store.close()
    with pytest.raises(DBAPIError, match="nowhere"):
        Database.open(home, migrations=(*MIGRATIONS, add_column_and_fail))
    again = Store.open(home, vault, "live")
    assert [each.client_id for each in again.clients()] == [CLIENT_ID]
    again.close()


def test_a_full_disk_loses_nothing_and_is_got_over(home: Home, vault: Vault, store: Store) -> None:
    known(store)
    consent(store)
    with store.database.write() as handle:
        handle.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite: not below what is in use
    with refused("disk-full"):
        for _ in range(1000):
            store.note(Event(NOW, "crm", "noted", {"text": "x" * 1000}))
    grant = store.candidate("crm")
    assert grant is not None
    assert grant.refresh_token == "1000.refresh"
    with store.database.write() as handle:
        handle.exec_driver_sql("PRAGMA max_page_count = 1000000")
    consent(store, "1000.next")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


UNDER_A_LIMIT = """
import resource, sys
from wizard import home as homes
from wizard.errors import WizardError
from wizard.model import Event
from wizard.store import Store
from wizard.vault import Vault
sys.path.insert(0, sys.argv[2])
from made import CLIENT_ID, NOW, attempt, client, connection, consent, known, refused
home = homes.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
store = Store.open(home, Vault.open(home, keyring=False), "live")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    for number in range(1000):
        store.note(Event(NOW, "crm", "noted", {"text": "x" * 1000}))
except WizardError as error:
    print(error.failure.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
consent(store, "1000.after")
store.close()
"""


def test_a_quota_loses_nothing_and_is_got_over(
    tmp_path: Path, home: Home, vault: Vault, store: Store
) -> None:
    known(store)
    consent(store)
    store.close()
    done = run(UNDER_A_LIMIT, str(tmp_path / "home"), os.path.dirname(__file__))
    assert (done.stdout, done.stderr) == ("store-unwritable\n", "")
    again = Store.open(home, vault, "live")
    assert [g.refresh_token for g in again.grants("crm")] == ["1000.after", "1000.refresh"]
    again.close()


IN_A_READ_ONLY_DIRECTORY = """
import os, sys
from wizard import home as homes
from wizard.errors import WizardError
from wizard.store import Store
from wizard.vault import Vault
home = homes.locate({"ZOHO_WIZARD_HOME": sys.argv[1]})
home.prepare()
vault = Vault.open(home, keyring=False)
if os.geteuid() == 0:  # nothing is read-only to root: be nobody, in nobody's home
    for top, _, files in os.walk(sys.argv[1]):
        for name in ("", *files):
            os.chown(os.path.join(top, name), 65534, 65534)
    os.seteuid(65534)
os.chmod(home.data_dir, 0o500)
try:
    Store.open(home, vault, "live")
except WizardError as error:
    print(error.failure.code)
os.chmod(home.data_dir, 0o700)
"""


def test_a_read_only_directory_is_said_plainly() -> None:
    # Not below pytest's own directory, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as top:
        done = run(IN_A_READ_ONLY_DIRECTORY, top)
    assert (done.stdout, done.stderr) == ("store-unwritable\n", "")


def test_no_secret_stands_in_the_file_in_any_writing(home: Home, store: Store) -> None:
    secrets = ("client-secret-canary", "1000.refresh-canary", "verifier-canary", "state-canary")
    store.add_client(client(secret=secrets[0]))
    store.add_connection(connection())
    consent(store, secrets[1])
    store.add_attempt(attempt("another", oauth_state=secrets[3]))
    everything = b"".join(p.read_bytes() for p in Path(home.data_dir).rglob("*") if p.is_file())
    for secret in (each.encode() for each in secrets):
        writings = (secret, secret[::-1], secret.hex().encode(), b64encode(secret)[:-4])
        assert not any(writing in everything for writing in writings)


def test_what_was_removed_is_gone_from_file_and_wal(home: Home, store: Store) -> None:
    known(store)
    consent(store)
    handle = sqlite3.connect(home.database)
    [(sealed,)] = handle.execute("SELECT refresh_token FROM grants").fetchall()
    handle.close()
    store.remove_connection("crm")
    left = [p for p in Path(home.data_dir).glob("wizard.db*") if sealed in p.read_bytes()]
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
def test_a_record_altered_in_the_file_is_noticed(home: Home, store: Store, tampering: str) -> None:
    known(store)
    consent(store)
    raw(home, tampering)
    with refused("sealed-record-damaged"):
        store.grants("crm")


def test_a_secret_moved_to_another_data_centre_is_noticed(home: Home, store: Store) -> None:
    known(store)
    raw(home, "UPDATE client_secrets SET location = 'us'")
    with refused("sealed-record-damaged"):
        store.client(CLIENT_ID)


@pytest.mark.slow
def test_a_database_locked_for_too_long_is_said_plainly(home: Home, store: Store) -> None:
    holder = sqlite3.connect(home.database)
    holder.execute("BEGIN IMMEDIATE")
    with refused("store-locked"):
        known(store)
    holder.rollback()
    holder.close()
    known(store)


def killed(tmp_path: Path, rounds: int) -> None:
    script = Path(__file__).with_name("kill_writers.py")
    command = [sys.executable, str(script), str(tmp_path / "home"), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    stored, lost = map(int, done.stdout.split())
    assert stored > rounds
    assert lost == 0


def test_no_stored_grant_is_lost_when_its_writer_is_killed(tmp_path: Path) -> None:
    killed(tmp_path, rounds=20)


@pytest.mark.slow
def test_no_stored_grant_is_lost_in_five_hundred_kills(tmp_path: Path) -> None:
    killed(tmp_path, rounds=500)
