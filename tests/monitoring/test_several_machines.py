"""The monitors of machines that share a store: one checks the connections, and each its own
destinations."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from support.delivery import deliver
from support.harness import ANNA, Harness, settings_of_machine
from support.postgresql import postgresql_server
from support.records import raises_failure
from support.storage import on_postgresql

from wizard.cli.commands import monitor
from wizard.cli.flows.serving import stop_signals
from wizard.cli.terminal import Terminal
from wizard.diagnosis.cautions import password_change_risks
from wizard.monitoring.service import CheckRun
from wizard.services import Services

database_url = on_postgresql


@pytest.fixture
def other(harness: Harness, database_url: str) -> Iterator[Harness]:
    """A second machine; the first has a verified connection, and notifications go to a file."""
    harness.add_verified_connection()
    command = f"sh -c 'cat >> {harness.directory}/notified'"
    harness.services.store.monitoring.set_notify_command(command)
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.simulator.clock) as services:
        yield Harness(services, harness.simulator, harness.directory / "other")


def notified(harness: Harness) -> list[tuple[str, str]]:
    """The event and the code of each notification so far."""
    file = harness.directory / "notified"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [(each["event"], each["code"]) for each in map(json.loads, lines)]


def notify(machine: Harness, check_run: CheckRun) -> None:
    assert machine.services.monitoring.notify(check_run) == ()


def test_one_machine_at_a_time_has_the_lock_for_checking(harness: Harness, other: Harness) -> None:
    with (
        harness.services.locks.monitoring(),
        raises_failure("monitored-elsewhere"),
        other.services.locks.monitoring(),
    ):
        pass
    with other.services.locks.monitoring():
        pass


@pytest.mark.slow
def test_what_one_machine_notified_of_stays_until_that_machine_finds_it_solved(
    harness: Harness, other: Harness
) -> None:
    target = other.directory / "app.env"
    deliver(other, "dotenv", target)
    content = target.read_bytes()
    target.unlink()
    of_destination = ("incident", "destination-not-current")
    notify(other, other.services.monitoring.check_destinations())
    assert notified(harness) == [of_destination]
    for _ in range(2):
        assert harness.services.monitoring.run_checks().is_healthy
        notify(harness, harness.services.monitoring.run_checks())
        notify(other, other.services.monitoring.check_destinations())
    assert notified(harness) == [of_destination], "neither again, nor an all-clear"
    target.write_bytes(content)
    notify(other, other.services.monitoring.check_destinations())
    assert notified(harness) == [of_destination, ("all-well", "all-well")]


def test_the_check_of_destinations_forgets_no_failed_connection(
    harness: Harness, other: Harness
) -> None:
    harness.controls.change_password(ANNA)
    harness.advance(hours=1)
    notify(harness, harness.services.monitoring.run_checks())
    before = notified(harness)
    assert len(before) == 1
    notify(other, other.services.monitoring.check_destinations())
    assert notified(harness) == before


def test_an_incident_and_a_password_change_affect_the_programs_of_all_machines(
    harness: Harness, other: Harness
) -> None:
    deliver(harness, "dotenv", harness.directory / "app.env")
    deliver(other, "dotenv", other.directory / "app.env")
    store = harness.services.store
    (name,) = store.machines.others().values()
    programs = (f"{harness.directory}/app.env", f"{name}:{other.directory}/app.env")
    risks = password_change_risks(
        store.overviews.all(), store.destinations.programs(), {}, harness.services.clock()
    )
    assert [each.programs for each in risks] == [programs]
    harness.controls.change_password(ANNA)
    check_run = harness.services.monitoring.run_checks()
    assert [each.programs for each in check_run.incidents] == [programs]


def test_a_timer_leaves_the_checks_to_the_machine_that_made_the_last_one(
    harness: Harness, other: Harness
) -> None:
    hour = timedelta(hours=1)
    assert not other.services.monitoring.was_checked_elsewhere(hour)
    notify(harness, harness.services.monitoring.run_checks())
    assert other.services.monitoring.was_checked_elsewhere(hour)
    assert not harness.services.monitoring.was_checked_elsewhere(hour)
    notify(other, other.services.monitoring.check_destinations())
    assert not harness.services.monitoring.was_checked_elsewhere(hour), "it wasn't of connections"
    harness.advance(hours=1)
    assert not other.services.monitoring.was_checked_elsewhere(hour)
    store = harness.services.store
    store.monitoring.record_check(harness.services.clock() + 2 * hour, (), is_settled=False)
    assert not other.services.monitoring.was_checked_elsewhere(hour), "its time can't be right"


def test_the_problems_of_a_removed_machine_prevent_no_all_clear(
    harness: Harness, other: Harness
) -> None:
    target = other.directory / "app.env"
    deliver(other, "dotenv", target)
    target.unlink()
    notify(other, other.services.monitoring.check_destinations())
    store = harness.services.store
    (name,) = store.machines.others().values()
    store.machines.remove(name, harness.services.clock())
    assert store.monitoring.notified() == {}
    notify(harness, harness.services.monitoring.run_checks())
    assert notified(harness)[1:] == [("all-well", "all-well")]


def test_a_monitor_outlives_a_database_that_cannot_be_reached(
    harness: Harness, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.add_verified_connection()
    terminal = Terminal(harness.services.clock)
    terminal.settings, terminal.services = harness.services.settings, harness.services
    name = database_url.partition("@/")[2].partition("?")[0]

    def check(turn: ExitStack) -> str:
        hour = timedelta(hours=1)
        with monitor._outlived_outages(terminal):
            monitor._run_checks(terminal, "", hour, hour, stop_event, turn, False)
        return capsys.readouterr().err

    with ExitStack() as turn, stop_signals() as stop_event:
        assert "works" in check(turn)
        server = postgresql_server()
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname"
        server.execute(f"{ended} = '{name}'")
        assert "database-unreachable" in check(turn)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert "works" in check(turn)
