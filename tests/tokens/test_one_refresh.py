"""Many concurrent requests for a token send one refresh."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock
from support.concurrent_requests import (
    PROCESS_START_TIMEOUT_SECONDS,
    process_that_refreshes,
    request_tokens_concurrently,
)
from support.harness import Harness
from support.tokens import seconds_left


@pytest.mark.parametrize("processes", [16, pytest.param(128, marks=pytest.mark.slow)])
def test_all_processes_at_the_moment_of_expiry_make_one_refresh(
    harness: Harness, processes: int
) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.3)
    tokens = request_tokens_concurrently([harness.services.settings], "crm", processes)
    assert len(tokens) == processes
    assert len(set(tokens)) == 1
    assert len(harness.refresh_requests()) == 1


def test_fifty_threads_at_expiry_make_one_refresh(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    together, tokens = threading.Barrier(50), []

    def ask() -> None:
        together.wait()
        tokens.append(harness.services.tokens.access_token("crm").value)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 50
    assert len(set(tokens)) == 1
    assert len(harness.refresh_requests()) == 1


def test_a_token_that_is_still_safe_is_served_while_another_refreshes(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.advance(seconds=seconds_left(harness, first) - 200)
    with FileLock(harness.services.paths.lock_file("crm")):
        served = harness.services.tokens.access_token("crm")
    assert served.value == first.value
    assert not served.stale


def test_a_waiting_thread_gets_the_new_token_while_the_lock_is_still_taken(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    token = harness.services.tokens.access_token("crm")
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    with ThreadPoolExecutor(1) as threads, FileLock(harness.services.paths.lock_file("crm")):
        asked = threads.submit(harness.services.tokens.access_token, "crm")
        harness.services.token_cache.put(token)
        assert asked.result(PROCESS_START_TIMEOUT_SECONDS).value == token.value
    assert not harness.refresh_requests()


def test_after_the_refreshing_process_is_killed_the_next_one_continues(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    with process_that_refreshes(harness):
        pass
    assert harness.services.tokens.access_token("crm").value
    assert [ask.outcome for ask in harness.services.request_log.view("crm").requests][:2] == [
        "ok",
        "pending",
    ]
