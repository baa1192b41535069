"""Attempts and grants: each transition is one durable commit, and one of several callers wins."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    add_grant,
    attempts_of,
    make_attempt,
    raises_failure,
)
from support.storage import either_engine

from wizard.model import Account, AttemptState, Failure, GrantState, Identifier
from wizard.paths import Paths
from wizard.store import Store

database_url = either_engine


def test_an_attempt_is_found_only_by_its_state(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt())
    assert store.attempts.find_by_state("state-of-a1") == make_attempt()
    for other in ("", "state-of-a2", "STATE-OF-A1", "state-of-a1 ", "é", "x" * 10_000):
        assert store.attempts.find_by_state(other) is None


def test_the_newest_attempt_is_found_and_the_open_ones_are_listed(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt("old"))
    store.attempts.add(replace(make_attempt("new"), created_at=NOW + timedelta(minutes=1)))
    store.attempts.advance("old", AttemptState.REDIRECTED, AttemptState.ABANDONED)
    assert store.attempts.newest("crm") == store.attempts.get("new")
    assert [each.id for each in store.attempts.open()] == ["new"]
    with raises_failure("unknown-attempt"):
        store.attempts.get("nowhere")


def test_a_state_is_redeemed_once(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt())
    store.attempts.advance("a1", AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED)
    with raises_failure("changed-meanwhile"):
        store.attempts.advance("a1", AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED)
    assert store.attempts.get("a1").state is AttemptState.CALLBACK_RECEIVED


def test_a_refused_attempt_keeps_the_reason(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt())
    why = Failure("access-denied", zoho_error="access_denied", retry_at=NOW)
    store.attempts.advance("a1", AttemptState.REDIRECTED, AttemptState.FAILED, failure=why)
    assert store.attempts.get("a1").failure == why


def test_wrong_tries_are_counted(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt())
    assert [store.attempts.count_failed_try("a1") for _ in range(3)] == [1, 2, 3]
    assert store.attempts.get("a1").failed_tries == 3


ADVANCE_ATTEMPT = """
import sys
from wizard import paths as wizard_paths
from wizard.errors import Conflict
from wizard.model import AttemptState
from wizard.store import Store
from wizard.vault import Vault
home, database_url = sys.argv[1:]
paths = wizard_paths.locate(
    {"ZOHO_WIZARD_HOME": home, "ZOHO_WIZARD_DATABASE_URL": database_url}
)
store = Store.open(paths, Vault.open(paths, use_keyring=False), "live")
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    try:
        store.attempts.advance(str(number), AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED)
        print(number)
    except Conflict:
        pass
