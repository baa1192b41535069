"""A re-authorization of machines that share a store: each delivers to its own destinations, and
the replaced refresh token is revoked only when none has it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import update
from support.delivery import deliver
from support.harness import Harness, settings_of_machine
from support.reauthorization import add_verified_connection, authorize, current_items
from support.records import raises_failure
from support.storage import on_postgresql

from wizard.errors import WizardError
from wizard.model import GrantState
from wizard.services import Services
from wizard.store import Destination, schema

database_url = on_postgresql


@pytest.fixture
def other(harness: Harness, database_url: str) -> Iterator[Harness]:
    """A second machine; the first has a verified connection."""
    add_verified_connection(harness, "crm", harness.register_client())
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.simulator.clock) as services:
        yield Harness(services, harness.simulator, harness.directory / "other")


def deliver_on(machine: Harness, reload_command: str = "true") -> Path:
    """Deliver to a file that a program of a machine reads; each has the same path, but a different
    file."""
    machine.directory.mkdir(exist_ok=True)
    target = machine.directory / "app.env"
    deliver(machine, "dotenv", target, reload_command=reload_command)
    return target


def reauthorize(machine: Harness) -> None:
    machine.services.reauthorization.begin(("crm",))
    authorize(machine, "crm")


def token_of(machine: Harness, generation: int) -> str:
    grant = machine.services.store.grants.get("crm", generation)
    assert grant is not None
    return grant.refresh_token


def state_of_first(machine: Harness) -> GrantState:
    grant = machine.services.store.grants.get("crm", 1)
    assert grant is not None
    return grant.state


def test_the_replaced_token_is_revoked_after_the_last_machine_has_the_new_one(
    harness: Harness, other: Harness
) -> None:
    here, there = deliver_on(harness), deliver_on(other)
    reauthorize(harness)
    assert token_of(harness, 2) in here.read_text()
    assert token_of(harness, 1) in there.read_text()
    (item,) = current_items(harness)
    (_, machine) = sorted(harness.services.store.machines.all(), key=lambda each: not each.is_here)
    assert item.undelivered_machines == (machine.name,)
    assert machine.outdated_destinations == 1

    harness.advance(hours=24)
    harness.services.reauthorization.deliver_overdue()
    harness.services.reauthorization.revoke_replaced_tokens()
    assert state_of_first(harness) is GrantState.REPLACED, "the other machine was off for a day"

    other.services.reauthorization.deliver_overdue("crm")
    assert token_of(harness, 2) in there.read_text()
    assert state_of_first(harness) is GrantState.REVOKED


def test_a_revocation_does_not_wait_for_a_machine_that_was_removed(
    harness: Harness, other: Harness
) -> None:
    deliver_on(harness)
    deliver_on(other)
    reauthorize(harness)
    store = harness.services.store
    (name,) = store.machines.others().values()
    store.machines.remove(name, harness.services.clock())
    assert not other.services.store.destinations.all()
    harness.services.reauthorization.revoke_replaced_tokens()
    assert state_of_first(harness) is GrantState.REVOKED


def test_the_same_path_on_two_machines_is_two_destinations(
    harness: Harness, other: Harness, tmp_path: Path
) -> None:
    target = tmp_path / "same.env"
    deliver(harness, "dotenv", target)
    deliver(other, "dotenv", target)
    (here,), (there,) = (each.services.store.destinations.all() for each in (harness, other))
    assert here.target == there.target
    assert here.id != there.id
    harness.services.delivery.remove(here)
    assert other.services.store.destinations.all() == (there,)
    with raises_failure("destination-exists"):
        deliver(other, "dotenv", target)


@pytest.mark.slow
def test_a_failed_or_undone_delivery_of_another_machine_is_not_tried_with_every_token(
    harness: Harness, other: Harness, tmp_path: Path
) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    deliver_on(harness)
    there = deliver_on(other, f"test -e {switch}")
    switch.unlink()
    reauthorize(harness)
    other.services.reauthorization.deliver_overdue()
    assert token_of(harness, 1) in there.read_text(), "its program had failed to reload"
    switch.touch()
    other.services.reauthorization.deliver_overdue()
    assert token_of(harness, 1) in there.read_text()
    (destination,) = other.services.store.destinations.all()
    done = other.services.delivery.deliver(destination)
    assert token_of(harness, 2) in there.read_text()
    other.services.delivery.undo(done)
    other.services.reauthorization.deliver_overdue()
    assert token_of(harness, 1) in there.read_text()


def test_a_failure_from_before_does_not_prevent_the_delivery_of_another_machine(
    harness: Harness, other: Harness, tmp_path: Path
) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    there = deliver_on(other, f"test -e {switch}")
    switch.unlink()
    (destination,) = other.services.store.destinations.all()
    assert other.services.delivery.deliver(destination).failure is not None
    switch.touch()
    reauthorize(harness)
    other.services.reauthorization.deliver_overdue()
    assert token_of(harness, 2) in there.read_text()


@pytest.mark.slow
def test_two_machines_reauthorize_one_connection_at_once(harness: Harness, other: Harness) -> None:
    targets = [deliver_on(each) for each in (harness, other)]
    harness.services.reauthorization.begin(("crm",))
    consents = [each.services.authorization.begin("crm") for each in (harness, other)]
    urls = [harness.give_consent(each) for each in consents]

    def complete(machine: Harness, number: int) -> None:
        done = machine.complete_authorization(consents[number], urls[number])
        with suppress(WizardError):  # the other one verifies
            machine.verify("crm", done.generation or 0)
        machine.services.reauthorization.continue_after_verification("crm")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(complete, (harness, other), range(2)))
    for each in (harness, other):
        each.services.reauthorization.deliver_overdue()
    store = harness.services.store
    grants = store.grants.of_connection("crm")
    current = store.connections.get("crm").generation
    states = {each.generation: each.state for each in grants}
    assert states[current] is GrantState.VERIFIED
    assert sorted(states) == [1, 2, 3]
    assert [*states.values()].count(GrantState.VERIFIED) == 1
    for target in targets:
        assert token_of(harness, current) in target.read_text()


def test_a_destination_that_was_moved_to_another_machine_in_the_database_gets_nothing(
    harness: Harness, other: Harness
) -> None:
    there = deliver_on(other)
    before = there.read_bytes()
    with harness.services.store.database.write() as c:
        here = harness.services.store.database.machine_id
        c.execute(update(schema.destinations).values(machine=here))
    (moved,) = harness.services.store.destinations.all()
    with raises_failure("destination-altered"):
        harness.services.delivery.deliver(moved)
    assert there.read_bytes() == before


def test_a_restored_destination_gets_the_next_authorization_and_an_undone_one_does_not(
    harness: Harness, other: Harness, tmp_path: Path
) -> None:
    restored, undone = tmp_path / "restored.env", tmp_path / "undone.env"
    delivery, store = other.services.delivery, other.services.store
    store.destinations.add(delivery.describe(Destination("crm", "dotenv", str(restored))))
    delivery.undo(deliver(other, "dotenv", undone))
    other.services.reauthorization.deliver_overdue()
    assert not restored.exists(), "nothing replaced its authorization"
    reauthorize(harness)
    other.services.reauthorization.deliver_overdue()
    assert token_of(harness, 2) in restored.read_text()
    assert not undone.exists()
