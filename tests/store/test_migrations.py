"""Databases of every released schema version, opened by this version."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wizard.errors import WizardError
from wizard.paths import Paths
from wizard.store import Store
from wizard.store.sqlite import (
    APPLICATION_ID,
    MIGRATIONS,
    UNRELEASED_APPLICATION_ID,
    SqliteDatabase,
)
from wizard.vault import Vault, labels

DUMPS = {
    int(each.stem.removeprefix("version_")): each for each in Path(__file__).parent.glob("*.sql")
}
"""The statements that created each schema version, frozen at its release."""


def create_version(paths: Paths, vault: Vault, version: int) -> None:
    """Create the database with schema `version` and one client."""
    os.close(os.open(paths.database, os.O_CREAT | os.O_WRONLY, 0o600))
    sealed = vault.seal("zoho-wizard", labels.INSTALLATION, "1", labels.KEY_CHECK)
    with closing(sqlite3.connect(paths.database)) as raw, raw:
        raw.executescript(DUMPS[version].read_text("utf-8"))
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(f"PRAGMA user_version = {version}")
        values = "(id, zoho_instance, key_check) VALUES (1, 'live', ?)"
        raw.execute(f"INSERT INTO installation {values}", (sealed,))
        raw.execute("INSERT INTO clients VALUES ('1000.ID', 'Z', 'eu', '', 0, '', NULL)")


def schema_of(paths: Paths) -> list[tuple[str, str]]:
    """The statement that creates each table and index, without whitespace."""
    with closing(sqlite3.connect(paths.database)) as raw:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        return [(name, " ".join(sql.split())) for name, sql in raw.execute(query)]


def test_every_schema_version_has_its_dump() -> None:
    assert sorted(DUMPS) == list(range(1, 2 + len(MIGRATIONS)))


@pytest.mark.parametrize("version", sorted(DUMPS))
def test_a_database_of_a_released_version_is_kept_and_migrated(
    paths: Paths, vault: Vault, version: int
) -> None:
    create_version(paths, vault, version)
    with closing(Store.open(paths, vault, "live")) as store:
        assert [each.name for each in store.clients.all()] == ["Z"]
        with store.database.read() as c:
            assert c.exec_driver_sql("PRAGMA user_version").scalar_one() == 1 + len(MIGRATIONS)
    assert Path(f"{paths.database}.version-{version}").is_file() is (version <= len(MIGRATIONS))


def test_a_new_database_matches_the_newest_dump(paths: Paths, vault: Vault, tmp_path: Path) -> None:
    SqliteDatabase.open(paths).close()
    new = schema_of(paths)
    os.unlink(paths.database)
    create_version(paths, vault, max(DUMPS))
    assert new == schema_of(paths)


def test_a_database_from_before_the_first_release_is_refused_and_left_unchanged(
    paths: Paths, vault: Vault
) -> None:
    os.close(os.open(paths.database, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(paths.database)) as raw, raw:
        raw.execute("CREATE TABLE house (id INTEGER PRIMARY KEY)")
        raw.execute(f"PRAGMA application_id = {UNRELEASED_APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 13")
    with pytest.raises(WizardError) as raised:
        Store.open(paths, vault, "live")
    assert raised.value.failure.code == "store-older-version"
    assert [name for name, _ in schema_of(paths)] == ["house"]
