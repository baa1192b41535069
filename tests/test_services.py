"""The services together: each is built once, and the worker verifies what pages submit."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from filelock import FileLock
from support.harness import CARLA, FIRST_ORGANIZATION, Harness, settings_for
from support.tokens import wait_for

from wizard.model import GrantState
from wizard.services import Services

THREADS = 8


def test_threads_that_need_a_service_together_share_it(harness: Harness) -> None:
    barrier = threading.Barrier(THREADS)
    workers = []

    def use() -> None:
        barrier.wait()
        workers.append(harness.services.verification_worker)

    threads = [threading.Thread(target=use) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(workers) == THREADS
    assert len({id(worker) for worker in workers}) == 1


def test_services_that_only_read_the_store_load_no_http_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wizard.services import Services;"
        "from wizard.settings import from_environment;"
        "services = Services.open(from_environment(dict(ZOHO_WIZARD_HOME=sys.argv[1])));"
        "services.store.overviews.all(); services.tokens; services.close();"
        "print(*{'authlib', 'requests', 'urllib3'} & {*sys.modules})"
    )
    environment = {"PATH": os.defpath, "ZOHO_WIZARD_KEY_FILE": str(tmp_path / "key")}
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_submitted_grant_is_verified_before_the_worker_stops(harness: Harness) -> None:
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
    assert not harness.services.running_work.verifications


def test_a_verification_that_fails_does_not_end_the_worker(harness: Harness) -> None:
    harness.add_connection("crm")
    harness.authorize("crm")

    harness.services.verification_worker.submit("nix", 1)
    harness.services.verification_worker.submit("crm", 1)
    harness.services.verification_worker.stop()

    report = harness.services.store.verification_reports.get("crm", 1)
    assert report is not None
    assert report.is_verified


def test_a_snapshot_shows_a_verification_that_ends_meanwhile_as_running(harness: Harness) -> None:
    """Else a page could take a report without its decision for the final result."""
    harness.add_connection("crm")
    harness.authorize("crm")
    services = harness.services
    with services.locks.refresh("crm"):
        services.verification_worker.submit("crm", 1)
        with services.snapshot() as before:
            assert before.store.overviews.get("crm").grant is None
    services.verification_worker.stop()
    assert not services.running_work.verifications
    assert before.running_work.verifications == {("crm", 1)}


def test_closed_services_leave_no_thread_running(harness: Harness, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "another", harness.simulator.url)
    with Services.open(settings, harness.simulator.clock) as services:
        services.verification_worker.submit("nix", 1)

    assert "verification" not in [thread.name for thread in threading.enumerate()]


def test_an_existing_data_directory_opens_while_another_process_has_the_locks(
    harness: Harness,
) -> None:
    """Else a hundred programs that start together would wait for one another, and the last give
    up."""
    home = harness.services.paths
    with (
        FileLock(home.lock_file(":key")),
        FileLock(home.lock_file(":database")),
        Services.open(harness.services.settings, harness.services.clock) as again,
    ):
        assert again.vault.key == harness.services.vault.key


def test_accounts_are_verified_side_by_side_and_the_grants_of_one_in_turn(
    harness: Harness,
) -> None:
    harness.add_verified_connection("held")
    harness.add_verified_connection("same")
    harness.add_verified_connection("other", CARLA, FIRST_ORGANIZATION)
    worker = harness.services.verification_worker
    with harness.services.locks.refresh("held"):
        for name in ("held", "same", "other"):
            harness.services.token_cache.remove(name)
            worker.submit(name, 1)
        wait_for(lambda: ("other", 1) not in worker.pending())
        assert worker.pending() == {("held", 1), ("same", 1)}
    worker.stop()
    assert worker.pending() == frozenset()
