"""A new data directory with its vault and its store, on a real file system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from wizard import paths as wizard_paths
from wizard.paths import Paths
from wizard.store import Store
from wizard.vault import Vault


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    here = wizard_paths.locate({"ZOHO_WIZARD_HOME": str(tmp_path / "home")})
    here.prepare()
    return here


@pytest.fixture
def vault(paths: Paths) -> Vault:
    return Vault.open(paths, use_keyring=False)


@pytest.fixture
def store(paths: Paths, vault: Vault) -> Iterator[Store]:
    store = Store.open(paths, vault, "live")
    yield store
    store.close()
