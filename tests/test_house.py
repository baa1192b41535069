"""The rooms together: the climber that proves what the pages hand it."""

import threading
from pathlib import Path

from core import Core, settings_for
from filelock import FileLock

from wizard.house import House
from wizard.model import GrantState


def test_a_submitted_grant_is_proved_by_the_time_the_house_is_closed(core: Core) -> None:
    core.connection("crm")
    done = core.authorize("crm")
    assert done.generation == 1

    core.house.climber.submit("crm", 1)
    core.house.climber.submit("crm", 1)
    core.house.climber.stop()

    grant = core.house.store.grant("crm")
    assert grant is not None
    assert grant.state is GrantState.PROVED
    assert len(core.refreshes()) == 1
    assert not core.house.climber.is_climbing("crm", 1)


def test_a_climb_that_cannot_be_does_not_end_the_climber(core: Core) -> None:
    core.connection("crm")
    core.authorize("crm")

    core.house.climber.submit("nix", 1)
    core.house.climber.submit("crm", 1)
    core.house.climber.stop()

    receipt = core.house.store.receipt("crm", 1)
    assert receipt is not None
    assert receipt.proved


def test_a_closed_house_leaves_no_thread_behind(core: Core, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "another", core.sandbox.url)
    with House.open(settings, core.sandbox.clock) as house:
        house.climber.submit("nix", 1)

    assert "climber" not in [thread.name for thread in threading.enumerate()]


def test_a_home_that_is_made_is_opened_while_another_process_holds_the_locks(core: Core) -> None:
    """Else a hundred programs that start together would queue for a look, and the last give up."""
    home = core.house.home
    with (
        FileLock(home.lock_file(":key")),
        FileLock(home.lock_file(":database")),
        House.open(core.house.settings, core.house.clock) as again,
    ):
        assert again.vault.key == core.house.vault.key
