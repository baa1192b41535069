"""Where a code, a secret and a refresh token may be sent if stored data was changed or is older
than the table; a permanently rejected token is never sent."""

import sqlite3
from contextlib import closing

import pytest
from support.harness import ANNA, Harness
from support.tokens import token_failure

from wizard.errors import WizardError
from wizard.model import AttemptState, GrantState


def tamper(harness: Harness, statement: str, *values: str) -> None:
    """Change a row outside the wizard."""
    with closing(sqlite3.connect(harness.services.paths.database)) as handle:
        assert handle.execute(statement, values).rowcount == 1
        handle.commit()


@pytest.mark.parametrize("column", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("elsewhere", ["https://evil.example/oauth/v2/token", "{0}/in/accounts"])
def test_an_attempt_with_endpoints_that_differ_from_the_table_is_not_finished(
    harness: Harness, column: str, elsewhere: str
) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun)
    harness.controls.clear_journal()
    address = elsewhere.format(harness.simulator.url)
    tamper(harness, f"UPDATE attempts SET {column} = ? WHERE id = ?", address, begun.attempt.id)
    done = harness.complete_authorization(begun, callback)
    assert done.failure is not None
    assert done.failure.code == "issuer-mismatch"
    assert done.attempt.state is AttemptState.FAILED
    assert harness.controls.journal() == []


def test_a_grant_moved_to_another_data_center_is_not_sent(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    tamper(harness, "UPDATE grants SET location = ? WHERE connection = ?", "in", "crm")
    harness.controls.clear_journal()
    assert token_failure(harness).code == "sealed-record-damaged"
    assert harness.controls.journal() == []


def test_a_consent_is_not_for_a_connection_that_its_attempt_was_moved_to(
    harness: Harness,
) -> None:
    client = harness.register_client()
    for name in ("crm", "public"):
        harness.add_connection(name, client)
    started = harness.services.authorization.begin("crm")
    callback = harness.give_consent(started)
    tamper(harness, "UPDATE attempts SET connection = ?", "public")
    with pytest.raises(WizardError) as raised:
        harness.complete_authorization(started, callback)
    assert raised.value.failure.code == "sealed-record-damaged"
    assert harness.code_exchanges() == []
    assert harness.services.store.grants.of_connection("public") == ()


def test_a_permanently_rejected_refresh_token_is_not_sent_whatever_its_row_says(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.advance(minutes=2)
    assert token_failure(harness, force_refresh=True).code == "refresh-token-rejected"
    asked = len(harness.refresh_requests())
    # As in a restored backup from before the rejection.
    harness.services.store.grants.set_state(
        "crm", 1, GrantState.VERIFIED, expected=GrantState.NEEDS_REAUTHORIZATION
    )
    assert token_failure(harness, force_refresh=True).code == "refresh-token-rejected"
    assert len(harness.refresh_requests()) == asked