store.close()
"""


@pytest.mark.slow
def test_one_of_several_processes_that_advance_an_attempt_wins(
    tmp_path: Path, store: Store, database_url: str
) -> None:
    add_connections(store)
    for number in range(20):
        store.attempts.add(make_attempt(str(number)))
    command = [sys.executable, "-c", ADVANCE_ATTEMPT, str(tmp_path / "home"), database_url]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [line for racer in racers for line in racer.communicate(timeout=60)[0].split()]
    assert sorted(map(int, won)) == list(range(20))


def test_a_grant_is_stored_with_its_attempt_in_one_transaction(store: Store) -> None:
    add_connections(store)
    grant = add_grant(store)
    assert (grant.generation, grant.state) == (1, GrantState.NOT_VERIFIED)
    assert store.grants.get("crm", 1) == grant
    [closed] = attempts_of(store, "crm")
    assert (closed.state, closed.generation) == (AttemptState.STORED, 1)


@pytest.mark.parametrize(
    "state",
    sorted(set(AttemptState) - {AttemptState.EXCHANGE_INTENT, AttemptState.OUTCOME_UNKNOWN}),
)
def test_no_grant_is_stored_for_an_attempt_that_is_not_exchanging(
    store: Store, state: AttemptState
) -> None:
    add_connections(store)
    store.attempts.add(make_attempt("a1", state=state))
    with raises_failure("changed-meanwhile"):
        store.grants.add("crm", CLIENT_ID, "1000.x", (), "eu", "a1", NOW)
    assert store.grants.of_connection("crm") == ()


def test_a_grant_is_stored_once_even_if_its_outcome_was_given_up_as_unknown(store: Store) -> None:
    add_connections(store)
    store.attempts.add(make_attempt("a1", state=AttemptState.OUTCOME_UNKNOWN))
    first, again = (
        store.grants.add("crm", CLIENT_ID, "1000.x", (), "eu", "a1", NOW) for _ in range(2)
    )
    assert (first, again) == (*store.grants.of_connection("crm"), first)


def test_a_rotated_refresh_token_is_stored_once(store: Store) -> None:
    add_connections(store)
    grant = add_grant(store)
    for _ in range(2):  # the first commit may have been answered by a lost connection
        store.grants.rotate(grant, "1000.new", NOW)
    [rotated] = store.grants.of_connection("crm")
    assert rotated.refresh_token == "1000.new"


def test_a_new_grant_replaces_the_current_one_only_once_it_is_verified(store: Store) -> None:
    add_connections(store)
    add_grant(store, "1000.first")
    store.grants.activate("crm", 1, 0)
    add_grant(store, "1000.second")
    current, candidate = store.grants.get("crm"), store.grants.candidate("crm")
    assert current is not None
    assert candidate is not None
    assert (current.refresh_token, candidate.refresh_token) == ("1000.first", "1000.second")
    store.grants.activate("crm", 2, 1)
    assert [(g.generation, g.state) for g in store.grants.of_connection("crm")] == [
        (2, GrantState.VERIFIED),
        (1, GrantState.REPLACED),
    ]
    assert store.grants.candidate("crm") is None
    assert store.connections.get("crm").generation == 2


def test_a_late_verification_replaces_nothing(store: Store) -> None:
    add_connections(store)
    add_grant(store, "1000.first")
    add_grant(store, "1000.second")
    store.grants.activate("crm", 2, 0)
    with raises_failure("changed-meanwhile"):
        store.grants.activate("crm", 1, 0)
    assert store.connections.get("crm").generation == 2


def test_a_generation_can_be_restored(store: Store) -> None:
    add_connections(store)
    add_grant(store, "1000.first")
    store.grants.activate("crm", 1, 0)
    add_grant(store, "1000.second")
    store.grants.activate("crm", 2, 1)
    store.grants.activate("crm", 1, 2)
    states = {grant.generation: grant.state for grant in store.grants.of_connection("crm")}
    assert states == {1: GrantState.VERIFIED, 2: GrantState.REPLACED}


@pytest.mark.parametrize("state", [GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED])
def test_a_grant_revoked_at_zoho_never_becomes_current(store: Store, state: GrantState) -> None:
    add_connections(store)
    add_grant(store)
    store.grants.set_state("crm", 1, state)
    with raises_failure("changed-meanwhile"):
        store.grants.activate("crm", 1, 0)
    assert store.connections.get("crm").generation == 0


def test_verifying_the_current_grant_again_keeps_it_current(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    store.grants.activate("crm", 1, 0)
    store.grants.activate("crm", 1, 1)
    grant = store.grants.get("crm")
    assert grant is not None
    assert grant.state is GrantState.VERIFIED


def test_a_status_changes_only_from_the_state_that_was_read(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    why = Failure("refresh-token-rejected", zoho_error="invalid_code")
    with raises_failure("changed-meanwhile"):
        store.grants.set_state(
            "crm", 1, GrantState.NEEDS_REAUTHORIZATION, why, expected=GrantState.VERIFIED
        )
    store.grants.set_state(
        "crm", 1, GrantState.NEEDS_REAUTHORIZATION, why, expected=GrantState.NOT_VERIFIED
    )
    grant = store.grants.get("crm", 1)
    assert grant is not None
    assert (grant.state, grant.failure) == (GrantState.NEEDS_REAUTHORIZATION, why)


def test_valid_refresh_tokens_are_counted_by_user(store: Store) -> None:
    add_connections(store, "crm", "desk", "books")
    anna = Account(Identifier("1"), "anna@zylker.example")
    bob = Account(Identifier("2"), "bob@zylker.example")
    for number, (name, account) in enumerate((("crm", anna), ("crm", anna), ("desk", bob))):
        grant = add_grant(store, f"1000.{number}", name)
        store.grants.set_account(name, grant.generation, account, ())
    add_grant(store, "1000.9", "books")
    store.grants.set_state("desk", 1, GrantState.NEEDS_REAUTHORIZATION)
    assert store.grants.count_refresh_tokens(CLIENT_ID) == {
        (anna.zuid, anna.email): 2,
        ("", ""): 1,
    }


def test_stored_data_is_there_after_a_restart(paths: Paths, store: Store) -> None:
    add_connections(store)
    grant = add_grant(store)
    store.close()
    assert store.grants.get("crm", 1) == grant


def test_threads_share_a_store_and_every_grant_gets_its_own_generation(store: Store) -> None:
    add_connections(store)
    with ThreadPoolExecutor(max_workers=8) as pool:
        grants = list(pool.map(lambda number: add_grant(store, f"1000.{number}"), range(40)))
    assert sorted(grant.generation for grant in grants) == list(range(1, 41))
    assert {grant.refresh_token for grant in store.grants.of_connection("crm")} == {
        f"1000.{number}" for number in range(40)
    }
