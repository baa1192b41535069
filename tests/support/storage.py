"""A new data directory with its vault and its store, on a real file system."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.postgresql import postgresql_server
from wizard import paths as wizard_paths
from wizard.paths import Paths
from wizard.store import Store
from wizard.vault import Vault


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of the database; empty for SQLite. `either_engine` replaces it."""
    if request.config.getoption("--shared-store"):
        return str(request.getfixturevalue("postgresql_url"))
    return ""


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL database with empty tables."""
    server = postgresql_server()
    name = server.create_database(postgresql_template())
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def on_postgresql(postgresql_url: str) -> str:
    """`database_url` for a module whose tests run on PostgreSQL."""
    return postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def either_engine(request: pytest.FixtureRequest) -> str:
    """`database_url` for a module whose tests run once on each engine."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


@cache
def postgresql_template() -> str:
    """The database with empty tables that those of the tests are copied from."""
    from wizard.store.postgresql import PostgresqlDatabase

    name = postgresql_server().create_database()
    with TemporaryDirectory() as home:
        environment = {
            "ZOHO_WIZARD_HOME": home,
            "ZOHO_WIZARD_DATABASE_URL": postgresql_server().url(name),
        }
        here = wizard_paths.locate(environment)
        here.prepare()
        PostgresqlDatabase.open(here, may_create=True).close()
    return name


@pytest.fixture
def paths(tmp_path: Path, database_url: str) -> Paths:
    environment = {
        "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
        "ZOHO_WIZARD_DATABASE_URL": database_url,
    }
    here = wizard_paths.locate(environment)
    here.prepare()
    return here


@pytest.fixture
def vault(paths: Paths, database_url: str) -> Vault:
    return Vault.open(paths, use_keyring=False, for_new_store=bool(database_url))


@pytest.fixture
def store(paths: Paths, vault: Vault) -> Iterator[Store]:
    store = Store.open(paths, vault, "live")
    yield store
    store.close()


def execute(url: str, *statements: str) -> None:
    """Run statements in the database at `url`."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for each in statements:
            connection.execute(each.encode())
