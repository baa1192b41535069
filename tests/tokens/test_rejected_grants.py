"""The rejection of a grant: detected, confirmed once, never requested again."""

from datetime import datetime

import pytest
from support.harness import ANNA, Harness
from support.reauthorization import add_verified_connection
from support.tokens import current_grant, token_failure

from wizard.errors import WizardError
from wizard.model import AttemptState, GrantState
from wizard.services import Services


def test_a_grant_is_rejected_after_one_confirmation_and_never_requested_again(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    rejected = token_failure(harness)
    assert rejected.code == "refresh-token-rejected"
    assert rejected.zoho_error == "invalid_code"
    assert rejected.exchange is not None
    assert current_grant(harness).state is GrantState.NEEDS_REAUTHORIZATION
    assert len(harness.refresh_requests()) == 2
    for _ in range(3):
        assert token_failure(harness).code == "refresh-token-rejected"
    assert len(harness.refresh_requests()) == 2
    assert harness.services.token_cache.get("crm") is None


def test_an_unknown_client_says_nothing_about_the_grant(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.delete_client(current_grant(harness).client_id)
    harness.services.token_cache.remove("crm")
    assert token_failure(harness).code == "invalid-client"
    assert current_grant(harness).state is GrantState.VERIFIED


def test_a_missing_secret_is_not_replaced_by_that_of_another_data_center(harness: Harness) -> None:
    client = harness.register_client()
    with pytest.raises(WizardError) as error:
        harness.services.client_requests.secret_for(client, "in")
    assert error.value.failure.code == "missing-secret"
    assert error.value.failure.details["data_center"] == "India"


def test_revoking_ends_the_grant_at_zoho_and_here(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    harness.services.tokens.revoke(grant)
    assert harness.simulator.world.grants.refresh_tokens[grant.refresh_token].invalidation_reason
    assert harness.services.token_cache.get("crm") is None
    assert current_grant(harness).state is GrantState.REVOKED
    assert token_failure(harness).code == "grant-revoked"


def test_revoking_a_token_unknown_to_zoho_counts_as_revoked(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.services.tokens.revoke(grant)
    assert current_grant(harness).state is GrantState.REVOKED


def test_a_token_rejected_for_the_wrong_client_is_not_marked_for_its_own(harness: Harness) -> None:
    good, store = harness.add_verified_connection(), harness.services.store
    copied = harness.add_connection("copied")
    attempt = harness.services.authorization.begin("copied").attempt
    store.attempts.advance(attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED)
    store.attempts.advance(attempt.id, AttemptState.CALLBACK_RECEIVED, AttemptState.EXCHANGE_INTENT)
    where = (good.scope, good.location, attempt.id, harness.now())
    wrong = store.grants.add("copied", copied.client_id, good.refresh_token, *where)
    with pytest.raises(WizardError):
        harness.services.tokens.refresh_grant(wrong)
    rejected = store.grants.get("copied", wrong.generation)
    assert rejected is not None
    assert rejected.state is GrantState.NEEDS_REAUTHORIZATION
    harness.services.token_cache.remove("crm")
    assert harness.services.tokens.access_token("crm").value


def test_the_row_is_read_again_before_the_second_request(harness: Harness) -> None:
    """Another process has stored the next refresh token meanwhile."""
    client = harness.register_client()
    for name in ("crm", "other"):
        add_verified_connection(harness, name, client)
    grant, newer = current_grant(harness), current_grant(harness, "other").refresh_token
    harness.controls.evict_refresh_token(ANNA, client.client_id)
    harness.controls.clear_journal()
    store = harness.services.store

    def clock() -> datetime:
        """Read after each answer: between the two requests."""
        if harness.refresh_requests() and store.grants.get("crm") == grant:
            store.grants.rotate(grant, newer, harness.now())
        return harness.simulator.clock()

    with Services.open(harness.services.settings, clock) as racing:
        assert racing.tokens.refresh_grant(grant).access_token
    assert len(harness.refresh_requests()) == 2
    assert current_grant(harness).state is GrantState.VERIFIED
