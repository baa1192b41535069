"""Two machines with one shared store: one refresh, and no token that Zoho rejected."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from support.concurrent_requests import (
    process_that_refreshes,
    request_tokens_concurrently,
)
from support.harness import Harness, settings_of_machine
from support.records import raises_failure
from support.storage import on_postgresql

from wizard.fastpath import token_file
from wizard.services import Services
from wizard.store.key_rotation import rotate_encryption_key

database_url = on_postgresql


@pytest.fixture
def other(harness: Harness, database_url: str) -> Iterator[Services]:
    """The services of a second machine; the first has a verified connection."""
    harness.add_verified_connection()
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.now) as services:
        harness.controls.clear_journal()
        yield services


def is_served_without_the_store(harness: Harness, services: Services, seconds: float = 0) -> bool:
    """Whether the fast path of a machine prints its copy after `seconds`."""
    try:
        content = token_file.read(services.paths.token_file("crm"))
    except FileNotFoundError:
        return False
    return token_file.is_confirmed(content, harness.now().timestamp() + seconds)


def test_the_token_of_one_machine_is_served_by_the_other(harness: Harness, other: Services) -> None:
    token = harness.services.tokens.access_token("crm")
    assert other.tokens.access_token("crm").value == token.value
    assert not harness.refresh_requests()


def test_an_access_token_is_stored_with_the_key_that_replaced_ours(harness: Harness) -> None:
    harness.add_verified_connection()
    token = harness.services.tokens.access_token("crm")
    with Services.open(harness.services.settings, harness.now) as another:
        rotate_encryption_key(another.paths, another.store, another.vault, harness.now)
    harness.services.token_cache.put(token)
    with Services.open(harness.services.settings, harness.now) as newest:
        cached = newest.token_cache.get("crm")
    assert cached is not None
    assert cached.value == token.value


def test_a_copy_has_the_key_of_the_store_also_in_a_process_with_the_old_one(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    token = harness.services.tokens.access_token("crm")
    with Services.open(harness.services.settings, harness.now) as another:
        rotate_encryption_key(another.paths, another.store, another.vault, harness.now)
        another.token_cache.put(token)
        harness.advance(seconds=45)
        assert harness.services.token_cache.get("crm"), "confirms the copy"
        paths, key = another.paths, another.vault.key
    copy = token_file.read(paths.token_file("crm"))
    assert token_file.is_confirmed(copy, harness.now().timestamp() + 45)
    assert token_file.unpack(key, paths.token_owner("crm"), copy).access_token == token.value


def test_threads_of_two_machines_at_expiry_make_one_refresh(
    harness: Harness, other: Services
) -> None:
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.3)
    together, machines = threading.Barrier(8), [harness.services, other] * 4

    def ask(services: Services) -> str:
        together.wait()
        return services.tokens.access_token("crm").value

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, machines))) == 1
    assert len(harness.refresh_requests()) == 1


@pytest.mark.slow
def test_128_processes_on_four_machines_make_one_refresh(
    harness: Harness, database_url: str
) -> None:
    harness.add_verified_connection()
    names = ("second", "third", "fourth")
    machines = [settings_of_machine(harness, name, database_url) for name in names]
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.3)
    settings = [harness.services.settings, *machines]
    tokens = request_tokens_concurrently(settings, "crm", 128)
    assert (len(tokens), len(set(tokens))) == (128, 1)
    assert len(harness.refresh_requests()) == 1


def test_a_machine_whose_process_is_killed_holds_up_no_other(
    harness: Harness, other: Services
) -> None:
    harness.services.token_cache.remove("crm")
    with (
        process_that_refreshes(harness),
        raises_failure("refresh-under-way"),
        other.locks.refresh("crm", wait=False),
    ):
        pass
    assert other.tokens.access_token("crm").value


@pytest.mark.parametrize("lock", ["refresh", "verification", "exchange", "swap", "notifications"])
def test_a_lock_of_one_machine_is_held_on_the_other(
    harness: Harness, other: Services, lock: str
) -> None:
    more = {"swap": (0.0,), "notifications": (0.0, "crm")}.get(lock, ())
    arguments = more if lock == "notifications" else ("crm", *more)
    codes = {"notifications": "notification-under-way"}
    options = {"wait": False} if lock in ("refresh", "exchange") else {}
    hold = getattr(other.locks, lock)
    with getattr(harness.services.locks, lock)(*arguments):
        with raises_failure(codes.get(lock, f"{lock}-under-way")), hold(*arguments, **options):
            pass
        with other.locks.refresh("another", wait=False):
            pass
    with hold(*arguments, **options):
        pass


def test_a_rejected_token_is_served_nowhere_after_a_minute(
    harness: Harness, other: Services
) -> None:
    token = other.tokens.access_token("crm").value
    assert is_served_without_the_store(harness, other, 30)
    assert not is_served_without_the_store(harness, other, 61)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    harness.services.tokens.reject(grant, token)
    assert not is_served_without_the_store(harness, harness.services)
    harness.advance(seconds=61)
    assert not is_served_without_the_store(harness, other)
    assert other.tokens.access_token("crm").value != token


def test_a_token_that_is_rejected_while_it_is_copied_is_not_served(
    harness: Harness, other: Services
) -> None:
    token = harness.services.tokens.access_token("crm").value
    grant = harness.services.store.grants.get("crm")
    assert grant is not None

    def reject(*arguments: Any) -> None:
        if "FROM access_tokens" in arguments[2]:
            harness.services.tokens.reject(grant, token)

    event.listen(other.store.database.engine, "after_cursor_execute", reject, once=True)
    other.token_cache.get("crm")
    assert not is_served_without_the_store(harness, other)


def test_a_copy_that_is_due_is_confirmed_by_the_next_request(
    harness: Harness, other: Services
) -> None:
    other.tokens.access_token("crm")
    harness.advance(seconds=61)
    assert not is_served_without_the_store(harness, other)
    other.tokens.access_token("crm")
    assert is_served_without_the_store(harness, other)
    assert not harness.refresh_requests()


def test_a_copy_of_the_future_is_not_served(harness: Harness, other: Services) -> None:
    other.tokens.access_token("crm")
    assert not is_served_without_the_store(harness, other, -120)


def test_a_renamed_connection_takes_its_token_along(harness: Harness, other: Services) -> None:
    token = harness.services.tokens.access_token("crm")
    other.tokens.rename_connection("crm", "leads")
    assert harness.services.tokens.access_token("leads").value == token.value
    assert not harness.refresh_requests()


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_machine_whose_clock_is_wrong_uses_the_clock_of_the_database(
    harness: Harness, database_url: str, minutes: int
) -> None:
    harness.add_verified_connection()
    with harness.services.store.database.write() as c:
        c.exec_driver_sql(
            "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
            f"$$ SELECT pg_catalog.clock_timestamp() - interval '{minutes} minutes' $$"
        )
    # Sessions of this machine see a server whose clock differs as much as theirs does from it.
    url = f"{database_url}&options=-csearch_path%3Dpublic,pg_catalog"
    ahead, here = timedelta(minutes=minutes), timedelta(seconds=5)
    settings = settings_of_machine(harness, "other", url)
    token = harness.services.tokens.access_token("crm")
    with Services.open(settings, lambda: harness.now() + ahead) as other:
        assert abs(other.clock() - harness.now()) < here
        assert other.tokens.access_token("crm").value == token.value
        content, now = token_file.read(other.paths.token_file("crm")), harness.now() + ahead
        expires_at, *_ = token_file.parse_header(content)
        assert token_file.is_confirmed(content, now.timestamp())
        assert abs(expires_at - ahead.total_seconds() - token.expires_at.timestamp()) < 5
        harness.advance(minutes=58)
        assert other.tokens.access_token("crm").value != token.value
        (last, *_) = other.store.request_log.requests(since=harness.now() - here)
        assert abs(last.at - harness.now()) < here
