"""Make a data directory use a shared store, and let database roles use one."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard import files
from wizard.errors import WizardError, fail
from wizard.paths import Paths
from wizard.store import Store, export_without_secrets
from wizard.vault import Vault

if TYPE_CHECKING:
    from wizard.store.postgresql import PostgresqlDatabase


@dataclass(frozen=True)
class SharedStoreUse:
    """The shared store that a data directory uses from now on."""

    shown: str
    """The address of its database, without the user and the options."""
    is_new: bool
    """Its tables were created."""
    key_location: str
    machine: str
    """The name of this machine."""


def use_shared_store(
    paths: Paths, url: str, zoho_instance: str, key: bytes | None = None, machine_name: str = ""
) -> SharedStoreUse:
    """Use the database at `url`, creating its tables if it has none. `key` is that of the store;
    None: this machine has it, or the store is new. By default, this machine gets its host's name.

    Raises ``database-local-in-use`` where the local database has connections or clients,
    ``key-taken``, and what `Store.open`, `Vault.open` and `MachineRepository.rename_this` raise.
    Then the URL isn't stored.
    """
    from wizard.fastpath.shared_store import Address
    from wizard.store.postgresql import PostgresqlDatabase

    Address.parse(url)
    paths.prepare()
    _require_unused(paths)
    there, found = paths.with_database_url(url), open_prepared(paths, url)
    is_new = found is None
    if found is not None:
        found.close()
    used_store_id = paths.shared_store_id
    vault = Vault.open(there, for_new_store=is_new) if key is None else Vault.with_key(there, key)
    if is_new:
        PostgresqlDatabase.open(there, may_create=True).close()
    store = Store.open(there, vault, zoho_instance)
    try:
        busy = fail("store-locked", path=store.database.path)
        # A proxy that shares sessions is noticed now, not at the first refresh.
        with store.database.shared_lock(":use", lambda: busy, 0, lambda: False):
            with store.database.write():
                pass  # adds this machine
            if machine_name:
                store.machines.rename_this(machine_name)
            if key is not None:
                vault.keep(there, replaces=used_store_id != "")
            files.replace(paths.database_url_file, f"{url}\n".encode())
        name = next(each.name for each in store.machines.all() if each.is_here)
    finally:
        store.close()
    return SharedStoreUse(store.database.path, is_new, vault.key_storage.detail, name)


def grant_shared_store(paths: Paths, role: str) -> str:
    """Let a database role use the shared store of a data directory, without changing its history;
    return how messages call the database.

    Raises ``database-not-shared``, and what `PostgresqlDatabase.grant` and its `open` raise.
    """
    if not paths.database_url:
        raise fail("database-not-shared")
    from wizard.store.postgresql import PostgresqlDatabase

    database = PostgresqlDatabase.open(paths)
    try:
        database.grant(role)
    finally:
        database.close()
    return database.path


def open_prepared(paths: Paths, url: str) -> "PostgresqlDatabase | None":
    """The shared database at `url`; None if it has no tables. Raises what
    `PostgresqlDatabase.open` raises otherwise."""
    from wizard.store.postgresql import PostgresqlDatabase

    try:
        return PostgresqlDatabase.open(paths.with_database_url(url))
    except WizardError as error:
        if error.failure.code == "database-not-prepared":
            return None
        raise


def _require_unused(paths: Paths) -> None:
    if paths.uses_shared_store or not os.path.exists(paths.database):
        return
    contents = export_without_secrets(paths)
    if contents.clients or contents.connections:
        raise fail("database-local-in-use", path=paths.database)
