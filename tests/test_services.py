"""The rooms together: the climber that proves what the pages hand it."""

import threading
from pathlib import Path

from filelock import FileLock
from support.harness import Harness, settings_for

from wizard.model import GrantState
from wizard.services import Services


def test_a_submitted_grant_is_proved_by_the_time_the_house_is_closed(harness: Harness) -> None:
    harness.add_connection("crm")
    done = harness.authorize("crm")
    assert done.generation == 1

    harness.services.verification_worker.submit("crm", 1)
    harness.services.verification_worker.submit("crm", 1)
    harness.services.verification_worker.stop()

    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.state is GrantState.VERIFIED
    assert len(harness.refresh_requests()) == 1
    assert not harness.services.verification_worker.is_verifying("crm", 1)


def test_a_climb_that_cannot_be_does_not_end_the_climber(harness: Harness) -> None:
    harness.add_connection("crm")
    harness.authorize("crm")

    harness.services.verification_worker.submit("nix", 1)
    harness.services.verification_worker.submit("crm", 1)
    harness.services.verification_worker.stop()

    report = harness.services.store.verification_reports.get("crm", 1)
    assert report is not None
    assert report.is_verified


def test_a_closed_house_leaves_no_thread_behind(harness: Harness, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "another", harness.simulator.url)
    with Services.open(settings, harness.simulator.clock) as services:
        services.verification_worker.submit("nix", 1)

    assert "climber" not in [thread.name for thread in threading.enumerate()]


def test_a_home_that_is_made_is_opened_while_another_process_holds_the_locks(
    harness: Harness,
) -> None:
    """Else a hundred programs that start together would queue for a look, and the last give up."""
    home = harness.services.paths
    with (
        FileLock(home.lock_file(":key")),
        FileLock(home.lock_file(":database")),
        Services.open(harness.services.settings, harness.services.clock) as again,
    ):
        assert again.vault.key == harness.services.vault.key
