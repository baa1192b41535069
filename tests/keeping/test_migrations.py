"""A database of the first version, opened by this one."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from made import connection

from wizard import home as homes
from wizard.home import Home
from wizard.store import Store
from wizard.store.database import APPLICATION_ID, MIGRATIONS, Database
from wizard.vault import Vault

FIRST = Path(__file__).with_name("version_1.sql")


def make_first(home: Home, vault: Vault) -> None:
    """Make the database as the first version did, with one connection in it."""
    os.close(os.open(home.database, os.O_CREAT | os.O_WRONLY, 0o600))
    sealed = vault.seal("zoho-wizard", "house", "1", "key_check")
    with closing(sqlite3.connect(home.database)) as raw, raw:
        raw.executescript(FIRST.read_text("utf-8"))
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("INSERT INTO house VALUES (1, 'live', ?)", (sealed,))
        raw.execute("INSERT INTO clients VALUES ('1000.MADEUP', 'Z', 'eu', '', 0, '', NULL)")
        values = "'crm', '1000.MADEUP', 'ZohoCRM.org.READ', 'eu', 0, 0, ''"
        raw.execute(
            f"INSERT INTO connections VALUES ({values}, '2026-11-22T09:00:00.000000+00:00')"
        )


def columns(home: Home) -> dict[str, list[tuple[str, str, int]]]:
    """Each table's columns: name, type, and whether it must be filled."""
    with closing(sqlite3.connect(home.database)) as raw:
        query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'index') ORDER BY name"
        names = [name for (name,) in raw.execute(query)]
        return {
            name: sorted(row[1:4] for row in raw.execute(f"PRAGMA table_info('{name}')"))
            for name in names
        }


def test_what_the_first_version_kept_is_kept_and_copied_before(home: Home, vault: Vault) -> None:
    make_first(home, vault)
    with closing(Store.open(home, vault, "live")) as store:
        assert store.connections() == (connection(),)
        with store.database.read() as c:
            version = c.exec_driver_sql("PRAGMA user_version").scalar_one()
    assert version == 1 + len(MIGRATIONS)
    assert Path(f"{home.database}.version-1").is_file()


def test_a_migrated_database_is_like_a_new_one(home: Home, vault: Vault, tmp_path: Path) -> None:
    make_first(home, vault)
    Store.open(home, vault, "live").close()
    new = homes.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "new")})
    new.prepare()
    Store.open(new, Vault.open(new, keyring=False), "live").close()
    assert columns(home) == columns(new)


def test_what_may_have_been_told_to_nobody_counts_as_untold(home: Home, vault: Vault) -> None:
    make_first(home, vault)
    names = [each.__name__ for each in MIGRATIONS]
    Database.open(home, MIGRATIONS[: names.index("_add_notify_failure")]).close()
    with closing(sqlite3.connect(home.database)) as raw, raw:
        raw.execute("""UPDATE house SET told = '{"grant-dead crm 1": "told"}'""")
    with closing(Store.open(home, vault, "live")) as store:
        assert store.told() == {}
