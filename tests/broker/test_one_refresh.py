"""However many ask at once, Zoho is asked once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import left, wait_for
from core import Core
from filelock import FileLock
from storm import PATIENCE, ask, forkserver, storm


@pytest.mark.parametrize("processes", [32, pytest.param(128, marks=pytest.mark.slow)])
def test_all_processes_at_the_moment_of_expiry_make_one_refresh(core: Core, processes: int) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    core.admin.fault("slow", endpoint="oauth/v2/token", seconds=0.3)
    tokens = storm(core.directory, core.sandbox.url, "crm", processes)
    assert len(tokens) == processes
    assert len(set(tokens)) == 1
    assert len(core.refreshes()) == 1


def test_fifty_threads_at_expiry_make_one_refresh(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    together, tokens = threading.Barrier(50), []

    def ask() -> None:
        together.wait()
        tokens.append(core.house.broker.access_token("crm").value)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 50
    assert len(set(tokens)) == 1
    assert len(core.refreshes()) == 1


def test_a_token_that_is_still_safe_is_served_while_another_refreshes(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.advance(seconds=left(core, first) - 200)
    with FileLock(core.house.home.lock_file("crm")):
        served = core.house.broker.access_token("crm")
    assert served.value == first.value
    assert not served.stale


def test_who_waits_takes_what_another_brought_while_its_lock_is_still_held(core: Core) -> None:
    core.proved()
    token = core.house.broker.access_token("crm")
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    with ThreadPoolExecutor(1) as threads, FileLock(core.house.home.lock_file("crm")):
        asked = threads.submit(core.house.broker.access_token, "crm")
        core.house.cache.put(token)
        assert asked.result(PATIENCE).value == token.value
    assert not core.refreshes()


def test_when_the_one_that_refreshes_is_killed_the_next_goes_on(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    core.admin.fault("slow", endpoint="oauth/v2/token", seconds=60, processed=True)
    context = forkserver()
    alone, answers = context.Barrier(1), context.SimpleQueue()
    holder = context.Process(
        target=ask, args=(core.directory, core.sandbox.url, "crm", alone, answers)
    )
    holder.start()
    wait_for(lambda: not core.admin.state()["faults"])  # its request has arrived
    holder.kill()
    holder.join(PATIENCE)
    holder.close()
    assert core.house.broker.access_token("crm").value
    assert [ask.outcome for ask in core.house.broker.ledger("crm").asks][:2] == ["ok", "asked"]
