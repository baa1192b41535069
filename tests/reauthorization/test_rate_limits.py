"""A re-authorization keeps Zoho's limits, and continues if it reaches one."""

from datetime import timedelta

import pytest
from bench.installation import issue_grants, store_connections
from support.harness import Harness
from support.reauthorization import (
    authorize,
    change_password_and_detect,
    current_items,
    item_states,
    next_action,
)

from wizard.model import GrantState
from wizard.reauthorization.plan import Action

NAMES = [f"crm-000{number}" for number in range(10)]


def ten_rejected(harness: Harness, counted_by: str) -> None:
    """Ten connections of one client, rejected after a password change, at a Zoho that counts token
    requests by refresh token or by client."""
    store_connections(harness.services.store, *issue_grants(harness, 10))
    change_password_and_detect(harness, *NAMES)
    harness.advance(minutes=11)
    harness.services.reauthorization.begin(NAMES)
    harness.controls.change_settings(rate_limit_key=counted_by)
    harness.controls.clear_journal()


def wait_for_next_action(harness: Harness) -> timedelta:
    """Advance to the time of the next action, unless it has passed."""
    until = next_action(harness).until
    left = max(until - harness.now(), timedelta()) if until else timedelta()
    harness.advance(seconds=left.total_seconds())
    return left


def authorize_until_waiting(harness: Harness) -> int:
    """Accept and verify until something must wait; return how many consents were accepted."""
    accepted = 0
    while (coming := next_action(harness)).action in (Action.CONSENT, Action.VERIFY):
        assert coming.item is not None
        name = coming.item.connection
        if coming.action is Action.VERIFY:
            harness.verify(name, coming.item.generation)
            harness.services.reauthorization.continue_after_verification(name)
            continue
        begun = harness.services.authorization.begin(name)
        done = harness.complete_authorization(begun, harness.give_consent(begun))
        accepted += 1
        if done.generation is not None:
            harness.verify(name, done.generation)
            harness.services.reauthorization.continue_after_verification(name)
    return accepted


def rate_limited_count(harness: Harness) -> int:
    return sum(entry["status"] == 400 for entry in harness.logged_requests())


def test_ten_connections_of_one_client_wait_once_for_codes(harness: Harness) -> None:
    ten_rejected(harness, "refresh_token")
    assert harness.services.reauthorization.plan(NAMES).wait == timedelta(minutes=10)
    begun = harness.now()
    assert authorize_until_waiting(harness) == 8
    waited, accepted = timedelta(), 0
    for _ in NAMES:  # at most; the time of the next one may come meanwhile
        # The tenth follows the ninth after the same interval as the second the first.
        waited += wait_for_next_action(harness)
        accepted += authorize_until_waiting(harness)
    assert accepted == 2
    # The time that the eight took counts, so a slow machine waits less.
    assert waited <= timedelta(minutes=10) <= harness.now() - begun
    assert item_states(harness) == dict.fromkeys(NAMES, "reauthorized")
    assert rate_limited_count(harness) == 0


@pytest.mark.slow
def test_a_rate_limit_midway_is_waited_out_and_loses_nothing(harness: Harness) -> None:
    ten_rejected(harness, "client")
    taken = authorize_until_waiting(harness)
    assert next_action(harness).action is Action.WAIT
    assert rate_limited_count(harness) == 1
    for _ in NAMES:
        assert wait_for_next_action(harness) <= timedelta(minutes=10)
        taken += authorize_until_waiting(harness)
    assert item_states(harness) == dict.fromkeys(NAMES, "reauthorized")
    assert rate_limited_count(harness) == 1, "from then on the client is counted as one"
    assert taken <= 11, "one code was lost"


@pytest.mark.slow
def test_a_client_counted_as_one_gets_four_consents_in_ten_minutes(
    harness: Harness,
) -> None:
    ten_rejected(harness, "client")
    authorize_until_waiting(harness)
    wait_for_next_action(harness)
    rest = [item.connection for item in current_items(harness) if item.state != "reauthorized"]
    assert len(rest) > 4
    assert harness.services.reauthorization.plan(rest).wait == timedelta(minutes=10)
    assert authorize_until_waiting(harness) == 4


@pytest.mark.slow
def test_a_verification_interrupted_by_the_network_is_repeated_without_a_consent(
    harness: Harness,
) -> None:
    ten_rejected(harness, "refresh_token")
    harness.controls.inject_fault("data-center-down", endpoint="crm/v8/org")
    authorize(harness, NAMES[0])
    assert item_states(harness)[NAMES[0]] == "waiting_to_retry"
    assert wait_for_next_action(harness) <= timedelta(minutes=2)
    assert next_action(harness).action is Action.VERIFY
    assert authorize_until_waiting(harness) == 7
    assert item_states(harness)[NAMES[0]] == "reauthorized"
    grant = harness.services.store.grants.get(NAMES[0])
    assert grant is not None
    assert (grant.generation, grant.state) == (2, GrantState.VERIFIED)
