"""A fresh home with its vault and its store, on a real file system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from wizard import home as homes
from wizard.home import Home
from wizard.store import Store
from wizard.vault import Vault


@pytest.fixture
def home(tmp_path: Path) -> Home:
    here = homes.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")})
    here.prepare()
    return here


@pytest.fixture
def vault(home: Home) -> Vault:
    return Vault.open(home, keyring=False)


@pytest.fixture
def store(home: Home, vault: Vault) -> Iterator[Store]:
    store = Store.open(home, vault, "live")
    yield store
    store.close()
