"""Machines with one shared store: each is known by its data directory, and has its own rows."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from support.records import NOW, add_connections, raises_failure
from support.storage import on_postgresql

from wizard import paths as wizard_paths
from wizard.paths import Paths
from wizard.store import AccessPermission, Destination, Store, schema
from wizard.store.machines import UNUSED_AFTER, own_machine_id
from wizard.vault import Vault

ON_A, ON_B = "a" * 64, "b" * 64


database_url = on_postgresql


@pytest.fixture
def open_machine(
    tmp_path: Path, vault: Vault, database_url: str
) -> Iterator[Callable[[str], Store]]:
    """Opens the store on another machine."""
    with ExitStack() as opened:

        def open_store(name: str) -> Store:
            environment = {
                "ZOHO_WIZARD_HOME": str(tmp_path / name),
                "ZOHO_WIZARD_DATABASE_URL": database_url,
            }
            here = wizard_paths.locate(environment)
            here.prepare()
            store = Store.open(here, vault, "live")
            opened.callback(store.close)
            return store

        yield open_store


def use(store: Store) -> None:
    with store.database.write():
        pass


def test_a_machine_is_known_after_its_first_write_under_a_name_of_its_own(
    store: Store, open_machine: Callable[[str], Store]
) -> None:
    assert store.machines.all() == ()
    use(store)
    other = open_machine("other")
    use(other)
    (first, second) = store.machines.all()
    assert (first.is_here, second.is_here) == (True, False)
    assert second.name == f"{first.name}-2"
    other.machines.rename_this("web2")
    assert store.machines.others() == {second.id: "web2"}
    with raises_failure("machine-name-taken"):
        store.machines.rename_this("web2")
    with raises_failure("bad-machine-name"):
        store.machines.rename_this("web\n2")


def test_reading_records_no_use_and_a_minute_has_one(store: Store) -> None:
    use(store)
    (before,) = store.machines.all()
    for _ in range(3):
        use(store)
    store.connections.all()
    assert store.machines.all() == (before,)


def test_a_machine_is_removed_with_its_rows_and_added_again_without_them(
    store: Store, open_machine: Callable[[str], Store]
) -> None:
    add_connections(store)
    other = open_machine("other")
    for machine in (store, other):
        machine.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
        machine.access_permissions.add(AccessPermission("crm", 1000, "anna", NOW))
    (name,) = store.machines.others().values()
    (own,) = other.machines.others().values()
    with raises_failure("machine-is-this-one"):
        store.machines.remove(own, NOW)
    with raises_failure("unknown-machine"):
        store.machines.remove("web9", NOW)
    store.machines.remove(name, NOW)
    assert not other.destinations.all()
    assert not other.access_permissions.exists("crm", 1000)
    assert store.access_permissions.exists("crm", 1000)
    assert len(store.destinations.everywhere()) == 1
    again = open_machine("other")
    use(again)
    assert store.machines.others() == {again.database.machine_id: name}


def test_a_machine_that_owns_nothing_is_forgotten_after_a_while_as_containers_come_and_go(
    store: Store, open_machine: Callable[[str], Store]
) -> None:
    add_connections(store)
    gone, off = open_machine("gone"), open_machine("off")
    use(gone)
    off.destinations.add(Destination("crm", "dotenv", "/srv/.env"))
    long_ago = store.database.now() - UNUSED_AFTER - timedelta(minutes=1)
    with store.database.write() as c:
        c.execute(update(schema.machines).values(last_seen_at=long_ago))
    use(open_machine("new"))
    known = {each.id for each in store.machines.all()}
    assert off.database.machine_id in known
    assert gone.database.machine_id not in known


def test_a_user_of_one_machine_has_no_access_on_another(
    store: Store, open_machine: Callable[[str], Store]
) -> None:
    add_connections(store)
    other = open_machine("other")
    store.access_permissions.add(AccessPermission("crm", 1000, "anna", NOW))
    assert not other.access_permissions.exists("crm", 1000)
    assert not other.access_permissions.all()
    (there,) = other.access_permissions.everywhere()
    assert there.machine == store.database.machine_id
    assert not other.access_permissions.remove("crm", 1000)


def test_a_data_directory_that_was_copied_to_another_machine_is_another_machine(
    paths: Paths,
) -> None:
    first = own_machine_id(paths, ON_A)
    assert own_machine_id(paths, ON_A) == first
    assert own_machine_id(paths, "") == first, "in a container, the machine isn't known"
    assert own_machine_id(paths, ON_B) != first
    os.unlink(paths.machine_file)
    unknown = own_machine_id(paths, "")
    assert own_machine_id(paths, ON_A) == unknown
